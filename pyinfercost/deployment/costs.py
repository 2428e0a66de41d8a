"""From seconds and joules to USD and grams of CO2."""

from __future__ import annotations

from typing import Any, TypeVar

from ..results.costs import SECONDS_PER_HOUR, Cost, Price

Number = TypeVar("Number", bound=Any)  # a float, or an array of them

JOULES_PER_KWH = 3.6e6


def usd_per_joule(price: Price) -> float:
    """What the owner pays for a joule of a machine; 0 where electricity is in the price."""
    return price.pue * price.usd_per_kwh / JOULES_PER_KWH


def electricity_usd(used_j: Number, unused_s: Number, idle_w: Number, usd_per_j: Number) -> Number:
    """What its owner pays for the electricity of an item, for numbers and for columns of them.

    Args:
        used_j: joules of the work.
        unused_s: seconds that are paid and not used.
        idle_w: what a device draws in these.
        usd_per_j: USD for a joule, the data centre's own included.
    """
    usd: Number = (used_j + unused_s * idle_w) * usd_per_j
    return usd


def cost_of(
    price: Price,
    *,
    latency_s: float,
    items: int,
    devices: int = 1,
    utilization: float = 1.0,
    energy_j: float | None = None,
    idle_w: float = 0.0,
    waiting_s: float = 0.0,
    egress_usd: float = 0.0,
) -> Cost:
    """What one item of a forward costs: paid seconds x price, what leaves the cloud, and for an owner electricity.

    Args:
        price: what an hour of one device costs.
        latency_s: of the forward.
        items: items of its batch.
        devices: how many devices it takes.
        utilization: share of the paid time in which devices work, above 0 and at most 1.
        energy_j: of the forward on all devices; needed where electricity has a price.
        idle_w: what a device draws in the time that is paid and in which it does not work.
        waiting_s: for how long copies occupy a device beside the forward.
        egress_usd: USD for an item's answer to leave the cloud.

    Raises:
        ValueError: for a utilization out of range, or a price of electricity without a known energy.
    """
    if not 0 < utilization <= 1:
        raise ValueError(f"utilization is {utilization}; expected above 0 and at most 1: the share of paid time in use")
    working_s = latency_s * devices / items
    used_s = (latency_s + waiting_s) * devices / items
    paid_s = used_s / utilization
    electricity = 0.0
    if price.usd_per_kwh > 0:
        if energy_j is None:
            raise ValueError("electricity has a price, and the machine's energy is not known: its file gives no power")
        electricity = electricity_usd(energy_j / items, paid_s - working_s, idle_w, usd_per_joule(price))
    usd = paid_s * price.usd_per_h / SECONDS_PER_HOUR + electricity + egress_usd
    return Cost(usd, used_s, paid_s, electricity, egress_usd, utilization, price)
