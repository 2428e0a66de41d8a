"""Replicas by the clock: as many in each hour of the day as that hour needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import InputError
from ...fleets.plan_points import by_step
from ...fleets.plan_search import schedule_for
from ...inputs.autoscalers import DAY_S
from ..fleet_outcomes import AUTOSCALER, FleetEvaluator
from ..tactic import Option, Options, Refusal
from ..traffic_case import OF_FUNCTION
from ..traffic_tactic import TrafficTactic

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup

_LEAST_S = 0.9 * DAY_S


class Schedule(TrafficTactic):
    """A number of replicas for each hour of the day."""

    name = "schedule"
    title = "replicas by the clock"
    group = "autoscaler"
    effort = "setting"

    def offered(self, setup: Setup, case: Case) -> Options:
        """Offer the hours that the traffic needs: enough for its highest minute in each."""
        if setup.terms.get("serverless"):
            return Options((), [Refusal(text="schedule", why=OF_FUNCTION)])
        evaluator = case.evaluator
        if not isinstance(evaluator, FleetEvaluator):
            return Options((), [Refusal(text="schedule", why="the workload has no hours; ask with traffic")])
        if evaluator.traffic.last_s < _LEAST_S:
            hours = evaluator.traffic.last_s / 3600
            why = f"the traffic is {hours:.3g} h long, and a schedule needs a day"
            return Options((), [Refusal(text="schedule", why=why)])
        try:
            replica, load = evaluator.load(setup)
        except InputError as error:
            return Options((), [Refusal(text="schedule", why=str(error))])
        scheduled = schedule_for(by_step(load)[1], replica.concurrency)
        if len(scheduled.replicas) < 2:  # noqa: PLR2004
            return Options((), [Refusal(text="schedule", why="all hours of the day need as many replicas")])
        text = str(scheduled)
        if text == str(setup.terms.get(AUTOSCALER)):
            return Options()
        least, most = (choose(count for _, count in scheduled.replicas) for choose in (min, max))
        note = "the hours follow the simulated traffic; other days may need more"
        apply = "a cron scaler, such as KEDA's, or scheduled actions of the cloud"
        change = {f"terms.{AUTOSCALER}": text}
        return Options([Option(text=f"{least} to {most} replicas by the hour", change=change, note=note, apply=apply)])
