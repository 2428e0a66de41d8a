"""Values of named sizes, one or several, by keyword or in `sizes=`, checked against a graph."""

from __future__ import annotations

import difflib
import inspect
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from itertools import accumulate, islice
from operator import index
from os import PathLike
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar, overload

from .._checks import excerpt, shown
from .._core import Expr, Graph, Hardware
from ..errors import CountOverflowError, InputError, InputIndexError, InputTypeError, TooLargeError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_Value = TypeVar("_Value")

BATCH = "batch"
IMAGE = "image_size"
"""Name of the batch size in specs of models, and in graphs unless the caller chooses another one."""


_LARGE = 2**20
"""A batch above this makes counts overflow."""


class SizeError(InputError):
    """A size that the graph does not have, or a value that it does not allow.

    Attributes:
        name: The unknown name; None if the name is known.
        known: The known sizes.
    """

    def __init__(self, message: str, *, name: str | None = None, known: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.name = name
        self.known = tuple(known)


class TooLargeSizeError(SizeError, CountOverflowError):
    """A size at which counts do not fit 64 bits."""


@contextmanager
def counted_at(sizes: Mapping[str, int]) -> Iterator[None]:
    """Name the largest size if counts within the context do not fit 64 bits.

    Raises:
        TooLargeSizeError: They do not.
    """
    try:
        yield
    except TooLargeSizeError:
        raise
    except CountOverflowError as error:
        if not sizes:
            raise
        name = BATCH if sizes.get(BATCH, 0) > _LARGE else max(sizes, key=lambda each: sizes[each])
        raise TooLargeSizeError(f"{name} {sizes[name]} is too large: {error}", name=name) from error


@contextmanager
def call_sizes(
    function: Callable[..., Any], sizes: Mapping[str, _Value] | None, keywords: Mapping[str, _Value]
) -> Iterator[dict[str, _Value]]:
    """Yield the sizes of a call; an error about an unknown name also names the nearest option or size.

    Args:
        function: The function that is called; its parameters are the options.
        sizes: `sizes=` of the call, which may have names that options have.
        keywords: Keywords of the call that are no options.

    Raises:
        SizeError: A size is given twice, as a keyword and in `sizes`.
    """
    if twice := sorted((sizes or {}).keys() & keywords):
        raise SizeError(f"size {twice[0]!r} is given as a keyword and in sizes=; give it once")
    try:
        yield {**(sizes or {}), **keywords}
    except SizeError as error:
        name = error.name or next((name for name in keywords if repr(name) in str(error)), None)
        options = [p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
        near = difflib.get_close_matches(name or "", [*options, *error.known], n=1, cutoff=0.6)
        if name not in keywords or not near:
            raise
        told = f"unknown option {name!r}" if near[0] in options else str(error)
        raise SizeError(f"{told}; did you mean {near[0]!r}?", name=name, known=error.known) from None


def batch_name(graph: Graph) -> str:
    """Return the name of the size of role `batch`; `BATCH` for a graph that was captured at one batch."""
    return graph.size_of_role("batch") or BATCH


def bind_sizes(graph: Graph, sizes: Mapping[str, SupportsIndex]) -> dict[str, int]:
    """Return the given sizes as ints. A name with `*` gives its value to all matching sizes without one of their own.

    Raises:
        SizeError: The graph has no size of that name, or the value is outside its range.
    """
    known = graph.sizes
    bound = {name: check_size(known, name, value) for name, value in matched(graph, sizes).items()}
    if any(isinstance(known[name]["maximum"], Expr) for name in bound):
        try:
            graph.size_values(bound)
        except ValueError as error:
            raise SizeError(str(error)) from None
    return bound


def matched(graph: Graph, sizes: Mapping[str, _Value]) -> dict[str, _Value]:
    """Return the sizes with each pattern (`*.experts.nonzero*`) replaced by the matching sizes that depend on data.

    Raises:
        SizeError: No size that depends on data matches a pattern.
    """
    found: dict[str, _Value] = {}
    for name, value in sizes.items():
        if "*" not in name:
            found[name] = value
            continue
        names = [other for other in graph.sizes if graph.depends_on_data(other) and fnmatchcase(other, name)]
        if not names:
            raise SizeError(f"no size that depends on data matches {name!r}")
        for other in names:
            if other not in sizes:
                found[other] = value
    return found


def unknown_size(known: Iterable[str], name: str) -> SizeError:
    """Return the error of a name that no size has."""
    there = excerpt(", ".join(map(shown, known)))
    there = (
        f"the sizes {there}"
        if there
        else "fixed sizes only; name them where a module is captured (dynamic={0: {0: 'batch'}}), or where a file is "
        "exported (dynamic_shapes={'x': {0: 'batch'}} of torch.onnx.export, Dim of torch.export)"
    )
    return SizeError(f"unknown size {shown(name)}; this graph has {there}", name=name, known=known)


def check_size(known: Mapping[str, Mapping[str, Any]], name: str, value: SupportsIndex) -> int:
    """Return the value of a size as an int.

    Args:
        known: The sizes of the graph.
        name: The size.
        value: Its value.

    Raises:
        SizeError: There is no such size, or the value is no whole number or out of range.
    """
    if name not in known:
        raise unknown_size(known, name)
    try:
        number = index(value)
    except TypeError:
        several = "; sweep() and compare() take several values" if isinstance(value, (list, tuple, range)) else ""
        raise SizeError(f"size {shown(name)} must be a whole number, got {shown(value)}{several}") from None
    low, high = known[name]["minimum"], known[name]["maximum"]
    if isinstance(high, Expr):  # its value depends on other sizes
        high = None
    if (low is not None and number < low) or (high is not None and number > high):
        limits = f"at least {low}" if high is None else f"from {low} to {high}"
        if low == high:
            limits = f"{low}, which it was captured at (give another value when capturing),"
        raise SizeError(f"size {shown(name)} must be {excerpt(limits)} in this graph, got {shown(number)}")
    return number


# ---- several values along an axis ------------------------------------------------------------------------------------
#
# An array or a tuple if they are few, ranges that are never filled in if they are many.

FILLED_IN = 2**20
"""Maximum length of a range that is filled in: 8 MB."""

MOST_LISTED = 10_000_000
"""Maximum number of values that are read from an iterator: as Python's objects they take 32 bytes or more each."""

LARGEST_SIZE = 2**53
"""Largest size: the evaluator computes in doubles, which do not hold every larger whole number."""


class Ranges(Sequence[int]):
    """The values of several ranges, one after the other.

    Attributes:
        parts: The ranges; none is empty.
        minimum: The least value.
        maximum: The greatest value.
    """

    def __init__(self, *parts: range) -> None:
        """Join ranges.

        Raises:
            InputError: There are no values.
            TooLargeError: There are 2^63 values or more.
        """
        self.parts = tuple(part for part in parts if part)
        if not self.parts:
            raise InputError("the ranges of an axis have no values; pass at least one value")
        self.minimum = min(min(part[0], part[-1]) for part in self.parts)
        self.maximum = max(max(part[0], part[-1]) for part in self.parts)
        # Not `len`, which refuses a range of 2^63 values or more.
        lengths = [(part[-1] - part[0]) // part.step + 1 for part in self.parts]
        self._starts = [0, *accumulate(lengths)]
        if self._starts[-1] > sys.maxsize:
            raise TooLargeError(f"the ranges of an axis have {self._starts[-1]:,} values; pass fewer than 2^63")

    def __len__(self) -> int:
        return self._starts[-1]

    @overload
    def __getitem__(self, position: int) -> int: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[int]: ...
    def __getitem__(self, position: int | slice) -> int | Sequence[int]:
        if isinstance(position, slice):
            return [self[place] for place in range(*position.indices(len(self)))]
        place = position + len(self) if position < 0 else position
        if not 0 <= place < len(self):
            raise InputIndexError(f"position is {position}; expected one of {len(self):,} values")
        number = bisect_right(self._starts, place) - 1
        return self.parts[number][place - self._starts[number]]

    def __repr__(self) -> str:
        return f"Ranges({', '.join(map(repr, self.parts))})"

    def at(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the values at some positions, each from 0 on."""
        import numpy as np

        first, step = (np.asarray([getattr(part, name) for part in self.parts]) for name in ("start", "step"))
        if len(self.parts) == 1:
            values: NDArray[np.int64] = positions * step[0] + first[0]
        else:
            starts = np.asarray(self._starts[:-1])
            number = np.searchsorted(starts, positions, side="right") - 1
            values = (positions - starts[number]) * step[number] + first[number]
        return values

    def filled_in(self) -> NDArray[np.int64]:
        """Return all values."""
        import numpy as np

        return np.concatenate([np.arange(part.start, part.stop, part.step, dtype=np.int64) for part in self.parts])


def taken(values: Any, positions: NDArray[np.int64]) -> NDArray[Any]:
    """Return values of an axis at some positions."""
    import numpy as np

    return values.at(positions) if isinstance(values, Ranges) else np.asarray(values)[positions]


def maximum(values: Any) -> int:
    """Return the greatest value of an axis of whole numbers."""
    if isinstance(values, range):
        return max(values[0], values[-1])
    if isinstance(values, Ranges):
        return values.maximum
    return int(values.max() if hasattr(values, "max") else max(values))


def minimum(values: Any) -> int:
    """Return the least value of an axis of whole numbers."""
    if isinstance(values, range):
        return min(values[0], values[-1])
    if isinstance(values, Ranges):
        return values.minimum
    return int(values.min() if hasattr(values, "min") else min(values))


def as_ranges(values: Any) -> Ranges | None:
    """Return a range or several as `Ranges`; None for other values, or none."""
    if isinstance(values, Ranges):
        return values
    return Ranges(values) if isinstance(values, range) and values else None


def listed(name: str, values: Iterable[Any]) -> list[Any]:
    """Return values as a list.

    Raises:
        TooLargeError: An iterator gives more than `MOST_LISTED`.
    """
    if isinstance(values, (list, tuple)) or hasattr(values, "__array__"):
        return list(values)
    found = list(islice(values, MOST_LISTED + 1))
    if len(found) > MOST_LISTED:
        raise TooLargeError(
            f"{name} has more than {MOST_LISTED:,} values; pass fewer, or a range or an array of numpy for a size"
        )
    return found


def as_axis(name: str, values: Any) -> Sequence[Any]:
    """Return one or several values as a sequence; a long range is not filled in.

    Raises:
        InputTypeError: It is neither a name nor several values.
        InputError: There are no values.
        TooLargeError: There are too many.
    """
    if isinstance(values, (str, PathLike, Hardware)):
        return [values]
    if not isinstance(values, Iterable):
        if name not in ("hardware", "precision", "engine", "execution"):
            return [values]
        raise InputTypeError(f"{name} is {values!r}; expected one or several names")
    ranges = as_ranges(values)
    if ranges is not None and len(ranges) > FILLED_IN:
        return ranges
    try:
        axis = listed(name, values)
    except TypeError as error:  # an iterable that cannot be iterated, such as an array of no dimension
        raise InputTypeError(f"{name} is {values!r}; expected one or several values ({error})") from None
    if not axis:
        raise InputError(f"{name} has no values; pass one or several")
    return axis


def bind_axis(graph: Graph, name: str, values: SupportsIndex | Iterable[SupportsIndex]) -> NDArray[np.int64] | Ranges:
    """Return the values of a size along its axis; a single number is an axis of one.

    Args:
        graph: The graph with the size.
        name: The size.
        values: Its values. A range of more than `FILLED_IN` values is not filled in.

    Raises:
        SizeError: As `bind_sizes`, or there are no values, or a size is too large for the evaluator.
    """
    import numpy as np

    known = graph.sizes
    if name not in known:
        raise unknown_size(known, name)

    def checked(value: Any) -> int:
        number = check_size(known, name, value)
        if number > LARGEST_SIZE:
            raise SizeError(f"size {name!r} is {number}; expected at most 2^53 = {LARGEST_SIZE} in a sweep")
        return number

    if isinstance(values, SupportsIndex) and not hasattr(values, "__len__"):
        return np.asarray([checked(values)], dtype=np.int64)
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise SizeError(f"size {name!r} must be a whole number or several of them, got {values!r}")
    axis: NDArray[np.int64]
    # A range or an array is in range as a whole if both ends are.
    if ranges := as_ranges(values):
        checked(ranges.minimum)
        checked(ranges.maximum)
        if len(ranges) > FILLED_IN:
            return ranges
        axis = ranges.filled_in()
    elif isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "iu" and values.size:
        checked(values.min())
        checked(values.max())
        axis = np.array(values, dtype=np.int64)
    else:
        try:
            axis = np.asarray([checked(value) for value in listed(name, values)], dtype=np.int64)
        except TypeError as error:  # an iterable that cannot be iterated, such as an array of no dimension
            raise InputTypeError(f"size {name!r} must be a whole number or several of them: {error}") from None
        if not axis.size:
            raise SizeError(f"size {name!r} has no values to sweep over")
    axis.flags.writeable = False
    return axis
