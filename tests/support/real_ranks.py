"""Run a small model on several processes with torch's tensor parallelism, and print what one of them ran.

`python tests/support/real_ranks.py RANK RANKS PORT CONFIG.json PLAN.json`: the processes join through gloo. The first
one prints, as JSON, the products with the shapes of their operands, and the collectives with the bytes of theirs. A
plan has modules and styles of torch, or it is that of transformers (`"own": true`), which also divides experts. With
`"train": true` the process runs a training step, and prints the shapes of the gradients, too.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch._subclasses.fake_tensor import FakeTensor
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    PrepareModuleInput,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)
from torch.utils._python_dispatch import TorchDispatchMode

LENGTH = 128
PRODUCTS = (
    "aten.mm", "aten.addmm", "aten.bmm", "aten.linear", "aten._grouped_mm", "transformers.grouped_mm_fallback",
)  # fmt: skip
STYLES = {
    "columns": ColwiseParallel,
    "rows": RowwiseParallel,
    "words": lambda: RowwiseParallel(input_layouts=Replicate()),
    "logits": lambda: ColwiseParallel(output_layouts=Replicate()),
    # One sum of the gradients of several products that read the same tokens.
    "reads": lambda: PrepareModuleInput(input_layouts=(Replicate(),), desired_input_layouts=(Replicate(),)),
    "reads_named": lambda: PrepareModuleInput(
        input_kwarg_layouts={"hidden_states": Replicate()}, desired_input_kwarg_layouts={"hidden_states": Replicate()}
    ),
    # The same with shares of the tokens between products.
    "share_rows": lambda: RowwiseParallel(output_layouts=Shard(1)),
    "share_words": lambda: RowwiseParallel(input_layouts=Replicate(), output_layouts=Shard(1)),
    "share_logits": lambda: ColwiseParallel(input_layouts=Shard(1), output_layouts=Replicate()),
    "share_norm": lambda: SequenceParallel(use_local_output=True),
    "share_reads": lambda: PrepareModuleInput(input_layouts=(Shard(1),), desired_input_layouts=(Replicate(),)),
    "share_reads_named": lambda: PrepareModuleInput(
        input_kwarg_layouts={"hidden_states": Shard(1)}, desired_input_kwarg_layouts={"hidden_states": Replicate()}
    ),
}


class Recorder(TorchDispatchMode):
    """Records products and collectives of one process, below the tensors that are spread over several."""

    def __init__(self) -> None:
        super().__init__()
        self.products: list[list[list[int]]] = []
        self.collectives: list[tuple[str, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(issubclass(each, DTensor) for each in types):
            return NotImplemented
        name = str(func).removesuffix(".default")
        if any(isinstance(each, FakeTensor) for each in args):
            return func(*args, **(kwargs or {}))  # torch derives the shapes of results from whole operands
        if name in PRODUCTS:
            tensors = [each for each in args if isinstance(each, torch.Tensor) and each.dim() >= 2]
            self.products.append([list(each.shape) for each in tensors])
        elif name == "c10d.allreduce_":
            self.collectives += [("all_reduce", each.numel() * each.element_size()) for each in args[0]]
        elif any(kind in name for kind in ("all_reduce", "all_gather_into_tensor", "reduce_scatter_tensor")):
            self.collectives.append((name.rpartition(".")[2], args[0].numel() * args[0].element_size()))
        return func(*args, **(kwargs or {}))


def divide_by_own_plan(model: Any, mesh: Any) -> None:
    """Divide a model as transformers does, by the plan of its config."""
    from transformers.distributed.tensor_parallel import apply_tensor_parallelism

    plan: dict[str, str] = {}
    for name, module in model.named_modules():  # weights before the module that has them
        own = model.tp_plan.get(re.sub(r"\d+", "*", name))
        for weight, _ in module.named_parameters(recurse=False):
            rule = model.tp_plan.get(re.sub(r"\d+", "*", f"{name}.{weight}"), own)
            if rule is not None:
                plan[f"{name}.{weight}"] = rule
        if own is not None:
            plan[name] = own
    apply_tensor_parallelism(model, mesh, plan)


def main(rank: int, ranks: int, port: str, config_path: str, plan_path: str) -> None:
    """Run one process."""
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM

    torch.manual_seed(0)
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=ranks)
    document = json.loads(Path(config_path).read_text(encoding="utf-8"))
    plan = json.loads(Path(plan_path).read_text(encoding="utf-8"))
    config = AutoConfig.for_model(**document)
    trains = plan.pop("train", False)
    maker = AutoModelForCausalLM if plan.pop("causal") else AutoModelForMaskedLM if trains else AutoModel
    model = maker.from_config(config, attn_implementation="sdpa").train(trains)
    mesh = dist.init_device_mesh("cpu", (ranks,))
    if plan.pop("own", False):
        divide_by_own_plan(model, mesh)
    else:
        parallelize_module(model, mesh, {name: STYLES[style]() for name, style in plan.items()})
    recorder = Recorder()
    keywords: dict[str, Any] = {"use_cache": False} if maker is AutoModelForCausalLM else {}
    ids = torch.zeros(1, LENGTH, dtype=torch.int64)
    if maker is AutoModelForCausalLM:  # else counted from the tokens of a rank
        keywords["position_ids"] = torch.arange(LENGTH)[None]
    gradients = {}
    if trains:
        with recorder:
            model(ids, labels=ids, **keywords).loss.backward()
        for name, weight in model.named_parameters():
            if weight.grad is None:
                continue
            own = weight.grad.to_local() if isinstance(weight.grad, DTensor) else weight.grad
            gradients[name] = list(own.shape)
    else:
        with torch.no_grad(), recorder:
            model(ids, **keywords)
    found = {"products": recorder.products, "collectives": recorder.collectives, "gradients": gradients}
    sys.stdout.write(json.dumps(found) + "\n")
    dist.barrier()  # a rank that is left alone ends with an abort
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
