"""Result types: a fleet of replicas under traffic, and several fleets beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..report.render import render
from .bill import MONTH_S, Bill
from .result import Result

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

FLEET_LATENCIES = ("wait_s", "ttft_s", "tpot_s", "e2e_s")
"""Times of a request: before its service, to its first token, per further token, and all of it."""


@dataclass(frozen=True)
class FleetLatency:
    """A time of requests. Percentiles are within 0.8 %, by intervals on a logarithmic scale.

    Attributes:
        mean: Mean, in seconds; not a number if no request has this time, likewise below.
        p50: Median.
        p90: 90th percentile.
        p99: 99th percentile.
        max: The longest one.
    """

    mean: float
    p50: float
    p90: float
    p99: float
    max: float


@dataclass(frozen=True)
class ReplicaSeconds:
    """Time of replicas, by what they do.

    Attributes:
        reserved: What is paid: replicas from creation until they are gone, and the capacity of unused devices of
            instances and of committed machines that are off.
        used: Of these, with at least one request.
        idle: Ready, without a request, and that unused capacity.
        cold: Before they were ready.
        working: Places in use: `used` times the share of their places that requests had.
    """

    reserved: float
    used: float
    idle: float
    cold: float
    working: float


@dataclass(frozen=True, kw_only=True)
class FleetPool:
    """The replicas of one kind.

    Attributes:
        name: The deployment in words.
        autoscaler: The autoscaler, as text.
        settings: Its parameters, with the target as a number and the replicas at the start.
        price: Terms of the price in words; empty without one.
        usd_per_h: Price of a replica in an hour; None without one.
        concurrency: Requests that a replica serves at once.
        cold_start_s: Seconds from its creation until it is ready.
        cold_start_parts: Part of it -> its seconds; empty if the whole was given.
        peak_replicas: Most replicas at a time, in any state.
        mean_replicas: Mean of the replicas that are paid.
        starts: Replicas that were started.
        cancelled: Of these, that left before they were ready.
        interrupted: Replicas that were taken away with a notice.
        failed: Replicas that were lost without one.
        requests: Requests that they answered.
        seconds: Their time.
        energy_j: Their energy; None if it is unknown.
        replicas: Mean replicas in each bin of time.
        busy: Of these, with requests.
        cold: Of these, not yet ready.
    """

    name: str
    autoscaler: str
    settings: Mapping[str, str]
    price: str
    usd_per_h: float | None
    concurrency: float
    cold_start_s: float
    cold_start_parts: Mapping[str, float]
    peak_replicas: int
    mean_replicas: float
    starts: int
    cancelled: int
    interrupted: int
    failed: int
    requests: int
    seconds: ReplicaSeconds
    energy_j: float | None
    replicas: NDArray[np.float64]
    busy: NDArray[np.float64]
    cold: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class FleetDemand:
    """Requests over time, in bins of their arrival. All arrays have one length.

    Attributes:
        bin_s: Seconds of a bin.
        arrived: Requests that arrived, int64.
        late: Of these, over a limit of the objective or not answered, int64.
        wait_s: Their mean wait before service, in seconds; 0 without requests.
        most_wait_s: The longest one.
        waiting: Mean requests that wait, over the time of the bin.
    """

    bin_s: float
    arrived: NDArray[np.int64]
    late: NDArray[np.int64]
    wait_s: NDArray[np.float64]
    most_wait_s: NDArray[np.float64]
    waiting: NDArray[np.float64]


@dataclass(frozen=True, repr=False, kw_only=True)
class FleetResult(Result):
    """A fleet under traffic: what users feel, and what it costs.

    Attributes:
        model: Name of the model; empty for slots without one.
        traffic: The traffic in words.
        detail: How replicas were simulated: `"fast"`, `"full"`, or `"bound"` for an oracle, which is not simulated.
        routing: How requests are shared by replicas.
        requests: Requests that arrived.
        finished: Requests that were answered.
        failed: Requests that were refused or gave up.
        unfinished: Requests for which no replica came.
        restarted: Requests that lost their replica and began again.
        interrupted: Whether Ctrl-C ended the run.
        duration_s: Time that was simulated and is paid.
        slo: The objective, as text; empty without one.
        slo_values: Condition of the objective -> its value, in seconds.
        slo_met: Whether all conditions hold; None without an objective.
        late_share: Share of the requests over one of the limits, or not answered; without an objective, a request is
            late that waits longer than the mean service.
        latencies: Key of `FLEET_LATENCIES` -> times of the answered requests.
        pools: The replicas of each kind.
        demand: Requests over time.
        bill: What it costs; None without a price.
        energy_j: Energy of all machines; None if it is unknown.
        carbon_g: Grams of CO2 equivalent, with the overhead of the data center; None without a place.
        notes: What limits the result.
        overloaded: Whether requests arrive faster than the most replicas serve them, so that waits grow all the time.
    """

    model: str
    traffic: str
    detail: str
    routing: str
    requests: int
    finished: int
    failed: int
    unfinished: int
    restarted: int
    interrupted: bool
    duration_s: float
    slo: str
    slo_values: Mapping[str, float]
    slo_met: bool | None
    late_share: float
    latencies: Mapping[str, FleetLatency]
    pools: tuple[FleetPool, ...]
    demand: FleetDemand
    bill: Bill | None
    energy_j: float | None
    carbon_g: float | None
    notes: tuple[str, ...]
    overloaded: bool = False

    def __getitem__(self, name: str) -> FleetLatency:
        """Return a time of requests by its key in `FLEET_LATENCIES`."""
        return self.latencies[name]

    def __repr__(self) -> str:
        """One line."""
        line: str = render(self, "line")
        return line

    @property
    def deployment(self) -> str:
        """The deployments of its pools in words."""
        return " + ".join(dict.fromkeys(pool.name for pool in self.pools))

    @property
    def policy(self) -> str:
        """The autoscalers of its pools as texts."""
        return " + ".join(pool.autoscaler for pool in self.pools)

    @property
    def usd_per_month(self) -> float | None:
        """USD of a month in which the same happens again and again; None without a price."""
        return None if self.bill is None else self.bill.usd_per_month

    @property
    def carbon_g_per_month(self) -> float | None:
        """Grams of CO2 equivalent of such a month; None without a place."""
        return None if self.carbon_g is None or not self.duration_s else self.carbon_g / self.duration_s * MONTH_S

    @property
    def energy_j_per_month(self) -> float | None:
        """Joules of such a month; None if they are unknown."""
        return None if self.energy_j is None or not self.duration_s else self.energy_j / self.duration_s * MONTH_S

    @property
    def peak_replicas(self) -> int:
        """Most replicas at a time; of several pools the sum of those of each, which may be at different times."""
        return sum(pool.peak_replicas for pool in self.pools)

    @property
    def mean_replicas(self) -> float:
        """Mean of the replicas that are paid."""
        return sum(pool.mean_replicas for pool in self.pools)

    @property
    def starts(self) -> int:
        """Replicas that were started: cold starts."""
        return sum(pool.starts for pool in self.pools)

    @property
    def interruptions(self) -> int:
        """Replicas that were taken away or lost."""
        return sum(pool.interrupted + pool.failed for pool in self.pools)

    @property
    def reserved_s(self) -> float:
        """Time of all replicas that is paid, in seconds."""
        return sum(pool.seconds.reserved for pool in self.pools)

    @property
    def idle_share(self) -> float:
        """Share of the paid time without requests, starts among it."""
        used = sum(pool.seconds.used for pool in self.pools)
        return 1 - used / self.reserved_s if self.reserved_s else 0.0

    @property
    def relative_cost(self) -> float:
        """Paid time over the time that the work takes if all places of all replicas are in use."""
        working = sum(pool.seconds.working for pool in self.pools)
        return self.reserved_s / working if working else float("inf")

    def plot_timeline(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw demand and replicas over time; options as in `plots.plot_fleet_timeline`."""
        return render(self, "plot_timeline", ax=ax, **options)  # type: ignore[no-any-return]

    def plot_money(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw USD per hour over time by what is paid; options as in `plots.plot_money`."""
        return render(self, "plot_money", ax=ax, **options)  # type: ignore[no-any-return]


@dataclass(frozen=True, repr=False, kw_only=True)
class FleetComparison(Result):
    """Fleets under the same traffic, of several deployments and autoscalers, the cheapest that holds first.

    Attributes:
        model: Name of the model.
        traffic: The traffic in words.
        slo: The objective, as text.
        fleets: The fleets: those that hold the objective by their cost, then the others by their late share; without an
            objective by their cost, overloaded ones last.
        bounds: The oracle of each deployment: the cost of replicas that exist while requests need them.
        out: Deployment -> why it cannot serve the model.
        interrupted: Whether Ctrl-C ended the comparison.
    """

    model: str
    traffic: str
    slo: str
    fleets: tuple[FleetResult, ...]
    bounds: tuple[FleetResult, ...]
    out: Mapping[str, str]
    interrupted: bool = False

    def __iter__(self) -> Iterator[FleetResult]:
        """Iterate over the fleets."""
        return iter(self.fleets)

    def __len__(self) -> int:
        """Return the number of fleets."""
        return len(self.fleets)

    def __repr__(self) -> str:
        """One line."""
        line: str = render(self, "line")
        return line

    @property
    def best(self) -> FleetResult | None:
        """The cheapest fleet that holds the objective; None if none does, or without an objective that decides."""
        first = self.fleets[0] if self.fleets else None
        return first if first is not None and first.slo_met is not False else None

    @property
    def front(self) -> tuple[FleetResult, ...]:
        """Fleets of which no other one is cheaper with as few late requests: cost against lateness."""
        found: list[FleetResult] = []
        for each in sorted(self.fleets, key=lambda fleet: (cost_of(fleet), fleet.late_share)):
            if not found or each.late_share < found[-1].late_share:
                found.append(each)
        return tuple(found)

    def static_peak(self, deployment: str) -> FleetResult | None:
        """Return the fleet of a deployment with as many replicas all the time as its peak needs; None without one."""
        return next((each for each in self.fleets if (each.deployment, each.policy) == (deployment, "static")), None)

    def plot_front(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw the share of late requests against cost, with the front; options as in `plots.plot_front`."""
        return render(self, "plot_front", ax=ax, **options)  # type: ignore[no-any-return]


def cost_of(fleet: FleetResult) -> float:
    """Return what fleets are compared by, for equal times: USD where there is a price, else the paid seconds."""
    total = fleet.reserved_s if fleet.bill is None else fleet.bill.usd
    return total / fleet.duration_s
