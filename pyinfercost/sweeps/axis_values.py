"""Values along an axis: as an array or a tuple if they are few, as ranges that are never filled in if they are many."""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate, islice
from operator import index
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from ..errors import InputError, InputIndexError, InputTypeError, TooLargeError
from ..sources.sizes import SizeError, check_size, unknown_size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .._core import Graph

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


def whole_number(name: str, value: Any, *, least: int = 0) -> int:
    """Return an argument as an int.

    Raises:
        InputTypeError: It is no whole number.
        InputError: It is below the least one.
    """
    try:
        number = index(value)
    except TypeError:
        raise InputTypeError(f"{name} is {value!r}; expected a whole number") from None
    if number < least:
        raise InputError(f"{name} is {number}; expected at least {least}")
    return number


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
