"""The lines around the table: what was asked, the totals, and the ledger of what was not modelled."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING, Any

from .._core import depends_on_data
from .effects import effects_text
from .text import percent, quantity, significant

BOUNDS = ("compute", "dram", "cache", "launch")
"""What can set the time of a kernel."""
ITEMS_OF_A_PRICE = 1_000_000
"""What one item costs is a figure with too many zeros to read."""

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..results.costs import Cost
    from ..results.estimate import Estimate
    from ..results.profile import Profile


def sizes_text(sizes: Mapping[str, int]) -> str:
    """`batch=8 sequence=2048`, without those that depend on data, which have lines of their own."""
    return " ".join(f"{name}={value}" for name, value in sizes.items() if not depends_on_data(name))


def one_line(profile: Profile) -> str:
    """The profile in one line, for `repr`."""
    total = profile.counts.total
    parts = [profile.model or "graph", sizes_text(profile.sizes), quantity(total.flops, "FLOP")]
    if profile.estimate is not None:
        parts.append(f"{quantity(profile.estimate.latency_s, 's')} on {profile.estimate.hardware}")
    return ", ".join(part for part in parts if part)


def estimate_line(estimate: Estimate) -> str:
    """An estimate in one line, for `repr`."""
    band = f"{quantity(estimate.latency_low_s, 's')} to {quantity(estimate.latency_high_s, 's')}"
    way = ", ".join(filter(None, (estimate.precision, estimate.execution, sizes_text(estimate.sizes))))
    return f"{quantity(estimate.latency_s, 's')} ({band}) on {estimate.hardware}, {way}"


def heading(profile: Profile) -> list[tuple[str, str]]:
    """What was profiled, and how, as names and values."""
    lines = [("model", profile.model or "(unnamed graph)")]
    if sizes_text(profile.sizes):
        lines.append(("sizes", sizes_text(profile.sizes)))
    lines.append(("precision", profile.precision))
    estimate = profile.estimate
    if estimate is not None:
        threads = "" if estimate.threads is None else f", {estimate.threads} threads"
        sustained = ", at work all the time" if estimate.sustained else ""
        lines += [("hardware", estimate.hardware + threads + sustained), ("execution", estimate.execution)]
    return lines


def totals(profile: Profile) -> list[tuple[str, str]]:
    """The figures of the whole model, as names and values."""
    total = profile.counts.total
    lines = [
        (
            "FLOPs",
            f"{quantity(total.flops, 'FLOP')}: contraction {quantity(total.contraction_flops, 'FLOP')} "
            f"({quantity(total.macs, 'MAC')}), pointwise {quantity(total.pointwise_flops, 'FLOP')}",
        ),
        (
            "parameters",
            f"{quantity(total.parameters, '')} in {quantity(total.parameter_bytes, 'B')}, "
            f"buffers {quantity(total.buffer_bytes, 'B')}",
        ),
        ("traffic", f"{quantity(total.bytes_read, 'B')} read, {quantity(total.bytes_written, 'B')} written"),
        (
            "peak memory",
            f"{quantity(total.peak_memory_bytes, 'B')}, of which activations "
            f"{quantity(total.peak_activation_bytes, 'B')}{_most(profile)}",
        ),
    ]
    phases = profile.counts.by_phase()
    if "backward" in phases:
        parts = ", ".join(f"{name} {quantity(row.flops, 'FLOP')}" for name, row in phases.items())
        saved = quantity(profile.counts.memory.saved_for_backward_bytes, "B")
        lines.append(("training step", f"{parts}; {saved} of activations saved for backward"))
    estimate = profile.estimate
    if estimate is None:
        return lines
    shares = sorted(estimate.bound.items(), key=lambda item: -item[1])
    memory = quantity(total.peak_memory_bytes, "B")
    if estimate.memory_bytes is None:
        memory = f"{memory}; how much the machine has is its owner's choice"
    else:
        fits = "fits" if estimate.fits_in_memory else "DOES NOT FIT"
        memory = f"{fits}: {memory} of {quantity(estimate.memory_bytes, 'B')}"
    return [
        *lines,
        (
            "latency",
            f"{quantity(estimate.latency_s, 's')} "
            f"({quantity(estimate.latency_low_s, 's')} to {quantity(estimate.latency_high_s, 's')})",
        ),
        ("throughput", f"{quantity(estimate.throughput_per_s, '')} per second"),
        ("energy", _energy(estimate)),
        *_transfer(estimate),
        *_cold_start(estimate),
        *([] if estimate.cost is None else _cost(estimate.cost)),
        *_tokens(estimate),
        *_carbon(estimate),
        ("bound by", ", ".join(f"{name} {percent(share)} %" for name, share in shares if share > 0) or "nothing"),
        ("spent on", effects_text(estimate.layers) or "nothing"),
        ("memory", memory),
    ]


def _cost(cost: Cost) -> list[tuple[str, str]]:
    """What a million items cost, the hours behind it, and where the price is from."""
    hours = f"{significant(cost.used_h_per_million)} device hours"
    if cost.utilization < 1:
        paid = significant(cost.paid_h_per_million)
        hours = f"{paid} device hours paid, {significant(cost.used_h_per_million)} of them used"
    parts = [
        f"{percent(usd / cost.usd)} % of it {what}"
        for usd, what in ((cost.electricity_usd, "electricity"), (cost.egress_usd, "egress"))
        if usd > 0
    ]
    of_it = "".join(f", {part}" for part in parts)
    return [
        ("cost", f"{significant(cost.usd_per_million)} USD per million items of the batch{of_it}: {hours}"),
        ("price", str(cost.price)),
    ]


def _transfer(estimate: Estimate) -> list[tuple[str, str]]:
    """What a request takes beside the forward, and whether that is part of the cost."""
    moved = estimate.transfer
    terms = moved.terms
    if estimate.transfer_s is None:
        return [("transfer", "not known: the machine's file says nothing of a link to its host")]
    ways = [f"{quantity(moved.input_bytes, 'B')} in, {quantity(moved.output_bytes, 'B')} out"]
    if moved.host_s:
        ways.append(f"{terms.memory} memory" + (", overlapped" if terms.overlapped else ""))
    else:
        ways.append("host and device have one memory")
    if terms.network_gbit_per_s is not None or moved.network_s > 0:
        ways.append(f"{quantity(moved.network_s, 's')} of it network")
    parts = [quantity(estimate.transfer_s, "s"), "beside the latency:", ", ".join(ways)]
    return [("transfer", " ".join(parts))]


def _cold_start(estimate: Estimate) -> list[tuple[str, str]]:
    start = estimate.cold_start
    if start is None:
        return []
    between = f"{quantity(start.low_s, 's')} to {quantity(start.high_s, 's')}"
    weights = f"{quantity(start.weight_bytes, 'B')} of weights from {start.weights_from}"
    return [("cold start", f"{quantity(start.seconds, 's')} ({between}): runtime, and {weights}")]


def _tokens(estimate: Estimate) -> list[tuple[str, str]]:
    usd = estimate.usd_per_million_tokens
    if usd is None:
        return []
    return [("tokens", f"{significant(usd)} USD per million tokens, {estimate.tokens:,} in a forward")]


def _carbon(estimate: Estimate) -> list[tuple[str, str]]:
    place = estimate.place
    if place is None or estimate.carbon_g is None:
        return []
    grams = quantity(ITEMS_OF_A_PRICE * estimate.carbon_g, "g")
    grid = f"{place.grid_g_per_kwh:g} g/kWh of {place.dated}, PUE {place.pue:g}"
    return [("carbon", f"{grams} CO2e per million items of the batch, {place.name}: {grid}")]


def _energy(estimate: Estimate) -> str:
    if estimate.energy_j is None or estimate.energy_low_j is None or estimate.energy_high_j is None:
        return "not known: the machine's file gives no power"
    power_w = estimate.energy_j / estimate.latency_s if estimate.latency_s > 0 else 0.0
    return (
        f"{quantity(estimate.energy_j, 'J')} "
        f"({quantity(estimate.energy_low_j, 'J')} to {quantity(estimate.energy_high_j, 'J')}), {quantity(power_w, 'W')}"
    )


def point_lines(point: Mapping[str, Any], identity: Iterable[str]) -> list[tuple[str, str]]:
    """One point of a sweep, as names and values."""
    lines = [(name, f"{point[name]:g}" if isinstance(point[name], float) else str(point[name])) for name in identity]
    latency_s = point["latency_s"]
    shares = sorted(((point[f"{name}_s"], name) for name in BOUNDS), reverse=True)
    memory = quantity(point["peak_memory_bytes"], "B")
    lines += [
        (
            "latency",
            f"{quantity(latency_s, 's')} "
            f"({quantity(point['latency_low_s'], 's')} to {quantity(point['latency_high_s'], 's')})",
        ),
        ("throughput", f"{significant(point['throughput_per_s'])} per second"),
        ("energy", "not known" if isnan(point["energy_j"]) else quantity(point["energy_j"], "J")),
        (
            "bound by",
            ", ".join(f"{name} {percent(time / latency_s)} %" for time, name in shares if time > 0) or "nothing",
        ),
        ("memory", f"{memory}, which {'fits' if point['fits_in_memory'] else 'DOES NOT FIT'}"),
    ]
    for name, title in (("transfer_s", "transfer"), ("cold_start_s", "cold start")):
        if not isnan(point[name]):
            lines.append((title, quantity(point[name], "s")))
    for name, title, factor, unit in (
        ("cost_usd", "cost", ITEMS_OF_A_PRICE, "USD per million items of the batch"),
        ("usd_per_million_tokens", "tokens", 1, "USD per million tokens"),
        ("carbon_g", "carbon", ITEMS_OF_A_PRICE, "g CO2e per million items of the batch"),
    ):
        if name in point and not isnan(point[name]):
            lines.append((title, f"{significant(point[name] * factor)} {unit}"))
    return lines


def _most(profile: Profile) -> str:
    """Where activations need most."""
    memory = profile.counts.memory
    if memory.peak_node < 0:
        return ""
    return f", most in {memory.peak_op.removeprefix('aten.')} of {memory.peak_module or 'the model'}"


def ledger(profile: Profile) -> str:
    """What the figures do not cover, in one sentence."""
    counts = profile.counts
    if not counts.unmodelled:
        return f"all {counts.nodes} nodes modelled"
    missing = ", ".join(f"{op} x{number}" for op, number in counts.unmodelled.items())
    return f"not modelled: {missing} ({counts.modelled_nodes} of {counts.nodes} nodes modelled)"


def flattened(document: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """A nested document as names and values, with dots in the names: `memory.dram.capacity_gb`, `80`."""
    pairs = []
    for key, value in document.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            pairs += flattened(value, name + ".")
        elif isinstance(value, (list, tuple)):
            pairs.append((name, ", ".join(map(str, value)) or "-"))
        else:
            pairs.append((name, "-" if value is None else str(value)))
    return pairs
