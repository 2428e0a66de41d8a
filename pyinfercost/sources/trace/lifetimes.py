"""How long the model holds each result: it gets twins of the tensors that the record keeps, and their deaths are noted.

A result dies when the frames, modules and lists that hold it have let go of it, as in an eager run: the caller of
`self.layer1(x)` holds `x` all through `layer1`.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import torch
from torch.utils._python_dispatch import _disable_current_modes


class _Handed(weakref.ref):  # type: ignore[type-arg]
    """A tensor that the model holds, and its twin in the record."""

    __slots__ = ("twin",)
    twin: torch.Tensor


class HandedOut:
    """What the model got. Twins share dtype, shape and strides, and no memory: nothing lies on the meta device.

    Attributes:
        released: What the model has let go of, in order. A weak reference appends itself here when its tensor dies.
    """

    __slots__ = ("_by_id", "released")

    def __init__(self) -> None:
        self.released: list[_Handed] = []
        self._by_id: dict[int, _Handed] = {}

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """While the forward runs, `given_up` hands out inputs of this capture."""
        token = _RUNNING.set(self)
        try:
            yield
        finally:
            _RUNNING.reset(token)

    def twin(self, tensor: torch.Tensor) -> torch.Tensor:
        """What the record has in place of a tensor that the model holds: its twin, or the tensor itself."""
        known = self._by_id.get(id(tensor))
        # Another tensor may have got the address of one that died.
        return known.twin if known is not None and known() is tensor else tensor

    def held(self) -> list[torch.Tensor]:
        """Twins of what the model has not let go of."""
        return [handed.twin for handed in self._by_id.values() if handed() is not None]

    def inside(self, values: Iterable[Any]) -> Any:
        """Arguments as the record keeps them: a list for a list, else a tuple."""
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
        """For the model, a twin of each tensor of a result."""
        kind = type(result)
        if kind is list or kind is tuple:
            return kind([self.out(r) for r in result])
        tensor = result.data
        self._by_id[id(tensor)] = handed = _Handed(tensor, self.released.append)
        handed.twin = result
        return tensor

    def out_of_new(self, result: Any, args: tuple[Any, ...], given: tuple[Any, ...]) -> Any:
        """The same for a result that has just been computed from `args`, the record's twins of what was `given`.

        An operand that comes back as it is stays what it is; what is no plain meta tensor is handed out itself, and
        its lifetime is not observed.
        """
        kind = type(result)
        if kind is torch.Tensor:
            for inside, outside in zip(args, given, strict=True):
                if inside is result:
                    return outside
            return self.out(result) if result.device.type == "meta" else result
        if kind is list or kind is tuple:
            return kind([self.out_of_new(r, args, given) for r in result])
        return result


_RUNNING: ContextVar[HandedOut | None] = ContextVar("handed out by the capture that runs", default=None)


def given_up(tensor: torch.Tensor) -> torch.Tensor:
    """An input that only the model holds from here on, as a cache object does; in a capture its death is noted too."""
    running = _RUNNING.get()
    if running is None or type(tensor) is not torch.Tensor:
        return tensor
    with _disable_current_modes():  # the record is not to see how the twin is made
        given: torch.Tensor = running.out(tensor)
    return given
