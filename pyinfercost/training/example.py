"""Example inputs: what a model is captured with, and how the sizes of later batches are read from theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

Dynamic = Mapping[int | str, Mapping[int, str]]
Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Example:
    """Inputs of a forward, and which of their dimensions vary.

    Attributes:
        args: positional inputs.
        kwargs: named inputs.
        dynamic: position or name of an input -> dimension -> name of the size, as `capture` takes it.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    dynamic: Dynamic

    @property
    def names(self) -> tuple[str, ...]:
        """The named sizes, in the order in which `reader` gives their values."""
        return tuple(dict.fromkeys(name for of in self.dynamic.values() for name in of.values()))

    def reader(self) -> Callable[[tuple[Any, ...], Mapping[str, Any]], Sizes]:
        """From the inputs of a batch to the values of the named sizes; shapes alone are read."""
        places: dict[str, tuple[int | str, int]] = {}
        for key, of in self.dynamic.items():
            for dimension, name in of.items():
                places.setdefault(name, (key, dimension))
        found = [places[name] for name in self.names]

        def read(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Sizes:
            return tuple(
                int(_tensor_in(kwargs[key] if isinstance(key, str) else args[key]).shape[dimension])
                for key, dimension in found
            )

        return read

    def sizes(self) -> Sizes:
        """The values of the named sizes in the example itself."""
        return self.reader()(self.args, self.kwargs)


def example_of(args: Any, kwargs: Mapping[str, Any] | None, dynamic: Dynamic | None) -> Example:
    """Takes a caller's inputs; where nothing says what varies, the first dimension that all tensors share does.

    Args:
        args: a tuple or list of positional inputs, or a lone one.
        kwargs: named inputs.
        dynamic: as `capture` takes it; entries of inputs that are not there are left out. None for the batch alone.
    """
    given = tuple(args) if isinstance(args, tuple | list) else (args,)
    named = dict(kwargs or {})
    inputs: dict[int | str, Any] = dict(enumerate(given))
    inputs.update(named)
    if dynamic is not None:
        return Example(given, named, {key: dict(of) for key, of in dynamic.items() if key in inputs})
    tensors = {key: list(_tensors(value)) for key, value in inputs.items()}
    lengths = {t.shape[0] if t.dim() else None for found in tensors.values() for t in found}
    if len(lengths) != 1 or None in lengths:
        return Example(given, named, {})
    return Example(given, named, {key: {0: "batch"} for key, found in tensors.items() if found})


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


def _tensor_in(value: Any) -> torch.Tensor:
    if isinstance(value, torch.Tensor):
        return value
    first: torch.Tensor | None = next(iter(_tensors(value)), None)
    if first is None:
        raise TypeError(f"expected a tensor whose shape tells the sizes of the batch, got {type(value).__name__}")
    return first
