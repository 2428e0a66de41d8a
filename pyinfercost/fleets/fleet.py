"""Fleets of a model under traffic: each deployment with each autoscaler, beside each other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .._checks import COUNT, whole
from ..deployment import Deployment
from ..errors import InputError
from ..inputs.autoscalers import Autoscaler
from ..results.fleet_result import FleetComparison, FleetResult, cost_of
from .asking import Asked, policies_of
from .loads import Load
from .replicas import FleetError, Replica, Slots
from .running import PoolCase, Rules, bound_of, case_of, result_of_case, run_cases
from .terms import Terms
from .traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..inputs.autoscalers import AutoscalerLike
    from ..serving.lengths import LengthsLike
    from ..serving.objectives import SLOLike
    from ..serving.traffic import TrafficLike
    from .replicas import Model

POLICIES = ("static", "kpa", "hpa", "ray")
"""Autoscalers that are compared by default."""


def fleet(
    model: Model | None,
    *,
    traffic: TrafficLike,
    on: Deployment | Slots | Sequence[Deployment | Slots],
    autoscaler: AutoscalerLike | Sequence[AutoscalerLike] = POLICIES,
    slo: SLOLike | None = None,
    terms: Terms | None = None,
    detail: str = "fast",
    routing: str | None = None,
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
        detail: Of engines: `"fast"`, memory by tokens and no prefix caches, or `"full"`, each of its steps.
        routing: `"least_loaded"`, or `"first"`: replicas are filled one after the other. None for `"first"` with slots,
            which are as fast beside others as alone, and with `"lambda"`, `"cloudrun"` and `"zero"`, whose replicas
            leave when they are idle; for the other one elsewhere.
        prompt: Tokens of prompts, where the traffic has none.
        output: Tokens of answers, likewise.
        duration_s: Time after which no request arrives; by default a day for generated traffic.
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
        InputError: An autoscaler or a parameter is unknown.
        SLOError: The objective cannot be read.
        WorkloadError: The traffic has no requests.
        TraceError: A line of a trace is not what its format says.
    """
    asked = Asked.of(
        model, traffic, on, slo=slo, terms=terms, detail=detail, routing=routing, prompt=prompt, output=output,
        duration_s=duration_s, scale=scale, start_s=start_s, end_s=end_s, varies_cold_starts=varies_cold_starts,
        timeout_s=timeout_s, max_batch_size=max_batch_size, max_queue_delay_s=max_queue_delay_s, seed=seed, days=1,
        cold_start_s=cold_start_s, settings=settings,
    )  # fmt: skip
    policies = policies_of(autoscaler)
    replicas, out = replicas_of(asked)
    return compare(
        [(each, policy, asked.terms) for each in replicas for policy in policies],
        asked.traffic, asked.rules, out, threads=threads, progress=progress,
    )  # fmt: skip


def replicas_of(asked: Asked) -> tuple[list[Replica], dict[str, str]]:
    """Return the replicas of deployments that can serve the model, and why others cannot.

    Raises:
        InputError: None can.
    """
    found: list[Replica] = []
    out: dict[str, str] = {}
    reasons: list[InputError] = []
    for each in asked.places:
        try:
            found.append(asked.modeled.replica(each))
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
    loads: dict[str, Load] = {}
    cases = []
    bounds: dict[str, tuple[Replica, Terms]] = {}
    for replica, policy, terms in fleets:
        if policy.simulated:
            cases.append(case_of([PoolCase(replica, policy, terms)], traffic, rules, loads))
        bounds.setdefault(replica.name, (replica, terms))
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
    for name, (replica, terms) in bounds.items():
        if name not in loads:
            loads[name] = traffic.load(replica)
        oracles.append(bound_of(replica, terms, traffic, rules, loads[name]))
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
    overloaded = each.slo_met is None and each.overloaded
    return missed, overloaded, each.late_share if missed else 0.0, cost_of(each), each.late_share
