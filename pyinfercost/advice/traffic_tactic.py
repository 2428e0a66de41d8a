"""`TrafficTactic`: what tactics under traffic have in common: reasons, and which options are simulated."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from ..errors import InputError
from ..results.units import percent, significant
from .fleeted import FleetEvaluator
from .served import ServedEvaluator, replicas_of
from .tactic import Option, Options, Refusal, Tactic, Tried
from .wording import reasons_in_words

if TYPE_CHECKING:
    from .case import Case
    from .setups import Setup

_SIMULATED = 3  # options of a tactic, of those that differ in the speed or the price of a replica
_REASONS = 3  # of options that cannot run, beside the reason of the best one
_BOUND = "not simulated"  # begins the reason of an option that a bound leaves out
_MONEY = ("cost_usd", "usd_per_month", "usd_per_million_tokens")


class TrafficTactic(Tactic):
    """A tactic of a server or a fleet.

    Attributes:
        screened: Whether options differ in the speed or the price of a replica alone: of a fleet, those that are the
            cheapest at full use are simulated.
    """

    needs = "traffic"
    screened: bool = False

    def offered(self, setup: Setup, case: Case) -> Options:
        """Return all options for a setup."""
        raise NotImplementedError

    def options(self, setup: Setup, case: Case) -> Options:
        """Return the options for a setup, of a fleet those that a bound leaves."""
        found = self.offered(setup, case)
        evaluator = case.evaluator
        if not self.screened or not isinstance(evaluator, FleetEvaluator) or case.objective not in _MONEY:
            return found
        return _screened(found, setup, evaluator)

    def why_not(self, tried: Tried, case: Case) -> str:
        """Return why an option saves nothing: what a replica can do before and after, and how many are needed."""
        evaluator = case.evaluator
        why = ""
        if isinstance(evaluator, ServedEvaluator):
            why = _of_server(tried, case, evaluator)
        elif isinstance(evaluator, FleetEvaluator):
            why = _of_fleet(tried, case, evaluator)
        refused = [each for each in self.options(case.baseline, case).refused if not each.why.startswith(_BOUND)]
        return "; ".join(filter(None, (why, reasons_in_words(refused[:_REASONS]))))


def _screened(options: Options, setup: Setup, evaluator: FleetEvaluator) -> Options:
    """Return the options that are cheapest at full use, and the others with that cost."""
    if len(options.found) <= _SIMULATED:
        return options
    costs: list[tuple[float, Option]] = []
    refused = list(options.refused)
    for option in options.found:
        try:
            usd = evaluator.usd_at_full_use(setup.changed(option.change))
        except InputError as error:
            refused.append(Refusal(text=option.text, why=str(error)))
            continue
        if isfinite(usd):
            costs.append((usd, option))
        else:
            why = evaluator.replica(setup.changed(option.change))
            refused.append(Refusal(text=option.text, why=str(why)))
    costs.sort(key=lambda each: each[0])
    for usd, option in costs[_SIMULATED:]:
        why = f"{_BOUND}: {significant(usd)} USD a month if replicas were full, more than those that were"
        refused.append(Refusal(text=option.text, why=why))
    return Options([option for _, option in costs[:_SIMULATED]], refused)


def _of_server(tried: Tried, case: Case, evaluator: ServedEvaluator) -> str:
    old, new = replicas_of(case.baseline), replicas_of(tried.setup)
    counts = f"{old:,} replica{'s' * (old != 1)}"
    before, after = (evaluator.capacity_per_s(each) for each in (case.baseline, tried.setup))
    rate = evaluator.facts.rate_per_s
    can = ""
    if before is not None and after is not None:
        can = f"a replica sustains {significant(after)} instead of {significant(before)} requests/s"
    if old == new and case.baseline.on.machine.id == tried.setup.on.machine.id and can:
        need = f"{rate:.4g} requests/s" if isfinite(rate) else "these requests"
        return f"{can}, and {need} take {counts} either way"
    moved = f"{new:,} replica{'s' * (new != 1)} instead of {old:,}" if old != new else counts
    return f"it takes {moved}" + (f"; {can}" if can else "")


def _of_fleet(tried: Tried, case: Case, evaluator: FleetEvaluator) -> str:
    old, new = (evaluator.result(each) for each in (case.baseline, tried.setup))
    words = f"replicas on average {new.mean_replicas:.3g} instead of {old.mean_replicas:.3g}"
    words += f", idle {percent(new.idle_share)} instead of {percent(old.idle_share)} % of the paid time"
    if new.starts or old.starts:
        words += f", {new.starts:,} cold starts instead of {old.starts:,}"
    return words
