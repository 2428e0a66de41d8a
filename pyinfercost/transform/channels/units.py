"""Units of dimensions: assignment of elements to units, and fixed units."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ..._checks import shown
from ...errors import TooLargeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids: TypeAlias = NDArray[np.int64]

Axis: TypeAlias = "Ids | int"
"""A dimension: the unit of each of its elements, or the index of the reason why the whole dimension is fixed."""


LONGEST = 2**24
"""Maximum length of a dimension whose elements are units: 128 MB of ids. The longest of models are vocabularies."""

MOST_UNITS = 2**27
"""Maximum number of units of a graph: 1 GB of ids. A model of 126 layers and 405 billion parameters has a third."""


class LockedError(Exception):
    """A rule cannot follow channels through a node. The message gives the reason; the node's dimensions are fixed."""


def repeated(ids: Ids, times: int) -> Ids:
    """Return ids, each of them several times in a row."""
    _check_length(len(ids) * times)
    return np.repeat(ids, times)


def tiled(ids: Ids, times: int) -> Ids:
    """Return ids, all of them several times, one after the other."""
    _check_length(len(ids) * times)
    return np.tile(ids, times)


def _check_length(length: int) -> None:
    if length > LONGEST:
        raise TooLargeError(
            f"a dimension of this graph has {shown(length)} elements, above the limit of {LONGEST:,} for channels; "
            "pass the graph of a smaller model"
        )


class Units:
    """Units, pairs of equal units, and fixed units. `close` derives the classes of equal units."""

    def __init__(self) -> None:
        self.reasons: list[str] = [""]  # indices start at 1
        self._number: dict[str, int] = {}
        self._count = 0
        self._edges: list[tuple[Ids, Ids]] = []
        self._fixed: list[tuple[Ids, int]] = []
        self._stand_ins: dict[int, int] = {}

    def reason(self, text: str) -> int:
        """Return the index of a reason."""
        if text not in self._number:
            self._number[text] = len(self.reasons)
            self.reasons.append(text)
        return self._number[text]

    def fresh(self, count: int) -> Ids:
        """Return new units.

        Raises:
            TooLargeError: There would be too many of them.
        """
        _check_length(count)
        if self._count + count > MOST_UNITS:
            raise TooLargeError(
                f"the dimensions of this graph have {self._count + count:,} channels and more, above the limit of "
                f"{MOST_UNITS:,}; pass a smaller model"
            )
        self._count += count
        return np.arange(self._count - count, self._count, dtype=np.int64)

    def fix(self, axis: Axis, reason: int) -> int:
        """Fix the elements of a dimension; return the fixed dimension."""
        if isinstance(axis, int):
            return axis
        self._fixed.append((axis, reason))
        return reason

    def elements(self, axis: Axis, count: int) -> Ids:
        """Return the unit of each element of a dimension; a fixed dimension has one fixed unit."""
        if not isinstance(axis, int):
            return axis
        if axis not in self._stand_ins:
            stand_in = self.fresh(1)
            self._fixed.append((stand_in, axis))
            self._stand_ins[axis] = int(stand_in[0])
        _check_length(count)
        return np.full(count, self._stand_ins[axis], dtype=np.int64)

    def equal(self, left: Axis, right: Axis) -> Axis:
        """Make element i of one dimension equal to element i of the other; return the common dimension.

        Raises:
            LockedError: The lengths differ.
        """
        if isinstance(left, int):
            return left if isinstance(right, int) else self.fix(right, left)
        if isinstance(right, int):
            return self.fix(left, right)
        if len(left) != len(right):
            raise LockedError(f"{len(left)} elements meet {len(right)}")
        if left is not right:
            self._edges.append((left, right))
        return left

    def close(self) -> tuple[Ids, Ids]:
        """Derive the classes of equal units.

        Returns:
            For each unit, the smallest unit of its class, and the index of the reason why it is fixed (0 if it is not).
        """
        label = np.arange(self._count, dtype=np.int64)
        first = np.concatenate([left for left, _ in self._edges]) if self._edges else label[:0]
        second = np.concatenate([right for _, right in self._edges]) if self._edges else label[:0]
        # Connected components by hooking and pointer jumping, until both ends of each edge have the same root.
        while True:
            one, two = label[first], label[second]
            open_edges = one != two
            if not open_edges.any():
                break
            first, second, one, two = first[open_edges], second[open_edges], one[open_edges], two[open_edges]
            np.minimum.at(label, np.maximum(one, two), np.minimum(one, two))
            while True:
                shorter = label[label]
                if np.array_equal(shorter, label):
                    break
                label = shorter
        none = len(self.reasons)
        why = np.full(self._count, none, dtype=np.int64)
        for ids, number in self._fixed:
            roots = label[ids]
            why[roots] = np.minimum(why[roots], number)  # keep the first reason
        why[why == none] = 0
        return label, why[label]
