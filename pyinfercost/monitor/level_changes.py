"""Times at which the level of a series changed: segments of constant level, found by binary segmentation."""

from __future__ import annotations

from itertools import pairwise
from math import log
from typing import TYPE_CHECKING

from ..results.monitor_report import LevelChange

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

LEAST_CHANGE = 0.1
"""Smaller relative changes of a level are not reported."""

_LEAST_BINS = 3  # of a segment
_SHARE = 12  # a segment has at least this part of all bins
_ERRORS = 5.0  # standard errors: the best of some hundred places reaches 3 to 4 by chance
_MOST = 4


def level_changes(edges_s: Numbers, amounts: Numbers, weights: Numbers) -> tuple[LevelChange, ...]:
    """Return the changes of a ratio of sums over time.

    The level of a segment is its sum of amounts divided by its sum of weights. The best place to divide a segment is
    that with the least weighted squares of the logarithms of ratios around both levels; it is a change if the levels
    differ by more than 10 % and by more than five standard errors. The same is done with both parts, for at most four
    changes, the greatest reduction of squares first.

    Args:
        edges_s: Edges of bins, one more than the others.
        amounts: Sum of the measured quantity in each bin.
        weights: Sum of the divisor in each bin; bins without any are left out.

    Returns:
        The changes in the order of time.
    """
    import numpy as np

    known = np.flatnonzero((weights > 0) & (amounts > 0))
    least = max(_LEAST_BINS, known.size // _SHARE)
    values = np.log(amounts[known] / weights[known])
    heavy = weights[known] / max(1e-300, float(weights[known].sum()))
    cuts: list[int] = []
    while len(cuts) < _MOST:
        bounds = [0, *sorted(cuts), known.size]
        found = [_best(values, heavy, low, high, least) for low, high in pairwise(bounds)]
        best = max((each for each in found if each is not None), default=None)
        if best is None:
            break
        cuts.append(best[1])
    bounds = [0, *sorted(cuts), known.size]
    levels = [
        float(amounts[known[low:high]].sum() / weights[known[low:high]].sum())
        for low, high in pairwise(bounds)
        if high > low
    ]
    return tuple(
        LevelChange(at_s=float(edges_s[known[cut]]), before=before, after=after)
        for cut, before, after in zip(sorted(cuts), levels, levels[1:], strict=False)
    )


def _best(values: Numbers, weights: Numbers, low: int, high: int, least: int) -> tuple[float, int] | None:
    """Return how much a division reduces the squares, and its place; None if it is no change."""
    import numpy as np

    if high - low < 2 * least:
        return None
    x, w = values[low:high], weights[low:high]
    total_w, total_x, total_xx = (np.cumsum(each) for each in (w, w * x, w * x * x))
    places = np.arange(least, x.size - least + 1)
    before_w, before_x = total_w[places - 1], total_x[places - 1]
    after_w, after_x = total_w[-1] - before_w, total_x[-1] - before_x
    between = before_x**2 / before_w + after_x**2 / after_w
    chosen = int(np.argmax(between))
    step = float(after_x[chosen] / after_w[chosen] - before_x[chosen] / before_w[chosen])
    left = max(0.0, float(total_xx[-1] - between[chosen]))
    # Bins count by their weights: the effective number of each side is (sum w)^2 / sum w^2, which is 1 at least; tiny
    # weights have squares of 0.
    squares = np.cumsum(w * w)
    before, after = squares[places[chosen] - 1], squares[-1] - squares[places[chosen] - 1]
    sides = ((before_w[chosen], before), (after_w[chosen], after))
    variance = left / float(total_w[-1])
    error = (variance * sum(1.0 / max(1.0, float(total**2 / max(1e-300, square))) for total, square in sides)) ** 0.5
    if abs(step) < log(1.0 + LEAST_CHANGE) or abs(step) < _ERRORS * error:
        return None
    return float(between[chosen] - total_x[-1] ** 2 / total_w[-1]), low + int(places[chosen])


def outside_since(edges_s: Numbers, amounts: Numbers, lows: Numbers, highs: Numbers) -> float | None:
    """Return the begin of the last bins that are all outside of a band; None if the last one is inside.

    Args:
        edges_s: Edges of bins.
        amounts: Measured sum of each bin.
        lows: Low end of its band.
        highs: High end.
    """
    import numpy as np

    known = np.flatnonzero(highs > 0)
    outside = (amounts[known] < lows[known]) | (amounts[known] > highs[known])
    if not known.size or not outside[-1]:
        return None
    inside = np.flatnonzero(~outside)
    return float(edges_s[known[0 if not inside.size else inside[-1] + 1]])
