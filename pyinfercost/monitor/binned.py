"""Sums over the intervals of a log in equal parts of the time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .log_reader import LoggedInterval

    Numbers = NDArray[np.float64]

Amount = Callable[["LoggedInterval"], "float | None"]
"""Quantity of an interval; None if it is unknown."""

_STEPS_S = (60.0, 300.0, 900.0, 3600.0)
_LONG_STEPS_S = (3600.0, 86_400.0, 7 * 86_400.0, 365 * 86_400.0)
_MOST = 9000  # hours of a year, and some more


def slot_edges(intervals: Sequence[LoggedInterval], most: int) -> Numbers:
    """Return edges of at most so many parts of the time of intervals, hours apart from that.

    Args:
        intervals: The intervals.
        most: Most parts of a minute, 5 or 15 minutes; there may be more hours.

    Returns:
        Both ends, and between them minutes, 5 or 15 minutes or hours of the clock, no shorter than the usual interval;
        of more than 9,000 hours days, and so on, as for a log with a damaged time.
    """
    import numpy as np

    start_s, end_s = min(each.start_s for each in intervals), max(each.end_s for each in intervals)
    lengths = sorted(each.length_s for each in intervals)
    least = max((end_s - start_s) / most, lengths[len(lengths) // 2])
    step = next((each for each in _STEPS_S if least <= each), _STEPS_S[-1])
    if step == _STEPS_S[-1]:
        step = next((each for each in _LONG_STEPS_S if end_s - start_s <= _MOST * each), _LONG_STEPS_S[-1])
    inner: Numbers = np.arange(np.floor(start_s / step) + 1, np.ceil(end_s / step), dtype=np.float64) * step
    edges: Numbers = np.concatenate([[start_s], inner, [end_s]])
    return edges


class Bins:
    """Divides intervals among bins by the share of their time.

    Args:
        intervals: The intervals, in any order.
        edges_s: Edges of the bins, ascending.
    """

    def __init__(self, intervals: Sequence[LoggedInterval], edges_s: Numbers) -> None:
        import numpy as np

        self.edges_s = edges_s
        self._intervals = intervals
        starts = np.array([each.start_s for each in intervals])
        ends = np.array([each.end_s for each in intervals])
        size = edges_s.size - 1
        first = np.clip(np.searchsorted(edges_s, starts, side="right") - 1, 0, size - 1)
        last = np.clip(np.searchsorted(edges_s, ends, side="left") - 1, first, size - 1)
        spans = last - first + 1
        self._rows = np.repeat(np.arange(len(intervals)), spans)
        offset = np.arange(spans.sum()) - np.repeat(np.cumsum(spans) - spans, spans)
        self._bins = np.repeat(first, spans) + offset
        inside = np.minimum(edges_s[self._bins + 1], ends[self._rows]) - np.maximum(
            edges_s[self._bins], starts[self._rows]
        )
        lengths = np.maximum(1e-9, ends - starts)[self._rows]
        # An interval in one bin is wholly in it, also one without a length.
        shares: Numbers = np.where(spans[self._rows] == 1, 1.0, np.clip(inside / lengths, 0.0, 1.0))
        self._shares = shares

    def sums(self, amount: Amount) -> tuple[Numbers, bool]:
        """Return the sum of an amount in each bin, and whether any interval has it."""
        import numpy as np

        found = [amount(each) for each in self._intervals]
        values = np.array([0.0 if each is None else each for each in found])
        weights = values[self._rows] * self._shares
        total = np.bincount(self._bins, weights=weights, minlength=self.edges_s.size - 1).astype(np.float64)
        return total, any(each is not None for each in found)

    def covered_s(self) -> Numbers:
        """Return the seconds of each bin in which there is an interval."""
        import numpy as np

        spans = sorted((each.start_s, each.end_s) for each in self._intervals)
        joined: list[list[float]] = []
        for start, end in spans:
            if joined and start <= joined[-1][1]:
                joined[-1][1] = max(joined[-1][1], end)
            else:
                joined.append([start, end])
        starts, ends = np.array(joined).T if joined else (np.zeros(0), np.zeros(0))
        # Covered seconds before a time, which is linear between begins and ends.
        places = np.column_stack([starts, ends]).ravel()
        until = np.concatenate([[0.0], np.cumsum(ends - starts)])
        heights = np.column_stack([until[:-1], until[1:]]).ravel()
        found: Numbers = np.diff(np.interp(self.edges_s, places, heights)) if places.size else np.zeros(0)
        return found
