"""The multiple-choice knapsack: one option per layer, least objective within limits; exact and greedy.

The sums of an answer add up its options, one per layer, over the columns of `Problem.columns`. The exact method is
dynamic programming over the layers: it keeps the partial sums that no other partial sum dominates, and drops sums whose
objective plus a lower bound of the rest exceeds the objective of a known answer. The bound is the linear relaxation of
the remaining layers (Sinha and Zoltners, The multiple-choice knapsack problem, 1979): the lower convex hull of each
layer's options, steps of all layers in the order of their slopes. The greedy method takes the same steps until the
limits hold. Several limits are also joined into one, weighted by their Lagrange multipliers, whose relaxation is the
sharper bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import pareto_front
from . import AllocationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MOST_STATES = 2_000_000
"""Partial sums that the exact method keeps at most."""

_ROUNDING = 1e-12  # relative; sums in another order differ by less
_ONE = np.ones(1)


@dataclass(frozen=True)
class Problem:
    """Options of layers, and limits on sums.

    Attributes:
        options: One array per layer, [options, 1 + limits]: the objective, and each limited figure.
        limits: The most that the sum of each limited figure may be.
    """

    options: Sequence[Floats]
    limits: Floats

    @property
    def slack(self) -> Floats:
        """Rounding that limits and the objective tolerate: [1 + limits]."""
        sizes = np.sum([np.abs(each).max(axis=0) for each in self.options], axis=0) if self.options else 0.0
        return np.asarray(_ROUNDING * (sizes + np.concatenate(([0.0], np.abs(self.limits)))))


def sums_of(problem: Problem, chosen: Sequence[int]) -> Floats:
    """Return the sums of an answer: the objective, and each limited figure."""
    found = np.zeros(1 + len(problem.limits))
    for each, option in zip(problem.options, chosen, strict=True):
        found += each[option]
    return found


def exact(problem: Problem) -> list[int] | None:
    """Return the answer with the least objective within the limits; None if there is none.

    Of several, one that no other dominates in the limited figures.

    Raises:
        AllocationError: More than `MOST_STATES` partial sums are left, which only huge problems with several limits
            need.
    """
    slack = problem.slack
    rest = [_Relaxed(problem.options, _only(limit, problem)) for limit in range(len(problem.limits))]
    if len(problem.limits) > 1:
        rest.append(_Relaxed(problem.options, multipliers(problem)))
    known = greedy(problem)
    best = np.inf if known is None else sums_of(problem, known)[0]
    states = np.zeros((1, 1 + len(problem.limits)))
    history: list[tuple[Any, Any]] = []  # of each layer: the state before it, and the option
    for layer, options in enumerate(problem.options):
        grown = (states[:, None, :] + options[None, :, :]).reshape(-1, states.shape[1])
        bound = np.full(len(grown), -np.inf)
        left = problem.limits + slack[1:] - grown[:, 1:]
        for relaxed in rest:
            bound = np.maximum(bound, grown[:, 0] + relaxed.least(layer + 1, left))
        kept = np.flatnonzero(bound <= best + slack[0])
        kept = kept[_not_dominated(grown[kept])]
        if not len(kept):
            return None
        if len(kept) > MOST_STATES:
            raise AllocationError(
                f"the exact method needs more than {MOST_STATES} partial sums at layer {layer + 1} of "
                f"{len(problem.options)}; pass method='greedy', one limit, or groups of layers"
            )
        states = grown[kept]
        history.append((kept // len(options), kept % len(options)))
    within = (states[:, 1:] <= problem.limits + slack[1:]).all(axis=1)
    if not within.any():
        return None
    state = int(np.flatnonzero(within)[np.argmin(states[within, 0])])
    chosen: list[int] = []
    for before, option in reversed(history):
        chosen.append(int(option[state]))
        state = int(before[state])
    return chosen[::-1]


def greedy(problem: Problem) -> list[int] | None:
    """Return an answer within the limits, by the best ratios; None if it finds none, though with one limit there is.

    Each layer starts with its least objective. Steps along the layers' lower convex hulls follow, in the order of the
    rise of the objective per reduction of the limited figure, until all limits are met. Then single layers change as
    long as that lowers the objective within the limits, the largest gain first.
    """
    weights = multipliers(problem)
    hulls = [_hull(options, weights) for options in problem.options]
    chosen = [hull[0] for hull in hulls]
    most = problem.limits + problem.slack[1:]
    total = sums_of(problem, chosen)[1:]
    for _, layer, place in _steps(problem.options, hulls, weights):
        if (total <= most).all():
            break
        options, option = problem.options[layer], hulls[layer][place]
        total = total + options[option, 1:] - options[chosen[layer], 1:]
        chosen[layer] = option
    return _improved(problem, chosen) if (total <= most).all() else None


def multipliers(problem: Problem, steps: int = 400) -> Floats:
    """Return the weight of each limited figure in the objective, so that one limit on the weighted sum replaces all.

    These are the multipliers of the Lagrangian relaxation, by subgradient steps of decreasing length.
    """
    count = len(problem.limits)
    if count == 1:
        return np.ones(1)
    size = max(len(each) for each in problem.options)
    table = np.full((len(problem.options), size, 1 + count), np.inf)
    for layer, options in enumerate(problem.options):
        table[layer, : len(options)] = options
        table[layer, len(options) :] = options[0]
    spread = np.ptp(table, axis=1).sum(axis=0)
    unit = np.where(spread[1:] > 0, spread[0] / np.where(spread[1:] > 0, spread[1:], 1.0), 0.0)  # objective per figure
    weights, best, least = unit / count, unit / count, -np.inf
    for step in range(1, 1 + steps):
        costs = table[:, :, 0] + table[:, :, 1:] @ weights
        option = costs.argmin(axis=1)
        over = np.take_along_axis(table[:, :, 1:], option[:, None, None], axis=1).sum(axis=(0, 1)) - problem.limits
        bound = float(costs.min(axis=1).sum() - weights @ problem.limits)
        if bound > least:
            least, best = bound, weights
        scaled = over * unit
        length = float(np.abs(scaled).max())
        if length <= 0:
            break
        weights = np.maximum(weights + unit * scaled / length / np.sqrt(step), 0.0)
    return best if best.any() else np.ones(count)


def least_of(problem: Problem, limit: int) -> list[int]:
    """Return the answer with the least sum of one limited figure, and of these the least objective."""
    return [int(np.lexsort((each[:, 0], each[:, 1 + limit]))[0]) for each in problem.options]


def _improved(problem: Problem, chosen: list[int]) -> list[int]:
    """Replace options of single layers by better ones within the limit, the largest gain first."""
    most, slack = problem.limits + problem.slack[1:], problem.slack
    every = np.concatenate(list(problem.options))
    layers = np.repeat(np.arange(len(problem.options)), [len(each) for each in problem.options])
    firsts = np.flatnonzero(np.diff(layers, prepend=-1))
    chosen = list(chosen)
    while True:
        change = every - every[firsts + chosen][layers]
        fits = (sums_of(problem, chosen)[1:] + change[:, 1:] <= most).all(axis=1)
        gains = np.where(fits, -change[:, 0], 0.0)
        best = int(gains.argmax())
        if gains[best] <= slack[0]:
            return chosen
        layer = int(layers[best])
        chosen[layer] = best - int(firsts[layer])


class _Relaxed:
    """Least objectives of the last layers within the rest of one limit, if parts of options could be taken.

    Args:
        options: Options of all layers.
        weights: Weight of each limited figure in the one limit.
    """

    def __init__(self, options: Sequence[Floats], weights: Floats) -> None:
        self._weights = weights
        joined = [_joined(each, weights) for each in options]
        hulls = [_hull(each, _ONE) for each in joined]
        starts = np.array([each[hull[0]] for each, hull in zip(joined, hulls, strict=True)]).reshape(-1, 2)
        steps = _steps(joined, hulls, _ONE)
        layer_of = np.array([layer for _, layer, _ in steps], dtype=np.int64)
        change = np.array(
            [joined[layer][hulls[layer][place]] - joined[layer][hulls[layer][place - 1]] for _, layer, place in steps]
        ).reshape(-1, 2)
        self._curves: list[tuple[Floats, Floats]] = []
        for first in range(len(options) + 1):
            points = np.cumsum(np.vstack([starts[first:].sum(axis=0), change[layer_of >= first]]), axis=0)[::-1]
            self._curves.append((np.ascontiguousarray(points[:, 1]), np.ascontiguousarray(points[:, 0])))

    def least(self, first: int, left: Floats) -> Floats:
        """Return the bound for the layers from `first` on; infinite where even their least sum is too large.

        Args:
            first: Number of the layer.
            left: Rest of each limit: [states, limits].
        """
        limited, objective = self._curves[first]
        joined = left @ self._weights
        found = np.interp(joined, limited, objective)
        return np.where(joined < limited[0] - _ROUNDING * np.abs(limited).max(), np.inf, found)


def _only(limit: int, problem: Problem) -> Floats:
    weights = np.zeros(len(problem.limits))
    weights[limit] = 1.0
    return weights


def _joined(options: Floats, weights: Floats) -> Floats:
    """Return the objective and the weighted sum of the limited figures."""
    return np.stack([options[:, 0], options[:, 1:] @ weights], axis=1)


def _hull(options: Floats, weights: Floats) -> list[int]:
    """Return the lower convex hull of options, from the least objective to the least of the limited figures."""
    points = _joined(options, weights)
    hull = [int(np.lexsort((points[:, 1], points[:, 0]))[0])]
    for option in np.lexsort((points[:, 0], -points[:, 1])):
        if points[option, 1] >= points[hull[-1], 1]:
            continue  # behind the first, or a worse one of equal limited figures
        while len(hull) > 1 and _is_above(points[hull[-2]], points[hull[-1]], points[option]):
            hull.pop()
        hull.append(int(option))
    return hull


def _is_above(one: Floats, middle: Floats, other: Floats) -> bool:
    """Return whether the middle point lies on or above the line through the other two."""
    run, rise = one[1] - other[1], other[0] - one[0]
    return bool((middle[0] - one[0]) * run >= rise * (one[1] - middle[1]))


def _steps(options: Sequence[Floats], hulls: Sequence[list[int]], weights: Floats) -> list[tuple[float, int, int]]:
    """Return the steps along all hulls: slope, layer and the place on its hull, least slopes first."""
    found = []
    for layer, (each, hull) in enumerate(zip(options, hulls, strict=True)):
        points = _joined(each, weights)[hull]
        slopes = np.diff(points[:, 0]) / -np.diff(points[:, 1])
        found += [(float(slope), layer, place) for place, slope in enumerate(slopes, 1)]
    return sorted(found)


def _not_dominated(states: Floats) -> NDArray[np.int64]:
    """Return the numbers of states that no other one dominates, and of equal ones the first, in order."""
    if len(states) <= 1:
        return np.arange(len(states))
    if states.shape[1] > 2:  # noqa: PLR2004
        _, first = np.unique(states, axis=0, return_index=True)
        columns = [np.ascontiguousarray(column) for column in states[first].T]
        return np.sort(first[np.asarray(pareto_front(columns, [False] * len(columns)))])
    order = np.lexsort((states[:, 0], states[:, 1]))
    least = np.minimum.accumulate(states[order, 0])
    is_new = np.concatenate(([True], states[order[1:], 0] < least[:-1]))
    return np.sort(order[is_new])
