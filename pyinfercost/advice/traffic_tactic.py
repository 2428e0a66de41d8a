"""`TrafficTactic`: base of tactics under traffic, with reasons and the choice of simulated options."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from ..errors import InputError
from ..results.advice import MONEY
from ..results.units import significant
from .fleet_outcomes import FleetEvaluator
from .setup_words import reasons_in_words
from .tactic import Option, Options, Refusal, Tactic, Tried
from .traffic_reasons import traffic_reason

if TYPE_CHECKING:
    from .case import Case
    from .setups import Setup

_SIMULATED, _SIMULATED_OF_MANY = 3, 2  # options of a tactic that differ in the speed or the price of a replica
_REASONS = 3  # of options that cannot run, after the reason of the best one
_BOUND = "not simulated"  # begins the reason of an option that a bound leaves out


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
        if not self.screened or not isinstance(evaluator, FleetEvaluator) or case.objective not in MONEY:
            return found
        return _screened(found, setup, evaluator)

    def why_not(self, tried: Tried, case: Case) -> str:
        """Return why an option saves nothing: the capacity of a replica before and after, and the needed number."""
        refused = [each for each in self.options(case.baseline, case).refused if not each.why.startswith(_BOUND)]
        return "; ".join(filter(None, (traffic_reason(tried.setup, case), reasons_in_words(refused[:_REASONS]))))


def _screened(options: Options, setup: Setup, evaluator: FleetEvaluator) -> Options:
    """Return the options that are cheapest at full use, and the others with that cost."""
    many = _SIMULATED_OF_MANY if evaluator.is_slow else _SIMULATED
    if len(options.found) <= many:
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
    for usd, option in costs[many:]:
        why = f"{_BOUND}: {significant(usd)} USD a month if replicas were full, more than those that were"
        refused.append(Refusal(text=option.text, why=why))
    return Options([option for _, option in costs[:many]], refused)
