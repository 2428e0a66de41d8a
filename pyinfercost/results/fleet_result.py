"""Result types: a fleet of replicas under traffic, and several fleets side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..report.render import render
from .bill import MONTH_S, Bill
from .declared import declared, derived, fact, figure
from .figures import LESS
from .latency import Distribution
from .notices import WithNotices
from .result import Result

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

FLEET_LATENCIES = ("wait_s", "ttft_s", "tpot_s", "e2e_s")
"""Times of a request: before its service, to its first token, per further token, and all of it."""


@declared
class FleetPool:
    """The replicas of one kind."""

    name: str = fact("The deployment in words.")
    autoscaler: str = fact("The autoscaler, as text.")
    settings: Mapping[str, str] = fact("Its parameters, with the target as a number and the replicas at the start.")
    price: str = fact("Terms of the price in words; empty without one.")
    usd_per_h: float | None = fact("Price of a replica in an hour; None without one.")
    concurrency: float = fact("Requests that a replica serves at once.")
    cold_start_s: float = fact("Seconds from its creation until it is ready.")
    cold_start_parts_s: Mapping[str, float] = fact("Part of it -> its seconds; empty if the whole was given.")
    peak_replicas: int = fact("Most replicas at a time, in any state.")
    mean_replicas: float = fact("Mean of the replicas that are paid.")
    starts: int = fact("Replicas that were started.")
    cancelled: int = fact("Of these, that left before they were ready.")
    interrupted: int = fact("Replicas that were taken away with a notice.")
    failed: int = fact("Replicas that were lost without one.")
    requests: int = fact("Requests that they answered.")
    reserved_s: float = fact(
        "Paid time, in seconds: replicas from creation until they are gone, and the capacity of unused devices of "
        "instances and of committed machines that are off."
    )
    used_s: float = fact("Of these, with at least one request.")
    idle_s: float = fact("Ready, without a request, and that unused capacity.")
    cold_s: float = fact("Before they were ready.")
    working_s: float = fact("Places in use: `used_s` times the share of their places that requests had.")
    energy_j: float | None = fact("Their energy; None if it is unknown.")
    replicas: NDArray[np.float64] = fact("Mean replicas in each bin of time.", series=True)
    busy: NDArray[np.float64] = fact("Of these, with requests.", series=True)
    cold: NDArray[np.float64] = fact("Of these, not yet ready.", series=True)


@declared
class FleetDemand:
    """Requests over time, in bins of their arrival. All arrays have one length."""

    bin_s: float = fact("Seconds of a bin.")
    arrived: NDArray[np.int64] = fact("Requests that arrived, int64.")
    late: NDArray[np.int64] = fact("Of these, over a limit of the objective or not answered, int64.")
    wait_s: NDArray[np.float64] = fact("Their mean wait before service, in seconds; 0 without requests.")
    most_wait_s: NDArray[np.float64] = fact("The longest one.")
    waiting: NDArray[np.float64] = fact("Mean requests that wait, over the time of the bin.")


@declared(after="demand")
class FleetResult(WithNotices, Result):
    """A fleet under traffic: latencies and costs."""

    document_key = "fleet"

    model: str = fact("Name of the model; empty for slots without one.")
    traffic: str = fact("The traffic in words.")

    @property
    @derived(is_figure=False)
    def deployment(self) -> str:
        """The deployments of its pools in words."""
        return " + ".join(dict.fromkeys(pool.name for pool in self.pools))

    @property
    @derived(is_figure=False)
    def policy(self) -> str:
        """The autoscalers of its pools as texts."""
        return " + ".join(pool.autoscaler for pool in self.pools)

    detail: str = fact(
        'How replicas were simulated: `"fast"`, `"full"`, or `"bound"` for an oracle, which is not simulated.'
    )
    routing: str = fact("How requests are shared by replicas.")
    requests: int = fact("Requests that arrived.")
    finished: int = fact("Requests that were answered.")
    failed: int = fact("Requests that were refused or gave up.")
    unfinished: int = fact("Requests for which no replica came.")
    restarted: int = fact("Requests that lost their replica and began again.")
    interrupted: bool = fact("Whether Ctrl-C ended the run.")
    duration_s: float = fact("Time that was simulated and is paid.")
    slo: str = fact("The objective, as text; empty without one.")
    slo_values: Mapping[str, float] = fact("Condition of the objective -> its value, in seconds.", row=True)
    slo_met: bool | None = fact("Whether all conditions hold; None without an objective.")
    late_share: float = figure(
        "Share of the requests over one of the limits, or not answered; without an objective, a request is late that "
        "waits longer than the mean service.",
        better=LESS,
        title="late requests",
    )
    overloaded: bool = fact(
        "Whether requests arrive faster than the most replicas serve them, so that waits grow all the time.",
        default=False,
    )
    latencies: Mapping[str, Distribution] = fact(
        "Key of `FLEET_LATENCIES` -> times of the answered requests; percentiles are within 0.8 %, by intervals on a "
        "logarithmic scale.",
        spread=FLEET_LATENCIES,
    )
    bill: Bill | None = fact("Its bill; None without a price.", row=True)
    energy_j: float | None = figure("Energy of all machines; None if it is unknown.", better=LESS)
    carbon_g: float | None = figure(
        "Grams of CO2 equivalent, with the overhead of the data center; None without a place.", better=LESS
    )
    pools: tuple[FleetPool, ...] = fact("The replicas of each kind.")
    demand: FleetDemand = fact("Requests over time.", series=True)

    def __getitem__(self, name: str) -> Distribution:
        """Return a time of requests by its key in `FLEET_LATENCIES`."""
        return self.latencies[name]

    def __repr__(self) -> str:
        """One line."""
        line: str = render(self, "line")
        return line

    @property
    def usd_per_month(self) -> float | None:
        """USD of a month in which the same happens again and again; None without a price."""
        return None if self.bill is None else self.bill.usd_per_month

    @property
    @derived(better=LESS, title="CO2e of a month")
    def carbon_g_per_month(self) -> float | None:
        """Grams of CO2 equivalent of such a month; None without a place."""
        return None if self.carbon_g is None or not self.duration_s else self.carbon_g / self.duration_s * MONTH_S

    @property
    @derived(better=LESS, title="energy of a month")
    def energy_j_per_month(self) -> float | None:
        """Joules of such a month; None if they are unknown."""
        return None if self.energy_j is None or not self.duration_s else self.energy_j / self.duration_s * MONTH_S

    @property
    @derived(better=LESS, title="replicas, peak")
    def peak_replicas(self) -> int:
        """Most replicas at a time; of several pools the sum of their peaks, which may be at different times."""
        return sum(pool.peak_replicas for pool in self.pools)

    @property
    @derived(better=LESS, title="replicas, mean")
    def mean_replicas(self) -> float:
        """Mean of the replicas that are paid."""
        return sum(pool.mean_replicas for pool in self.pools)

    @property
    @derived(better=LESS, title="cold starts")
    def starts(self) -> int:
        """Replicas that were started: cold starts."""
        return sum(pool.starts for pool in self.pools)

    @property
    @derived(better=LESS)
    def interruptions(self) -> int:
        """Replicas that were taken away or lost."""
        return sum(pool.interrupted + pool.failed for pool in self.pools)

    @property
    def reserved_s(self) -> float:
        """Time of all replicas that is paid, in seconds."""
        return sum(pool.reserved_s for pool in self.pools)

    @property
    @derived(better=LESS, title="idle share")
    def idle_share(self) -> float:
        """Share of the paid time without requests, starts among it."""
        used = sum(pool.used_s for pool in self.pools)
        return 1 - used / self.reserved_s if self.reserved_s else 0.0

    @property
    @derived(better=LESS)
    def relative_cost(self) -> float:
        """Paid time over the time that the work takes if all places of all replicas are in use."""
        working = sum(pool.working_s for pool in self.pools)
        return self.reserved_s / working if working else float("inf")

    def plot_timeline(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw demand and replicas over time; options as in `plots.plot_fleet_timeline`."""
        return render(self, "plot_timeline", ax=ax, **options)  # type: ignore[no-any-return]

    def plot_money(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw USD per hour over time by kind of cost; options as in `plots.plot_money`."""
        return render(self, "plot_money", ax=ax, **options)  # type: ignore[no-any-return]


@declared
class FleetComparison(Result):
    """Fleets under the same traffic, of several deployments and autoscalers, ranked by objective and cost."""

    document_key = "comparison"

    model: str = fact("Name of the model.")
    traffic: str = fact("The traffic in words.")
    slo: str = fact("The objective, as text.")
    fleets: tuple[FleetResult, ...] = fact(
        "The fleets: those that hold the objective by their cost, then the others by their late share; without an "
        "objective by their cost, overloaded ones last.",
        brief=True,
    )
    bounds: tuple[FleetResult, ...] = fact(
        "The oracle of each deployment: the cost of replicas that exist while requests need them.", brief=True
    )
    out: Mapping[str, str] = fact("Deployment -> why it cannot serve the model.")
    interrupted: bool = fact("Whether Ctrl-C ended the comparison.", default=False)

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
    @derived(is_figure=False, brief=True)
    def best(self) -> FleetResult | None:
        """The cheapest fleet that meets the objective; None if none does, or without an objective that decides."""
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

    @property
    @derived(is_figure=False)
    def on_front(self) -> tuple[bool, ...]:
        """Whether each fleet is in `front`: no other one is cheaper with as few late requests."""
        front = set(map(id, self.front))
        return tuple(id(each) in front for each in self.fleets)

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
