"""Plans of fleets: the cheapest that hold an objective."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from ..deployment import Deployment
from ..inputs.autoscalers import DAY_S, HOUR_S
from ..inputs.keywords import shows_settings
from ..results.fleet_plan import FleetPlan
from ..serving.scheduler import Scheduler
from .fleet_run import FleetRun
from .options import FleetOptions
from .plan_points import Context
from .plan_search import POLICIES, Search
from .replicas import FleetError, Slots
from .request import Asked, policies_of, workload_of
from .traffic import Traffic

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..inputs.autoscalers import AutoscalerLike
    from ..serving.traffic import TrafficLike
    from .replicas import Model

_SHORT_S = 6 * HOUR_S  # traffic that is not divided


@shows_settings(FleetOptions, FleetRun, Scheduler, own=[FleetRun])
def plan_fleet(
    model: Model | None,
    *,
    traffic: TrafficLike,
    on: Deployment | Slots | Sequence[Deployment | Slots],
    autoscaler: AutoscalerLike | Sequence[AutoscalerLike] = POLICIES,
    verify: TrafficLike | None = None,
    executor: Executor | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Unpack[FleetOptions],
) -> FleetPlan:
    """Find the cheapest fleet that meets an objective under traffic, and verify it on traffic that follows.

    Each deployment is tried with each autoscaler, then the best with other targets, with replicas that are paid ahead,
    and as peaks above a base of another deployment. Prices, regions and terms differ by deployment: pass one for each.

    Args:
        model: As in `fleet`.
        traffic: As in `fleet`. Without `verify`, the last day of two or more is kept for the verification.
        on: Deployments with prices, or `Slots` with `usd_per_h`.
        autoscaler: Autoscalers to try. `"scheduled"` without hours has those that the traffic needs in each hour.
        verify: Traffic to simulate the winner on.
        executor: Any `concurrent.futures.Executor` (of dask, `client.get_executor()`) to simulate on; by default
            threads of this process.
        progress: Called with the simulations that are done and their number so far, now and then.
        **options: Fields of `FleetRun` and, for engines, of `Scheduler`. `terms` are without `committed`, which is
            found: with `terms="commitment=(discount=0.4,term_years=1)"` replicas are paid ahead as far as that is
            cheaper.

    Returns:
        The cheapest fleet that meets the objective, its simulation, and a simulation on traffic outside the planning;
        and all that was considered. After Ctrl-C, what was found.

    Raises:
        FleetError: A part is missing, or a deployment has no price.
        SLOError: The objective is missing, or cannot be read.
        InputError: An autoscaler or a parameter is unknown.
        WorkloadError: The traffic has no requests.

    Examples:
        >>> place = ic.fleets.Slots(slots=8, service_s=2.0, cold_start_s=20.0, usd_per_h=3.6)
        >>> traffic = {"traffic": "poisson:12", "duration_s": 3600, "slo": "queue_p95<1"}
        >>> plan = ic.plan_fleet(None, **traffic, on=place, autoscaler="static")
        >>> plan.best.policy
        'static:4'
    """
    asked = Asked.of(model, traffic, on, days=2, options=options)
    if asked.terms.committed:
        raise FleetError("committed of terms is given, and a plan finds it; pass commitment, its price, instead")
    parts = _parts(asked.traffic, divide=verify is None)
    if verify is not None:
        following = workload_of(
            verify,
            asked.run.replace(duration_s=options.get("duration_s"), start_s=0.0, end_s=None, seed=asked.run.seed + 1),
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
