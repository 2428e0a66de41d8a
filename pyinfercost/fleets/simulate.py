"""Simulations of fleets, and results of what they found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, inf, log
from typing import TYPE_CHECKING, Any

from .. import _core
from .._checks import Range
from ..deployment import Interruptions
from ..inputs.autoscaler_kinds import Oracle
from ..inputs.autoscalers import Autoscaler, with_limits
from ..inputs.facts import facts
from ..results.fleet_result import FLEET_LATENCIES, FleetDemand, FleetPool, FleetResult
from ..results.latency import STATISTICS, Distribution
from ..results.notices import Notice, notice
from .billing import PaidPool, bill_of, carbon_of, energy_of, price_kind, price_text
from .replicas import FleetError, Replica
from .terms import Terms

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..serving.objectives import Condition
    from .loads import PoolLoad
    from .traffic import Progress, Traffic

ROUTINGS = ("least_loaded", "first")
"""How requests are shared: to the replica with the fewest, or to the first one with room."""

_LIMITS = {"queue_s": "wait_s", "ttft_s": "ttft_s", "tpot_s": "tpot_s", "e2e_s": "e2e_s"}
_SHARE = Range(0.0, 3.0)
_NINETY_OF_NORMAL = 1.2816  # standard deviations that leave 10 % on each side
_MOST_REPLICAS = 2**20
_ALL = 100.0  # percent


@dataclass(frozen=True)
class PoolCase:
    """A pool of a fleet.

    Attributes:
        replica: Its replicas.
        autoscaler: How many of them there are.
        terms: How they are paid, and what takes them away.
    """

    replica: Replica
    autoscaler: Autoscaler
    terms: Terms = field(default_factory=Terms)


@dataclass(frozen=True)
class Rules:
    """What all fleets of a comparison have in common.

    Attributes:
        model: Name of the model.
        objective: Limits of latencies.
        detail: How replicas of engines are simulated.
        routing: How requests are shared by replicas; None as it suits the replicas and the autoscaler's platform.
        timeout_s: Time after which a request that no replica has taken gives up; None for never.
        varies_cold_starts: Whether cold starts vary within their bands; else each takes its typical time.
        seed: Decides the random numbers.
    """

    model: str = ""
    objective: tuple[Condition, ...] = ()
    detail: str = "fast"
    routing: str | None = None
    timeout_s: float | None = None
    varies_cold_starts: bool = False
    seed: int = 0


@dataclass(frozen=True)
class FleetCase:
    """A fleet to simulate.

    Attributes:
        pools: Its pools: a request goes to the first one with room, and those that wait are the last one's.
        loads: Load of each pool, from which targets follow.
        traffic: The requests.
        rules: What fleets have in common.
    """

    pools: tuple[PoolCase, ...]
    loads: tuple[_core.ReplicaLoad, ...]
    traffic: Traffic
    rules: Rules

    @property
    def routing(self) -> str:
        """How requests are shared by replicas.

        Slots are as fast with others as alone: filling one replica after the other lets the rest leave.
        """
        slots = all(isinstance(pool.replica.core, _core.SlotReplica) for pool in self.pools)
        return self.rules.routing or ("first" if slots else self.pools[-1].autoscaler.routing)

    @property
    def longest_wait_s(self) -> float:
        """Longest wait of a request in time, without an objective: the mean service, in seconds."""
        return self.pools[-1].replica.service_s

    def core(self) -> _core.Fleet:
        """Return the fleet for the simulator."""
        limits = dict.fromkeys(FLEET_LATENCIES, inf)
        for each in self.rules.objective:
            name = _LIMITS[each.latency]
            limits[name] = min(limits[name], each.limit_s)
        if not self.rules.objective:
            limits["wait_s"] = self.longest_wait_s
        return _core.Fleet(
            pools=[self._pool(*each) for each in zip(self.pools, self.loads, strict=True)],
            routing=self.routing,
            limits=_core.FleetLimits(**limits),
            timeout_s=inf if self.rules.timeout_s is None else self.rules.timeout_s,
            bin_s=self.traffic.bin_s,
            horizon_s=self.traffic.last_s,
            seed=self.rules.seed,
            keeps_requests=False,
        )

    def _pool(self, pool: PoolCase, load: _core.ReplicaLoad) -> _core.FleetPool:
        replica, scaler, terms = pool.replica, pool.autoscaler, pool.terms
        spread = 0.0
        if self.rules.varies_cold_starts and replica.start.low_s > 0:
            spread = log(replica.start.high_s / replica.start.low_s) / (2 * _NINETY_OF_NORMAL)
        rates = rates_of(pool)
        return _core.FleetPool(
            replica=replica.core,
            autoscaler=scaler.loaded(load),
            copies=replica.copies,
            concurrency=scaler.limit_of(load, replica.limit),
            min_replicas=max(scaler.min_replicas, terms.committed),
            max_replicas=max(terms.committed, _MOST_REPLICAS if scaler.max_replicas is None else scaler.max_replicas),
            start_replicas=max(terms.committed, scaler.starts_with(load)),
            cold_start_s=replica.start.seconds,
            cold_start_spread=min(_SHARE.high, spread),
            max_drain_s=inf,
            interruptions_per_h=rates.interruptions_per_h,
            notice_s=rates.notice_s,
            failures_per_h=rates.failures_per_h,
        )


def rates_of(pool: PoolCase) -> Interruptions:
    """Return what takes the replicas of a pool away: interruptions if they are on spot machines, and failures."""
    given = pool.terms.interruptions
    spot = price_kind(pool.replica) == "spot"
    if given is not None:
        return given if spot else given.replace(interruptions_per_h=0.0)
    if not spot:
        return Interruptions(interruptions_per_h=0.0, failures_per_h=0.0)
    price = None if pool.replica.on is None else pool.replica.on.device_price
    cloud = "" if price is None else price.cloud
    return Interruptions.parse(cloud if cloud in facts()["interruptions"] else {})


def case_of(pools: Sequence[PoolCase], traffic: Traffic, rules: Rules, loads: dict[str, PoolLoad]) -> FleetCase:
    """Return a fleet; `loads` keeps the load of the traffic by the name of a replica."""
    found = []
    taken = 0.0
    for pool in pools:
        replica = pool.replica
        if pool.terms.committed and price_kind(replica) == "spot":
            raise FleetError(
                f"{replica.name} is priced as a spot machine, and these cannot be committed; pass a price on demand, "
                "or committed=0"
            )
        if replica.name not in loads:
            loads[replica.name] = traffic.load(replica)
        load = replica.load(loads[replica.name], work_of(replica, traffic), less=taken)
        found.append(load)
        taken += replica.concurrency * pool.autoscaler.starts_with(load)
    return FleetCase(tuple(pools), tuple(found), traffic, rules)


def run_cases(
    cases: Sequence[FleetCase], *, threads: int = 1, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Simulate fleets; after Ctrl-C, results have `interrupted`."""
    return _core.simulate_fleets([(case.core(), case.traffic.source(progress)) for case in cases], threads=threads)


