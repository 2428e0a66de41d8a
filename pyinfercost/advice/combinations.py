"""The plan: all combinations of options that may be used together are evaluated, and the best one is taken apart.

A combination has at most one option of each tactic, and no two options that set the same thing. The rented machine is
changed first, since options depend on it; then come deployments and variants of the graph, then batches. Each variant
is one sweep over its deployments and all batches. Savings are never multiplied: every combination has figures of its
own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from .._lazy import cached_property
from ..errors import Error
from ..results.advice import EFFORTS, RISKS
from ..sources.sizes import batch_name
from .setups import SIZES, VARIANT, Setup
from .tactic import Option, Tactic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..deployment import Deployment
    from .case import Case
    from .setup_figures import ForwardEvaluator, GridOutcomes

TOLERANCE = 0.01
"""Setups whose objective is within this share of the least one are equally good: the one of least effort is taken, and
of these the one of least latency."""


class Choice(NamedTuple):
    """An option of a tactic that a combination uses."""

    tactic: Tactic
    option: Option

    @property
    def risk(self) -> str:
        """How far results may change."""
        return self.option.risk or self.tactic.risk

    @property
    def effort(self) -> str:
        """Its effort."""
        return self.option.effort or self.tactic.effort


Choices = tuple[Choice, ...]


@dataclass(frozen=True)
class Combination:
    """Options that are used together.

    Attributes:
        choices: The options.
        setup: The baseline with all of them.
        value: The objective.
        latency_s: Seconds of a forward.
    """

    choices: Choices
    setup: Setup
    value: float
    latency_s: float

    @property
    def effort(self) -> int:
        """The effort of all options, as steps of `EFFORTS`."""
        return effort_of(self.choices)

    @property
    def buys(self) -> bool:
        """Whether it changes the rented machine."""
        return any(choice.tactic.buys for choice in self.choices)


@dataclass
class _Group:
    """Combinations of one variant and one set of other sizes: deployments, each with its choices."""

    choices: list[Choices] = field(default_factory=list)
    setups: list[Setup] = field(default_factory=list)


def effort_of(choices: Choices) -> int:
    """Return the effort of some options: each counts by its place in `EFFORTS`, from 1."""
    return sum(EFFORTS.index(choice.effort) + 1 for choice in choices)


def allowed_choices(tactic: Tactic, setup: Setup, case: Case) -> list[Choice]:
    """Return the options of a tactic that a plan may use: those within the risk, which do not change terms."""
    if RISKS.index(tactic.risk) > RISKS.index(case.risk):
        return []
    return [
        choice
        for option in tactic.options(setup, case).found
        if option.in_plan and RISKS.index((choice := Choice(tactic, option)).risk) <= RISKS.index(case.risk)
    ]


def joined(choices: Sequence[Choice]) -> dict[str, Any] | None:
    """Return the change that some options make together; None if two of them exclude each other."""
    change: dict[str, Any] = {}
    groups = [choice.tactic.group for choice in choices if choice.tactic.group]
    if len(set(groups)) < len(groups):
        return None
    for choice in choices:
        if not change.keys().isdisjoint(choice.option.change):
            return None
        change.update(choice.option.change)
    return change


def combinations(setup: Setup, tactics: Sequence[Tactic], case: Case) -> Iterator[tuple[Choices, Setup]]:
    """Yield all combinations of options of some tactics, each with its setup; first the one without any.

    Options of a tactic are those for the setup that the tactics before it leave: the formats that can be chosen depend
    on the engine, and the engine on the machine.

    Args:
        setup: The setup to change.
        tactics: The tactics, in the order in which they are chosen.
        case: The model, its deployment and the objective.
    """
    made: dict[Any, tuple[Deployment, Deployment]] = {}

    def extended(chosen: Choices, at: Setup, rest: Sequence[Tactic]) -> Iterator[tuple[Choices, Setup]]:
        if not rest:
            yield chosen, at
            return
        yield from extended(chosen, at, rest[1:])
        for choice in allowed_choices(rest[0], at, case):
            if joined((*chosen, choice)) is None:
                continue
            try:
                changed = _changed(at, choice.option.change, made)
            except Error:  # a deployment whose fields contradict each other
                continue
            yield from extended((*chosen, choice), changed, rest[1:])

    yield from extended((), setup, tactics)


def _changed(setup: Setup, change: Mapping[str, Any], made: dict[Any, tuple[Deployment, Deployment]]) -> Setup:
    """Return a changed setup; a deployment that follows from another one by the same change is made once."""
    fields = {name: value for name, value in change.items() if "." not in name and name not in VARIANT}
    others = {name: value for name, value in change.items() if name not in fields}
    if not fields:
        return setup.changed(others)
    key = (id(setup.on), tuple(sorted((name, str(value)) for name, value in fields.items())))
    if key not in made:
        on = setup.on.replace(**fields)
        made[key] = (on, replace(setup, on=on).placed)
    return setup.with_deployment(*made[key]).changed(others)


def best_combinations(
    case: Case, tactics: Sequence[Tactic], progress: Callable[[int, int], None] | None = None
) -> tuple[Combination | None, Combination | None]:
    """Return the best combination of all tactics, and the best one that rents nothing else.

    Args:
        case: The model, its deployment and the objective; its evaluator is a `ForwardEvaluator`.
        tactics: The tactics.
        progress: Called with the variants done and all variants.

    Returns:
        The combinations, of which one without choices is the baseline; None if no setup satisfies the limits.
    """
    evaluator: Any = case.evaluator
    groups: dict[Any, _Group] = {}
    batches: dict[Any, list[Choice | None]] = {}
    buying = [tactic for tactic in tactics if tactic.buys]
    others = [tactic for tactic in tactics if not tactic.buys]
    for bought, start in combinations(case.baseline, buying, case):
        for chosen, setup in combinations(start, [each for each in others if not _is_of_batch(each)], case):
            key = (setup.variant, tuple(sorted(setup.sizes.items())))
            if key not in batches:
                batches[key] = _batches(setup, others, case)
            if batches[key]:
                group = groups.setdefault(key, _Group())
                group.choices.append((*bought, *chosen))
                group.setups.append(setup)
    found = []
    for done, (key, group) in enumerate(groups.items()):
        found.append(_Evaluated.of(evaluator, case, group, batches[key]))
        if progress is not None:
            progress(done + 1, len(groups))
    here = [each.without_buying() for each in found]
    return _best(case, found), _best(case, here)


def _batches(setup: Setup, tactics: Sequence[Tactic], case: Case) -> list[Choice | None]:
    """Return the batches of a variant, first its own; none at all if the variant cannot be made."""
    try:
        case.graphs.open(setup.variant)
    except Error:  # a format that applies to nothing in a changed model
        return []
    return [None, *(choice for each in tactics if _is_of_batch(each) for choice in allowed_choices(each, setup, case))]


def _is_of_batch(tactic: Tactic) -> bool:
    return tactic.group == "batch"


@dataclass
class _Evaluated:
    """The figures of a group: [combinations, batches]."""

    group: _Group
    batches: list[Choice | None]
    objective: NDArray[np.float64]
    latency_s: NDArray[np.float64]
    allowed: NDArray[np.bool_]

    @classmethod
    def of(cls, evaluator: ForwardEvaluator, case: Case, group: _Group, batches: list[Choice | None]) -> _Evaluated:
        """Evaluate the combinations of a group; those that a sweep refuses are left out."""
        import numpy as np

        first = group.setups[0]
        batch = batch_name(evaluator.graphs.open(first.variant))
        own = first.sizes.get(batch, 1)
        sizes = [own if choice is None else choice.option.change[SIZES + batch] for choice in batches]
        # Sweeps refuse all points if one of them is refused, so distinct deployments are tried in halves.
        parts = _grids(evaluator, case, group, list(range(len(group.setups))), sizes)
        kept = [row for row, _, _ in parts]
        group = _Group([group.choices[row] for row in kept], [group.setups[row] for row in kept])
        if not parts:
            empty = np.empty((0, len(sizes)))
            return cls(group, batches, empty, empty, empty.astype(np.bool_))
        found = [(grid, place) for _, grid, place in parts]
        return cls(
            group,
            batches,
            np.stack([grid.objective[place] for grid, place in found]),
            np.stack([grid.latency_s[place] for grid, place in found]),
            np.stack([grid.allowed[place] for grid, place in found]),
        )

    def without_buying(self) -> _Evaluated:
        """Return the combinations that rent nothing else."""
        import numpy as np

        stays = np.asarray([not any(c.tactic.buys for c in chosen) for chosen in self.group.choices], dtype=np.bool_)
        places = np.flatnonzero(stays)
        group = _Group([self.group.choices[p] for p in places], [self.group.setups[p] for p in places])
        return _Evaluated(group, self.batches, self.objective[stays], self.latency_s[stays], self.allowed[stays].copy())

    @property
    def least(self) -> float:
        """The least objective of an allowed point."""
        import numpy as np

        return float(np.min(self.objective, where=self.allowed, initial=np.inf))

    def within(self, most: float) -> list[tuple[int, int]]:
        """Return the allowed points whose objective is at most `most`."""
        import numpy as np

        return [(int(row), int(column)) for row, column in np.argwhere(self.allowed & (self.objective <= most))]

    def effort(self, row: int, column: int) -> int:
        """Return the effort of a point."""
        choice = self.batches[column]
        return self.efforts[row] + (0 if choice is None else effort_of((choice,)))

    @cached_property
    def efforts(self) -> list[int]:
        """The effort of each combination, without the effort of batches."""
        return [effort_of(choices) for choices in self.group.choices]

    def at(self, row: int, column: int) -> Combination:
        """Return the combination of a point."""
        choices, setup, choice = self.group.choices[row], self.group.setups[row], self.batches[column]
        if choice is not None:
            choices, setup = (*choices, choice), setup.changed(choice.option.change)
        return Combination(choices, setup, float(self.objective[row, column]), float(self.latency_s[row, column]))


def _grids(
    evaluator: ForwardEvaluator, case: Case, group: _Group, rows: list[int], sizes: Sequence[int]
) -> list[tuple[int, GridOutcomes, int]]:
    """Return for each combination that can be evaluated its number, its grid, and its row there."""
    first = group.setups[rows[0]]
    number_of: dict[Deployment, int] = {}
    places = [number_of.setdefault(group.setups[row].placed, len(number_of)) for row in rows]
    try:
        grid = evaluator.grid(first.variant, first.sizes, list(number_of), sizes, case.objective, case.limits)
    except Error:
        if len(rows) == 1:
            return []
        half = len(rows) // 2
        return [
            *_grids(evaluator, case, group, rows[:half], sizes),
            *_grids(evaluator, case, group, rows[half:], sizes),
        ]
    return [(row, grid, place) for row, place in zip(rows, places, strict=True)]


def _best(case: Case, found: Sequence[_Evaluated]) -> Combination | None:
    """Return the best combination that can run; points that turn out not to run are taken out of `found`."""
    import numpy as np

    while True:
        least = min(found, key=lambda each: each.least, default=None)
        if least is None or least.least == np.inf:
            return None
        place = np.argmin(np.where(least.allowed, least.objective, np.inf))
        if _runs(case, least, *divmod(int(place), least.objective.shape[1])):
            break
    most = least.least * (1 + TOLERANCE)
    if case.enough is not None:
        most = max(most, (1 - case.enough) * case.outcome.value(case.objective))
    points = [
        (each.effort(row, column), float(each.latency_s[row, column]), number, row, column)
        for number, each in enumerate(found)
        for row, column in each.within(most)
    ]
    for _, _, number, row, column in sorted(points):
        if _runs(case, found[number], row, column):
            return found[number].at(row, column)
    return None


def _runs(case: Case, each: _Evaluated, row: int, column: int) -> bool:
    """Return whether a point can run; if not, it is taken out, with all batches if its products have no engine."""
    outcome = case.evaluator.outcomes([each.at(row, column).setup])[0]
    if reason := case.cannot_run(each.at(row, column).setup, outcome):
        each.allowed[row, slice(None) if reason.of_engine else column] = False
        return False
    return True
