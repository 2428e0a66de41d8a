"""Choice of a format for each layer: the least accuracy lost at a limit of cost, or the least cost at one of loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .._checks import Range, number, shown, whole
from ..errors import InputTypeError
from ..results.sensitivity import ADDED, AllocatedLayer, Allocation, MixedFigures, Sensitivity
from ..results.tradeoff import ORIGINAL
from . import AllocationError
from .knapsack import Problem, exact, greedy, least_of
from .steps import Saying, lost, told

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..results.sensitivity import FormatSensitivity

EXACT = "exact"
METHODS = {EXACT: exact, "greedy": greedy}
"""Name of a method -> solver of the problem of sums."""

LOST = "lost"
ACCURACY = "accuracy"
_SAVED = {"latency_s": "saved_s", "energy_j": "saved_j", "cost_usd": "saved_usd", "parameter_bytes": "saved_bytes"}
_WHY_NONE = {"energy_j": "the power of the machine is unknown", "cost_usd": "no price was given"}
_HOLDS = 1e-9  # relative: rounding of sums
_SMALLEST = 1e-12  # of a limit of 0
_ADDS_UP = 1e-6  # relative
MOST_ESTIMATES = 2000
"""Combinations that are estimated at most to improve a choice whose costs do not add up."""
_EXAMPLE = "{'latency_s': 0.001}"
_ROUNDS = Range(1, 1000)
_ANY = Range(-float("inf"), float("inf"))


def allocate(
    found: Sensitivity,
    limit: Mapping[str, float],
    *,
    minimize: str | None = None,
    method: str = "exact",
    rounds: int = 5,
    progress: bool | Callable[[int, int], None] | None = None,
) -> Allocation:
    """Choose a format for each layer: the least accuracy lost at a limit of cost, or the least cost at one of accuracy.

    The choice is made by sums of the losses and savings of single layers. Losses below 0 count as 0: a layer whose
    format happens to raise the accuracy allows no loss in others. The chosen formats are then applied together: their
    graph is estimated and the model is evaluated, and the result has these figures and the sums. Where the whole
    differs from the sum, the limit on the sum moves by the difference and the choice is made again; of all that were
    tried, the best within the limits is returned. Estimates cost little: where costs of the whole differ from sums,
    single layers then change as long as the estimate of the whole gets better, with sums for the accuracy alone.

    Args:
        found: The sensitivity of the layers.
        limit: Figure -> the most that it may be: `latency_s`, `energy_j`, `cost_usd`, `parameter_bytes` of the whole
            model, and `lost`; or `accuracy`, the worst that `evaluate` may return.
        minimize: The figure to minimize: one of these; by default `lost`, or `latency_s` with a limit on accuracy.
        method: `"exact"` for the least sum of all choices, by dynamic programming with bounds, or `"greedy"` for the
            best ratios of loss to saving, which is faster for thousands of layers.
        rounds: The most combinations that are estimated and evaluated.
        progress: As in `sensitivity`; of combinations.

    Returns:
        The allocation. `holds` is False if no tried combination is within the limits, though sums are.

    Raises:
        AllocationError: A limit cannot be met by any choice, or the arguments are invalid.

    Examples:
        >>> net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
        >>> images = torch.randn(256, 784, generator=torch.Generator().manual_seed(0))
        >>> labels = net(images).argmax(1)
        >>> def evaluate(model):
        ...     return (model(images).argmax(1) == labels).float().mean().item()
        >>> found = ic.sensitivity(net, ["int8_wo"], evaluate=evaluate, inputs=images[:1], hardware="l4")
        >>> chosen = ic.allocate(found, {"parameter_bytes": 200_000})
        >>> {each.layer: each.format for each in chosen.layers}["0"]
        'int8_wo'
    """
    if not isinstance(found, Sensitivity):
        raise InputTypeError(f"found is of type {type(found).__name__}; expected the result of ic.sensitivity")
    limits = _limits(found, limit)
    objective = minimize or ("latency_s" if LOST in limits else LOST)
    if objective not in (LOST, *ADDED):
        raise AllocationError(f"minimize is {shown(minimize)}; expected one of {', '.join((LOST, *ADDED))}")
    if objective in limits:
        raise AllocationError(f"{objective!r} is both limited and minimized; limit another figure")
    if method not in METHODS:
        raise AllocationError(f"method is {shown(method)}; expected one of {', '.join(METHODS)}")
    for name in (objective, *limits):
        if name in ADDED and getattr(found.original, name) is None:
            raise AllocationError(f"{name} is unknown: {_WHY_NONE[name]}")
    tried = whole(rounds, "rounds", _ROUNDS, AllocationError)
    table = _Table.of(found, objective, tuple(limits))
    return _Search(found, table, limits, method).run(tried, Saying(progress, tried, "allocation"))


@dataclass(frozen=True)
class _Table:
    """Options of all layers, with their parts of the objective and of limited figures.

    Attributes:
        names: The objective, and the limited figures.
        layers: Names of the layers.
        rows: Of each layer its options; None is the unchanged layer.
        options: The same as numbers: [options, names].
        base: Figures of the unchanged model: [names].
    """

    names: tuple[str, ...]
    layers: tuple[str, ...]
    rows: tuple[tuple[FormatSensitivity | None, ...], ...]
    options: tuple[NDArray[np.float64], ...]
    base: NDArray[np.float64]

    @classmethod
    def of(cls, found: Sensitivity, objective: str, limited: tuple[str, ...]) -> _Table:
        names = (objective, *limited)
        rows: list[tuple[FormatSensitivity | None, ...]] = []
        for layer in found.layers:
            usable = [row for row in found.rows if row.layer == layer and row.lost is not None]
            rows.append((None, *usable))
        options = tuple(np.array([[_change(found, row, name) for name in names] for row in each]) for each in rows)
        base = np.array([0.0 if name == LOST else float(getattr(found.original, name)) for name in names])
        return cls(names, found.layers, tuple(rows), options, base)

    def formats(self, chosen: tuple[int, ...]) -> dict[str, str]:
        """Return layer -> format of an answer, without unchanged layers."""
        return {
            layer: row.format
            for layer, each, option in zip(self.layers, self.rows, chosen, strict=True)
            if (row := each[option]) is not None
        }


class _Search:
    """Rounds of choosing by sums and of looking at the whole.

    Args:
        found: The sensitivity.
        table: Options of the layers.
        limits: The most that each limited figure may be.
        method: Name of the method.
    """

    def __init__(self, found: Sensitivity, table: _Table, limits: Mapping[str, float], method: str) -> None:
        self._found, self._table, self._limits, self._method = found, table, limits, method
        self._most = np.array(list(limits.values()))
        self._tried: dict[tuple[int, ...], MixedFigures] = {}
        self._estimates: dict[tuple[int, ...], MixedFigures] = {}

    def run(self, rounds: int, say: Saying) -> Allocation:
        """Return the best allocation of those that are tried.

        Raises:
            AllocationError: No choice is within the limits.
        """
        first = chosen = self._solved(np.zeros(len(self._most)))
        if chosen is None:  # the whole of the cheapest choice may be within a limit that its sum exceeds
            chosen = tuple(least_of(self._problem(np.zeros(len(self._most))), 0))
        while chosen is not None and chosen not in self._tried and len(self._tried) < rounds:
            say(", ".join(f"{form} of {layer}" for layer, form in self._table.formats(chosen).items()) or ORIGINAL)
            self._tried[chosen] = self._together(chosen)
            chosen = self._next(chosen, rounds)
        say.done()
        within = [each for each, figures in self._tried.items() if self._excess(figures) <= _HOLDS]
        if not within and first is None:
            raise AllocationError(self._unreachable())
        best = (
            min(within, key=self._merit)
            if within
            else min(self._tried, key=lambda each: self._excess(self._tried[each]))
        )
        return self._allocation(best, holds=bool(within), optimal=self._method == EXACT and best == first)

    def _problem(self, moved: NDArray[np.float64]) -> Problem:
        return Problem(self._table.options, self._most - moved - self._table.base[1:])

    def _solved(self, moved: NDArray[np.float64]) -> tuple[int, ...] | None:
        answer = METHODS[self._method](self._problem(moved))
        return None if answer is None else tuple(answer)

    def _next(self, chosen: tuple[int, ...], rounds: int) -> tuple[int, ...] | None:
        """Return the choice to try after one: by sums within moved limits, or by estimates of the whole."""
        # The excess of the whole over the sum is subtracted from the limits on sums.
        moved = self._values(self._tried[chosen])[1:] - self._sums(chosen)[1:]
        following = self._solved(moved)
        if following is None or following in self._tried or len(self._tried) + 1 >= rounds:
            following = self._polished(chosen, moved)
        return following

    def _polished(self, chosen: tuple[int, ...], moved: NDArray[np.float64]) -> tuple[int, ...]:
        """Return a choice from which no change of one layer improves the estimate of the whole.

        Args:
            chosen: The first choice.
            moved: Excess of the whole over its sums, of limited figures.
        """
        if self._adds_up(chosen):
            return chosen
        best = self._rank(chosen, moved)
        changed = True
        while changed:
            changed = False
            for layer, options in enumerate(self._table.rows):
                for option in range(len(options)):
                    other = (*chosen[:layer], option, *chosen[layer + 1 :])
                    if len(self._estimates) >= MOST_ESTIMATES and other not in self._estimates:
                        return chosen
                    if other != chosen and (rank := self._rank(other, moved)) < best:
                        chosen, best, changed = other, rank, True
        return chosen

    def _rank(self, chosen: tuple[int, ...], moved: NDArray[np.float64]) -> tuple[float, ...]:
        """Return the key of a choice by the estimate of the whole, and by the sum for the accuracy: least is best."""
        sums, lost_sum = self._sums(chosen), self._lost_sum(chosen)
        values = self._values(self._estimate(chosen), lost_sum)
        excess = np.where([name == LOST for name in self._table.names[1:]], sums[1:] + moved, values[1:]) - self._most
        over = float(np.max(excess / np.maximum(np.abs(self._most), _SMALLEST)))
        return (max(over, _HOLDS), _digits(values[0]), lost_sum, float(np.count_nonzero(chosen)))

    def _adds_up(self, chosen: tuple[int, ...]) -> bool:
        """Return whether costs of the whole are the sums."""
        sums = self._sums(chosen)
        values = self._values(self._estimate(chosen), self._lost_sum(chosen))
        costs = np.array([name != LOST for name in self._table.names])
        return bool((np.abs(values - sums) <= _ADDS_UP * np.abs(sums))[costs].all())

    def _estimate(self, chosen: tuple[int, ...]) -> MixedFigures:
        if chosen not in self._estimates:
            self._estimates[chosen] = self._found.mixer.figures(self._table.formats(chosen))
        return self._estimates[chosen]

    def _lost_sum(self, chosen: tuple[int, ...]) -> float:
        rows = [each[option] for each, option in zip(self._table.rows, chosen, strict=True)]
        return sum(_change(self._found, row, LOST) for row in rows)

    def _together(self, chosen: tuple[int, ...]) -> MixedFigures:
        """Return the estimate and the evaluation of a choice as a whole."""
        formats = self._table.formats(chosen)
        figures = self._estimate(chosen)
        try:
            accuracy = self._found.mixer.accuracy(formats)
        except Exception as error:
            raise AllocationError(f"the chosen formats fail together ({told(error)}): {formats}") from error
        less = lost(accuracy, self._found.original.accuracy, maximize=self._found.maximize)
        return replace(figures, accuracy=accuracy, lost=less)

    def _values(self, figures: MixedFigures, less: float | None = None) -> NDArray[np.float64]:
        """Return the figures of the table; with `less`, that is the accuracy lost."""
        known = figures if less is None else replace(figures, lost=less)
        return np.array([float(getattr(known, name)) for name in self._table.names])

    def _sums(self, chosen: tuple[int, ...]) -> NDArray[np.float64]:
        options = [each[option] for each, option in zip(self._table.options, chosen, strict=True)]
        return np.asarray(self._table.base + np.sum(options, axis=0))

    def _excess(self, figures: MixedFigures) -> float:
        """Return the largest share by which a choice exceeds a limit."""
        over = self._values(figures)[1:] - self._most
        return float(np.max(over / np.maximum(np.abs(self._most), _SMALLEST)))

    def _merit(self, chosen: tuple[int, ...]) -> tuple[float, ...]:
        """Return the key of a choice that was tried: the objective, other figures, and how many formats it has."""
        figures = self._tried[chosen]
        known = replace(figures, lost=max(figures.lost or 0.0, 0.0))
        names = (self._table.names[0], LOST, "latency_s")
        return (*(_digits(getattr(known, name)) for name in names), float(np.count_nonzero(chosen)))

    def _allocation(self, chosen: tuple[int, ...], *, holds: bool, optimal: bool) -> Allocation:
        found, table = self._found, self._table
        formats = table.formats(chosen)
        rows = [each[option] for each, option in zip(table.rows, chosen, strict=True)]
        quantize, prune = found.mixer.policies(formats)
        return Allocation(
            model=found.model,
            hardware=found.hardware,
            precision=found.precision,
            execution=found.execution,
            kernels=found.kernels,
            maximize=found.maximize,
            method=self._method,
            limits=dict(self._limits),
            minimized=table.names[0],
            layers=tuple(_allocated(layer, row) for layer, row in zip(table.layers, rows, strict=True)),
            original=found.original,
            added={name: _sum(found, name, rows) for name in (LOST, *ADDED)},
            together=self._tried[chosen],
            holds=holds,
            rounds=len(self._tried),
            optimal=optimal,
            whole=found.whole,
            quantize=quantize,
            prune=prune,
            mixer=found.mixer,
        )

    def _unreachable(self) -> str:
        """Return the reachable figures, for the message."""
        problem = self._problem(np.zeros(len(self._most)))
        lines = []
        for place, (name, most) in enumerate(self._limits.items()):
            least = self._sums(tuple(least_of(problem, place)))[1 + place]
            lines.append(f"{name} is at most {most:.6g}, and the least sum of all choices is {least:.6g}")
        if len(lines) > 1:
            lines.append("or they do not go together")
        return f"no choice is within the limits: {'; '.join(lines)}; raise a limit, or pass more formats"


def _digits(value: float) -> float:
    """Return a figure without the digits that are rounding alone, so that equal ones are equal."""
    return float(f"{value:.9e}")


def _allocated(layer: str, row: FormatSensitivity | None) -> AllocatedLayer:
    if row is None:
        return AllocatedLayer(layer=layer)
    return AllocatedLayer(
        layer=layer,
        format=row.format,
        applied=row.applied,
        lost=row.lost or 0.0,
        saved_s=row.saved_s or 0.0,
        saved_bytes=row.saved_bytes or 0,
    )


def _change(found: Sensitivity, row: FormatSensitivity | None, name: str) -> float:
    """Return the part of a figure that an option adds; 0 for differences that are rounding alone."""
    if row is None:
        return 0.0
    if name == LOST:
        return max(row.lost or 0.0, 0.0)
    change = -float(getattr(row, _SAVED[name]))
    return 0.0 if abs(change) < _HOLDS * float(getattr(found.original, name)) else change


def _sum(found: Sensitivity, name: str, rows: list[FormatSensitivity | None]) -> float | None:
    """Return the sum of a figure over the layers; None if it is unknown."""
    base = 0.0 if name == LOST else getattr(found.original, name)
    return None if base is None else float(base + sum(_change(found, row, name) for row in rows))


def _limits(found: Sensitivity, limit: Mapping[str, float]) -> dict[str, float]:
    """Return the limits by figure, with that on the accuracy as one on its loss."""
    if not isinstance(limit, Mapping):
        raise InputTypeError(f"limit is {shown(limit)}; expected a mapping of figures to numbers: {_EXAMPLE}")
    if not limit:
        raise AllocationError(f"limit is empty; expected figures and the most that they may be: {_EXAMPLE}")
    limits: dict[str, float] = {}
    for name, given in limit.items():
        most = number(given, f"limit[{name!r}]", _ANY, AllocationError)
        if name == ACCURACY:
            most = lost(most, found.original.accuracy, maximize=found.maximize) or 0.0
        elif name not in (LOST, *ADDED):
            raise AllocationError(f"limit has {shown(name)}; expected {', '.join((ACCURACY, LOST, *ADDED))}")
        key = LOST if name == ACCURACY else name
        limits[key] = min(most, limits.get(key, most))
    return limits
