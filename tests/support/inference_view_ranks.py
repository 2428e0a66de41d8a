"""One of two processes that train together; prints a JSON object: name of each check -> error, or ''.

A test runs it as `python inference_view_ranks.py RANK FILE`, with the same FILE in both.
"""

from __future__ import annotations

import copy
import json
import sys
import traceback
import warnings
from collections.abc import Callable

import torch
import torch.distributed as dist
from support.inference_view_checks import IMAGES, TOKENS, Tied, compiled, network, serves_as, trains_on
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import apply_activation_checkpointing
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, MixedPrecision, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import parametrizations, prune

from pyinfercost.sources.inference_view.view import plain_name

CPU = torch.device("cpu")


def flat(module: nn.Module, **options: object) -> FullyShardedDataParallel:
    """FSDP 1 on the CPU."""
    return FullyShardedDataParallel(module, device_id=CPU, **options)


def names(wrapped: nn.Module, plain: nn.Module) -> None:
    """Check that parameters of the wrapped module have the plain names, with and without the module."""
    expected = [name for name, _ in plain.named_parameters()]
    given = [name for name, _ in wrapped.named_parameters()]
    assert [plain_name(name) for name in given] == expected
    assert [plain_name(name, wrapped) for name in given] == expected


def images(module: nn.Module) -> torch.Tensor:
    """Return a loss."""
    return module(IMAGES + 1).square().mean()


def ddp() -> None:
    """Check DDP alone, compiled inside and outside, and for a part of a module."""
    for wrapped in (
        DistributedDataParallel(network()),
        DistributedDataParallel(compiled(network())),
        compiled(DistributedDataParallel(network())),
    ):
        serves_as(wrapped, network(), IMAGES)
        names(wrapped, network())
    synchronized = nn.SyncBatchNorm.convert_sync_batchnorm(network())  # would require GPUs with two processes
    serves_as(synchronized, network(), IMAGES)
    part = network()
    part[4] = DistributedDataParallel(part[4])
    serves_as(part, network(), IMAGES)
    assert plain_name("4.module.0.weight", part) == "4.0.weight"
    torch.manual_seed(1)
    module = network()
    alone = copy.deepcopy(module)
    trains_on(DistributedDataParallel(module), DistributedDataParallel(alone), images)


def fsdp1(use_orig_params: bool) -> None:
    """Check nested FSDP 1, with other dtypes, checkpoints inside and outside, compiled, and with tied weights."""
    options = {"use_orig_params": use_orig_params}

    def nested() -> FullyShardedDataParallel:
        module = network()
        module[4] = flat(module[4], **options)
        return flat(module, **options)

    serves_as(nested(), network(), IMAGES)
    half = MixedPrecision(param_dtype=torch.bfloat16, reduce_dtype=torch.bfloat16)
    serves_as(flat(network(), mixed_precision=half, **options), network(), IMAGES)
    checkpointed = nested()
    apply_activation_checkpointing(checkpointed, check_fn=lambda part: isinstance(part, nn.Linear))
    serves_as(checkpointed, network(), IMAGES)
    serves_as(compiled(nested()), network(), IMAGES)
    serves_as(flat(Tied(), **options), Tied(), TOKENS)
    if use_orig_params:
        names(nested(), network())
    trained = nested()
    trained(IMAGES)  # afterwards parameters are views created by a forward
    serves_as(trained, network(), IMAGES)
    torch.manual_seed(1)
    module = network()
    alone = flat(copy.deepcopy(module), **options)
    trains_on(flat(module, **options), alone, images)


def fsdp2() -> None:
    """Check nested FSDP 2, with other dtypes, full after a forward, parametrized, and checkpointed."""
    mesh = init_device_mesh("cpu", (2,))

    def sharded(module: nn.Sequential, **options: object) -> nn.Sequential:
        fully_shard(module[4], mesh=mesh, **options)
        return fully_shard(module, mesh=mesh, **options)

    found = serves_as(sharded(network()), network(), IMAGES)
    assert type(found.module) is nn.Sequential
    names(sharded(network()), network())
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, output_dtype=torch.float32)
    trained = fully_shard(Tied(), mesh=mesh, mp_policy=policy)
    trained(TOKENS)
    assert trained.layer.weight.dtype is torch.bfloat16, "the root keeps whole parameters, cast, after a forward"
    serves_as(trained, Tied(), TOKENS)
    normed = network()
    parametrizations.weight_norm(normed[4][0])
    serves_as(sharded(normed), network(), IMAGES)
    checkpointed = network()
    apply_activation_checkpointing(checkpointed, check_fn=lambda part: isinstance(part, nn.Linear))
    serves_as(compiled(sharded(checkpointed)), network(), IMAGES)
    tied = Tied()
    serves_as(fully_shard(tied, mesh=mesh), Tied(), TOKENS)
    grouped = network()
    fully_shard([grouped[4][0], grouped[4][2]], mesh=mesh)
    serves_as(fully_shard(grouped, mesh=mesh), network(), IMAGES)
    torch.manual_seed(1)
    module = network()
    alone = sharded(copy.deepcopy(module))
    trains_on(sharded(module), alone, images)


def tensor_parallel() -> None:
    """Check rows and columns of two layers, alone and under FSDP 2."""
    mesh = init_device_mesh("cpu", (1, 2), mesh_dim_names=("data", "tensor"))
    plan = {"4.0": ColwiseParallel(), "4.2": RowwiseParallel()}
    serves_as(parallelize_module(network(), mesh["tensor"], plan), network(), IMAGES)
    both = parallelize_module(network(), mesh["tensor"], plan)
    serves_as(fully_shard(both, mesh=mesh["data"]), network(), IMAGES)


def pruned() -> None:
    """Check masks on weights that are sharded afterwards."""
    for use_orig_params in (True, False):
        module = network()
        prune.l1_unstructured(module[4][0], "weight", 0.5)
        prune.ln_structured(module[0], "weight", 0.5, n=2, dim=0)
        serves_as(flat(module, use_orig_params=use_orig_params), network(), IMAGES)
        module = network()
        parametrizations.weight_norm(module[4][0])
        parametrizations.spectral_norm(module[4][2])
        serves_as(flat(module, use_orig_params=use_orig_params), network(), IMAGES)
    module = network()
    prune.l1_unstructured(module[4][0], "weight", 0.5)
    wrapped = DistributedDataParallel(module)
    serves_as(wrapped, network(), IMAGES)
    assert plain_name("module.4.0.weight_orig", wrapped) == "4.0.weight"


CHECKS: dict[str, Callable[[], None]] = {
    "ddp": ddp,
    "fsdp1": lambda: fsdp1(use_orig_params=True),
    "fsdp1-flat": lambda: fsdp1(use_orig_params=False),
    "fsdp2": fsdp2,
    "tensor-parallel": tensor_parallel,
    "pruned": pruned,
}


def main(rank: int, file: str) -> None:
    """Run all checks, also after a failure."""
    warnings.simplefilter("ignore")
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    errors = {}
    for name, check in CHECKS.items():
        try:
            check()
            errors[name] = ""
        except Exception:
            errors[name] = traceback.format_exc()
    sys.stdout.write(json.dumps(errors) + "\n")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
