"""What is asked of fleets: a model, its traffic, deployments and an objective, checked and read once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

from .. import _core
from .._checks import shown
from ..deployment import Deployment
from ..errors import InputTypeError
from ..inputs.autoscalers import DAY_S, Autoscaler, parse_autoscaler
from ..serving.arrival_texts import KINDS
from ..serving.objectives import parse_slo
from ..serving.runs import Facts
from ..serving.scheduler import Scheduler
from ..serving.serve import Phases
from ..serving.traffic import parse_traffic
from .replicas import ENGINES, FleetError, Modeled, Slots
from .running import Rules
from .terms import Terms
from .traffic import Traffic

if TYPE_CHECKING:
    from ..inputs.autoscalers import AutoscalerLike
    from ..serving.lengths import LengthsLike
    from ..serving.objectives import SLOLike
    from ..serving.traffic import TrafficLike
    from .replicas import Model


@dataclass(frozen=True)
class Asked:
    """Checked arguments.

    Attributes:
        places: Deployments, or slots.
        traffic: The requests.
        rules: What all fleets have in common.
        modeled: The model, prepared for replicas.
        terms: What is paid besides the hours of machines.
    """

    places: tuple[Deployment | Slots, ...]
    traffic: Traffic
    rules: Rules
    modeled: Modeled
    terms: Terms

    @classmethod
    def of(
        cls,
        model: Model | None,
        traffic: TrafficLike,
        on: Deployment | Slots | Sequence[Deployment | Slots],
        *,
        slo: SLOLike | None,
        terms: Terms | None,
        detail: str,
        routing: str | None,
        prompt: LengthsLike | None,
        output: LengthsLike | None,
        duration_s: float | None,
        scale: float,
        start_s: float,
        end_s: float | None,
        varies_cold_starts: bool,
        timeout_s: float | None,
        max_batch_size: int,
        max_queue_delay_s: float,
        seed: int,
        days: int,
        cold_start_s: float | None,
        settings: Mapping[str, Any],
    ) -> Asked:
        """Check the arguments of `fleet`, and read the traffic, of generated traffic so many `days`."""
        places = tuple(on) if isinstance(on, Sequence) else (on,)
        if not places:
            raise FleetError("on has no deployments; pass at least one")
        for each in places:
            if not isinstance(each, (Deployment, Slots)):
                raise InputTypeError(f"a deployment is a {type(each).__name__}; expected a Deployment, or Slots")
        for name in settings:
            Scheduler.check_name(name)
        if terms is not None and not isinstance(terms, Terms):
            raise InputTypeError(f"terms is a {type(terms).__name__}; expected Terms")
        objective = parse_slo(slo)
        rules = Rules(
            model=_name_of(model), objective=objective, detail=detail, routing=routing, timeout_s=timeout_s,
            varies_cold_starts=varies_cold_starts, seed=seed,
        )  # fmt: skip
        generated = isinstance(traffic, str) and traffic.partition(":")[0].strip() in KINDS
        if generated and duration_s is None and end_s is None:
            duration_s = days * DAY_S
        workload = parse_traffic(
            traffic, prompt=prompt, output=output, duration_s=duration_s, scale=scale, start_s=start_s, end_s=end_s,
            seed=seed,
        )  # fmt: skip
        requests = Traffic(workload, _words(traffic, scale, start_s, end_s))
        if requests.facts is None and any(isinstance(each, Deployment) and each.engine in ENGINES for each in places):
            raise FleetError("requests have no tokens, and a serving engine needs them; pass prompt and output")
        facts = requests.facts or _NO_TOKENS
        modeled = Modeled(
            model, workload, facts, objective, detail, max_batch_size, max_queue_delay_s, settings, cold_start_s,
            serverless=terms is not None and terms.serverless is not None,
        )  # fmt: skip
        return cls(places, requests, rules, modeled.prepared(places), terms or Terms())


def policies_of(value: AutoscalerLike | Sequence[AutoscalerLike]) -> list[Autoscaler]:
    """Return autoscalers, checked.

    Raises:
        InputError: One is unknown, or a parameter is out of range.
    """
    several = [value] if isinstance(value, (str, Autoscaler)) else list(value)
    if not several:
        raise FleetError("autoscaler has no values; pass at least one, such as kpa")
    return [parse_autoscaler(each) for each in several]


def _name_of(model: Model | None) -> str:
    if isinstance(model, (str, PathLike)):
        return os.fspath(model)
    if isinstance(model, _core.Graph):
        return model.model
    if isinstance(model, Phases):
        return model.name
    return model[0].model if model else ""


def _words(traffic: TrafficLike, scale: float, start_s: float, end_s: float | None) -> str:
    name = os.fspath(traffic) if isinstance(traffic, (str, PathLike)) else shown(traffic)
    parts = [name]
    if scale != 1:
        parts.append(f"scaled by {scale:g}")
    if start_s or end_s is not None:
        parts.append(f"from {start_s:g} s" + ("" if end_s is None else f" to {end_s:g} s"))
    return ", ".join(parts)


_NO_TOKENS = Facts(0, 1.0, 1.0, 1.0, 1.0, 1, 2, float("nan"), shares=False)
