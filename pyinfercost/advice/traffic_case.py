"""`TrafficCase`: the case of a server or a fleet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeGuard

from ..errors import InputError
from ..results.advice import MONEY
from .case import Case, Outcome
from .fleet_outcomes import AUTOSCALER, FleetEvaluator
from .serving_outcomes import ServedEvaluator, replicas_of
from .traffic_reasons import missed, traffic_reason

if TYPE_CHECKING:
    from ..serving.runs import Facts
    from .questions import Question
    from .setups import Setup


_ENDS = ("low", "high")

OF_FUNCTION = "a function is billed by request, and its platform decides about machines and replicas"
"""Why tactics of machines and replicas do not apply to a serverless function."""


@dataclass(frozen=True, kw_only=True)
class TrafficCase(Case):
    """The case of a server or a fleet.

    Attributes:
        question: The requests and the objective.
        facts: Statistics of one pass over the requests.
        slo: Limits of latencies, as text; empty without any.
        commitment: Price of hours that are paid ahead, as text; empty if none is known.
        acceptance: Probability that a draft is accepted; None for the assumed one.
    """

    question: Question
    facts: Facts
    slo: str = ""
    commitment: str = ""
    acceptance: float | None = None

    unit: ClassVar[str] = "request"

    @property
    def of_fleet(self) -> bool:
        """Whether replicas come and go; else a server has a fixed number."""
        return self.question.command == "fleet"

    def is_within_limits(self, outcome: Outcome) -> bool:
        """Return whether an outcome satisfies all limits, including limits of latencies, and answers all requests."""
        figures = outcome.figures
        refused = self.evaluator.refused if isinstance(self.evaluator, ServedEvaluator) else 0
        served = figures.get("slo_met") is not False and (figures.get("unfinished") or 0) <= refused
        return served and super().is_within_limits(outcome)

    def over_limits(self, setup: Setup, outcome: Outcome) -> str:
        """Return which limits a setup breaks: limits of figures and of latencies, and unanswered requests."""
        return "; ".join(filter(None, (super().over_limits(setup, outcome), missed(setup, self))))

    def savings(self, setup: Setup, outcome: Outcome) -> tuple[float, float, float]:
        """Return the saving of an outcome, and its least and greatest value at the ends of the bands of all steps.

        A server then needs more or fewer replicas, and a fleet more or less time of replicas. On the same machine, both
        setups are taken at the same end, since their errors are mostly the same; on another one, the baseline is as
        predicted.
        """
        saving = self.saving(outcome)
        if self.objective not in MONEY:
            return saving, saving, saving
        same = setup.on.machine.id == self.baseline.on.machine.id
        ratios = [1.0]
        for end in _ENDS:
            after = self._longer(setup, end)
            before = self._longer(self.baseline, end) if same else 1.0
            if after is not None and before:
                ratios.append(after / before)
        shares = [1 - (1 - saving) * ratio for ratio in ratios]
        return saving, min(shares), max(shares)

    def _longer(self, setup: Setup, end: str) -> float | None:
        """Return the paid time at an end of the bands over that as predicted; None if it serves no requests there."""
        evaluator = self.evaluator
        if isinstance(evaluator, FleetEvaluator):
            return evaluator.longer(setup, end)
        if isinstance(evaluator, ServedEvaluator):
            try:
                return evaluator.fewest(setup, end=end) / evaluator.fewest(setup)
            except InputError:
                return None
        return 1.0

    def why_not(self, setup: Setup) -> str:
        """Return the capacity and the number of replicas before and after an option."""
        return traffic_reason(setup, self)

    def described(self, setup: Setup) -> str:
        """Return a setup in words: replicas or autoscaler, formats, engine, machine and price."""
        on = setup.on
        if self.of_fleet:
            many = str(setup.terms.get(AUTOSCALER, "static"))
            counted = f"{many} on" if many != "static" else "as many replicas as the peak needs, on"
        else:
            count = replicas_of(setup)
            counted = f"{count:,} replica{'s' * (count != 1)} on"
        layout = "" if on.layout is None else f", {on.rank_layout}"
        precision = on.precision if on.precision != "native" else "the dtypes of the model"
        words = [on.engine if on.engine != "torch" else on.execution, precision]
        words += filter(None, (setup.variant.quantize, setup.variant.prune, setup.variant.kv_cache))
        price = on.device_price
        rent = f" at {price.usd_per_h:.4g} USD/h ({price.text})" if price is not None else ""
        return f"{counted} {on.machine.id}{layout}: {', '.join(words)}{rent}"


def is_of_traffic(case: Case) -> TypeGuard[TrafficCase]:
    """Return whether a case is of a server or a fleet."""
    return isinstance(case, TrafficCase)
