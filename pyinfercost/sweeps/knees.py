"""Knees of curves, for many curves at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_STRAIGHT = 1e-9  # a bulge this small over the chord is rounding
_CURVED = 3  # minimum points of a curve with a bend


def knees(x: NDArray[Any], y: NDArray[Any], groups: NDArray[Any]) -> NDArray[np.int64]:
    """Return the row of each group beyond which more x adds little y.

    The method is Kneedle (Satopaa, Albrecht, Irwin and Raghavan, "Finding a 'Kneedle' in a Haystack", 2011) for a
    concave, increasing curve. With x and y scaled to [0, 1] over the group, the knee is where y - x is greatest, the
    first on ties. The curve is the running maximum of y, because throughput against batch is a sawtooth: a batch of one
    more than fills the processors runs a wave that is nearly empty. A row is a knee only where its y reaches that
    maximum.

    A curve has no knee if no point is above the line between its ends: fewer than three distinct x, a curve that never
    rises, a straight line, or one that bends upwards. Its row has the greatest y, at the least x.

    Args:
        x: The batch, or another quantity to be increased, in any order; of equal x, the greatest y counts.
        y: The throughput, or another gain.
        groups: The number of each row's group.

    Returns:
        One index of a row per group, in ascending order of the groups. Rows in which x or y is not finite do not count,
        and a group without other rows is left out.

    Raises:
        InputError: The lengths differ.
    """
    import numpy as np

    if not len(x) == len(y) == len(groups):
        raise InputError(f"x, y and groups have {len(x)}, {len(y)} and {len(groups)} rows; expected equal lengths")
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
    # The running maximum of all groups in one pass: y by its rank, and each group's ranks above the previous group's.
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
    """Return the start and the length of each run of equal codes."""
    import numpy as np

    starts = np.flatnonzero(np.concatenate([[True], codes[1:] != codes[:-1]]))
    return starts, np.diff(starts, append=len(codes))


def first_hits(hits: NDArray[np.bool_], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the first hit of each run; every run has one."""
    import numpy as np

    found = np.flatnonzero(hits)
    return found[runs(np.repeat(np.arange(len(starts)), lengths)[found])[0]]
