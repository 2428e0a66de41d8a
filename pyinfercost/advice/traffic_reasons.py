"""Reasons why an option saves nothing under traffic: the capacity and the number of replicas."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from ..errors import InputError
from ..results.units import percent, significant
from .fleet_outcomes import FleetEvaluator
from .serving_outcomes import ServedEvaluator, replicas_of

if TYPE_CHECKING:
    from .case import Case
    from .setups import Setup

_ALIKE = 1e-3  # share of the replicas within which their number is the same


def traffic_reason(setup: Setup, case: Case) -> str:
    """Return the capacity of replicas before and after an option, and the needed number."""
    evaluator = case.evaluator
    if isinstance(evaluator, ServedEvaluator):
        return _of_server(setup, case, evaluator)
    if isinstance(evaluator, FleetEvaluator):
        return _of_fleet(setup, case, evaluator)
    return ""


def missed(setup: Setup, case: Case) -> str:
    """Return which conditions of the objective a setup breaks, and how many requests it does not answer."""
    evaluator = case.evaluator
    try:
        if isinstance(evaluator, ServedEvaluator):
            served = evaluator.result(setup)
            return "; ".join([*served.slo_missed, *(f"{many:,} {why}" for why, many in served.unfinished.items())])
        if isinstance(evaluator, FleetEvaluator):
            fleet = evaluator.result(setup)
            over = [each for each in evaluator.rules.objective if not fleet.slo_values[each.name] < each.limit_s]
            words = [
                f"{each.name} is {fleet.slo_values[each.name]:.4g} s, and the limit {each.limit_s:g} s" for each in over
            ]
            late = f"{percent(fleet.late_share)} % of the requests are late" if fleet.slo_met is False else ""
            return "; ".join(words) or late
    except InputError as error:
        return str(error)
    return ""


def _of_server(setup: Setup, case: Case, evaluator: ServedEvaluator) -> str:
    old, new = replicas_of(case.baseline), replicas_of(setup)
    counts = f"{old:,} replica{'s' * (old != 1)}"
    before, after = (evaluator.capacity_per_s(each) for each in (case.baseline, setup))
    rate = evaluator.facts.rate_per_s
    can = ""
    if before is not None and after is not None:
        can = f"a replica sustains {significant(after)} instead of {significant(before)} requests/s"
    if old == new and _of_a_replica(setup) == _of_a_replica(case.baseline) and can:
        need = f"{rate:.4g} requests/s" if isfinite(rate) else "these requests"
        return f"{can}, and {need} take {counts} either way"
    moved = f"{new:,} instead of {counts}" if old != new else counts
    return f"it takes {moved}{_paid(setup, case, 'usd_per_h', 'USD/h')}" + (f"; {can}" if can else "")


def _of_fleet(setup: Setup, case: Case, evaluator: FleetEvaluator) -> str:
    old, new = (evaluator.result(each) for each in (case.baseline, setup))
    many, was = f"{new.mean_replicas:.3g}", f"{old.mean_replicas:.3g}"
    shares = percent(new.idle_share), percent(old.idle_share)
    idle = f"idle {' instead of '.join(dict.fromkeys(shares))} % of the paid time"
    paid = _paid(setup, case, "usd_per_month", "USD/month")
    if abs(new.mean_replicas - old.mean_replicas) <= _ALIKE * old.mean_replicas:
        either = f"{many} replica{'s' * (many != '1')} either way{paid}, {idle}"
        return f"{either}: the peak decides" if new.peak_replicas > 1 and not new.starts and not paid else either
    words = f"{many} instead of {was} replica{'s' * (was != '1')} on average{paid}, {idle}"
    if new.starts or old.starts:
        words += f", {new.starts:,} cold starts instead of {old.starts:,}"
    return words


def _of_a_replica(setup: Setup) -> tuple[str, int]:
    """Return the machine of a replica, and on how many devices it lies."""
    layout = setup.on.rank_layout
    return setup.on.machine.id, layout.tensor * layout.pipeline * layout.context


def _paid(setup: Setup, case: Case, name: str, unit: str) -> str:
    """Return the price before and after where replicas differ; else their number suffices."""
    old, new = (case.outcome.figures.get(name), case.evaluator.outcomes([setup])[0].figures.get(name))
    if old is None or new is None or _of_a_replica(setup) == _of_a_replica(case.baseline):
        return ""
    amounts = significant(new), significant(old)
    return f" at {' instead of '.join(dict.fromkeys(amounts))} {unit}"
