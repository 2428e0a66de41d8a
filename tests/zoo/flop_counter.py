"""Work of a real run as torch's own counter sees it: a count that shares nothing with this package but the model.

The counter has rules for products, convolutions and attention. It does not know every product: a module that runs one
without a rule is not comparable. Attention is forced into its products, because the counter has no rule for the fused
CPU kernel; gradients are on, because `nn.MultiheadAttention` else takes a path of its own; experts run one by one,
because the counter has no rule for grouped products.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from pyinfercost import _core

# Families of the op tables whose rows count contractions.
_CONTRACTIONS = frozenset(
    {"contraction", "convolution", "attention", "multilinear", "recurrent", "einsum", "quantized"}
)
# Real weights beyond this would take too long to make and to run.
_MOST_PARAMETERS = 200_000_000


class Counted(NamedTuple):
    """What torch's counter counted, and the contractions that were executed and that it has no rule for."""

    flops: int
    without_rule: tuple[str, ...]


class _Executed(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.ops: set[Any] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        self.ops.add(func)
        return func(*args, **(kwargs or {}))


def independent_flops(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int | None:
    """Contraction FLOPs of one forward by torch's counter.

    Returns:
        The count; None where the counter has no rule for something that ran, or there is no real run to count: the
        module is too large for one, or brings a hook that needs its own weights.
    """
    counted = torch_counted(module, args, kwargs)
    return None if counted is None or counted.without_rule else counted.flops


def torch_counted(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Counted | None:
    """Runs a module under torch's counter: with real weights, where it can be made again from its config."""
    real = real_copy(module)
    if real is None:
        return None
    args, kwargs = tree_map_only(torch.Tensor, _real_input, (tuple(args), dict(kwargs)))
    try:
        return _run(real, args, kwargs, torch.enable_grad())
    except AssertionError:  # reversible layers keep what they need for a backward pass, and insist on one
        return _run(real, args, kwargs, torch.no_grad())


def _run(real: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], gradients: Any) -> Counted:
    with (
        gradients,
        torch.random.fork_rng(devices=[]),
        sdpa_kernel(SDPBackend.MATH),
        _Executed() as executed,
        FlopCounterMode(display=False) as counter,
    ):
        real(*args, **kwargs)
    return Counted(counter.get_total_flops(), tuple(sorted(str(op) for op in executed.ops if _lacks_rule(op))))


def real_copy(module: nn.Module) -> nn.Module | None:
    """The module itself where it has weights; on meta, one like it with weights, made from its config."""
    if not any(p.is_meta for p in module.parameters()):
        return module
    if module._forward_pre_hooks or sum(p.numel() for p in module.parameters()) > _MOST_PARAMETERS:
        return None
    make: Any = type(module)
    if hasattr(module, "_from_config"):
        config = copy.deepcopy(module.config)
        made = make._from_config(config).eval()
        for part in made.modules():
            if hasattr(part, "config") and hasattr(part.config, "_experts_implementation"):
                part.config._experts_implementation = "eager"
        return made
    return make.from_config(module.config).eval() if hasattr(module, "from_config") else None


def _real_input(tensor: torch.Tensor) -> torch.Tensor:
    if not tensor.is_meta:
        return tensor
    if tensor.is_floating_point():
        return torch.randn(tensor.shape, dtype=tensor.dtype)
    return torch.ones(tensor.shape, dtype=tensor.dtype)


def _lacks_rule(op: Any) -> bool:
    rule = _core.find_rule(str(op))
    return rule is not None and rule.family in _CONTRACTIONS and op._overloadpacket not in flop_registry
