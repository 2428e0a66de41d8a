"""Tensor lifetimes: the model gets aliases of recorded tensors, and weak references record when each is freed.

A result is freed when the frames, modules and lists that hold it are gone, as in eager execution: the caller of
`self.layer1(x)` refers to `x` during all of `layer1`.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import torch
from torch.utils._python_dispatch import _disable_current_modes

from ..tensors.tensor_parts import meta_twin
from .value_ranges import parts


class _Handed(weakref.ref):  # type: ignore[type-arg]
    """A weak reference to a tensor of the model, with its twin in the record."""

    __slots__ = ("twin",)
    twin: torch.Tensor


class HandedOut:
    """Tensors of the model. Their twins have the same dtype, shape and strides but other memory, of 0 bytes on meta.

    Attributes:
        released: Freed tensors, in order. A weak reference appends itself when its tensor is freed.
    """

    __slots__ = ("_by_id", "_on_meta", "released")

    def __init__(self) -> None:
        self.released: list[_Handed] = []
        self._by_id: dict[int, _Handed] = {}
        self._on_meta: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}  # id of a real tensor -> it, and its stand-in

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Make `given_up` register inputs with this capture while the forward runs."""
        token = _RUNNING.set(self)
        try:
            yield
        finally:
            _RUNNING.reset(token)

    def twin(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the record's twin of a tensor of the model, or the tensor itself if it has none."""
        known = self._by_id.get(id(tensor))
        # The address of a freed tensor may be reused.
        return known.twin if known is not None and known() is tensor else tensor

    def held(self) -> list[torch.Tensor]:
        """Return the twins of all tensors that the model still refers to."""
        return [handed.twin for handed in self._by_id.values() if handed() is not None]

    def inside(self, values: Iterable[Any]) -> Any:
        """Return arguments with the record's twins: a list for a list, else a tuple."""
        by_id = self._by_id
        kept = []
        for value in values:
            kind = type(value)
            if kind is torch.Tensor:
                known = by_id.get(id(value))
                kept.append(known.twin if known is not None and known() is value else value)
            else:
                kept.append(self.inside(value) if kind is list or kind is tuple else value)
        return kept if type(values) is list else tuple(kept)

    def out(self, result: Any) -> Any:
        """Return a result for the model, with a twin of each tensor."""
        kind = type(result)
        if kind is list or kind is tuple:
            return kind([self.out(r) for r in result])
        tensor: torch.Tensor = result.data
        self._register(tensor, result, observed=True)
        return tensor

    def again(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return an alias of a tensor of the model. For an input or a weight, its release frees nothing."""
        twin = self.twin(tensor)
        other: torch.Tensor = twin.data
        self._register(other, twin, observed=twin is not tensor)
        return other

    def _register(self, tensor: torch.Tensor, twin: torch.Tensor, *, observed: bool) -> None:
        self._by_id[id(tensor)] = handed = _Handed(tensor, self.released.append if observed else None)
        handed.twin = twin

    def is_on_meta(self, real: torch.Tensor) -> bool:
        """Return whether a meta tensor stands for a real one."""
        return id(real) in self._on_meta

    def on_meta(self, real: torch.Tensor) -> torch.Tensor:
        """Return the meta tensor that stands for a real one of the model; the record keeps the real one."""
        known = self._on_meta.get(id(real))
        if known is None:
            with _disable_current_modes():  # creating it must not be recorded
                meta = meta_twin(real, {})
                meta.requires_grad_(real.requires_grad and not torch.is_inference_mode_enabled())
            known = self._on_meta[id(real)] = (real, meta)
            if real.layout is torch.strided:  # the record knows sparse tensors by their parts
                self._register(meta, real, observed=False)
        return known[1]

    def out_of_new(self, result: Any, args: tuple[Any, ...], given: tuple[Any, ...]) -> Any:
        """Return a new result for the model, computed from `args`, the record's twins of `given`.

        An operand that is returned unchanged stays the same object. Tensors other than plain meta tensors are returned
        as they are, and their lifetimes are not observed.
        """
        kind = type(result)
        if kind is torch.Tensor:
            for inside, outside in zip(args, given, strict=True):
                if inside is result:
                    return outside
            if result.device.type == "meta":
                return self.out(result)
            # Of operands that are real in the record alone: outside, they and their result are on meta.
            operands, outside_ones = parts(args), parts(given)
            apart = any(a is not b for a, b in zip(operands, outside_ones, strict=True))
            return self.on_meta(result) if apart and not any(t.is_meta for t in operands) else result
        if kind is list or kind is tuple:
            return kind([self.out_of_new(r, args, given) for r in result])
        return result


_RUNNING: ContextVar[HandedOut | None] = ContextVar("lifetimes of the running capture", default=None)


def given_up(tensor: torch.Tensor) -> torch.Tensor:
    """Return an input that only the model refers to afterwards, such as a cache; a capture observes its lifetime."""
    running = _RUNNING.get()
    if running is None or type(tensor) is not torch.Tensor:
        return tensor
    with _disable_current_modes():  # creating the twin must not be recorded
        given: torch.Tensor = running.out(tensor)
    return given
