"""Faster starts of replicas: an autoscaler may then keep fewer of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import InputError
from ...fleets.replicas import startup_of
from ..fleet_outcomes import FleetEvaluator
from ..tactic import Option, Options, Refusal
from ..traffic_tactic import TrafficTactic

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup


_LOCAL = {"weights on a local SSD, read in parallel": "nvme", "weights kept in memory of the host": "memory"}
_LOADERS = "a loader that reads files in parallel: ServerlessLLM, Run:ai Model Streamer, fastsafetensors"
_POOL = "a warm pool of stopped machines, such as an EC2 Auto Scaling warm pool: their disks are paid"


class ColdStart(TrafficTactic):
    """Weights on local disks or in memory, and loaders that read in parallel."""

    name = "cold_start"
    title = "faster starts of replicas"
    group = "startup"
    effort = "build"

    def offered(self, setup: Setup, case: Case) -> Options:
        """Offer other places and loaders of weights."""
        evaluator = case.evaluator
        if not isinstance(evaluator, FleetEvaluator):
            return Options((), [Refusal(text="starts", why="a workload has no starts; ask with traffic")])
        if evaluator.cold_start_s is not None:
            return Options((), [Refusal(text="starts", why="the time of a start is given as a whole")])
        own = startup_of(setup.on, serverless=bool(setup.terms.get("serverless")))
        refused = []
        if own.machine == "running":
            changes = [
                (
                    "weights on a local SSD, read in parallel",
                    own.replace(weights_from="nvme", loader="sllm"),
                    _LOADERS,
                ),
                ("weights kept in memory of the host", own.replace(weights_from="memory", loader="sllm"), _LOADERS),
            ]
        else:
            changes = [("prepared machines that are stopped", own.replace(machine="pool"), _POOL)]
            why = "a machine that just started has no weights on its local disks or in its memory"
            refused.append(Refusal(text="local weights", why=why))
        found = []
        for text, changed, apply in changes:
            try:
                words = str(changed)
                setup.on.replace(startup=words)
            except InputError as error:
                refused.append(Refusal(text=text, why=str(error)))
                continue
            if changed != own:
                found.append(Option(text=text, change={"startup": words}, apply=apply))
        return Options(found, refused)
