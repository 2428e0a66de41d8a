"""Plans of fleets: the cheapest that hold an objective."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from ..deployment import Deployment
from ..inputs.autoscalers import DAY_S, HOUR_S
from ..results.fleet_plan import FleetPlan
from ..serving.traffic import parse_traffic
from .asking import Asked, policies_of
from .evaluating import Context
from .replicas import FleetError, Slots
from .searching import POLICIES, Search
from .terms import Terms
from .traffic import Traffic

if TYPE_CHECKING:
    from ..inputs.autoscalers import AutoscalerLike
    from ..serving.lengths import LengthsLike
    from ..serving.objectives import SLOLike
    from ..serving.traffic import TrafficLike
    from .replicas import Model

_SHORT_S = 6 * HOUR_S  # traffic that is not divided


def plan_fleet(
    model: Model | None,
    *,
    traffic: TrafficLike,
    on: Deployment | Slots | Sequence[Deployment | Slots],
    slo: SLOLike,
    autoscaler: AutoscalerLike | Sequence[AutoscalerLike] = POLICIES,
    verify: TrafficLike | None = None,
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
    executor: Executor | None = None,
    progress: Callable[[int, int], None] | None = None,
    **settings: Any,
) -> FleetPlan:
    """Find the cheapest fleet that holds an objective under traffic, and verify it on traffic that follows.

    Each deployment is tried with each autoscaler, then the best with other targets, with replicas that are paid ahead,
    and as peaks above a base of another deployment. Prices, regions and terms differ by deployment: pass one for each.

    Args:
        model: As in `fleet`.
        traffic: As in `fleet`. Without `verify`, the last day of two or more is kept for the verification.
        on: Deployments with prices, or `Slots` with `usd_per_h`.
        slo: Limits of latencies: `"ttft_p95<2,tpot_p95<0.05"`.
        autoscaler: Autoscalers to try. `"scheduled"` without hours has those that the traffic needs in each hour.
        verify: Traffic to simulate the winner on.
        terms: As in `fleet`, without `committed`, which is found: with `Terms(commitment="discount=0.4,term_years=1")`
            replicas are paid ahead as far as that is cheaper. The next ones are those of `fleet`.
        detail: Of engines.
        routing: How requests are shared.
        prompt: Tokens of prompts, where the traffic has none.
        output: Tokens of answers.
        duration_s: Time after which no request arrives; by default two days for generated traffic.
        scale: So many times the requests.
        start_s: Time of the traffic at which the plan begins.
        end_s: Time at which requests end.
        cold_start_s: Seconds until a replica is ready.
        varies_cold_starts: Whether cold starts vary within their bands.
        timeout_s: Time after which a request gives up.
        max_batch_size: Most items of a batch of a model without an engine.
        max_queue_delay_s: Time that an item waits for others.
        seed: Decides the random numbers.
        executor: Any `concurrent.futures.Executor` (of dask, `client.get_executor()`) to simulate on; by default
            threads of this process.
        progress: Called with the simulations that are done and their number so far, now and then.
        **settings: Settings of the engine's scheduler.

    Returns:
        The cheapest fleet that holds, its simulation, and that of the same fleet on traffic that it was not planned on;
        and all that was considered. After Ctrl-C, what was found.

    Raises:
        FleetError: A part is missing, or a deployment has no price.
        SLOError: The objective is missing, or cannot be read.
        InputError: An autoscaler or a parameter is unknown.
        WorkloadError: The traffic has no requests.
    """
    asked = Asked.of(
        model, traffic, on, slo=slo, terms=terms, detail=detail, routing=routing, prompt=prompt, output=output,
        duration_s=duration_s, scale=scale, start_s=start_s, end_s=end_s, varies_cold_starts=varies_cold_starts,
        timeout_s=timeout_s, max_batch_size=max_batch_size, max_queue_delay_s=max_queue_delay_s, seed=seed, days=2,
        cold_start_s=cold_start_s, settings=settings,
    )  # fmt: skip
    if asked.terms.committed:
        raise FleetError("committed of terms is given, and a plan finds it; pass commitment, its price, instead")
    parts = _parts(asked.traffic, divide=verify is None)
    if verify is not None:
        following = parse_traffic(
            verify, prompt=prompt, output=output, duration_s=duration_s, scale=scale, seed=seed + 1
        )
        parts["following"] = Traffic(following, f"{verify}")
    search = Search(
        Context(
            key=uuid.uuid4().hex,
            modeled=asked.modeled,
            places=asked.places,
            parts=parts,
            rules=asked.rules,
            terms=asked.terms,
        ),
        policies_of(autoscaler),
        executor=executor,
        progress=progress,
    )
    return search.run()


def _parts(traffic: Traffic, *, divide: bool) -> dict[str, Traffic]:
    """Return the traffic to plan on, its busiest part, and the day after it."""
    parts = {"all": traffic}
    if divide and traffic.last_s >= 2 * DAY_S - HOUR_S:  # the last request comes before the end of the second day
        end_s = traffic.last_s - DAY_S
        parts = {"all": traffic.part(0.0, end_s), "following": traffic.part(end_s, traffic.last_s + 1.0)}
    length_s = parts["all"].last_s
    if length_s > _SHORT_S:
        window_s = DAY_S if length_s >= 2 * DAY_S else max(_SHORT_S / 3, length_s / 8)
        begin_s = parts["all"].busiest(window_s)
        parts["busiest"] = parts["all"].part(begin_s, begin_s + window_s)
    return parts