def result_of_case(case: FleetCase, found: Mapping[str, Any]) -> FleetResult:
    """Return the result of a simulation."""
    import numpy as np

    traffic, rules = case.traffic, case.rules
    duration_s = float(found["end_s"])
    demand = found["demand"]
    paid = [_paid(pool, raw) for pool, raw in zip(case.pools, found["pools"], strict=True)]
    energy = energy_of(paid)
    arrived = np.asarray(demand["arrived"])
    lost = arrived - np.asarray(demand["finished"])
    finished = np.maximum(1, np.asarray(demand["finished"]))
    edges = _core.histogram_edges()
    values = {each.name: _statistic(found[_LIMITS[each.latency]], each.percent, edges) for each in rules.objective}
    late_share = (found["late"] + found["failed"] + found["unfinished"]) / max(1, found["arrived"])
    return FleetResult(
        model=rules.model,
        traffic=traffic.text,
        detail=rules.detail,
        routing=case.routing,
        requests=int(found["arrived"]),
        finished=int(found["finished"]),
        failed=int(found["failed"]),
        unfinished=int(found["unfinished"]),
        restarted=int(found["restarted"]),
        interrupted=bool(found["interrupted"]),
        duration_s=duration_s,
        slo=",".join(map(str, rules.objective)),
        slo_values=values,
        slo_met=_holds(case, found, edges) if rules.objective else None,
        late_share=late_share,
        latencies={name: _latency(found[name], edges) for name in FLEET_LATENCIES},
        pools=tuple(
            _pool(pool, load, raw, each, traffic, duration_s)
            for pool, load, raw, each in zip(case.pools, case.loads, found["pools"], paid, strict=True)
        ),
        demand=FleetDemand(
            bin_s=traffic.bin_s,
            arrived=arrived,
            late=np.asarray(demand["late"]) + lost,
            wait_s=np.asarray(demand["wait_s"]) / finished,
            most_wait_s=np.asarray(demand["most_wait_s"]),
            waiting=np.asarray(demand["waiting_s"]) / traffic.bin_s,
        ),
        bill=bill_of(
            paid,
            bin_s=traffic.bin_s,
            duration_s=duration_s,
            requests=int(found["finished"]),
            output_tokens=float(np.sum(demand["output_tokens"])) if traffic.facts else 0.0,
        ),
        energy_j=None if energy is None else float(energy.sum()),
        carbon_g=carbon_of(paid, traffic.bin_s),
        notices=(*_late(case, found, late_share), *_notices(case)),
        overloaded=late_share > 0 and _rates(case, found)[0] > _rates(case, found)[1],
    )


