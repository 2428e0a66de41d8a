"""The bill of a simulated fleet: seconds of replicas times prices, and what else is paid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..deployment import Egress, committed, egress_usd, provisioned_usd
from ..results.bill import MONTH_S, USES, Bill, BillLine
from ..results.costs import SECONDS_PER_HOUR

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..deployment import Commitment
    from .replicas import Replica
    from .terms import Terms

_JOULES_PER_KWH = 3.6e6
_GIGA, _MILLION = 1e9, 1e6
_DAY_H = 24


@dataclass(frozen=True)
class PaidPool:
    """A pool of replicas whose time is paid.

    Attributes:
        replica: The replica.
        terms: Its terms.
        bins: Of each bin: `starting_s`, `ready_s`, `draining_s`, `busy_s`, in replica-seconds.
        seconds_with: Place k: time with k replicas.
        work_j: Energy of its work; None if it is unknown.
        requests: Requests that it answered.
        running_s: Request-seconds in service in each bin.
        ready_replicas: Replicas that are kept ready whatever comes.
    """

    replica: Replica
    terms: Terms
    bins: Mapping[str, NDArray[Any]]
    seconds_with: NDArray[np.float64]
    work_j: float | None
    requests: int
    running_s: NDArray[Any]
    ready_replicas: int

    @property
    def paid_s(self) -> NDArray[np.float64]:
        """Paid replica-seconds of each bin."""
        found: NDArray[np.float64] = self.bins["starting_s"] + self.bins["ready_s"] + self.bins["draining_s"]
        return found

    def machine_s(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the seconds of each bin that machines are paid, each of them as many instances as one replica rents.

        Replicas fill instances together, and an instance is given back once its last replica could run elsewhere. The
        sum has the time with each number of replicas; bins have their mean number.

        Args:
            seconds: Seconds of each bin.
        """
        import numpy as np

        paid_s = self.paid_s
        most = int(np.ceil((paid_s / np.maximum(1e-30, seconds)).max(initial=0.0)))
        machines = np.array([self.replica.machines(each) for each in range(max(most + 1, self.seconds_with.size))])
        if np.array_equal(machines, np.arange(machines.size)):
            return paid_s
        mean = paid_s / np.maximum(1e-30, seconds)
        found: NDArray[np.float64] = np.interp(mean, np.arange(machines.size), machines) * seconds
        total = float(self.seconds_with @ machines[: self.seconds_with.size])
        return found * (total / found.sum()) if total and found.any() else found

    def charged_s(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return `machine_s` with the machines that are committed and not there.

        Args:
            seconds: Seconds of each bin.
        """
        import numpy as np

        # A fleet keeps its committed machines, which are paid during an interruption, too.
        found: NDArray[np.float64] = np.maximum(
            self.machine_s(seconds), self.replica.machines(self.terms.committed) * seconds
        )
        return found

    def reserved_s(self, seconds: NDArray[np.float64]) -> float:
        """Return the paid replica-seconds; unused devices of instances count as the replicas that they have room for.

        Args:
            seconds: Seconds of each bin.
        """
        if self.terms.serverless is not None:
            return float(self.paid_s.sum())
        return float(self.charged_s(seconds).sum()) / self.replica.full_share

    @property
    def uses_s(self) -> dict[str, NDArray[np.float64]]:
        """Use -> replica-seconds of each bin; replicas that drain are busy until they are gone."""
        import numpy as np

        busy = np.minimum(self.bins["busy_s"], self.bins["ready_s"] + self.bins["draining_s"])
        draining = np.minimum(self.bins["draining_s"], busy)
        return {
            "busy": busy - draining,
            "idle": self.bins["ready_s"] + self.bins["draining_s"] - busy,
            "cold": self.bins["starting_s"],
            "draining": draining,
        }

    def energy_j(self) -> NDArray[np.float64] | None:
        """Return the energy in each bin: of the work, in proportion to busy time, and idle power otherwise."""
        if self.replica.idle_w is None or self.work_j is None:
            return None
        busy = self.bins["busy_s"]
        idle_s = self.paid_s - busy
        total_busy = float(busy.sum())
        work = busy * (self.work_j / total_busy) if total_busy else busy
        if self.replica.on is None:  # the power of places is added to the power of the machine
            idle_s = self.paid_s
        found: NDArray[np.float64] = work + idle_s * self.replica.idle_w
        return found


def energy_of(pools: Sequence[PaidPool]) -> NDArray[np.float64] | None:
    """Return the energy of all pools in each bin; None if one of them is unknown."""
    import numpy as np

    parts = [pool.energy_j() for pool in pools]
    return None if any(part is None for part in parts) else np.sum([p for p in parts if p is not None], axis=0)


def carbon_of(pools: Sequence[PaidPool], bin_s: float) -> float | None:
    """Return grams of CO2 equivalent: energy, overhead of the data center, and carbon of the grid in that hour."""
    import numpy as np

    total = 0.0
    for pool in pools:
        energy = pool.energy_j()
        place = None if pool.replica.on is None else pool.replica.on.place
        profile = pool.terms.grid_profile_g_per_kwh
        if energy is None or (place is None and not profile):
            return None
        pue = 1.0 if place is None else place.pue
        if profile:
            hours = (pool.terms.start_hour + (np.arange(energy.size) + 0.5) * bin_s / SECONDS_PER_HOUR) % _DAY_H
            grams = np.asarray(profile)[hours.astype(int)]
        else:
            grams = np.full(energy.size, 0.0 if place is None else place.grid_g_per_kwh)
        total += float((energy * grams).sum()) / _JOULES_PER_KWH * pue
    return total


def bill_of(
    pools: Sequence[PaidPool], *, bin_s: float, duration_s: float, requests: int, output_tokens: float
) -> Bill | None:
    """Return the bill; None without the price of a pool."""
    import numpy as np

    bins = pools[0].paid_s.size
    seconds = np.minimum(bin_s, np.maximum(0.0, duration_s - np.arange(bins) * bin_s))
    made = _Made([], dict.fromkeys(USES, 0.0), {}, seconds, duration_s)
    for pool in pools:
        if pool.terms.serverless is not None:
            _serverless(pool, made)
        elif pool.replica.usd_per_h is None:
            return None
        else:
            _machines(pool, made)
        _others(pool, made)
    return Bill(
        duration_s=duration_s,
        lines=tuple(line for line in made.lines if line.quantity or line.usd),
        use_usd=made.use_usd,
        hourly_usd={name: tuple(values.tolist()) for name, values in made.hourly.items() if values.any()},
        requests=requests,
        output_tokens=output_tokens,
    )


@dataclass
class _Made:
    """A bill that is being made.

    Attributes:
        lines: Lines so far.
        use_usd: Use of machines -> USD.
        hourly: Kind or use -> USD in each bin.
        seconds: Seconds of each bin.
        duration_s: Seconds of all.
    """

    lines: list[BillLine]
    use_usd: dict[str, float]
    hourly: dict[str, NDArray[np.float64]]
    seconds: NDArray[np.float64]
    duration_s: float

    def add(
        self, kind: str, item: str, quantity: float, unit: str, usd: float, over_time: NDArray[np.float64] | None = None
    ) -> None:
        """Add a line, and its money in each bin."""
        self.lines.append(BillLine(kind=kind, item=item, quantity=quantity, unit=unit, usd=usd))
        if over_time is not None:
            self.spread(kind, over_time)

    def spread(self, name: str, usd: NDArray[np.float64]) -> None:
        """Add money over time."""
        self.hourly[name] = self.hourly[name] + usd if name in self.hourly else usd


def _machines(pool: PaidPool, made: _Made) -> None:
    """Add hours of machines, and what they are used for."""
    import numpy as np

    replica, terms = pool.replica, pool.terms
    usd_per_s = (replica.usd_per_h or 0.0) / SECONDS_PER_HOUR
    ahead_usd_per_s = committed_usd_per_h(replica, terms.commitment) / SECONDS_PER_HOUR
    charged_s, share = pool.charged_s(made.seconds), replica.full_share
    ahead_s = replica.machines(terms.committed) * made.seconds
    later_s = charged_s - ahead_s
    for kind, several, each in (
        ("committed", ahead_s, ahead_usd_per_s),
        (price_kind(replica), later_s, usd_per_s),
    ):
        seconds = float(several.sum())
        made.add(kind, replica.name, seconds / SECONDS_PER_HOUR, "h", seconds * each)
    # All seconds of a bin have the same price; committed machines that are off are idle, and so are unused devices.
    price = (ahead_s * ahead_usd_per_s + later_s * usd_per_s) / np.maximum(1e-30, charged_s)
    for use, seconds_of_use in pool.uses_s.items():
        money = price * (share * seconds_of_use + (charged_s - share * pool.paid_s if use == "idle" else 0.0))
        made.use_usd[use] += float(money.sum())
        made.spread(use, money)


def _serverless(pool: PaidPool, made: _Made) -> None:
    """Add requests, memory while they run, and memory that is kept ready.

    Requests run in memory that is kept ready as far as it goes, by the means of each bin. A start is billed to the
    request that waits for it.
    """
    import numpy as np

    price, gb = pool.terms.serverless, pool.terms.memory_gb or 0.0
    if price is None:
        return
    name = pool.replica.name
    busy = pool.running_s
    share = busy / busy.sum() if busy.sum() else made.seconds / made.duration_s
    usd = pool.requests * price.usd_per_request
    made.add("requests", name, pool.requests / _MILLION, "million", usd, usd * share)
    mean_s = float(busy.sum()) / max(1, pool.requests)
    billed = busy * (price.billed_s(mean_s) / mean_s if mean_s else 1.0)
    ready_s = np.minimum(billed, pool.ready_replicas * made.seconds)
    demand_s = billed - ready_s + pool.bins["starting_s"]
    memory = demand_s * gb * price.usd_per_gb_s
    made.add("memory", name, float(demand_s.sum()) * gb, "GB s", float(memory.sum()), memory)
    made.use_usd["busy"] += usd + float(memory.sum())
    if not pool.ready_replicas:
        return
    kept = np.array([provisioned_usd(price, each, gb=gb, environments=pool.ready_replicas) for each in made.seconds])
    each_usd = price.provisioned_busy_usd_per_gb_s
    running = ready_s * gb * (price.usd_per_gb_s if each_usd is None else each_usd)
    quantity = pool.ready_replicas * made.duration_s * gb
    made.add("provisioned", name, quantity, "GB s", float((kept + running).sum()), kept + running)
    used = ready_s / np.maximum(1e-30, pool.ready_replicas * made.seconds)
    made.use_usd["busy"] += float((running + kept * used).sum())
    made.use_usd["idle"] += float((kept * (1 - used)).sum())


def _others(pool: PaidPool, made: _Made) -> None:
    """Add the costs besides machines."""
    terms, on = pool.terms, pool.replica.on
    months = made.duration_s / MONTH_S
    even = made.seconds / made.duration_s
    fixed = terms.fixed
    for kind, usd in (("storage", fixed.storage_usd_per_month), ("staff", fixed.staff_usd_per_month)):
        if usd:
            made.add(kind, "", months, "month", usd * months, usd * months * even)
    price = None if on is None else on.device_price
    energy = pool.energy_j()
    if price is not None and price.usd_per_kwh and energy is not None:
        kwh = energy / _JOULES_PER_KWH * price.pue
        total = float(kwh.sum())
        made.add("electricity", "", total, "kWh", total * price.usd_per_kwh, kwh * price.usd_per_kwh)
    size = terms.response_bytes
    if size is None and on is not None and on.transfer is not None:
        size = on.data_transfer.response_bytes
    egress = terms.egress
    if egress is None and on is not None:
        egress = Egress.parse(on.data_transfer.egress_usd_per_gb)
    if size and egress is not None:
        gigabytes = size * pool.requests / _GIGA
        # Tiers are by month.
        usd = egress_usd(egress, gigabytes / months) * months
        busy = pool.bins["busy_s"]
        if usd:
            over_time = usd * (busy / busy.sum() if busy.sum() else even)
            made.add("egress", egress.name, gigabytes, "GB", usd, over_time)


def committed_usd_per_h(replica: Replica, commitment: Commitment | None) -> float:
    """Return the price of a replica in an hour that is paid ahead; the deployment's own without a commitment."""
    usd_per_h = replica.usd_per_h or 0.0
    if commitment is None:
        return usd_per_h
    price = None if replica.on is None else replica.on.device_price
    if price is None or not price.usd_per_h:
        return usd_per_h * (1 - commitment.discount) if commitment.discount is not None else commitment.usd_per_h or 0.0
    return usd_per_h * committed(price, commitment).usd_per_h / price.usd_per_h


def price_kind(replica: Replica) -> str:
    """Return the terms on which the machines of a replica are paid."""
    price = None if replica.on is None else replica.on.device_price
    return "given" if price is None else price.terms or "given"


def price_text(replica: Replica) -> str:
    """Return the price of a replica in words; empty without one."""
    if replica.usd_per_h is None:
        return ""
    if replica.on is None or replica.on.device_price is None:
        return f"{replica.usd_per_h:.4g} USD/h"
    price = replica.on.device_price
    fit = next(count for count in range(1, price.devices + 2) if replica.machines(count + 1) > 1)
    together = f"; an instance of {price.devices} devices holds {fit} replicas, which fill instances together"
    return f"{replica.usd_per_h:.4g} USD/h, {price.text}" + (together if fit > 1 else "")
