"""No replica while no request comes: the first request waits for a cold start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...inputs.autoscaler_kinds import CloudRun, Knative, Kubernetes, RayServe, ScaleToZero
from ...inputs.autoscalers import parse_autoscaler
from ..fleet_outcomes import AUTOSCALER
from ..tactic import Option, Options, Refusal
from ..traffic_case import OF_FUNCTION, is_of_traffic
from ..traffic_tactic import TrafficTactic

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup

_IDLE_S = (60, 300, 900)


class ScaleDownToZero(TrafficTactic):
    """Autoscalers that remove the last replica."""

    name = "scale_to_zero"
    title = "scale to zero"
    group = "autoscaler"
    effort = "setting"

    def offered(self, setup: Setup, case: Case) -> Options:
        """Offer platforms that scale to zero, and the same autoscaler without a least replica."""
        if setup.terms.get("serverless"):
            return Options((), [Refusal(text="scale to zero", why=OF_FUNCTION)])
        if not is_of_traffic(case) or not case.of_fleet:
            return Options((), [Refusal(text="scale to zero", why="the workload has no idle hours; ask with traffic")])
        own = parse_autoscaler(str(setup.terms.get(AUTOSCALER, "static")))
        found = []
        if isinstance(own, (Knative, RayServe)) and own.min_replicas:
            apply = "autoscaling.knative.dev/min-scale: '0'" if isinstance(own, Knative) else "min_replicas: 0"
            found.append(_option(f"{own.kind} without a least replica", str(own.replace(min_replicas=0)), apply))
        if isinstance(own, Kubernetes) and not own.keda:
            text = str(own.replace(min_replicas=0, keda=True))
            found.append(_option("KEDA, which removes the last replica", text, "ScaledObject: minReplicaCount: 0"))
        for idle_s in _IDLE_S:
            text = str(ScaleToZero(idle_timeout_s=float(idle_s)))
            if text != str(own):
                words = f"replicas that leave after {idle_s} s without requests"
                found.append(_option(words, text, f"an idle timeout of {idle_s} s, as of Modal, RunPod or Beam"))
        if not isinstance(own, CloudRun):
            found.append(_option("Cloud Run", "cloudrun", "gcloud run deploy --min-instances 0"))
        return Options(found)


def _option(text: str, autoscaler: str, apply: str) -> Option:
    change = {f"terms.{AUTOSCALER}": autoscaler}
    return Option(text=text, change=change, apply=apply, note="the first request after a pause waits")
