"""The points of a sweep: a product of axes, addressed by one number each, without a table of them."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Axis:
    """One axis: the values of a name, or of several names that vary together.

    Attributes:
        names: what varies.
        columns: for each name its values along the axis, all of one length: an array of int64 for a size, else a tuple.
    """

    names: tuple[str, ...]
    columns: tuple[Sequence[Any] | NDArray[np.int64], ...]

    def __len__(self) -> int:
        return len(self.columns[0])


class Grid:
    """A product of axes, the last of them innermost: point 0 is the first value of each.

    A point is a number in `range(len(grid))`. What it stands for is worked out when asked for, so that a grid of
    10^10 points takes no memory.
    """

    def __init__(self, axes: Sequence[Axis]) -> None:
        self.axes = tuple(axes)
        self.size = prod(len(axis) for axis in self.axes)
        self._places: dict[str, tuple[Any, int]] = {}
        repeat = self.size
        for axis in self.axes:
            repeat = repeat // len(axis) if len(axis) else 0
            for name, values in zip(axis.names, axis.columns, strict=True):
                self._places[name] = (values, repeat)

    def __len__(self) -> int:
        return self.size

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all axes, in order."""
        return tuple(self._places)

    def values(self, name: str) -> Any:
        """The values of a name along its axis: an array of int64 for a size, else a tuple."""
        return self._places[name][0]

    def repeat(self, name: str) -> int:
        """For how many points in a row a value stands."""
        return self._places[name][1]

    def position(self, name: str, point: int) -> int:
        """Return the position of a point on the axis of a name."""
        values, repeat = self._places[name]
        return point // repeat % len(values)

    def at(self, name: str, point: int) -> Any:
        """Return the value of a name at a point."""
        return self.values(name)[self.position(name, point)]

    def codes(self, name: str, points: slice | NDArray[np.int64]) -> NDArray[np.int64]:
        """Which of `values(name)` stands at each of these points."""
        import numpy as np

        values, repeat = self._places[name]
        if not isinstance(points, slice):
            return points // repeat % len(values)
        # A stretch of the grid: runs of equal values, without a division for each point.
        first, last = points.start, points.stop
        start = first // repeat
        runs = (last - 1) // repeat - start + 1 if last > first else 0
        codes = np.arange(start, start + runs, dtype=np.int64) % len(values)
        if repeat > 1 and runs:
            # No more than is asked for: a run of an outer axis may be longer than memory.
            lengths = np.full(runs, min(repeat, last - first), dtype=np.int64)
            lengths[0] = min((start + 1) * repeat, last) - first
            if runs > 1:
                lengths[-1] = last - (start + runs - 1) * repeat
            codes = np.repeat(codes, lengths)
        return codes

    def column(self, name: str, points: slice | NDArray[np.int64]) -> NDArray[Any]:
        """The values of a name at these points."""
        import numpy as np

        return np.asarray(self.values(name))[self.codes(name, points)]
