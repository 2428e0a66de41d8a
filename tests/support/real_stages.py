"""Run a small Llama on several processes as stages of torch's pipeline, and print what each of them sent.

`python tests/support/real_stages.py RANK RANKS PORT CONFIG.json STAGES.json MICRO_BATCHES`: the processes join through
gloo. Each one prints, as JSON, the bytes of each message, and the products with the shapes of their operands.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.pipelining import PipelineStage, ScheduleGPipe
from torch.utils._python_dispatch import TorchDispatchMode

BATCH, LENGTH = 4, 128
PRODUCTS = ("aten.mm", "aten.addmm", "aten.bmm", "aten.linear")


class Recorder(TorchDispatchMode):
    """Records the products of one process."""

    def __init__(self) -> None:
        super().__init__()
        self.products: list[list[list[int]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if str(func).removesuffix(".default") in PRODUCTS:
            self.products.append(
                [list(each.shape) for each in args if isinstance(each, torch.Tensor) and each.dim() >= 2]
            )
        return func(*args, **(kwargs or {}))


class SendingStage(PipelineStage):
    """A stage that records the bytes of what it sends."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.sent: list[int] = []

    def get_fwd_send_ops(self, fwd_chunk_id: int) -> list[dist.P2POp]:
        """Return the messages of a micro-batch."""
        messages = super().get_fwd_send_ops(fwd_chunk_id)
        self.sent.extend(each.tensor.nbytes for each in messages)
        return messages


class Part(nn.Module):
    """Some modules of a Llama, by their paths."""

    def __init__(self, model: Any, modules: list[str]) -> None:
        super().__init__()
        self.rotary = model.model.rotary_emb
        self.parts = nn.ModuleDict({path.replace(".", "/"): model.get_submodule(path) for path in modules})

    def forward(self, x: Any) -> Any:
        for path, part in self.parts.items():
            if "/layers/" in path:
                positions = torch.arange(x.shape[1])[None]
                x = part(x, position_embeddings=self.rotary(x, positions), position_ids=positions)
                x = x[0] if isinstance(x, tuple) else x
            else:
                x = part(x)
        return x


def main(rank: int, ranks: int, port: str, config_path: str, stages_path: str, micro_batches: str) -> None:
    """Run one process."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=ranks)
    config = AutoConfig.for_model(**json.loads(Path(config_path).read_text(encoding="utf-8")))
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()
    part = Part(model, json.loads(Path(stages_path).read_text(encoding="utf-8"))[rank])
    recorder = Recorder()
    with torch.no_grad():
        stage = SendingStage(part, rank, ranks, torch.device("cpu"))
        schedule = ScheduleGPipe(stage, int(micro_batches))
        given = [torch.zeros(BATCH, LENGTH, dtype=torch.int64)] if rank == 0 else []
        schedule.step(*given)  # shapes of messages are found by running the model
        stage.sent.clear()
        with recorder:
            schedule.step(*given)
    sys.stdout.write(json.dumps({"sent": stage.sent, "products": recorder.products}) + "\n")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
