"""The target of an autoscaler: fuller replicas are fewer, and leave less room for bursts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...inputs.autoscaler_kinds import Static
from ...inputs.autoscalers import parse_autoscaler
from ...results.fleet_result import FleetResult
from ...results.units import percent
from ..fleet_outcomes import AUTOSCALER, FleetEvaluator
from ..tactic import Option, Options, Refusal
from ..traffic_case import OF_FUNCTION
from ..traffic_tactic import TrafficTactic

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup

_TARGETS = (0.5, 0.6, 0.8, 0.9, 1.0)
_SHARES = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_FIELD = "target_utilization"


class ScalingTarget(TrafficTactic):
    """Another target of the same autoscaler, or fewer replicas that are always there."""

    name = "scaling_target"
    title = "fuller replicas"
    group = "autoscaler"
    effort = "setting"

    def offered(self, setup: Setup, case: Case) -> Options:
        """Offer other targets; of a fixed number of replicas, smaller numbers."""
        if setup.terms.get("serverless"):
            return Options((), [Refusal(text="target", why=OF_FUNCTION)])
        evaluator = case.evaluator
        if not isinstance(evaluator, FleetEvaluator):
            return Options((), [Refusal(text="target", why="a workload has no autoscaler; ask with traffic")])
        scaler = parse_autoscaler(str(setup.terms.get(AUTOSCALER, "static")))
        changes: list[tuple[str, Any]] = []
        if isinstance(scaler, Static):
            result: FleetResult = evaluator.result(setup)
            most = result.peak_replicas
            if most == 1:
                why = f"there is one, which is idle {percent(result.idle_share)} % of the paid time"
                return Options((), [Refusal(text="fewer replicas", why=why)])
            counts = sorted({max(1, round(share * most)) for share in _SHARES} - {most})
            changes = [(f"{n} replica{'s' * (n != 1)} all the time", scaler.replace(replicas=n)) for n in counts]
        elif hasattr(scaler, _FIELD):
            own = getattr(scaler, _FIELD)
            changes = [
                (f"autoscaler {scaler.kind} at {100 * share:.0f} %", scaler.replace(target_utilization=share))
                for share in _TARGETS
                if share != own
            ]
        if not changes:
            return Options((), [Refusal(text="target", why=f"{scaler.kind} has no target of utilization")])
        found = []
        for text, each in changes:
            fixed = isinstance(each, Static)
            apply = f"replicas: {each.replicas}" if fixed else f"a target of {100 * each.target_utilization:.0f} %"
            found.append(Option(text=text, change={f"terms.{AUTOSCALER}": str(each)}, apply=apply))
        return Options(found)
