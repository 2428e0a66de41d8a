"""Points of a plan, evaluated here or on workers: each is a fleet on one part of the traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from ..deployment import FixedCosts
from ..inputs.autoscalers import parse_autoscaler
from ..results.bill import MONTH_S
from .billing import committed_usd_per_h, price_kind
from .loads import PoolLoad
from .replicas import Modeled, Replica, Slots
from .simulate import FleetCase, PoolCase, Rules, case_of, result_of_case, run_cases, work_of
from .terms import Terms
from .traffic import Traffic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..deployment import Deployment
    from ..results.fleet_result import FleetResult


@dataclass(frozen=True)
class PoolPoint:
    """A pool of a point.

    Attributes:
        place: Number of its deployment.
        policy: Its autoscaler as text.
        committed: Replicas that are paid all the time.
    """

    place: int
    policy: str
    committed: int = 0


Point = tuple[PoolPoint, ...]


@dataclass(frozen=True)
class Context:
    """What all points of a plan share. It is small, and sent to workers.

    Attributes:
        key: Names it in the memory of a worker.
        modeled: The model, with its graphs captured.
        places: The deployments.
        parts: Name of a part of the traffic -> the part.
        rules: What fleets have in common.
        terms: Further costs.
    """

    key: str
    modeled: Modeled
    places: tuple[Deployment | Slots, ...]
    parts: Mapping[str, Traffic]
    rules: Rules
    terms: Terms


@dataclass(frozen=True)
class Found:
    """Result of the simulation of a point.

    Attributes:
        usd_per_month: Its cost.
        late_share: Share of late requests.
        slo_values: Condition -> value.
        slo_met: Whether all hold.
        peak_replicas: Most replicas of all pools at a time.
        idle_share: Share of the paid time without requests.
        seconds_with: Of the last pool, place k: time with k replicas.
        interrupted: Whether Ctrl-C ended it.
    """

    usd_per_month: float
    late_share: float
    slo_values: Mapping[str, float]
    slo_met: bool
    peak_replicas: int
    idle_share: float
    seconds_with: tuple[float, ...]
    interrupted: bool


@dataclass(frozen=True)
class PlaceFacts:
    """Facts about a deployment for a plan.

    Attributes:
        name: The deployment in words.
        usd_per_h: Price of a replica.
        ahead_share: Price of an hour that is paid ahead, over it; 1 if it cannot be.
        concurrency: Requests that a replica serves at once.
        needed: Requests in service in each second if none waited, of the whole traffic, in means over `step_s`.
        most: The highest of them in each such step.
        step_s: Seconds of a step.
        least_usd_per_month: Cost if all places of all replicas were in use all the time.
    """

    name: str
    usd_per_h: float
    ahead_share: float
    concurrency: float
    needed: NDArray[np.float64] = field(repr=False)
    most: NDArray[np.float64] = field(repr=False)
    step_s: float
    least_usd_per_month: float


class _Memory:
    """State of a process between tasks of one plan."""

    def __init__(self) -> None:
        self.key = ""
        self.lock = Lock()
        self.replicas: dict[int, Replica] = {}
        self.traffic: dict[str, Traffic] = {}
        self.loads: dict[str, dict[str, PoolLoad]] = {}

    def of(self, context: Context) -> _Memory:
        """Return the memory of a plan; the memory of another plan is dropped."""
        with self.lock:
            if self.key != context.key:
                self.key = context.key
                self.replicas, self.loads = {}, {name: {} for name in context.parts}
                self.traffic = dict(context.parts)
            return self

    def replica(self, context: Context, place: int) -> Replica:
        """Return the replica of a deployment."""
        if place not in self.replicas:
            self.replicas[place] = context.modeled.replica(context.places[place])
        return self.replicas[place]


_MEMORY = _Memory()
STEP_S = 60.0
"""Seconds of a step of a load over time."""

_AT_LEAST = 0.9  # of the paid time of a replica that full use takes: its rate is that near the highest one


def facts_of_place(context: Context, place: int) -> PlaceFacts:
    """Return facts about a deployment before any simulation."""
    memory = _MEMORY.of(context)
    replica = memory.replica(context, place)
    traffic = memory.traffic["all"]
    load = _load(memory, replica, "all")
    needed, most = by_step(load)
    usd_per_h = replica.usd_per_h or 0.0
    work_h = work_of(replica, traffic) / replica.concurrency / 3600 * _AT_LEAST
    return PlaceFacts(
        name=replica.name,
        usd_per_h=usd_per_h,
        ahead_share=_ahead_share(context, replica),
        concurrency=replica.concurrency,
        needed=needed,
        most=most,
        step_s=STEP_S,
        least_usd_per_month=work_h * usd_per_h * replica.full_share / load.end_s * MONTH_S,
    )


def by_step(load: PoolLoad) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the requests in service in each step of a load: their mean, and the most at a time."""
    import numpy as np

    wide = int(STEP_S)
    steps = -(-load.most.size // wide)
    needed, most = np.zeros(steps * wide), np.zeros(steps * wide)
    needed[: load.most.size], most[: load.most.size] = load.running_s, load.most
    return needed.reshape(steps, -1).mean(axis=1), most.reshape(steps, -1).max(axis=1)


def _ahead_share(context: Context, replica: Replica) -> float:
    """Return the price of an hour that is paid ahead, over the price of an hour; 1 where that saves nothing."""
    if not replica.usd_per_h or price_kind(replica) == "spot":
        return 1.0
    return min(1.0, committed_usd_per_h(replica, context.terms.commitment) / replica.usd_per_h)


def _load(memory: _Memory, replica: Replica, part: str) -> PoolLoad:
    loads = memory.loads[part]
    if replica.name not in loads:
        loads[replica.name] = memory.traffic[part].load(replica)
    return loads[replica.name]


def _case(context: Context, point: Point, part: str) -> FleetCase:
    memory = _MEMORY.of(context)
    pools = []
    for number, each in enumerate(point):
        replica = memory.replica(context, each.place)
        _load(memory, replica, part)
        terms = _terms_of(context.terms, each, first=number == 0)
        pools.append(PoolCase(replica, parse_autoscaler(each.policy), terms))
    return case_of(pools, memory.traffic[part], context.rules, memory.loads[part])


def _terms_of(terms: Terms, point: PoolPoint, *, first: bool) -> Terms:
    """Return the terms of a pool; monthly costs are part of the first pool."""
    paid = terms if first else terms.replace(fixed=FixedCosts())
    return paid.replace(committed=point.committed)


def evaluate(context: Context, points: Sequence[Point], part: str) -> list[Found]:
    """Simulate points on a part of the traffic, one after the other."""
    found = []
    for point in points:
        case = _case(context, point, part)
        raw = run_cases([case])[0]
        result = result_of_case(case, raw)
        bill = result.bill
        found.append(
            Found(
                usd_per_month=0.0 if bill is None else bill.usd_per_month,
                late_share=result.late_share,
                slo_values=result.slo_values,
                slo_met=bool(result.slo_met),
                peak_replicas=sum(pool.peak_replicas for pool in result.pools),
                idle_share=result.idle_share,
                seconds_with=tuple(float(each) for each in raw["pools"][-1]["seconds_with"]),
                interrupted=result.interrupted,
            )
        )
        if result.interrupted:
            break
    return found


def full_result(context: Context, point: Point, part: str) -> FleetResult:
    """Return the whole result of a point."""
    case = _case(context, point, part)
    return result_of_case(case, run_cases([case])[0])
