"""Operators that torch decomposes above autograd, so that their parts have gradients, also with symbolic sizes.

With symbolic sizes, torch consults its Python kernels first. If one of them is for meta tensors, torch treats the
operator as one with a kernel of that backend and no longer decomposes it: `nll_loss`, `relu6` or `interpolate` then run
whole, below autograd, and backward ends there without an error. A capture of a training step makes torch decompose them
nevertheless, as it does with real tensors.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch

from ..torch_state import SharedChange

_COMPOSITE: Any = torch._C.DispatchKey.CompositeImplicitAutograd
_AUTOGRAD: Any = torch._C.DispatchKey.AutogradMeta
_META: Any = torch._C.DispatchKey.Meta
_changed: list[Any] = []


def taken_apart() -> contextlib.AbstractContextManager[None]:
    """Decompose these operators while any capture needs it; torch's previous kernels are restored afterwards."""
    return _APART.needed()


def _add_kernels() -> None:
    for op in _composite_with_meta_kernel():
        if _AUTOGRAD not in op.py_kernels:  # the kernels of `fused_operators` stay
            op.py_kernels[_AUTOGRAD] = _parts_of(op)
            op._dispatch_cache.clear()
            _changed.append(op)


def _take_kernels() -> None:
    while _changed:
        op = _changed.pop()
        del op.py_kernels[_AUTOGRAD]
        op._dispatch_cache.clear()


def _parts_of(op: Any) -> Callable[..., Any]:
    """Return the decomposition of an operator, in Python if possible, which supports symbolic sizes."""
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
