"""Example inputs: what a model is captured with, and how the sizes of later batches are read from theirs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from .inputs import unwrapped

Dynamic = Mapping[int | str, Mapping[int, str]]
Sizes = tuple[int, ...]
_IDS = 2  # dimensions of a batch of ids


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
        """From the inputs of a batch to the values of the named sizes; shapes alone are read.

        It raises a `ShapeError` for an input that differs from the example in a dimension without a name.
        """
        places: dict[str, tuple[int | str, int]] = {}
        for key, of in self.dynamic.items():
            for dimension, name in of.items():
                places.setdefault(name, (key, dimension))
        found = [places[name] for name in self.names]
        fixed = {key: _fixed_part(self._input(key), of) for key, of in self.dynamic.items()}

        def read(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Sizes:
            for key, expected in fixed.items():
                value = kwargs[key] if isinstance(key, str) else args[key]
                if _fixed_part(value, self.dynamic[key]) != expected:
                    raise ShapeError(
                        f"input {key!r} has shape {tuple(_tensor_in(value).shape)}, the example has "
                        f"{tuple(_tensor_in(self._input(key)).shape)}: name the dimension that varies in dynamic="
                    )
            return tuple(
                int(_tensor_in(kwargs[key] if isinstance(key, str) else args[key]).shape[dimension])
                for key, dimension in found
            )

        return read

    def sizes(self) -> Sizes:
        """The values of the named sizes in the example itself."""
        return self.reader()(self.args, self.kwargs)

    def with_fewer_sizes(self) -> Iterator[Example]:
        """The same, with all its sizes open, with the batch alone, and with none."""
        batch = {key: {d: name for d, name in of.items() if name == "batch"} for key, of in self.dynamic.items()}
        for dynamic in (self.dynamic, {key: of for key, of in batch.items() if of}, {}):
            if dynamic is self.dynamic or dynamic != self.dynamic:
                yield replace(self, dynamic=dynamic)

    def _input(self, key: int | str) -> Any:
        return self.kwargs[key] if isinstance(key, str) else self.args[key]


class ShapeError(ValueError):
    """A batch of a shape that the example does not stand for."""


def example_of(args: Any, kwargs: Mapping[str, Any] | None, dynamic: Dynamic | None) -> Example:
    """Takes a caller's inputs.

    Where nothing says what varies, the first dimension that all tensors share does, as `batch`, and where they are
    whole numbers, such as ids and masks, the second, as `sequence`.

    Args:
        args: a tuple or list of positional inputs, or a lone one.
        kwargs: named inputs.
        dynamic: as `capture` takes it; entries of inputs that are not there are left out. None as above.
    """
    given = tuple(args) if isinstance(args, tuple | list) else (args,)
    named = dict(kwargs or {})
    inputs: dict[int | str, Any] = dict(enumerate(given))
    inputs.update(named)
    if dynamic is not None:
        return Example(given, named, {key: dict(of) for key, of in dynamic.items() if key in inputs})
    tensors = {key: found for key, value in inputs.items() if (found := list(_tensors(value)))}
    every = [t for found in tensors.values() for t in found]
    if not every or not all(t.dim() for t in every) or len({t.shape[0] for t in every}) != 1:
        return Example(given, named, {})
    open_sizes = {0: "batch"}
    are_ids = all(t.dim() == _IDS and not (t.is_floating_point() or t.is_complex()) for t in every)
    if are_ids and len({t.shape[1] for t in every}) == 1:
        open_sizes[1] = "sequence"
    return Example(given, named, {key: dict(open_sizes) for key in tensors})


def _fixed_part(value: Any, of: Mapping[int, str]) -> tuple[int, ...]:
    """The lengths of the dimensions that have no name."""
    shape = _tensor_in(value).shape
    if len(of) == 1 and 0 in of:
        return shape[1:]
    return tuple(length for dimension, length in enumerate(shape) if dimension not in of)


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


def training_example(inputs: Any, dynamic: Dynamic | None) -> Example:
    """Inputs of a training step: a mapping has named ones, all else positional ones."""
    if isinstance(inputs, Mapping):
        return example_of((), inputs, dynamic)
    return example_of(inputs, None, dynamic)


def without_labels(module: torch.nn.Module, example: Example) -> Example:
    """The inputs of a forward that is served, of those of a training step: no `labels`, where it runs without."""
    if "labels" not in example.kwargs:
        return example
    argument = inspect.signature(unwrapped(module).forward).parameters.get("labels")
    if argument is None or argument.default is inspect.Parameter.empty:
        return example
    return Example(
        example.args,
        {name: value for name, value in example.kwargs.items() if name != "labels"},
        {key: of for key, of in example.dynamic.items() if key != "labels"},
    )
