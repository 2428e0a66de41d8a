"""Fleets of a model under traffic: each deployment with each autoscaler."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .._checks import COUNT, whole
from ..deployment import Deployment
from ..errors import InputError
from ..inputs.autoscalers import Autoscaler
from ..inputs.keywords import shows_settings
from ..results.fleet_result import FleetComparison, FleetResult, cost_of
from ..serving.scheduler import Scheduler
from .fleet_run import FleetRun
from .loads import PoolLoad
from .options import FleetOptions
from .replicas import FleetError, Replica, Slots
from .request import Asked, policies_of
from .simulate import PoolCase, Rules, bound_of, case_of, result_of_case, run_cases
from .terms import Terms
from .traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Unpack

    from ..inputs.autoscalers import AutoscalerLike
    from ..serving.traffic import TrafficLike
    from .replicas import Model

POLICIES = ("static", "kpa", "hpa", "ray")
"""Autoscalers that are compared by default."""


@shows_settings(FleetOptions, FleetRun, Scheduler, own=[FleetRun])
def fleet(
    model: Model | None,
    *,
    traffic: TrafficLike,
    on: Deployment | Slots | Sequence[Deployment | Slots],
    autoscaler: AutoscalerLike | Sequence[AutoscalerLike] = POLICIES,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Unpack[FleetOptions],
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
        threads: Simulations at once; by default the cores of this machine.
        progress: Called with the simulations that are done and their number, now and then.
        **options: Fields of `FleetRun` and, for engines, of `Scheduler`, as in `serve`.

    Returns:
        The fleets, cheapest first among those that hold the objective, with the bound of each deployment and the
        deployments that are out. After Ctrl-C, those that were finished.

    Raises:
        FleetError: A part is missing, or two contradict each other.
        InputError: An autoscaler or a parameter is unknown.
        SLOError: The objective cannot be read.
        WorkloadError: The traffic has no requests.
        TraceError: A line of a trace is not what its format says.

    Examples:
        >>> place = ic.fleets.Slots(slots=8, service_s=2.0, cold_start_s=20.0, usd_per_h=3.6)
        >>> traffic = {"traffic": "poisson:12", "duration_s": 600, "slo": "queue_p95<1"}
        >>> found = ic.fleet(None, **traffic, on=place, autoscaler=["static", "kpa"])
        >>> len(found), found.best.policy
        (2, 'kpa')
    """
    asked = Asked.of(model, traffic, on, days=1, options=options)
    policies = policies_of(autoscaler)
    replicas, out = replicas_of(asked)
    return simulated(
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


def simulated(
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
    loads: dict[str, PoolLoad] = {}
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
