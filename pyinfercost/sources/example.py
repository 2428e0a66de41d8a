"""Example inputs of a module with their varying dimensions, and captures that keep these symbolic if possible."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from ..errors import InputError, InputTypeError
from .inputs import parse_inputs
from .symbols import CaptureError

if TYPE_CHECKING:
    from .._core import Graph

Dynamic = Mapping[int | str, Mapping[int, str]]
Sizes = tuple[int, ...]
_IDS = 2  # rank of a batch of token ids


@dataclass(frozen=True)
class Example:
    """Inputs of a forward and their varying dimensions.

    Attributes:
        args: Positional inputs.
        kwargs: Named inputs.
        dynamic: Position or name of an input -> dimension -> name of the size, as in `capture`.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    dynamic: Dynamic

    @property
    def names(self) -> tuple[str, ...]:
        """The named sizes, in the order of the values returned by `reader`."""
        return tuple(dict.fromkeys(name for of in self.dynamic.values() for name in of.values()))

    def reader(self) -> Callable[[tuple[Any, ...], Mapping[str, Any]], Sizes]:
        """Return a function from the inputs of a batch to the values of the named sizes; it reads shapes only.

        The function raises a `ShapeError` for an input that differs from the example in a dimension without a name.
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
                        f"input {key!r} has shape {tuple(_tensor_in(value).shape)}, but the example has "
                        f"{tuple(_tensor_in(self._input(key)).shape)}; name the dimension that varies in dynamic="
                    )
            return tuple(
                int(_tensor_in(kwargs[key] if isinstance(key, str) else args[key]).shape[dimension])
                for key, dimension in found
            )

        return read

    def sizes(self) -> Sizes:
        """Return the values of the named sizes in the example."""
        return self.reader()(self.args, self.kwargs)

    def with_fewer_sizes(self) -> Iterator[Example]:
        """Yield the example with all sizes symbolic, with the batch only, and with none."""
        batch = {key: {d: name for d, name in of.items() if name == "batch"} for key, of in self.dynamic.items()}
        for dynamic in (self.dynamic, {key: of for key, of in batch.items() if of}, {}):
            if dynamic is self.dynamic or dynamic != self.dynamic:
                yield replace(self, dynamic=dynamic)

    def _input(self, key: int | str) -> Any:
        return self.kwargs[key] if isinstance(key, str) else self.args[key]


class ShapeError(InputError):
    """A batch has a shape that the example does not cover."""


def example_of(inputs: Any, dynamic: Dynamic | None) -> Example:
    """Create an example from a caller's inputs.

    Without `dynamic`, the first dimension that all tensors share varies, as `batch`; if all tensors are integers of
    rank 2, such as ids and masks, so does a shared second one, as `sequence`.

    Args:
        inputs: As in `capture`.
        dynamic: As in `capture`; entries of missing inputs are ignored. None for the rule above.

    Returns:
        The example.
    """
    given, named = parse_inputs(inputs)
    every_input: dict[int | str, Any] = dict(enumerate(given))
    every_input.update(named)
    if dynamic is not None:
        return Example(given, named, {key: dict(of) for key, of in dynamic.items() if key in every_input})
    tensors = {key: found for key, value in every_input.items() if (found := list(_tensors(value)))}
    every = [t for found in tensors.values() for t in found]
    if not every or not all(t.dim() for t in every) or len({t.shape[0] for t in every}) != 1:
        return Example(given, named, {})
    open_sizes = {0: "batch"}
    are_ids = all(t.dim() == _IDS and not (t.is_floating_point() or t.is_complex()) for t in every)
    if are_ids and len({t.shape[1] for t in every}) == 1:
        open_sizes[1] = "sequence"
    return Example(given, named, {key: dict(open_sizes) for key in tensors})


def capture_forward(module: torch.nn.Module, example: Example) -> Graph:
    """Capture the forward of a module in evaluation mode, with as many symbolic sizes as possible.

    Args:
        module: The result of `inference_view`. Its mode is the same afterwards.
        example: Its inputs.

    Returns:
        The graph.

    Raises:
        CaptureError: The capture fails even with fixed sizes.
    """
    from .torch_state import in_mode
    from .trace.trace import trace_graph

    with in_mode(module, training=False):
        return with_open_sizes(lambda of: trace_graph(module, of.args, of.kwargs, of.dynamic or None), example)


def with_open_sizes(capture: Callable[[Example], Graph], example: Example) -> Graph:
    """Return the first successful capture: with all sizes of the example symbolic, with the batch only, or with none.

    Args:
        capture: Captures an example.
        example: The example.

    Returns:
        The graph.

    Raises:
        CaptureError: The capture fails even with fixed sizes.
    """
    failed: CaptureError | None = None
    for tried in example.with_fewer_sizes():
        try:
            return capture(tried)
        except CaptureError as error:
            failed = error
    raise failed or CaptureError("the example has no sizes to try; expected at least one capture")


def _fixed_part(value: Any, of: Mapping[int, str]) -> tuple[int, ...]:
    """Return the lengths of the dimensions without a name."""
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
        raise InputTypeError(
            f"the input is a {type(value).__name__}; expected a tensor, whose shape gives the batch's sizes"
        )
    return first
