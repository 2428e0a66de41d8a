"""Distillation of a small causal language model on a text that comes with Python: its own documentation.

    python examples/distill_text.py [--hardware FILE|ID] [--threads N] [--steps N] [--keep FOLDER]

Needs `pip install 'pyinfercost[examples]'` (torch, torchao, transformers) and some minutes on two cores. The tokens are
the bytes of `pydoc_data.topics`. Without --hardware, this machine is calibrated first. With --keep, an interrupted run
continues.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from pydoc_data.topics import topics

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

import pyinfercost as ic
from pyinfercost.tradeoffs.candidates import chain, distilled, int8_weight_only
from pyinfercost.tradeoffs.distillation_loop import distill
from pyinfercost.tradeoffs.front import front
from pyinfercost.tradeoffs.students import fewer_layers, smaller_config
from pyinfercost.tradeoffs.training_settings import Training
from pyinfercost.tradeoffs.training_store import TrainingStore

LENGTH = 64
HELD_OUT = 64
TEST = 128


def pieces() -> torch.Tensor:
    """Return pieces of `LENGTH` bytes of Python's documentation, in a random order."""
    text = "\n".join(topics[name] for name in sorted(topics)).encode()
    ids = torch.frombuffer(bytearray(text), dtype=torch.uint8).long()
    rows = ids[: len(ids) // LENGTH * LENGTH].view(-1, LENGTH)
    return rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))]


def main() -> None:
    """Train a teacher of four layers, and compare students of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hardware", help="machine to predict for; default: this machine, which is calibrated first")
    parser.add_argument("--threads", type=int, default=1, help="threads to calibrate, predict, train and measure with")
    parser.add_argument("--teacher-steps", type=int, default=400, help="steps of the teacher")
    parser.add_argument("--steps", type=int, default=150, help="steps of each student")
    parser.add_argument("--keep", type=Path, help="folder of the states of trainings, from which a run continues")
    options = parser.parse_args()
    begun = time.monotonic()
    torch.set_num_threads(options.threads)
    folder = Path(tempfile.mkdtemp()) if options.keep is None else options.keep
    folder.mkdir(parents=True, exist_ok=True)

    rows = pieces()
    test, held_out, train = rows[:TEST], rows[TEST : TEST + HELD_OUT], rows[TEST + HELD_OUT :]
    torch.manual_seed(0)
    config = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4}
    teacher = LlamaForCausalLM(LlamaConfig(**config, vocab_size=256, bos_token_id=None, eos_token_id=None))
    settings = {"batch_size": 32, "learning_rate": 3e-3, "task": "causal_lm"}
    # Without a soft weight, the loop is a plain training; the tokens are the labels.
    longer = Training(**settings, steps=options.teacher_steps, soft_weight=0)
    run = distill(teacher, None, data=(train,), train=longer, store=TrainingStore(folder / "teacher.pt"))
    print(f"Trained the teacher of four layers in {run.seconds:.0f} s, {run.steps} steps on {train.numel()} bytes.")
    hardware = options.hardware
    if hardware is None:
        hardware = str(folder / "this.toml")
        if not Path(hardware).exists():
            Path(hardware).write_text(ic.calibrate(threads=options.threads).to_toml(), encoding="utf-8")
        print(f"Calibrated this machine, {time.monotonic() - begun:.0f} s: {hardware}")

    def loss(model: nn.Module) -> float:
        """Return nats per byte of the test pieces."""
        with torch.no_grad():
            logits = model(input_ids=test, use_cache=False).logits
            return float(nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), test[:, 1:].flatten()))

    data = {"data": (train,), "held_out": (held_out,)}
    shorter = {**settings, "steps": options.steps}
    alone = Training(**shorter, soft_weight=0)
    soft = Training(**shorter, temperature=2, soft_weight=0.5)
    hidden = Training(**shorter, temperature=2, soft_weight=0.5, hidden_weight=0.1)
    two_layers = distilled(fewer_layers(2), train=soft, checkpoint=folder / "two_layers.pt", **data)
    result = ic.tradeoff(
        teacher,
        {
            "int8": int8_weight_only(),
            "2 layers, alone": distilled(fewer_layers(2), train=alone, checkpoint=folder / "alone.pt", **data),
            "2 layers": two_layers,
            "2 layers, hidden": distilled(fewer_layers(2), train=hidden, checkpoint=folder / "hidden.pt", **data),
            "half width": distilled(smaller_config(0.5), train=soft, checkpoint=folder / "half_width.pt", **data),
            "2 layers, int8": chain(two_layers, int8_weight_only()),
        },
        evaluate=loss,
        maximize=False,
        inputs={"input_ids": test[:32], "use_cache": False},
        hardware=hardware,
        threads=options.threads,
        measure=True,
        seconds=1.0,
        progress=True,
    )
    print(f"\n{result}")
    print(f"Front of loss and measured_s: {', '.join(row.name for row in front(result, 'measured_s').rows)}")
    print(f"{time.monotonic() - begun:.0f} s in all")


if __name__ == "__main__":
    main()
