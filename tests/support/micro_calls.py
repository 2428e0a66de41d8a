"""Shared parts of tests of small calls: a function on meta tensors, counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from support.function_module import Wrapped

import pyinfercost as ic


def t(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return a tensor without values."""
    return torch.empty(shape, dtype=dtype, device="meta")


def indices(*shape: int) -> torch.Tensor:
    """Return integers without values."""
    return t(*shape, dtype=torch.int64)


class Case(NamedTuple):
    """A call, its operands, its multiply-accumulates, and its operations per element."""

    name: str
    function: Callable[..., Any]
    inputs: tuple[Any, ...]
    macs: int = 0
    pointwise: int = 0


def counted(function: Callable[..., Any], *inputs: Any) -> ic.results.Counts:
    """Return the counts of one call, which must all be modeled."""
    module = function if isinstance(function, torch.nn.Module) else Wrapped(lambda _, *given: function(*given))
    counts = ic.count(ic.capture(module.to("meta"), inputs))
    assert counts.unmodelled == {}
    return counts


def check(case: Case) -> None:
    """Compare a case with its counts."""
    total = counted(case.function, *case.inputs).total
    assert (total.macs, total.pointwise_flops) == (case.macs, case.pointwise)
