"""Search for a plan: the cheapest fleet that meets an objective, among deployments, autoscalers, commitments and mixes.

A fleet cannot cost less than its work on replicas whose places are all in use. Deployments are tried in the order of
this bound, on the busiest part of the traffic, until the bound exceeds the cheapest fleet found. The best of them are
simulated on all of the traffic, with other targets, with replicas that are paid ahead, and as the peaks above a base of
another deployment. The winner is simulated on traffic that it was not planned on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from math import ceil, inf
from typing import TYPE_CHECKING, Any

from ..errors import InputError, InputTypeError
from ..inputs.autoscaler_kinds import Kubernetes, Scheduled, Static
from ..inputs.autoscalers import DAY_S, HOUR_S, Autoscaler, parse_autoscaler
from ..results.fleet_plan import FleetPlan, PlanChoice
from ..serving.objectives import SLOError
from .plan_points import STEP_S, Context, Found, PlaceFacts, Point, PoolPoint, evaluate, facts_of_place, full_result
from .replicas import FleetError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..results.fleet_result import FleetResult

POLICIES = ("static", "scheduled", "kpa", "hpa", "ray", "seasonal", "cloudrun", "zero")
"""Autoscalers that a plan tries by default."""

_BATCH = 4  # deployments that are tried together, before bounds are compared
_FOLLOWED = 24  # fleets that are simulated on all of the traffic
_TUNED = 6  # of them, whose targets are changed
_ROUNDS, _REFINED = 4, 3  # of changes by one step, and fleets that are changed
_MIXED = 3  # deployments that are combined as base and peak
_TARGETS = (0.4, 0.5, 0.6, 0.8, 0.9, 1.0)
_BASES = (0.05, 0.25, 0.5)  # quantiles of the load over time that a base serves
_KEPT_POLICIES = 2  # of each kind, whatever they cost on the busiest part
_HEADROOM = 0.8  # share of the places of scheduled replicas that the highest load of an hour takes
_HOURS = 24

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _Tried:
    point: Point
    part: str
    found: Found


@dataclass
class _Simulated:
    """The points that were simulated, by part of the traffic.

    Attributes:
        asked: Points that were handed to the executor.
        requests: Requests that were simulated.
    """

    context: Context
    executor: Executor
    progress: Progress | None
    tried: dict[tuple[Point, str], Found] = field(default_factory=dict)
    asked: int = 0
    requests: int = 0

    def evaluate(self, groups: Sequence[Sequence[Point]], part: str) -> None:
        """Evaluate points that were not yet, a group after the other on a worker."""
        traffic = self.context.parts[part]
        futures: dict[Future[list[Found]], list[Point]] = {}
        workers = os.cpu_count() or 1
        for group in groups:
            left = [point for point in dict.fromkeys(group) if (point, part) not in self.tried]
            # Few groups are shared by the workers; many are not cut.
            size = max(1, ceil(len(left) / workers)) if len(groups) < workers else max(1, len(left))
            for first in range(0, len(left), size):
                several = left[first : first + size]
                self.asked += len(several)
                futures[self.executor.submit(evaluate, self.context, several, part)] = several
        for future in as_completed(futures):
            for point, found in zip(futures[future], future.result(), strict=False):
                if found.interrupted:
                    raise KeyboardInterrupt
                self.tried[point, part] = found
                self.requests += traffic.requests
            if self.progress is not None:
                self.progress(len(self.tried), self.asked)

    def ranked(self, part: str) -> list[_Tried]:
        several = [_Tried(point, each, found) for (point, each), found in self.tried.items() if each == part]
        return sorted(several, key=_rank)

    def cheapest(self, part: str) -> float:
        return min((each.found.usd_per_month for each in self.ranked(part) if each.found.slo_met), default=inf)


@dataclass
class Search:
    """A search for a plan.

    Attributes:
        context: What all points share.
        policies: Autoscalers.
        executor: Where points are evaluated; None for threads of this process.
        progress: Called with points that are done and their number, now and then.
    """

    context: Context
    policies: Sequence[Autoscaler]
    executor: Executor | None = None
    progress: Progress | None = None
    facts: dict[int, PlaceFacts] = field(default_factory=dict)
    out: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False

    def __post_init__(self) -> None:
        if not self.context.rules.objective:
            raise SLOError("slo is not given; a plan needs limits, such as ttft_p95<2,tpot_p95<0.05")
        given: object = self.executor
        if given is not None and not isinstance(given, Executor):
            hint = "; pass client.get_executor() of a dask client" if hasattr(given, "get_executor") else ""
            raise InputTypeError(f"executor is {given!r}; expected a concurrent.futures.Executor{hint}")

    @property
    def _first(self) -> str:
        """The part of the traffic on which all fleets are tried."""
        return "busiest" if "busiest" in self.context.parts else "all"

    # ---- the search ----

    def run(self) -> FleetPlan:
        """Search, and verify the winner."""
        own = ThreadPoolExecutor(os.cpu_count() or 1) if self.executor is None else None
        self._simulated = _Simulated(self.context, self.executor or own, self.progress)  # type: ignore[arg-type]
        try:
            self._know_places()
            self._try_on_busiest()
            self._follow()
            self._tune()
            self._commit()
            self._mix()
            self._refine()
        except KeyboardInterrupt:
            self.interrupted = True
        finally:
            if own is not None:
                own.shutdown(wait=True, cancel_futures=True)
        return self._plan()

    def _know_places(self) -> None:
        places = range(len(self.context.places))
        futures = {self._simulated.executor.submit(facts_of_place, self.context, place): place for place in places}
        errors: list[InputError] = []
        for future in as_completed(futures):
            place = futures[future]
            try:
                self.facts[place] = future.result()
            except FleetError:
                raise
            except InputError as error:
                self.out[str(self.context.places[place])] = str(error)
                errors.append(error)
        if not self.facts:
            raise errors[0]
        for each in self.facts.values():
            if not each.usd_per_h:
                raise FleetError(f"{each.name} has no price, and a plan compares costs; pass price=, or usd_per_h")

    def _try_on_busiest(self) -> None:
        ordered = sorted(self.facts, key=lambda place: (self._least_usd(place), place))
        part = self._first
        for first in range(0, len(ordered), _BATCH):
            least = self._simulated.cheapest(part)
            several = [place for place in ordered[first : first + _BATCH] if self._may_win(place, least)]
            if not several:
                break
            self._simulated.evaluate(
                [[(self._pool_point(place, policy),) for policy in self.policies] for place in several], part
            )

    def _least_usd(self, place: int) -> float:
        """Return a lower bound of the cost of a fleet of a deployment."""
        return self.facts[place].least_usd_per_month * self.facts[place].ahead_share

    def _may_win(self, place: int, least_usd: float) -> bool:
        """Return whether a deployment could be cheaper than what was found, if all of its hours were paid ahead.

        The bound is of all of the traffic; the busiest part costs no less per month.
        """
        return self._least_usd(place) < least_usd

    def _follow(self) -> None:
        """Simulate the best fleets of the busiest part on all of the traffic."""
        chosen: dict[Point, None] = {}
        if self._first == "all":
            return
        ranked = sorted(self._simulated.ranked(self._first), key=self._potential)
        counts: dict[str, int] = {}
        for each in ranked:
            kind = parse_autoscaler(each.point[0].policy).kind
            counts[kind] = counts.get(kind, 0) + 1
            if len(chosen) < _FOLLOWED or counts[kind] <= _KEPT_POLICIES:
                chosen.setdefault(each.point)
        # One bucket for each deployment, so that a worker makes its tables once.
        self._simulated.evaluate(_grouped(chosen), "all")

    def _tune(self) -> None:
        """Change the targets of the best fleets, and the number of replicas of fleets that have always as many."""
        points: list[Point] = []
        for each in self._best_by_place(_TUNED):
            pool = each.point[-1]
            scaler = parse_autoscaler(pool.policy)
            if isinstance(scaler, Static):
                most = max(1, each.found.peak_replicas)
                points += [
                    (replace(pool, policy=str(scaler.replace(replicas=count))),)
                    for count in sorted({max(1, round(most * share)) for share in (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)})
                    if count < most
                ]
            elif hasattr(scaler, "target_utilization"):
                points += [(replace(pool, policy=str(scaler.replace(target_utilization=share))),) for share in _TARGETS]
        self._simulated.evaluate(_grouped(points), "all")

    def _commit(self) -> None:
        """Pay for as many replicas ahead as are there for long enough."""
        if self.context.terms.commitment is None:
            return
        points = []
        for each in self._best_by_place(_TUNED):
            pool = each.point[-1]
            share = self.facts[pool.place].ahead_share
            count = committed_replicas(each.found.seconds_with, share) if share < 1 else 0
            if count and len(each.point) == 1:
                points.append((replace(pool, committed=count),))
        self._simulated.evaluate(_grouped(points), "all")

    def _mix(self) -> None:
        """Serve the base by one deployment and the peaks by another one."""
        best = [each for each in self._best_by_place(_TUNED) if len(each.point) == 1]
        if not best or len(self.context.places) == 1:
            return
        points: list[Point] = []
        bases = list(dict.fromkeys(each.point[-1].place for each in best))[:_MIXED]
        for place in bases:
            facts = self.facts[place]
            counts = {int(_quantile(facts.needed, share) / facts.concurrency) for share in _BASES} - {0}
            for each in best[:_MIXED]:
                pool = each.point[-1]
                if pool.place == place or isinstance(parse_autoscaler(pool.policy), (Static, Scheduled)):
                    continue
                for count in sorted(counts):
                    # Spot machines may be a base, too, but are not paid ahead.
                    base = PoolPoint(place, f"static:{count}", committed=count if facts.ahead_share < 1 else 0)
                    scaler = _to_zero(parse_autoscaler(pool.policy))
                    points.append((base, replace(pool, policy=str(scaler), committed=0)))
        self._simulated.evaluate(_grouped(points), "all")

    def _refine(self) -> None:
        """Change one number of the best fleets after the other, as long as that makes the cheapest one cheaper."""
        least = inf
        for _ in range(_ROUNDS):
            holding = [each for each in self._simulated.ranked("all") if each.found.slo_met][:_REFINED]
            if not holding or holding[0].found.usd_per_month >= least:
                return
            least = holding[0].found.usd_per_month
            self._simulated.evaluate(
                _grouped(
                    near
                    for each in holding
                    for near in _neighbors(each.point, self.facts[each.point[-1].place].ahead_share)
                ),
                "all",
            )

    # ---- points ----

    def _pool_point(self, place: int, policy: Autoscaler) -> PoolPoint:
        if isinstance(policy, Scheduled) and policy == Scheduled():
            facts = self.facts[place]
            policy = schedule_for(facts.most, facts.concurrency)
        return PoolPoint(place, str(policy))

    def _potential(self, each: _Tried) -> tuple[Any, ...]:
        """Return what fleets are chosen by for a closer look: as `_rank`, with hours that may be paid ahead."""
        pool = each.point[-1]
        share = 1.0 if pool.committed else self.facts[pool.place].ahead_share
        missed, late, usd, *rest = _rank(each)
        return missed, late, usd * share, *rest

    def _best_by_place(self, count: int) -> list[_Tried]:
        """Return the best fleet of each deployment and kind of autoscaler, the cheapest first."""
        found: dict[tuple[int, str], _Tried] = {}
        for each in sorted(self._simulated.ranked("all"), key=self._potential):
            pool = each.point[-1]
            found.setdefault((pool.place, parse_autoscaler(pool.policy).kind), each)
        return list(found.values())[:count]

    # ---- the result ----

    def _plan(self) -> FleetPlan:
        ranked = self._simulated.ranked("all")
        winner = ranked[0] if ranked and ranked[0].found.slo_met else None
        best: FleetResult | None = None
        verified: FleetResult | None = None
        if winner is not None and not self.interrupted:
            best = full_result(self.context, winner.point, "all")
            if "following" in self.context.parts:
                verified = full_result(self.context, winner.point, "following")
        seen = {each.point for each in ranked}
        partly = [] if self._first == "all" else [e for e in self._simulated.ranked(self._first) if e.point not in seen]
        known = {pool.place for each in (*ranked, *partly) for pool in each.point}
        never = sorted(set(self.facts) - known, key=lambda place: (self._least_usd(place), place))
        return FleetPlan(
            model=self.context.rules.model,
            traffic=self.context.parts["all"].text,
            slo=",".join(map(str, self.context.rules.objective)),
            choices=(*(self._choice(each) for each in (*ranked, *partly)), *map(self._bound, never)),
            best=best,
            verified=verified,
            deployments=len(self.context.places),
            policies=len(self.policies),
            simulations=len(self._simulated.tried),
            requests=self._simulated.requests,
            out=self.out,
            interrupted=self.interrupted,
        )

    def _choice(self, each: _Tried) -> PlanChoice:
        return PlanChoice(
            deployment=" + ".join(self.facts[pool.place].name for pool in each.point),
            policy=" + ".join(pool.policy for pool in each.point),
            committed=sum(pool.committed for pool in each.point),
            stage="all" if each.part == "all" else "part",
            usd_per_month=each.found.usd_per_month,
            late_share=each.found.late_share,
            slo_values=each.found.slo_values,
            slo_met=each.found.slo_met,
            peak_replicas=each.found.peak_replicas,
            idle_share=each.found.idle_share,
        )

    def _bound(self, place: int) -> PlanChoice:
        return PlanChoice(
            deployment=self.facts[place].name, policy="", committed=0, stage="bound",
            usd_per_month=self._least_usd(place), late_share=None, slo_values={}, slo_met=None, peak_replicas=0,
            idle_share=0.0,
        )  # fmt: skip


def _grouped(points: Iterable[Point]) -> list[list[Point]]:
    groups: dict[tuple[int, ...], list[Point]] = {}
    for point in points:
        groups.setdefault(tuple(pool.place for pool in point), []).append(point)
    return list(groups.values())


def _neighbors(point: Point, ahead_share: float) -> Iterator[Point]:
    """Yield points that differ in one number of the last pool, whose hours are paid ahead at a share, or in a base."""
    pool, scaler = point[-1], parse_autoscaler(point[-1].policy)
    changes: list[dict[str, Any]] = []
    if isinstance(scaler, Static) and scaler.replicas is not None:
        changes += [{"replicas": scaler.replicas + step} for step in (-1, 1) if scaler.replicas + step > 0]
    utilization = getattr(scaler, "target_utilization", None)
    if utilization is not None:
        targets = (round(utilization + step, 3) for step in (-0.1, -0.05, 0.05, 0.1))
        changes += [{"target_utilization": each} for each in targets if 0 < each <= 1]
    for each in changes:
        yield (*point[:-1], replace(pool, policy=str(scaler.replace(**each))))
    if ahead_share < 1 and len(point) == 1:
        for count in (pool.committed - 1, pool.committed + 1):
            if count >= 0:
                yield (replace(pool, committed=count),)
    if len(point) > 1:
        base = point[0]
        always = parse_autoscaler(base.policy)
        kept = always.replicas if isinstance(always, Static) and always.replicas is not None else 0
        for count in (kept - 1, kept + 1):
            if count > 0:
                ahead = count if base.committed else 0
                yield (replace(base, policy=f"static:{count}", committed=ahead), *point[1:])


def _rank(each: _Tried) -> tuple[Any, ...]:
    found = each.found
    late = 0.0 if found.slo_met else found.late_share
    # Workers end in any order: equal fleets are ranked by what they are.
    return not found.slo_met, late, found.usd_per_month, found.late_share, str(each.point)


def _to_zero(scaler: Autoscaler) -> Autoscaler:
    """Return an autoscaler that may remove the last replica of the peaks."""
    if isinstance(scaler, Kubernetes):
        return scaler.replace(min_replicas=0, keda=True)
    return scaler.replace(min_replicas=0)


def committed_replicas(seconds_with: Sequence[float], share: float) -> int:
    """Return how many replicas to pay ahead: those that are there for at least `share` of the time.

    A replica that is paid ahead costs `share` of an hour all the time; others cost a whole hour while they are there.

    Args:
        seconds_with: Place k: time with k replicas.
        share: Price ahead over the price by the hour.
    """
    total = sum(seconds_with)
    count, above = 0, total
    for replicas, seconds in enumerate(seconds_with):
        above -= seconds  # time with more than `replicas`
        if above > share * total:
            count = replicas + 1
    return count


def schedule_for(most: NDArray[np.float64], concurrency: float) -> Scheduled:
    """Return replicas by the hour of the day: enough for the highest minute of this hour on any day.

    Args:
        most: Most requests in service at a time in each step of `STEP_S`, as `by_step` returns them.
        concurrency: Requests that a replica serves at once.
    """
    import numpy as np

    per_hour = int(HOUR_S / STEP_S)
    hours = np.zeros(_HOURS)
    for hour in range(-(-most.size // per_hour)):
        part = most[hour * per_hour : (hour + 1) * per_hour]
        hours[hour % _HOURS] = max(hours[hour % _HOURS], float(part.max()))
    replicas = np.ceil(hours / (concurrency * _HEADROOM) - 1e-9).astype(int)
    # An hour begins with the replicas of the busier one of the two, since it does not wait for them to start.
    early = np.maximum(replicas, np.roll(replicas, -1))
    changes = tuple(
        (float(hour), int(early[hour])) for hour in range(_HOURS) if hour == 0 or early[hour] != early[hour - 1]
    )
    return Scheduled(replicas=changes, period_s=DAY_S, min_replicas=0)


def _quantile(values: Any, share: float) -> float:
    import numpy as np

    return float(np.quantile(values, share))
