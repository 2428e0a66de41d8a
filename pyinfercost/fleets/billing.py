"""The bill of a simulated fleet: seconds of replicas times prices, and what else is paid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..results.bill import MONTH_S, USES, Bill, BillLine
from ..results.costs import SECONDS_PER_HOUR

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .replicas import Replica
    from .terms import Terms

_JOULES_PER_KWH = 3.6e6
_GIGA = 1e9
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
    """

    replica: Replica
    terms: Terms
    bins: Mapping[str, NDArray[Any]]
    seconds_with: NDArray[np.float64]
    work_j: float | None
    requests: int

    @property
    def paid_s(self) -> NDArray[np.float64]:
        """Paid replica-seconds of each bin."""
        found: NDArray[np.float64] = self.bins["starting_s"] + self.bins["ready_s"] + self.bins["draining_s"]
        return found

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
        """Return the energy in each bin: that of the work, in proportion to busy time, and idle power otherwise."""
        if self.replica.idle_w is None or self.work_j is None:
            return None
        busy = self.bins["busy_s"]
        idle_s = self.paid_s - busy
        total_busy = float(busy.sum())
        work = busy * (self.work_j / total_busy) if total_busy else busy
        if self.replica.on is None:  # the power of places comes on top of that of the machine
            idle_s = self.paid_s
        found: NDArray[np.float64] = work + idle_s * self.replica.idle_w
        return found


def energy_of(pools: Sequence[PaidPool]) -> NDArray[np.float64] | None:
    """Return the energy of all pools in each bin; None if that of one is unknown."""
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

    lines: list[BillLine] = []
    hourly: dict[str, NDArray[np.float64]] = {}
    use_usd = dict.fromkeys(USES, 0.0)
    bins = pools[0].paid_s.size
    shares = np.minimum(bin_s, np.maximum(0.0, duration_s - np.arange(bins) * bin_s)) / duration_s
    for pool in pools:
        if pool.replica.usd_per_h is None:
            return None
        paid = _machines(pool, lines, shares * duration_s)
        # What is committed and not there is idle; all seconds of a bin have the same price.
        charged_s = np.maximum(pool.paid_s, pool.terms.committed * shares * duration_s)
        each = paid / np.maximum(1e-30, charged_s)
        for use, seconds in pool.uses_s.items():
            money = each * (seconds + (charged_s - pool.paid_s if use == "idle" else 0.0))
            use_usd[use] += float(money.sum())
            hourly[use] = hourly.get(use, np.zeros(bins)) + money
        for line, spread in _others(pool, duration_s, shares):
            lines.append(line)
            hourly[line.kind] = hourly.get(line.kind, np.zeros(bins)) + spread
    return Bill(
        duration_s=duration_s,
        lines=tuple(line for line in lines if line.quantity or line.usd),
        use_usd=use_usd,
        hourly_usd={name: tuple(values.tolist()) for name, values in hourly.items() if values.any()},
        requests=requests,
        output_tokens=output_tokens,
    )


def _machines(pool: PaidPool, lines: list[BillLine], bin_seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Add the lines of machines; return what they cost in each bin."""
    import numpy as np

    usd_per_s = (pool.replica.usd_per_h or 0.0) / SECONDS_PER_HOUR
    committed = pool.terms.committed
    ahead_usd_per_s = usd_per_s
    if pool.terms.committed_usd_per_h is not None:
        ahead_usd_per_s = pool.terms.committed_usd_per_h / SECONDS_PER_HOUR
    ahead_s = committed * bin_seconds
    # A fleet keeps what is committed; what an interruption takes away for a while is paid all the same.
    later_s = np.maximum(0.0, pool.paid_s - ahead_s)
    kind = price_kind(pool.replica)
    if committed:
        hours = float(ahead_s.sum()) / SECONDS_PER_HOUR
        lines.append(BillLine("committed", pool.replica.name, hours, "h", hours * SECONDS_PER_HOUR * ahead_usd_per_s))
    hours = float(later_s.sum()) / SECONDS_PER_HOUR
    lines.append(BillLine(kind, pool.replica.name, hours, "h", hours * SECONDS_PER_HOUR * usd_per_s))
    found: NDArray[np.float64] = ahead_s * ahead_usd_per_s + later_s * usd_per_s
    return found


def _others(
    pool: PaidPool, duration_s: float, shares: NDArray[np.float64]
) -> list[tuple[BillLine, NDArray[np.float64]]]:
    """Return what is paid besides machines, and how it is spread over the bins."""
    found = []
    terms, on = pool.terms, pool.replica.on
    months = duration_s / MONTH_S
    for kind, usd in (("storage", terms.storage_usd_per_month), ("staff", terms.staff_usd_per_month)):
        if usd:
            found.append((BillLine(kind, "", months, "month", usd * months), usd * months * shares))
    price = None if on is None else on.device_price
    energy = pool.energy_j()
    if price is not None and price.usd_per_kwh and energy is not None:
        kwh = energy / _JOULES_PER_KWH * price.pue
        usd = float(kwh.sum()) * price.usd_per_kwh
        found.append((BillLine("electricity", "", float(kwh.sum()), "kWh", usd), kwh * price.usd_per_kwh))
    size = terms.response_bytes
    if size is None and on is not None and on.transfer is not None:
        size = on.data_transfer.response_bytes
    usd_per_gb = 0.0 if on is None else on.data_transfer.egress_usd_per_gb
    if size and usd_per_gb:
        gigabytes = size * pool.requests / _GIGA
        busy = pool.bins["busy_s"]
        spread = busy / busy.sum() if busy.sum() else shares
        line = BillLine("egress", "", gigabytes, "GB", gigabytes * usd_per_gb)
        found.append((line, line.usd * spread))
    return found


def price_kind(replica: Replica) -> str:
    """Return the terms on which the machines of a replica are paid."""
    price = None if replica.on is None else replica.on.device_price
    if price is None:
        return "given"
    for kind in ("on-demand", "spot", "reserved"):
        if price.text.endswith(kind) or f" {kind}," in price.text:
            return kind
    return "purchase" if "bought" in price.text else "given"


def price_text(replica: Replica) -> str:
    """Return the price of a replica in words; empty without one."""
    if replica.usd_per_h is None:
        return ""
    price: Any = None if replica.on is None else replica.on.device_price
    return f"{replica.usd_per_h:.4g} USD/h" + ("" if price is None else f", {price.text}")
