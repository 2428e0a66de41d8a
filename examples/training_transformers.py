"""The Trainer of transformers with a cost callback: a small GPT-2 on the source of Python's standard library.

    python examples/training_transformers.py [--steps N] [--training-hardware FILE|ID]

Needs `pip install 'pyinfercost[models,accelerate]'`. The tokens are the bytes of the source.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments, set_seed

from pyinfercost import CostBudget
from pyinfercost.monitor import Stdout
from pyinfercost.training import TransformersCostCallback

LENGTH = 64
SHOWN = [
    "cost/*/latency_s",
    "cost/*/usd_per_million_tokens",
    "training/tokens_per_s",
    "training/mfu",
    "training/total_*",
]


def source() -> list[dict[str, torch.Tensor]]:
    """Return pieces of `LENGTH` bytes of some modules of the standard library."""
    folder = Path(argparse.__file__).parent
    text = b"".join(
        (folder / name).read_bytes() for name in ("argparse.py", "pathlib.py", "typing.py") if (folder / name).is_file()
    )
    ids = torch.frombuffer(bytearray(text), dtype=torch.uint8).long()
    rows = ids[: len(ids) // LENGTH * LENGTH].view(-1, LENGTH)
    return [{"input_ids": row, "labels": row} for row in rows]


def main() -> None:
    """Train under a latency budget, with gradients accumulated over two batches."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--training-hardware", default=None)
    options = parser.parse_args()

    set_seed(0)
    model = GPT2LMHeadModel(
        GPT2Config(vocab_size=256, n_positions=LENGTH, n_embd=128, n_layer=4, n_head=4, bos_token_id=0, eos_token_id=0)
    )
    cost = TransformersCostCallback(
        hardware=["l4", "h100-sxm-80gb"],
        precision="fp16",
        execution="cuda_graph",
        price="on-demand",
        sizes={"batch": 1},
        every=20,
        log=False,  # the sink is sufficient; otherwise the Trainer's logs have all figures too
        sinks=Stdout(only=SHOWN),
        budgets=CostBudget(
            hardware="l4", precision="fp16", execution="cuda_graph", latency_s=0.002, sizes={"batch": 1}
        ),
        training_hardware=options.training_hardware,
    )
    trainer = Trainer(
        model,
        TrainingArguments(
            tempfile.mkdtemp(),
            max_steps=options.steps,
            per_device_train_batch_size=8,
            gradient_accumulation_steps=2,
            learning_rate=1e-3,
            logging_steps=20,
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
        ),
        train_dataset=source(),
        callbacks=[cost],
    )
    loss = trainer.train().training_loss
    print(f"mean loss {loss:.2f} nats a byte")


if __name__ == "__main__":
    main()
