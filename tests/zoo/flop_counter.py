"""Work of a real run as torch's own counter sees it: a count that shares nothing with this package but the model.

The counter has rules for products, convolutions and attention. It does not know every product: a module that runs one
without a rule is not comparable. Attention is forced into its products, because the counter has no rule for the fused
CPU kernel; gradients are on, because `nn.MultiheadAttention` else takes a path of its own; experts run one by one,
because the counter has no rule for grouped products.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from pyinfercost import _core

# Families of the op tables whose rows count contractions.
_CONTRACTIONS = frozenset(
    {"contraction", "convolution", "attention", "multilinear", "recurrent", "einsum", "quantized"}
)


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
    """Contraction FLOPs of one forward by torch's counter, or None where it has no rule for something that ran."""
    counted = torch_counted(module, args, kwargs)
    return None if counted.without_rule else counted.flops


def torch_counted(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Counted:
    """Runs a module under torch's counter; on meta, or with real weights and inputs."""
    with (
        torch.enable_grad(),
        sdpa_kernel(SDPBackend.MATH),
        _Executed() as executed,
        FlopCounterMode(display=False) as counter,
    ):
        module(*args, **kwargs)
    return Counted(counter.get_total_flops(), tuple(sorted(str(op) for op in executed.ops if _lacks_rule(op))))


def _lacks_rule(op: Any) -> bool:
    rule = _core.find_rule(str(op))
    return rule is not None and rule.family in _CONTRACTIONS and op._overloadpacket not in flop_registry