def bound_of(replica: Replica, terms: Terms, traffic: Traffic, rules: Rules, load: PoolLoad) -> FleetResult:
    """Return the oracle's bound: at any time the replicas that this time and the one after it need.

    There is always one replica, and committed replicas are paid all the time, as by every policy on these terms.
    """
    import numpy as np

    second = np.arange(load.most.size)
    place = (second / traffic.bin_s).astype(int)
    bins = int(place[-1]) + 1
    committed_s = terms.committed * np.clip(load.end_s - second, 0.0, 1.0)
    ready_s = np.bincount(place, weights=np.maximum(load.replicas_s, committed_s))
    busy_s = np.bincount(place, weights=np.where(load.most > 0, load.replicas_s, 0.0))
    nothing = np.zeros(bins)
    pool = PoolCase(replica, Oracle(), terms)
    paid = PaidPool(
        replica=replica,
        terms=pool.terms,
        bins={"starting_s": nothing, "ready_s": ready_s, "draining_s": nothing, "busy_s": busy_s},
        seconds_with=np.zeros(0),
        work_j=None,
        requests=traffic.requests,
        running_s=busy_s * replica.concurrency,
        ready_replicas=0,
    )
    counts = dict.fromkeys(("starts", "cancelled", "interrupted", "failed"), 0)
    raw = {"peak": max(terms.committed, load.most_replicas), "requests": traffic.requests, **counts}
    found = _pool(pool, replica.load(load, work_of(replica, traffic)), raw, paid, traffic, load.end_s)
    none = Distribution(**dict.fromkeys(STATISTICS, 0.0))
    arrived = np.zeros(bins, dtype=np.int64)
    return FleetResult(
        model=rules.model,
        traffic=traffic.text,
        detail="bound",
        routing="",
        requests=traffic.requests,
        finished=traffic.requests,
        failed=0,
        unfinished=0,
        restarted=0,
        interrupted=False,
        duration_s=load.end_s,
        slo="",
        slo_values={},
        slo_met=None,
        late_share=0.0,
        latencies={name: none if name == "wait_s" else _unknown() for name in FLEET_LATENCIES},
        pools=(found,),
        demand=FleetDemand(
            bin_s=traffic.bin_s, arrived=arrived, late=arrived, wait_s=nothing, most_wait_s=nothing, waiting=nothing
        ),
        bill=bill_of(
            [paid],
            bin_s=traffic.bin_s,
            duration_s=load.end_s,
            requests=traffic.requests,
            output_tokens=traffic.facts.output * traffic.requests if traffic.facts else 0.0,
        ),
        energy_j=None,
        carbon_g=None,
        notices=(notice("bound"),),
    )


def work_of(replica: Replica, traffic: Traffic) -> float:
    """Return the seconds in service of all requests."""
    facts = traffic.facts
    if facts is not None and replica.token_s:
        return traffic.requests * (replica.prompt_s * facts.prompt + replica.token_s * facts.output)
    return traffic.requests * replica.service_s


def _paid(pool: PoolCase, raw: Mapping[str, Any]) -> PaidPool:
    import numpy as np

    return PaidPool(
        replica=pool.replica,
        terms=pool.terms,
        bins={name: np.asarray(raw[name]) for name in ("starting_s", "ready_s", "draining_s", "busy_s")},
        seconds_with=np.asarray(raw["seconds_with"]),
        work_j=float(raw["energy_j"]) if pool.replica.idle_w is not None else None,
        requests=int(raw["requests"]),
        running_s=np.asarray(raw["running_s"]),
        ready_replicas=pool.autoscaler.min_replicas,
    )


