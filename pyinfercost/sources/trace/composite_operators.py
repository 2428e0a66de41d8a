"""Operators that torch takes apart above autograd, so that their parts have gradients, also on symbolic sizes.

While sizes are symbolic, torch asks its kernels in Python first. Where one of those is for meta tensors, it holds the
operator for one with a kernel of that backend, and no longer takes it apart: `nll_loss`, `relu6` or `interpolate` then
run whole, below autograd, and backward ends there without an error. A capture of a training step tells torch to take
them apart all the same, as it does with real tensors.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch

from .patches import SharedChange

_COMPOSITE: Any = torch._C.DispatchKey.CompositeImplicitAutograd
_AUTOGRAD: Any = torch._C.DispatchKey.AutogradMeta
_META: Any = torch._C.DispatchKey.Meta
_changed: list[Any] = []


def taken_apart() -> contextlib.AbstractContextManager[None]:
    """As long as any capture needs it; what torch knew before is put back."""
    return _APART.needed()


def _add_kernels() -> None:
    for op in _composite_with_meta_kernel():
        if _AUTOGRAD not in op.py_kernels:  # those of `fused_operators` stay
            op.py_kernels[_AUTOGRAD] = _parts_of(op)
            op._dispatch_cache.clear()
            _changed.append(op)


def _take_kernels() -> None:
    while _changed:
        op = _changed.pop()
        del op.py_kernels[_AUTOGRAD]
        op._dispatch_cache.clear()


def _parts_of(op: Any) -> Callable[..., Any]:
    """How torch takes it apart: in Python, which knows symbolic sizes, where it can."""
    known: Callable[..., Any] | None = op.py_kernels.get(_COMPOSITE)
    if known is not None:
        return known

    def kernel(*args: Any, **kwargs: Any) -> Any:
        return op._op_dk(_COMPOSITE, *args, **kwargs)

    return kernel


@lru_cache(maxsize=1)
def _composite_with_meta_kernel() -> list[Any]:
    found = []
    for name in torch._C._dispatch_get_all_op_names():
        namespace, _, rest = name.partition("::")
        if namespace != "aten" or not torch._C._dispatch_has_kernel_for_dispatch_key(name, _COMPOSITE.name):
            continue
        packet, _, overload = rest.partition(".")
        op = getattr(getattr(torch.ops.aten, packet, None), overload or "default", None)
        if op is not None and _META in op.py_kernels:
            found.append(op)
    return found


_APART = SharedChange(_add_kernels, _take_kernels)
