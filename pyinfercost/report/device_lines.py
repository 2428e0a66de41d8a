"""Lines about several devices: what each of them and all together hold, compute and send."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..results.units import percent, quantity

if TYPE_CHECKING:
    from ..results.device_use import DeviceUse, Exchange
    from ..results.estimate import Estimate


def device_lines(estimate: Estimate) -> list[tuple[str, str]]:
    """Return what one device and all devices hold, compute and send, and what travels; nothing for a single device."""
    each, whole = estimate.per_device, estimate.in_all
    if each is None or whole is None or estimate.devices == 1:
        return []
    nodes = f" in {estimate.nodes} nodes" if estimate.nodes > 1 else ""
    lines = [("a device", _use(each)), (f"all {estimate.devices}{nodes}", _use(whole))]
    if estimate.exchanges:
        lines.append(("exchanges", "; ".join(_exchange(each) for each in estimate.exchanges)))
    return lines


def _use(use: DeviceUse) -> str:
    parts = [f"weights {quantity(use.weight_bytes, 'B')}"]
    if use.kv_cache_bytes is not None:
        parts.append(f"KV cache {quantity(use.kv_cache_bytes, 'B')}")
    parts += [
        f"{quantity(use.memory_bytes, 'B')} at the peak",
        quantity(use.contraction_flops + use.pointwise_flops, "FLOP"),
        f"{quantity(use.bytes_sent, 'B')} sent",
    ]
    if use.energy_j is not None:
        of_links = use.link_energy_j
        share = f" ({percent(of_links / use.energy_j)} % links)" if of_links and use.energy_j > 0 else ""
        parts.append(quantity(use.energy_j, "J") + share)
    if use.usd_per_h is not None:
        parts.append(f"{use.usd_per_h:.4g} USD/h")
    return ", ".join(parts)


def _exchange(exchange: Exchange) -> str:
    nodes = f" in {exchange.nodes} nodes" if exchange.nodes > 1 else ""
    return (
        f"{exchange.calls} x {exchange.op} of {exchange.devices} devices{nodes}: "
        f"{quantity(exchange.bytes_sent, 'B')} sent in {quantity(exchange.latency_s, 's')}"
    )
