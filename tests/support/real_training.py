"""Train a small Llama on several processes, and print what they exchanged in one step.

`python tests/support/real_training.py RANK RANKS PORT CONFIG.json ddp|fsdp`: the processes join through gloo. The first
one prints, as JSON, the operations with the bytes of whole messages, of the second step.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import TorchDispatchMode

LENGTH = 32


class Recorder(TorchDispatchMode):
    """Records collectives of one process: of a gathering the result, of a reduction the operand."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[tuple[str, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func)
        if "allgather" in name or "all_gather_into" in name:
            self.messages.append(("all_gather", args[0].nbytes))
        elif "reduce_scatter" in name:
            self.messages.append(("reduce_scatter", args[1].nbytes))
        return func(*args, **(kwargs or {}))


def main(rank: int, ranks: int, port: str, config_path: str, how: str) -> None:
    """Run one process."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=ranks)
    config = AutoConfig.for_model(**json.loads(Path(config_path).read_text(encoding="utf-8")))
    model: Any = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").train()
    recorder = Recorder()
    if how == "ddp":
        model = DistributedDataParallel(model)

        def summed(state: Any, bucket: Any) -> Any:
            recorder.messages.append(("all_reduce", bucket.buffer().nbytes))
            return allreduce_hook(state, bucket)

        summed.__annotations__ = {"bucket": dist.GradBucket, "return": torch.futures.Future[torch.Tensor]}
        model.register_comm_hook(None, summed)
    else:
        mesh = dist.init_device_mesh("cpu", (ranks,))
        for layer in model.model.layers:
            fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
    ids = torch.zeros(1, LENGTH, dtype=torch.int64)
    for _ in range(2):
        recorder.messages.clear()
        with recorder:
            model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        model.zero_grad()
    sys.stdout.write(json.dumps(recorder.messages) + "\n")
    dist.barrier()  # a rank that is left alone ends with an abort
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
