"""A function that is billed by request and memory, for models that fit a CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...fleets.replicas import ENGINES
from ...results.units import quantity
from ..fleet_outcomes import AUTOSCALER, FleetEvaluator
from ..tactic import Option, Options, Refusal
from ..traffic_tactic import TrafficTactic

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup

_MACHINE = "xeon-8480+"
_GB_PER_THREAD = 1.769  # AWS Lambda has a thread for each 1,769 MB
_GB = (2, 4, 10)
_SHARE = 0.6  # of the memory that the model may take, less the runtime


class Serverless(TrafficTactic):
    """AWS Lambda, with an environment for each request."""

    name = "serverless"
    title = "a serverless function"
    group = "autoscaler"
    effort = "build"
    buys = True

    def offered(self, setup: Setup, case: Case) -> Options:
        """Offer functions whose memory fits the model."""
        evaluator = case.evaluator
        if not isinstance(evaluator, FleetEvaluator):
            return Options((), [Refusal(text="function", why="the workload has no hours; ask with traffic")])
        if setup.on.engine in ENGINES:
            return Options((), [Refusal(text="function", why="functions have no GPU, and serving engines need one")])
        weights = evaluator.weight_bytes(setup)
        found, refused = [], []
        for gb in _GB:
            text = f"a function with {gb} GB"
            if weights > _SHARE * gb * 1e9:
                refused.append(Refusal(text=text, why=f"weights of {quantity(weights, 'B')} leave no room in it"))
                continue
            change = {
                "hardware": _MACHINE,
                "threads": max(1, int(gb / _GB_PER_THREAD)),
                "execution": "compiled",
                "precision": "native",
                "layout": None,
                "devices": 1,
                "price": None,
                f"terms.{AUTOSCALER}": "lambda",
                "terms.serverless": "aws-lambda",
                "terms.memory_gb": gb,
                "terms.max_batch_size": 1,
                "terms.max_queue_delay_s": 0.0,
            }
            note = "threads are assumed as on a Xeon; idle environments are assumed to stay for 600 s"
            apply = f"aws lambda create-function --memory-size {1024 * gb}, with the model in a container image"
            found.append(Option(text=text, change=change, note=note, apply=apply))
        return Options(found, refused)
