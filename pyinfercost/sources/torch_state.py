"""What a forward is run in: flags of torch that would hide work, and a module that is left as it was."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Iterator
from typing import Any

import torch


@contextlib.contextmanager
def as_it_was(module: torch.nn.Module) -> Iterator[None]:
    """Undoes what a forward does to its module's attributes: a result that it keeps, a table that it registers.

    Random numbers that it draws from Python and from numpy are put back too.
    """
    import numpy as np

    kept: list[tuple[Any, Any]] = [
        (values, values.copy())
        for part in module.modules()
        for values in (
            vars(part),
            part._parameters,
            part._buffers,
            part._modules,
            part._non_persistent_buffers_set,
            part._forward_hooks,  # a library may install its own in the first forward
            part._forward_pre_hooks,
            part._forward_hooks_with_kwargs,
            part._forward_hooks_always_called,
            part._forward_pre_hooks_with_kwargs,
        )
    ]
    drawn, drawn_by_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the one that a forward draws from
    try:
        yield
    finally:
        random.setstate(drawn)
        np.random.set_state(drawn_by_numpy)  # noqa: NPY002
        for values, before in kept:
            for name in [name for name in values if name not in before]:
                if isinstance(values, dict):
                    del values[name]
                else:
                    values.discard(name)
            values.update(before)


@contextlib.contextmanager
def in_mode(module: torch.nn.Module, *, training: bool) -> Iterator[None]:
    """All parts of a module in training or evaluation mode, without its own `train`, which models override."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        for part, _ in modes:
            part.training = training
        yield
    finally:
        for part, before in modes:
            part.training = before


@contextlib.contextmanager
def without_fast_path() -> Iterator[None]:
    """`nn.MultiheadAttention` has a fused CPU path that hides its products; the one counted is the general one."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


# What torch puts around functions of the caller. Compiled under a dispatch mode, they would leave dynamo's caches in a
# state that later exports stumble over; flex attention refuses meta tensors besides.
_IN_PLACE_OF: dict[tuple[str, str], Any] = {
    ("torch._higher_order_ops.utils", "_hop_compile_and_call"): lambda fn, args, kwargs=None: fn(
        *args, **(kwargs or {})
    ),
    ("torch.nn.attention.flex_attention", "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG"): True,
    ("torch.nn.attention.flex_attention", "_validate_device"): lambda *_: None,
}


@contextlib.contextmanager
def uncompiled() -> Iterator[None]:
    """Conditions, loops and flex attention are taken as they are called, where a model has imported them."""
    before: list[tuple[Any, str, Any]] = []
    for (module, name), replacement in _IN_PLACE_OF.items():
        owner = sys.modules.get(module)
        if owner is not None and hasattr(owner, name):
            before.append((owner, name, getattr(owner, name)))
            setattr(owner, name, replacement)
    try:
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)
