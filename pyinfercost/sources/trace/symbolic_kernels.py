"""Operators that torch would restrict to one side of a comparison of symbolic lengths."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from .value_ranges import greatest, least

if TYPE_CHECKING:
    from ..symbols import SizeSpace

_NO_END = 2**63 - 1


def _slice(sizes: SizeSpace, x: torch.Tensor, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    length = x.shape[dim]
    if hasattr(length, "node") and step == 1 and _is_last(start) and (end is None or end >= _NO_END):
        # torch would compare `-start` with the length: a window would hold on one side of its length only.
        kept = least(length, -start)
        shape = [kept if place == dim % x.dim() else each for place, each in enumerate(x.shape)]
        return torch.as_strided(x, shape, x.stride(), x.storage_offset() + (length - kept) * x.stride(dim))
    plain = step == 1 and all(v is None or (isinstance(v, int) and v >= 0) for v in (start, end))
    if not plain or not sizes.is_of_data(length):
        return torch.ops.aten.slice.Tensor(x, dim, start, end, step)
    # torch would compare `end` with the length, and the guard would restrict the graph to one side.
    first = start or 0
    shape = list(x.shape)
    shape[dim] = length if end is None or end >= _NO_END else least(length, end)
    if first:
        shape[dim] = greatest(shape[dim] - first, 0)
    offset = x.storage_offset() + first * x.stride(dim)
    return torch.as_strided(x, shape, x.stride(), offset)


def _unbind(sizes: SizeSpace, x: torch.Tensor, dim: int = 0) -> Any:
    if not sizes.is_of_data(x.shape[dim]):
        return torch.ops.aten.unbind.int(x, dim)
    return [x.select(dim, place) for place in range(int(x.shape[dim]))]


def _is_last(start: Any) -> bool:
    """Return whether a slice begins at some of the last elements; there is a last one in every length."""
    return type(start) is int and start < -1


KERNELS: dict[str, Callable[..., Any]] = {"aten.slice.Tensor": _slice, "aten.unbind.int": _unbind}
"""Operator -> function of the capture's sizes and the operands that runs it, in captures with symbolic integers."""
