"""Fleets of a model under traffic: each deployment with each autoscaler, beside each other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from .. import _core
from .._checks import COUNT, shown, whole
from ..deployment import Deployment
from ..errors import InputError, InputTypeError
from ..results.fleet_result import FleetComparison, FleetResult, cost_of
from ..serving.objectives import parse_slo
from ..serving.runs import Facts
from ..serving.scheduler import Scheduler
from ..serving.traffic import parse_traffic
from .autoscaler_texts import parse_autoscaler
from .autoscalers import Autoscaler
from .replicas import FleetError, Modeled, Replica, Slots, with_cold_start
from .running import PoolCase, Rules, bound_of, case_of, result_of_case, run_cases
from .terms import Terms
from .traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..serving.lengths import LengthsLike
    from ..serving.objectives import SLOLike
    from ..serving.traffic import TrafficLike
    from .autoscaler_texts import AutoscalerLike
    from .replicas import Model

_POLICIES = ("static", "kpa", "hpa", "ray")


def fleet(
    model: Model | None,
    *,
    traffic: TrafficLike,
    on: Deployment | Slots | Sequence[Deployment | Slots],
    autoscaler: AutoscalerLike | Sequence[AutoscalerLike] = _POLICIES,
    slo: SLOLike | None = None,
    terms: Terms | None = None,
    detail: str = "fast",
    routing: str = "least_loaded",
    prompt: LengthsLike | None = None,
    output: LengthsLike | None = None,
    duration_s: float | None = None,
    scale: float = 1.0,
    start_s: float = 0.0,
    end_s: float | None = None,
    cold_start_s: float | None = None,
    varies_cold_starts: bool = False,
    timeout_s: float | None = None,
    max_batch_size: int = 8,
    max_queue_delay_s: float = 0.0,
    seed: int = 0,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    **settings: Any,
) -> FleetComparison:
    """Simulate fleets of replicas under traffic: what they cost, and what users feel.

    Each deployment is combined with each autoscaler. Replicas start after their cold start, serve, and leave when they
    have served their requests; all of that time is paid.

    Args:
        model: The spec of a language model's config without a phase for deployments with a serving engine,
            `"hf:config.json"`; any other model for those without, `"torchvision:resnet50"`, whose requests are batched
            as they come; None if all of `on` are `Slots`.
        traffic: When requests arrive: `"diurnal:mean=20,peak=3"`, `"trace.csv"`, `"FORMAT:PATH"`, or what else
            `parse_traffic` accepts.
        on: Deployments of one replica, or `Slots` that are known by their service time.
        autoscaler: Autoscalers as objects or texts: `"kpa"`, `"hpa:target=45"`, `"static:8"`, `"scheduled:0=2,8=10"`,
            `"ray"`, `"sagemaker"`, `"lambda"`, `"cloudrun"`, `"zero"`, `"seasonal"`, `"oracle"` (the bound).
        slo: Limits of latencies, as in `serve`: `"ttft_p99<2,tpot_p50<0.03"`; `queue` is the wait before service.
        terms: What is paid besides the hours of machines, or ahead, and what interrupts replicas.
        detail: Of engines: `"fast"`, memory by tokens and no prefix caches, or `"full"`, each step of the engine's scheduler.
        routing: `"least_loaded"`, or `"first"`: replicas are filled one after the other.
        prompt: Tokens of prompts, where the traffic has none.
        output: Tokens of answers, likewise.
        duration_s: Time after which no request arrives.
        scale: So many times the requests in the same time.
        start_s: Time of the traffic at which the simulation begins.
        end_s: Time at which requests end.
        cold_start_s: Seconds until a replica is ready, in the place of the sum of its parts.
        varies_cold_starts: Whether cold starts vary within their bands.
        timeout_s: Time after which a request that no replica has taken gives up.
        max_batch_size: Most items of a batch of a model without an engine.
        max_queue_delay_s: Time that an item waits for others of its batch.
        seed: Decides the random numbers.
        threads: Simulations at once; by default the cores of this machine.
        progress: Called with the simulations that are done and their number, now and then.
        **settings: Settings of the engine's scheduler, as in `serve`.

    Returns:
        The fleets, cheapest first among those that hold the objective, with the bound of each deployment and the
        deployments that are out. After Ctrl-C, those that were finished.

    Raises:
        FleetError: A part is missing, or two contradict each other.
        AutoscalerError: An autoscaler or a parameter is unknown.
        SLOError: The objective cannot be read.
        WorkloadError: The traffic has no requests.
        TraceError: A line of a trace is not what its format says.
    """
    places = list(on) if isinstance(on, Sequence) else [on]
    if not places:
        raise FleetError("on has no deployments; pass at least one")
    policies = _policies(autoscaler)
    for name in settings:
        Scheduler.check_name(name)
    if terms is not None and not isinstance(terms, Terms):
        raise InputTypeError(f"terms is a {type(terms).__name__}; expected Terms")
    workload = parse_traffic(
        traffic, prompt=prompt, output=output, duration_s=duration_s, scale=scale, start_s=start_s, end_s=end_s,
        seed=seed,
    )  # fmt: skip
    requests = Traffic(workload, _words(traffic, scale, start_s, end_s))
    objective = parse_slo(slo)
    rules = Rules(
        model=_name_of(model), objective=objective, detail=detail, routing=routing, timeout_s=timeout_s,
        varies_cold_starts=varies_cold_starts, seed=seed,
    )  # fmt: skip
    modeled = Modeled(
        model, workload, requests.facts or _NO_TOKENS, objective, detail, max_batch_size, max_queue_delay_s, settings
    )
    replicas, out = replicas_of(modeled, places, requests, cold_start_s)
    return compare(
        [(each, policy, terms or Terms()) for each in replicas for policy in policies],
        requests, rules, out, threads=threads, progress=progress,
    )  # fmt: skip


def replicas_of(
    modeled: Modeled, places: Sequence[Deployment | Slots], traffic: Traffic, cold_start_s: float | None
) -> tuple[list[Replica], dict[str, str]]:
    """Return the replicas of deployments that can serve the model, and why others cannot.

    Raises:
        InputError: None can.
    """
    found: list[Replica] = []
    out: dict[str, str] = {}
    reasons: list[InputError] = []
    for each in places:
        if isinstance(each, Deployment) and each.engine != "torch" and traffic.facts is None:
            raise FleetError("requests have no tokens, and a serving engine needs them; pass prompt= and output=")
        try:
            found.append(with_cold_start(modeled.replicas([each])[0], cold_start_s))
        except FleetError:
            raise
        except InputError as error:
            out[str(each)] = str(error)
            reasons.append(error)
    if not found:
        raise reasons[0]
    return found, out


def compare(
    fleets: Sequence[tuple[Replica, Autoscaler, Terms]],
    traffic: Traffic,
    rules: Rules,
    out: dict[str, str],
    *,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FleetComparison:
    """Simulate fleets of one pool each and rank them."""
    at_once = (os.cpu_count() or 1) if threads is None else whole(threads, "threads", COUNT, FleetError)
    in_flight: dict[str, Any] = {}
    cases = []
    bounds: dict[str, Replica] = {}
    for replica, policy, terms in fleets:
        if policy.simulated:
            cases.append(case_of([PoolCase(replica, policy, terms)], traffic, rules, in_flight))
        bounds.setdefault(replica.name, replica)
    found: list[FleetResult] = []
    interrupted = False
    for first in range(0, len(cases), at_once):
        several = cases[first : first + at_once]
        for case, raw in zip(several, run_cases(several, threads=at_once), strict=True):
            interrupted = interrupted or bool(raw["interrupted"])
            if not raw["interrupted"]:
                found.append(result_of_case(case, raw))
        if progress is not None:
            progress(min(len(cases), first + at_once), len(cases))
        if interrupted:
            break
    oracles = []
    for name, replica in bounds.items():
        if name not in in_flight:
            in_flight[name] = traffic.in_flight(replica)
        oracles.append(bound_of(replica, traffic, rules, in_flight[name]))
    return FleetComparison(
        model=rules.model,
        traffic=traffic.text,
        slo=",".join(map(str, rules.objective)),
        fleets=tuple(sorted(found, key=_rank)),
        bounds=tuple(oracles),
        out=out,
        interrupted=interrupted,
    )


def _rank(each: FleetResult) -> tuple[Any, ...]:
    missed = each.slo_met is False
    return missed, each.late_share if missed else 0.0, cost_of(each), each.late_share


def _policies(value: AutoscalerLike | Sequence[AutoscalerLike]) -> list[Autoscaler]:
    several = [value] if isinstance(value, (str, Autoscaler)) else list(value)
    if not several:
        raise FleetError("autoscaler has no values; pass at least one, such as kpa")
    return [parse_autoscaler(each) for each in several]


def _name_of(model: Model | None) -> str:
    if isinstance(model, (str, PathLike)):
        return os.fspath(model)
    if isinstance(model, _core.Graph):
        return model.model
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
