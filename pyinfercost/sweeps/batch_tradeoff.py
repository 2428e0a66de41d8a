"""The trade-off along a curve: what more batch buys in throughput, and what it costs in latency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .choosing import group_codes, knees
from .knees import runs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

COLUMNS = ("throughput_share", "latency_ratio", "knee")
"""What a trade-off adds to the columns of a sweep."""

_FEW = 16
"""Curves of at most this many points are shown whole."""


def tradeoff_columns(points: Mapping[str, NDArray[Any]], identity: Sequence[str], x: str) -> dict[str, NDArray[Any]]:
    """Return the columns of `Sweep.tradeoff`, those of the sweep included.

    Args:
        points: the columns of a sweep.
        identity: those that identify a row.
        x: the column along a curve, such as the batch.
    """
    import numpy as np

    others = [name for name in identity if name != x]
    codes = group_codes(points, others)
    along, throughput, latency_s = (np.asarray(points[name]) for name in (x, "throughput_per_s", "latency_s"))
    knee_rows = knees(along, throughput, codes)
    order = np.lexsort((along, codes))
    starts, lengths = runs(codes[order])
    wanted = np.zeros(len(order), dtype=np.bool_)
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        wanted[start + _rungs(along[order[start : start + length]])] = True
    wanted |= np.isin(order, knee_rows)
    rows = order[wanted]

    def of_curve(ends: NDArray[np.float64]) -> NDArray[np.float64]:
        whole: NDArray[np.float64] = np.repeat(ends, lengths)[wanted]
        return whole

    chosen = {name: points[name][rows] for name in points}
    if len(rows):
        most = of_curve(np.maximum.reduceat(throughput[order], starts))
        least = of_curve(np.minimum.reduceat(latency_s[order], starts))
        chosen["throughput_share"], chosen["latency_ratio"] = throughput[rows] / most, latency_s[rows] / least
    else:
        chosen["throughput_share"] = chosen["latency_ratio"] = np.empty(0)
    chosen["knee"] = np.isin(rows, knee_rows)
    return chosen


def _rungs(rising: NDArray[Any]) -> NDArray[np.int64]:
    """The places on a curve that are worth a line: all of a short one; of a long one its ends, and each doubling."""
    import numpy as np

    if len(rising) <= _FEW:
        return np.arange(len(rising))
    doublings = np.arange(1, max(1, np.log2(rising[-1] / rising[0])))
    places = np.searchsorted(rising, rising[0] * 2.0**doublings)
    return np.unique(np.concatenate([[0], places, [len(rising) - 1]]))
