"""The plan of a server or a fleet: the best option of each tactic in turn, from several starts.

Setups under traffic are simulated, and their product is far too large to try. Each tactic is visited in turn, the one
that saves most alone first: its options are evaluated together with the choices of the others, and the best one stays.
That is repeated until nothing changes. Starts are the baseline and the best machines, because a cheaper machine may
need other settings before it pays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any

from ..errors import Error
from ..predict.workers import on_workers
from .combinations import TOLERANCE, Choice, Choices, Combination, allowed_choices, effort_of, joined
from .fleet_outcomes import FleetEvaluator
from .plan_steps import planned

if TYPE_CHECKING:
    from .case import Case, Outcome
    from .setups import Setup
    from .tactic import Tactic

_ROUNDS, _STARTS = 4, 3  # of changes; machines to start from, in addition to the given one
_ROUNDS_OF_MANY, _STARTS_OF_MANY = 2, 1  # where a simulation takes seconds
_NEAR = 1.1  # of the best objective: where a simulation takes seconds, options beyond it are not tried again
_AS_GOOD = 0.03  # of the objective, within which small ones are as good
_BETTER = 1e-3  # share of the objective from which on a change is one
_FULLER = 0.01  # share of the cost at full use from which on it is one

Progress = Callable[[int, int], None]
_Key = tuple[bool, float, float, int]
"""Whether limits are broken, the objective, the objective at full use of replicas, and the effort."""

_LAST: _Key = (True, inf, inf, 0)


@dataclass
class _Search:
    case: Case
    tactics: Sequence[Tactic]
    progress: Progress | None
    rounds: int = _ROUNDS
    is_slow: bool = False
    known: dict[Any, tuple[Setup, Outcome] | None] = field(default_factory=dict)
    tried: dict[Any, Choices] = field(default_factory=dict)
    done: int = 0

    def evaluate(self, several: Sequence[Choices]) -> list[_Key]:
        """Return the keys that rank combinations; combinations that cannot run or exclude each other are last."""
        left = {_names(each): each for each in several if _names(each) not in self.known}
        made = on_workers(self._made, list(left.values()))
        runnable = [(key, setup) for key, setup in zip(left, made, strict=True) if setup is not None]
        outcomes = self.case.evaluator.outcomes([setup for _, setup in runnable])
        self.known.update(dict.fromkeys(left))
        self.tried.update(left)
        for (key, setup), outcome in zip(runnable, outcomes, strict=True):
            if self.case.cannot_run(setup, outcome) is None:
                self.known[key] = (setup, outcome)
        self.done += len(left)
        if self.progress is not None and left:
            self.progress(self.done, self.done + 1)  # how many will be tried is not known
        return [self._key(each) for each in several]

    def _made(self, choices: Choices) -> Setup | None:
        change = joined(choices)
        if change is None:
            return None
        try:
            return self.case.baseline.changed(change)
        except Error:
            return None

    def _key(self, choices: Choices) -> _Key:
        found = self.known[_names(choices)]
        if found is None:
            return _LAST
        outcome = found[1]
        within = self.case.is_within_limits(outcome)
        return not within, outcome.value(self.case.objective), _at_full_use(outcome), effort_of(choices)

    def climb(self, start: Choices, tactics: Sequence[Tactic]) -> tuple[_Key, Choices]:
        """Return the best combination that changes of one tactic after the other reach."""
        best = start
        (value,) = self.evaluate([best])
        far: set[Any] = set()
        for _ in range(self.rounds):
            before = value
            for tactic in tactics:
                others = tuple(each for each in best if each.tactic is not tactic and not _excludes(tactic, each))
                setup = self._made(others) if others else self.case.baseline
                if setup is None:
                    continue
                allowed = [each for each in allowed_choices(tactic, setup, self.case) if _names((each,)) not in far]
                several = [others, *((*others, choice) for choice in allowed)]
                for key, choices in zip(self.evaluate(several), several, strict=True):
                    if self.is_slow and key[1] > _NEAR * value[1]:
                        far.add(_names(choices[-1:]))
                    if _is_better(key, value):
                        value, best = key, choices
            if not _is_better(value, before):
                break
        return value, best

    def without_idle(self, choices: Choices, most: float) -> Choices:
        """Return a combination without options that save next to nothing in it, laborious ones first.

        Args:
            choices: The combination.
            most: The objective without them.
        """
        (own,) = self.evaluate([choices])
        for choice in sorted(choices, key=lambda each: -effort_of((each,))):
            left = tuple(each for each in choices if each is not choice)
            (other,) = self.evaluate([left])
            if other[0] == own[0] and other[1] <= most:
                choices = left
        return choices

    def as_good(self, value: float) -> float:
        """Return up to where an objective is as good as a value: a little more, for small values a little of the
        baseline.

        The saving of a step of a plan that costs next to nothing is not worth its effort.
        """
        little = TOLERANCE * self.case.outcome.value(self.case.objective)
        return value + max(TOLERANCE * value, min(_AS_GOOD * value, little))

    def easiest(self, choices: Choices, most: float, *, buys: bool) -> Choices:
        """Return the combination of least effort, then of least latency, of all that were tried and are as good.

        Args:
            choices: A combination.
            most: The objective of one that is as good.
            buys: Whether it may rent something else.
        """
        (own,) = self.evaluate([choices])
        least = (own[3], self._latency_s(choices))
        for several in list(self.tried.values()):
            key = self._key(several)
            near = key[0] == own[0] and key[1] <= most
            stays = buys or not any(choice.tactic.buys for choice in several)
            if near and stays and (key[3], self._latency_s(several)) < least:
                least, choices = (key[3], self._latency_s(several)), several
        return choices

    def _latency_s(self, choices: Choices) -> float:
        found = self.known[_names(choices)]
        return inf if found is None else found[1].value("latency_s")

    def combination(self, choices: Choices) -> Combination | None:
        """Return a combination whose steps can all run in some order; None if it cannot run."""
        found = self.known[_names(choices)]
        if found is None:
            return None
        setup, outcome = found
        made = Combination(choices, setup, outcome.value(self.case.objective), outcome.value("latency_s"))
        if choices:
            try:
                planned(self.case, made)
            except Error:
                return None
        return made


def best_under_traffic(
    case: Case, tactics: Sequence[Tactic], progress: Progress | None = None
) -> tuple[Combination | None, Combination | None]:
    """Return the best combination of all tactics, and the best one that rents nothing else.

    Args:
        case: The model, its deployment and the objective.
        tactics: The tactics.
        progress: Called with the combinations that were evaluated, now and then.

    Returns:
        The combinations, of which one without choices is the baseline; None if no setup satisfies the limits.
    """
    slow = isinstance(case.evaluator, FleetEvaluator) and case.evaluator.is_slow
    search = _Search(case, tactics, progress, _ROUNDS_OF_MANY if slow else _ROUNDS, slow)
    singles: list[tuple[_Key, Choices]] = []
    order: dict[str, _Key] = {}
    for tactic in tactics:
        several = [(choice,) for choice in allowed_choices(tactic, case.baseline, case)]
        keys = search.evaluate(several)
        singles += zip(keys, several, strict=True)
        order[tactic.name] = min(keys, default=_LAST)
    ordered = sorted(tactics, key=lambda each: order[each.name])
    staying = [each for each in ordered if not each.buys]
    here = search.climb((), staying)
    bought = sorted((each for each in singles if each[1][0].tactic.buys), key=lambda each: each[0])
    starts = [here[1], *(choices for _, choices in bought[: _STARTS_OF_MANY if slow else _STARTS])]
    best = min([here, *(search.climb(start, ordered) for start in starts)], key=lambda each: each[0])
    found: list[Combination | None] = []
    for key, choices in (best, here):
        most = search.as_good(key[1])
        if case.enough is not None:
            most = max(most, (1 - case.enough) * case.outcome.value(case.objective))
        plain = search.easiest(search.without_idle(choices, most), most, buys=len(found) == 0)
        found.append(None if key[0] else search.combination(plain))
    return found[0], found[1]


def _names(choices: Choices) -> Any:
    """Return the settings of a combination, in any order of its options."""
    change = {name: value for each in choices for name, value in each.option.change.items()}
    tactics = frozenset(each.tactic.name for each in choices)
    return tactics, tuple(sorted((name, str(value)) for name, value in change.items()))


def _excludes(tactic: Tactic, choice: Choice) -> bool:
    return bool(tactic.group) and tactic.group == choice.tactic.group


def _is_better(key: _Key, than: _Key) -> bool:
    """Return whether a value is notably better, or as good with fuller replicas or less effort.

    Replicas are whole: two changes may save one together and none alone, and then the first one makes room.
    """
    if key[0] != than[0]:
        return than[0]
    if abs(key[1] - than[1]) > _BETTER * than[1]:
        return key[1] < than[1]
    if abs(key[2] - than[2]) > _FULLER * than[2]:
        return key[2] < than[2]
    return key[1] <= than[1] and key[3] < than[3]


def _at_full_use(outcome: Outcome) -> float:
    """Return a figure proportional to the cost of a request at full use of replicas, else the latency."""
    figures = outcome.figures
    usd_per_h, capacity, idle = (figures.get(name) for name in ("usd_per_h", "capacity_per_s", "idle_share"))
    if usd_per_h and capacity:
        return float(usd_per_h / capacity)
    if usd_per_h and idle is not None:
        return float(usd_per_h * (1 - idle))
    return outcome.value("latency_s")
