"""Questions about fleets: a model, its traffic, deployments and an objective, checked and read once."""

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
from ..serving.runs import Facts
from ..serving.scheduler import Scheduler
from ..serving.serve import Phases
from ..serving.traffic import parse_traffic
from .fleet_run import FleetRun
from .replicas import ENGINES, FleetError, Modeled, Slots
from .simulate import Rules
from .terms import Terms
from .traffic import Traffic

if TYPE_CHECKING:
    from ..inputs.autoscalers import AutoscalerLike
    from ..serving.traffic import TrafficLike
    from ..serving.workload import Workload
    from .replicas import Model


@dataclass(frozen=True)
class Asked:
    """Checked arguments.

    Attributes:
        places: Deployments, or slots.
        traffic: The requests.
        rules: What all fleets have in common.
        modeled: The model, prepared for replicas.
        run: Limits, terms and settings.
    """

    places: tuple[Deployment | Slots, ...]
    traffic: Traffic
    rules: Rules
    modeled: Modeled
    run: FleetRun

    @property
    def terms(self) -> Terms:
        """Costs besides the hours of machines."""
        return self.run.terms or Terms()

    @classmethod
    def of(
        cls,
        model: Model | None,
        traffic: TrafficLike,
        on: Deployment | Slots | Sequence[Deployment | Slots],
        *,
        days: int,
        options: Mapping[str, Any],
    ) -> Asked:
        """Check the arguments of `fleet`, and read the traffic.

        Args:
            model: The model.
            traffic: The traffic.
            on: Deployments, or slots.
            days: Days of generated traffic.
            options: Fields of `FleetRun`, and settings of the scheduler.
        """
        places = tuple(on) if isinstance(on, Sequence) else (on,)
        if not places:
            raise FleetError("on has no deployments; pass at least one")
        for each in places:
            if not isinstance(each, (Deployment, Slots)):
                raise InputTypeError(f"a deployment is a {type(each).__name__}; expected a Deployment, or Slots")
        fields = {each.name for each in FleetRun.fields}
        settings = {name: value for name, value in options.items() if name not in fields and value is not None}
        for name in settings:
            Scheduler.check_name(name)
        run = FleetRun(**{name: value for name, value in options.items() if name in fields})
        rules = Rules(
            model=_name_of(model), objective=run.slo, detail=run.detail, routing=run.routing, timeout_s=run.timeout_s,
            varies_cold_starts=run.varies_cold_starts, seed=run.seed,
        )  # fmt: skip
        generated = isinstance(traffic, str) and traffic.partition(":")[0].strip() in KINDS
        if generated and run.duration_s is None and run.end_s is None:
            run = run.replace(duration_s=days * DAY_S)
        workload = workload_of(traffic, run)
        requests = Traffic(workload, _words(traffic, run))
        if requests.facts is None and any(isinstance(each, Deployment) and each.engine in ENGINES for each in places):
            raise FleetError("requests have no tokens, and a serving engine needs them; pass prompt and output")
        facts = requests.facts or _NO_TOKENS
        modeled = Modeled(
            model, workload, facts, run.slo, run.detail, run.max_batch_size, run.max_queue_delay_s, settings,
            run.cold_start_s, serverless=run.terms is not None and run.terms.serverless is not None,
        )  # fmt: skip
        return cls(places, requests, rules, modeled.prepared(places), run)


def workload_of(traffic: TrafficLike, run: FleetRun) -> Workload:
    """Return the requests of a traffic in a run."""
    return parse_traffic(
        traffic, prompt=run.prompt, output=run.output, duration_s=run.duration_s, scale=run.scale, start_s=run.start_s,
        end_s=run.end_s, seed=run.seed,
    )  # fmt: skip


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


def _words(traffic: TrafficLike, run: FleetRun) -> str:
    name = os.fspath(traffic) if isinstance(traffic, (str, PathLike)) else shown(traffic)
    parts = [name]
    if run.scale != 1:
        parts.append(f"scaled by {run.scale:g}")
    if run.start_s or run.end_s is not None:
        parts.append(f"from {run.start_s:g} s" + ("" if run.end_s is None else f" to {run.end_s:g} s"))
    return ", ".join(parts)


_NO_TOKENS = Facts(0, 1.0, 1.0, 1.0, 1.0, 1, 2, float("nan"), shares=False)
