"""Fleets over time with few points: several bins of a result are joined into one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..results.bill import USES

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from ..results.fleet_result import FleetResult

_HOUR_S = 3600.0


@dataclass(frozen=True)
class FleetSeries:
    """A fleet over time. All arrays have one length, except `edges_s`, which has one more.

    Attributes:
        edges_s: Edges of the intervals of time, in seconds.
        arrived_per_s: Requests that arrive, per second.
        late_per_s: Of these, over a limit of the objective or not answered.
        wait_s: Mean wait of the requests that arrived in the interval.
        most_wait_s: The longest one.
        waiting: Mean requests that wait.
        paid: Mean replicas that are paid.
        busy: Of these, with requests.
        cold: Of these, not yet ready.
        usd_per_h: Use of machines, or kind of line -> USD per hour.
    """

    edges_s: NDArray[np.float64]
    arrived_per_s: NDArray[np.float64]
    late_per_s: NDArray[np.float64]
    wait_s: NDArray[np.float64]
    most_wait_s: NDArray[np.float64]
    waiting: NDArray[np.float64]
    paid: NDArray[np.float64]
    busy: NDArray[np.float64]
    cold: NDArray[np.float64]
    usd_per_h: Mapping[str, NDArray[np.float64]]

    @property
    def idle(self) -> NDArray[np.float64]:
        """Mean replicas that are paid and ready, without requests."""
        import numpy as np

        return np.maximum(0.0, self.paid - self.busy - self.cold)

    @property
    def money_kinds(self) -> list[str]:
        """Keys of `usd_per_h` in the order of a stack: uses of machines, then other lines of the bill."""
        known = self.usd_per_h
        return [*(use for use in USES if use in known), *(kind for kind in known if kind not in USES)]


def series_of(result: FleetResult, *, most: int) -> FleetSeries:
    """Return a fleet over time in at most so many intervals of equal length; the last one may be shorter.

    Sums and means over time are kept; of the longest waits of the joined bins, the longest one is.
    """
    import numpy as np

    demand = result.demand
    bins = demand.arrived.size
    step = max(1, -(-bins // most))
    starts = np.arange(0, bins, step)
    edges_of_bins = np.minimum(np.arange(bins + 1) * demand.bin_s, max(result.duration_s, demand.bin_s))
    # The last bins may lie after the end of a run whose time is a multiple of a bin: they are empty.
    lengths = np.diff(edges_of_bins)
    edges = edges_of_bins[[*starts.tolist(), bins]]
    seconds = np.maximum(1e-9, np.diff(edges))

    def per_s(counts: NDArray[np.int64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = np.add.reduceat(counts.astype(float), starts) / seconds
        return found

    def over_time(values: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = np.add.reduceat(values * lengths, starts) / seconds
        return found

    def of_pools(name: str) -> NDArray[np.float64]:
        return over_time(np.sum([getattr(pool, name) for pool in result.pools], axis=0))

    arrived = demand.arrived.astype(float)
    hourly = {} if result.bill is None else result.bill.hourly_usd
    return FleetSeries(
        edges_s=edges,
        arrived_per_s=per_s(demand.arrived),
        late_per_s=per_s(demand.late),
        wait_s=np.add.reduceat(demand.wait_s * arrived, starts) / np.maximum(1.0, np.add.reduceat(arrived, starts)),
        most_wait_s=np.maximum.reduceat(demand.most_wait_s, starts),
        waiting=np.add.reduceat(demand.waiting * demand.bin_s, starts) / seconds,
        paid=of_pools("replicas"),
        busy=of_pools("busy"),
        cold=of_pools("cold"),
        usd_per_h={
            name: np.add.reduceat(np.asarray(values), starts) / seconds * _HOUR_S for name, values in hourly.items()
        },
    )
