"""The autoscaler: how many replicas there are, by rules of products."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...inputs.autoscalers import parse_autoscaler
from ..fleet_outcomes import AUTOSCALER
from ..tactic import Option, Options, Refusal
from ..traffic_case import OF_FUNCTION, is_of_traffic
from ..traffic_tactic import TrafficTactic

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup

_KINDS = {
    "kpa": "Knative: serving.knative.dev/v1, autoscaling.knative.dev/metric: concurrency",
    "hpa": "Kubernetes: autoscaling/v2 HorizontalPodAutoscaler on requests in flight",
    "ray": "Ray Serve: autoscaling_config of the deployment",
    "seasonal": "predictive scaling: replicas of the same time of the last day, started before they are needed",
}

_TARGETS = (None, 0.85, 1.0)
"""Targets as shares of the concurrency of a replica; None for the default."""


class AutoscalerKind(TrafficTactic):
    """Replicas that come and go with the load."""

    name = "autoscaler"
    title = "another autoscaler"
    group = "autoscaler"
    effort = "setting"

    def offered(self, setup: Setup, case: Case) -> Options:
        """Offer autoscalers with their defaults, and for fuller replicas."""
        if setup.terms.get("serverless"):
            return Options((), [Refusal(text="autoscaler", why=OF_FUNCTION)])
        if not is_of_traffic(case) or not case.of_fleet:
            return Options((), [Refusal(text="autoscaler", why="the workload has no hours; ask with traffic")])
        own = parse_autoscaler(str(setup.terms.get(AUTOSCALER, "static"))).kind
        found = []
        for name, apply in _KINDS.items():
            for share in _TARGETS:
                text = name if share is None else f"{name}:target_utilization={share:g}"
                words = f"autoscaler {name}" + ("" if share is None else f" at {100 * share:.0f} %")
                if name != own:
                    found.append(Option(text=words, change={f"terms.{AUTOSCALER}": text}, apply=apply))
        return Options(found)