def _pool(
    pool: PoolCase, load: _core.ReplicaLoad, raw: Mapping[str, Any], paid: PaidPool, traffic: Traffic, duration_s: float
) -> FleetPool:
    import numpy as np

    used, cold = float(paid.bins["busy_s"].sum()), float(paid.bins["starting_s"].sum())
    energy = paid.energy_j()
    bin_s = traffic.bin_s
    length = np.maximum(1e-9, np.minimum(bin_s, duration_s - np.arange(paid.paid_s.size) * bin_s))
    reserved = paid.reserved_s(length)
    work_s = work_of(pool.replica, traffic) * int(raw["requests"]) / traffic.requests
    return FleetPool(
        name=pool.replica.name,
        autoscaler=str(pool.autoscaler),
        settings=with_limits(pool.autoscaler, least=pool.terms.committed).stated(load),
        price=price_text(pool.replica),
        usd_per_h=pool.replica.usd_per_h,
        concurrency=pool.replica.concurrency,
        cold_start_s=pool.replica.start.seconds,
        cold_start_parts_s=dict(pool.replica.start.parts),
        peak_replicas=int(raw["peak"]),
        mean_replicas=float(paid.paid_s.sum()) / duration_s if duration_s else 0.0,
        starts=int(raw["starts"]),
        cancelled=int(raw["cancelled"]),
        interrupted=int(raw["interrupted"]),
        failed=int(raw["failed"]),
        requests=int(raw["requests"]),
        reserved_s=reserved,
        used_s=used,
        idle_s=max(0.0, reserved - used - cold),
        cold_s=cold,
        working_s=work_s / pool.replica.concurrency,
        energy_j=None if energy is None else float(energy.sum()),
        replicas=paid.paid_s / length,
        busy=paid.bins["busy_s"] / length,
        cold=paid.bins["starting_s"] / length,
    )


def _latency(histogram: Mapping[str, Any], edges: NDArray[np.float64]) -> Distribution:
    if not histogram["count"]:
        return _unknown()
    return Distribution(
        mean=histogram["sum"] / histogram["count"],
        p50=_statistic(histogram, 50, edges),
        p90=_statistic(histogram, 90, edges),
        p99=_statistic(histogram, 99, edges),
        max=histogram["most"],
    )


def _unknown() -> Distribution:
    return Distribution(**dict.fromkeys(STATISTICS, float("nan")))


def _statistic(histogram: Mapping[str, Any], percent: float | None, edges: NDArray[np.float64]) -> float:
    """Return a percentile, linear within its interval; the mean for None. Not a number without requests."""
    import numpy as np

    if not histogram["count"]:
        return float("nan")
    if percent is None:
        return float(histogram["sum"] / histogram["count"])
    counts = np.asarray(histogram["counts"])
    wanted = percent / 100 * histogram["count"]
    below = np.cumsum(counts)
    place = int(np.searchsorted(below, wanted))
    place = min(place, counts.size - 1)
    if place == 0:
        return 0.0
    upper = edges[place + 1] if place + 1 < edges.size else histogram["most"]
    share = (wanted - (below[place] - counts[place])) / max(1, counts[place])
    return float(min(histogram["most"], edges[place] + share * (upper - edges[place])))


def _holds(case: FleetCase, found: Mapping[str, Any], edges: NDArray[np.float64]) -> bool:
    """Return whether all conditions hold; requests that were not answered are longer than any limit."""
    lost = found["failed"] + found["unfinished"]
    for each in case.rules.objective:
        histogram = found[_LIMITS[each.latency]]
        if each.percent is None:
            if lost or not _statistic(histogram, None, edges) <= each.limit_s:
                return False
            continue
        arrived = histogram["count"] + lost
        share = each.percent * arrived / max(1, histogram["count"])
        if share > _ALL or not _statistic(histogram, share, edges) <= each.limit_s:
            return False
    return True


def _rates(case: FleetCase, found: Mapping[str, Any]) -> tuple[float, float]:
    """Return the mean rate of requests, and the highest one that the replicas of the peak serve, per second."""
    traffic = case.traffic
    peaks = zip(found["pools"], case.pools, strict=True)
    capacity = sum(raw["peak"] * pool.replica.capacity_per_s for raw, pool in peaks)
    return traffic.requests / traffic.last_s if traffic.last_s else 0.0, capacity


def _late(case: FleetCase, found: Mapping[str, Any], late_share: float) -> Iterator[Notice]:
    """Yield which requests are late without an objective, and why they are if the fleet is overloaded."""
    if not late_share:
        return
    rate, capacity = _rates(case, found)
    if rate > capacity:
        each = case.pools[-1].replica.capacity_per_s
        needed = sum(int(raw["peak"]) for raw in found["pools"]) + ceil((rate - capacity) / each)
        shown = {"rate_per_s": rate, "capacity_per_s": capacity, "late_share": late_share, "replicas": needed}
        yield notice("fleet_above_capacity", **shown)
    if not case.rules.objective:
        yield notice("late_without_objective", longest_wait_s=case.longest_wait_s)


def _notices(case: FleetCase) -> Iterator[Notice]:
    if case.rules.detail == "fast" and any(isinstance(each.replica.core, _core.TokenReplica) for each in case.pools):
        yield notice("memory_in_tokens")
    for pool in case.pools:
        rates = rates_of(pool)
        if price_kind(pool.replica) == "spot" and rates.assumed:
            terms = {"interruptions_per_h": rates.interruptions_per_h, "notice_s": rates.notice_s}
            yield notice("assumed_interruptions", **terms)
