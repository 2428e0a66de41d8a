"""Fewer replicas of the same server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ..serving_outcomes import ServedEvaluator, replicas_of, with_replicas
from ..tactic import Option, Options, Refusal
from ..traffic_setups import REPLICAS
from ..traffic_tactic import TrafficTactic

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup


class Replicas(TrafficTactic):
    """As many replicas as the requests need."""

    name = "replicas"
    title = "fewer replicas"
    group = "replicas"
    effort = "setting"

    def offered(self, setup: Setup, case: Case) -> Options:
        """Offer the fewest replicas that hold the objective."""
        evaluator = case.evaluator
        if not isinstance(evaluator, ServedEvaluator):
            return Options((), [Refusal(text="replicas", why="an autoscaler decides their number")])
        own = replicas_of(setup)
        try:
            fewest = evaluator.fewest(setup)
        except InputError as error:
            return Options((), [Refusal(text="fewer replicas", why=str(error))])
        if fewest >= own:
            need = f"{fewest:,} replica{'s' * (fewest != 1)}"
            return Options((), [Refusal(text="fewer replicas", why=f"the requests need {need} within the objective")])
        placed = with_replicas(setup, fewest)
        if placed.on.layout is None:
            change: dict[str, Any] = {f"terms.{REPLICAS}": placed.terms.get(REPLICAS)}
        else:
            change = {"layout": str(placed.on.rank_layout), "devices": 1}
        text = f"{fewest:,} instead of {own:,} replicas"
        return Options([Option(text=text, change=change, apply=f"replicas: {fewest}")])
