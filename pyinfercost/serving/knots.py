"""Fewest knots of piecewise-linear tables within a tolerance."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]


def chosen_knots(at: Numbers, values: Numbers, tolerance: float) -> NDArray[np.intp]:
    """Return places of knots between which lines meet all values within a tolerance.

    Each line is made as long as the tolerance allows, from left to right.

    Args:
        at: Ascending positions, shape (n,).
        values: Values of several tables there, all above 0 or all 0, shape (tables, n).
        tolerance: Maximum of |line / value - 1| at all positions.

    Returns:
        Places in ascending order, with the first and the last one.
    """
    import numpy as np

    last = at.size - 1
    allowed = tolerance * np.abs(values)
    places, window = [0], _SHORTEST
    while places[-1] < last:
        begin = places[-1]
        stop = min(last, begin + window)
        # All lines from `begin` that pass within the tolerance of a point have slopes between two bounds, and a line to
        # `end` is good if its slope is within the bounds of all points before it.
        steps = at[begin + 1 : stop + 1] - at[begin]
        slope = (values[:, begin + 1 : stop + 1] - values[:, begin, None]) / steps
        room = allowed[:, begin + 1 : stop + 1] / steps + _ROUNDING * np.abs(slope)
        low = np.maximum.accumulate(slope - room, axis=1)
        high = np.minimum.accumulate(slope + room, axis=1)
        good = np.flatnonzero(((slope >= low) & (slope <= high)).all(axis=0))
        reached = begin + 1 + int(good[-1]) if good.size else begin + 1
        if reached == stop < last:
            window *= 2  # the line may go on
            continue
        places.append(reached)
        window = max(_SHORTEST, 2 * (reached - begin))
    return np.asarray(places)


_SHORTEST = 32  # points that a line is tried for at first
_ROUNDING = 1e-12
