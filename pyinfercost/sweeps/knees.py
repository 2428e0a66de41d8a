"""Knees: where a curve bends, for many curves at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_STRAIGHT = 1e-9  # a bulge this small over the chord is rounding
_CURVED = 3  # points that a curve needs at least to bend


def knees(x: NDArray[Any], y: NDArray[Any], groups: NDArray[Any]) -> NDArray[np.int64]:
    """The row of each group at which more x begins to bring little more y.

    The method is Kneedle (Satopaa, Albrecht, Irwin and Raghavan, "Finding a 'Kneedle' in a Haystack", 2011) for a
    concave, increasing curve. With x and y scaled to [0, 1] over the group, the knee is where y - x is greatest, the
    first on ties. The curve is the running maximum of y, because throughput against batch is a sawtooth: a batch of one
    more than fills the processors runs a wave that is nearly empty. A row is a knee only where its y reaches that
    maximum.

    A curve that nowhere lies above the line between its ends has no knee: one of fewer than three distinct x, one that
    never rises, a straight line, or one that bends upwards. There the row is that of the greatest y, at the least x.

    Args:
        x: what is paid, the batch; rows of a group may be in any order, and of an x that repeats the greatest y counts.
        y: what it brings, the throughput.
        groups: a whole number for each row.

    Returns:
        One index of a row for each group, in ascending order of the groups. Rows where x or y is not finite do not
        count; a group of nothing else is left out.

    Raises:
        ValueError: if the lengths differ.
    """
    import numpy as np

    if not len(x) == len(y) == len(groups):
        raise ValueError(f"x, y and groups have {len(x)}, {len(y)} and {len(groups)} rows; expected as many of each")
    x, y, groups = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64), np.asarray(groups)
    rows: NDArray[np.int64] = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if not rows.size:
        return rows
    rows = rows[np.lexsort((-y[rows], x[rows], groups[rows]))]
    repeated = (groups[rows][1:] == groups[rows][:-1]) & (x[rows][1:] == x[rows][:-1])
    rows = rows[np.concatenate([[True], ~repeated])]
    x, y = x[rows], y[rows]

    starts, lengths = runs(groups[rows])
    ends = starts + lengths - 1
    # The running maximum of all groups in one pass: y by its rank, and each group's ranks above those of the last.
    ranked, rank = np.unique(y, return_inverse=True)
    above = np.repeat(np.arange(len(starts)) * len(ranked), lengths)
    top = np.maximum.accumulate(rank.reshape(-1) + above) - above
    peak = ranked[top]

    width, height = x[ends] - x[starts], peak[ends] - peak[starts]
    with np.errstate(all="ignore"):
        bulge = (peak - np.repeat(peak[starts], lengths)) / np.repeat(height, lengths)
        bulge -= (x - np.repeat(x[starts], lengths)) / np.repeat(width, lengths)
    reached = y == peak
    bulge[~reached | np.isnan(bulge)] = -np.inf
    greatest = np.maximum.reduceat(bulge, starts)
    bent = (lengths >= _CURVED) & (height > 0) & (greatest > _STRAIGHT)
    knee = np.where(
        np.repeat(bent, lengths), bulge == np.repeat(greatest, lengths), y == np.repeat(peak[ends], lengths)
    )
    return rows[first_hits(knee, starts, lengths)]


def runs(codes: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each run of equal codes starts, and how long it is."""
    import numpy as np

    starts = np.flatnonzero(np.concatenate([[True], codes[1:] != codes[:-1]]))
    return starts, np.diff(starts, append=len(codes))


def first_hits(hits: NDArray[np.bool_], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first hit of each run; every run has one."""
    import numpy as np

    found = np.flatnonzero(hits)
    return found[runs(np.repeat(np.arange(len(starts)), lengths)[found])[0]]
