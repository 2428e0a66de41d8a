"""Lines around the table: the request, the totals, and the ledger of operators that are not modeled."""

from __future__ import annotations

import re
from math import isnan
from typing import TYPE_CHECKING, Any

from .. import _core
from .._core import Expr, Graph
from .._escapes import visible
from .._records import dataclass
from ..deployment.engines import TORCH
from ..hardware.hosts import CHOICES
from ..predict.plans import is_narrowed
from ..results import figures
from ..results.units import amount, percent, quantity, scale_for, significant
from ..sources.data_names import is_data_name
from .device_lines import device_lines
from .language_lines import cache_lines, instances_text, memory_lines, phase_lines
from .layout import ALARM, GAP, Column, Layout, Note, Pairs, Part, Table
from .rows import effects_text, short_op

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._core import Counts, Hardware
    from ..results.costs import ColdStart, Cost, StartPart
    from ..results.estimate import Estimate
    from ..results.figures import Figure
    from ..results.profile import Profile
    from ..results.training_memory import TrainingMemory

_MOST_SIZES = 12
_LEAST_SHARE = 0.01
_LAYERS = 20
_MOST_LOADS = 2
_HOST_BOUND = "host-bound (dispatch)"
_STATED = frozenset(
    (
        "flops",
        "traffic_bytes",
        "parameters",
        "peak_memory_bytes",
        "latency_s",
        "throughput_per_s",
        "ttft_s",
        "tpot_s",
        "tokens_per_s",
        "max_sequences",
        "energy_j",
        "cost_usd",
    )
)
"""Figures of cards with a line of their own format."""
_LINES = [figure for figure in figures.of_scope(figures.CARD) if figure.key not in _STATED]
_WHOLE = 0.005
_MODEL_LINES = [figure for figure in _LINES if figures.HARDWARE not in figure.needs]
_MACHINE_LINES = [figure for figure in _LINES if figures.HARDWARE in figure.needs]
OF_DATA = "\nSizes that depend on data (--set NAME=N gives another value):"

_NUMBER = re.compile(r"\d+")
_LAST_NUMBER = re.compile(r"(?<=[A-Za-z])_\d+$")


def sizes_text(sizes: Mapping[str, int]) -> str:
    """Return `batch=8 sequence=2048`, without sizes that depend on data, which have their own lines."""
    return " ".join(f"{name}={value}" for name, value in sizes.items() if not is_data_name(name))


def profile_line(profile: Profile) -> str:
    """Return a profile in one line, for `repr`."""
    total = profile.counts.total
    parts = [profile.model or "graph", sizes_text(profile.sizes), quantity(total.flops, "FLOP")]
    if profile.estimate is not None:
        parts.append(f"{quantity(profile.estimate.latency_s, 's')} on {profile.estimate.hardware}")
    return visible(", ".join(part for part in parts if part))


def estimate_line(estimate: Estimate) -> str:
    """Return an estimate in one line, for `repr`."""
    band = f"{quantity(estimate.latency_low_s, 's')} to {quantity(estimate.latency_high_s, 's')}"
    engine = "" if estimate.engine == TORCH else estimate.engine
    way = ", ".join(filter(None, (estimate.precision, engine, estimate.execution, sizes_text(estimate.sizes))))
    return visible(f"{quantity(estimate.latency_s, 's')} ({band}) on {estimate.hardware}, {way}")


def _machine(estimate: Estimate) -> str:
    """Return the id of the machine, the number of devices, and how they are used."""
    threads = "" if estimate.threads is None else f", {estimate.threads} threads"
    instances = f", {estimate.instances} instances" if estimate.instances > 1 else ""
    devices = f"{estimate.devices} x " if estimate.devices > 1 else ""
    shared = _shared(estimate)
    load = ", continuous load" if estimate.sustained else ""
    return devices + estimate.hardware + shared + threads + instances + load


def _shared(estimate: Estimate) -> str:
    """Return how devices share a model."""
    layout = estimate.layout
    if layout.ranks == 1:
        return ", data parallel: they share the batch" if layout.data > 1 else ""
    copies = f"; {layout.copies} copies share the batch" if layout.copies > 1 else ""
    device = "one device of each stage together" if layout.pipeline > 1 else "one device"
    return f", layout {layout}: figures are of {device}, except throughput, energy and cost{copies}"


def heading(profile: Profile) -> list[tuple[str, str]]:
    """Return the profiled model and its deployment, as names and values."""
    lines = [("model", profile.model or "(unnamed graph)")]
    if sizes_text(profile.sizes):
        lines.append(("sizes", sizes_text(profile.sizes)))
    if _in_training_mode(profile.graph):
        lines.append(("mode", "captured in training mode: batch norms and dropouts train; call model.eval() before"))
    estimate = profile.estimate
    narrows = profile.precision == "native" and estimate is not None and estimate.engine != TORCH
    narrowed = narrows and is_narrowed(profile.graph)
    lines.append(("precision", f"{profile.precision}; float32 weights in 16 bits" if narrowed else profile.precision))
    if estimate is not None:
        lines += [("hardware", _machine(estimate)), *_execution(estimate), *_stages(estimate), *_experts(estimate)]
    return lines


def _stages(estimate: Estimate) -> list[tuple[str, str]]:
    """Return the stages of a pipeline in one line: their times and memory, and how long devices wait."""
    stages = estimate.stages
    if not stages:
        return []
    times = [stage.latency_s for stage in stages]
    memory = [stage.memory_bytes for stage in stages]
    layers = ", ".join(str(len(stage.modules)) for stage in stages)
    return [
        (
            "stages",
            f"{len(stages)} of {layers} modules: {quantity(min(times), 's')} to {quantity(max(times), 's')} for a "
            f"micro-batch, {quantity(min(memory), 'B')} to {quantity(max(memory), 'B')}; devices wait "
            f"{percent(estimate.bubble_share)} % of the latency",
        )
    ]


def _experts(estimate: Estimate) -> list[tuple[str, str]]:
    """Return how tokens are shared by experts."""
    loads = str(estimate.layout.expert_load)
    if not loads:
        return []
    shown = loads if loads.count(":") < _MOST_LOADS else "measured"
    return [("experts", f"{shown} loads; --layout expert_load=... states others")]


def _execution(estimate: Estimate) -> list[tuple[str, str]]:
    """Return what runs the model and how, and the operators that an engine has no kernel for."""
    if estimate.engine == TORCH:
        return [("execution", estimate.execution)]
    version = _core.engine_version(estimate.engine)
    lines = [("engine", f"{estimate.engine} {version}"), ("execution", estimate.execution)]
    if estimate.serving:
        lines.insert(1, ("serving", estimate.serving.replace(",", ", ")))
    if estimate.as_captured:
        ops = ", ".join(f"{count} x {short_op(op)}" for op, count in estimate.as_captured.items())
        lines.append(("as captured", f"{ops}: {estimate.engine} has other kernels for them, which are not modelled"))
    return lines


def _bits(profile: Profile) -> str:
    """Return the bits of a weight, where its scales make them a fraction."""
    bits = profile.figures.get("bits_per_parameter")
    is_whole = not isinstance(bits, float) or abs(bits - round(bits)) < _WHOLE
    return "" if is_whole else f" ({bits:.2f} bits per weight)"


def totals(profile: Profile) -> list[tuple[str, str]]:
    """Return the figures of the whole model, as names and values."""
    total = profile.counts.total
    of_stages = "; of all stages" if profile.estimate is not None and profile.estimate.stages else ""
    lines = [
        (
            "FLOPs",
            f"{quantity(total.flops, 'FLOP')}: contraction {quantity(total.contraction_flops, 'FLOP')} "
            f"({quantity(total.macs, 'MAC')}), pointwise {quantity(total.pointwise_flops, 'FLOP')}",
        ),
        (
            "parameters",
            f"{quantity(total.parameters, '')} in {quantity(total.parameter_bytes, 'B')}{_bits(profile)}, "
            f"buffers {quantity(total.buffer_bytes, 'B')}",
        ),
        ("traffic", f"{quantity(total.bytes_read, 'B')} read, {quantity(total.bytes_written, 'B')} written"),
        (
            "peak memory",
            f"{quantity(total.peak_memory_bytes, 'B')}, of which activations "
            f"{quantity(total.peak_activation_bytes, 'B')}{_most(profile.counts)}{of_stages}",
        ),
        *(line for figure in _MODEL_LINES for line in _line(figure, profile.figures[figure.key])),
        *([] if profile.kv_cache is None else cache_lines(profile.kv_cache)),
    ]
    phases = profile.counts.by_phase()
    if "backward" in phases:
        parts = ", ".join(f"{name} {quantity(row.flops, 'FLOP')}" for name, row in phases.items())
        saved = quantity(profile.counts.memory.saved_for_backward_bytes, "B")
        lines.append(("training step", f"{parts}; {saved} of activations saved for backward"))
    if profile.training_memory is not None:
        lines += _training_lines(profile.training_memory)
    estimate = profile.estimate
    if estimate is None:
        return lines
    if estimate.memory is not None:
        return [*lines, *estimate_lines(estimate), *memory_lines(estimate.memory)]
    # The counts are of the whole batch, and each device has its share.
    memory = quantity(total.peak_memory_bytes, "B") if estimate.layout.copies == 1 else "the largest share of the batch"
    if estimate.stages:
        memory = f"{quantity(max(stage.memory_bytes for stage in estimate.stages), 'B')} in the fullest stage"
    if estimate.machine_memory_bytes is None:
        memory = f"{memory}; the machine's memory size is configurable"
    else:
        fits = "fits" if estimate.fits_in_memory else "DOES NOT FIT"
        memory = f"{fits}: {memory} of {quantity(estimate.machine_memory_bytes, 'B')}"
    return [*lines, *estimate_lines(estimate), ("memory", memory)]


def _training_lines(memory: TrainingMemory) -> list[tuple[str, str]]:
    """Return the parts of the memory of training, and whether it fits."""
    sharded = f", ZeRO {memory.zero_stage} on {memory.shards} devices" if memory.zero_stage else ""
    text = ", ".join(f"{name} {quantity(size, 'B')}" for name, size in memory.peak_parts.items() if size)
    where = "forward and backward" if memory.peak_phase == "backward" else "the update"
    fits = {None: "", True: "fits: ", False: "DOES NOT FIT: "}[memory.fits_in_memory]
    of = "" if memory.machine_memory_bytes is None else f" of {quantity(memory.machine_memory_bytes, 'B')}"
    return [
        (
            "training memory",
            f"{fits}{quantity(memory.peak_bytes, 'B')}{of} with {memory.optimizer}{sharded}, at the peak of {where}: "
            f"{text}",
        )
    ]


def estimate_lines(estimate: Estimate) -> list[tuple[str, str]]:
    """Return the figures of an estimate, as names and values."""
    shares = sorted(estimate.bound_shares.items(), key=lambda item: -item[1])
    rate = estimate.throughput_per_s
    return [
        (
            "latency",
            f"{quantity(estimate.latency_s, 's')} "
            f"({quantity(estimate.latency_low_s, 's')} to {quantity(estimate.latency_high_s, 's')})",
        ),
        *_evidence(estimate),
        ("throughput", "not known" if rate is None else f"{quantity(rate, '')} per second"),
        *([] if estimate.tokens is None else phase_lines(estimate)),
        ("energy", _energy(estimate)),
        *([] if estimate.devices == 1 else device_lines(estimate)),
        *_transfer(estimate),
        *_cold_start(estimate),
        *([] if estimate.cost is None else _cost(estimate.cost, estimate.devices)),
        *(line for figure in _MACHINE_LINES for line in _line(figure, getattr(estimate, figure.key), estimate.tokens)),
        *_carbon(estimate),
        ("bound by", ", ".join(f"{name} {percent(share)} %" for name, share in shares if share > 0) or "nothing"),
        ("spent on", effects_text(estimate.layers) or "nothing"),
        *([("host", text)] if (text := host_text(estimate)) else []),
    ]


def host_of(machine: Hardware, engine: str) -> dict[str, float | bool] | None:
    """Return the seconds in which the host of a GPU issues an operator of torch, and whether they are assumed."""
    if engine != TORCH or machine.kind != "gpu":
        return None
    return {
        "operator_s": machine.overheads_s["dispatch"],
        "is_assumed": not isnan(machine.constant("forward.host_spread")),
    }


def host_text(estimate: Estimate) -> str:
    """Return the host that the time of small kernels depends on, in words; empty if the device does not wait for it."""
    host = host_of(estimate.machine, estimate.engine)
    if host is None or not any(layer.effect == _HOST_BOUND for layer in estimate.layers):
        return ""
    text = f"{quantity(host['operator_s'], 's')} per operator"
    return f"{text} is assumed: --host {CHOICES} or microseconds" if host["is_assumed"] else text


def estimate_layout(estimate: Estimate) -> Layout:
    """Return the machine, the figures of an estimate, and the layers that take most of its time."""
    sizes = sizes_text(estimate.sizes)
    pairs = [
        *([("sizes", sizes)] if sizes else []),
        ("hardware", _machine(estimate)),
        ("precision", estimate.precision),
        *_execution(estimate),
        *_experts(estimate),
    ]
    timed = sorted((layer for layer in estimate.layers if layer.latency_s > 0), key=lambda layer: -layer.latency_s)
    shown = timed[:_LAYERS]
    time = scale_for(shown[0].latency_s if shown else 0.0, "s", decimals=2)
    columns = [
        Column("module", "", [layer.module or "(itself)" for layer in shown], numeric=False, flexible=True),
        Column("op", "", [short_op(layer.op) for layer in shown], numeric=False, flexible=True),
        Column("latency", time.unit, [time.show(layer.latency_s) for layer in shown]),
        Column("share", "%", [percent(layer.latency_s / estimate.latency_s) for layer in shown]),
        Column("bound", "", [layer.bound for layer in shown], numeric=False, spare=1),
        Column("effect", "", [layer.effect for layer in shown], numeric=False, spare=2),
    ]
    parts: list[Part] = [Pairs(pairs), GAP, Pairs(estimate_lines(estimate))]
    if shown:
        parts += [GAP, Table(columns)]
    if len(shown) < len(timed):
        parts.append(Note(f"{len(shown)} of {len(timed)} layers with the most time; to_csv() has all."))
    return parts


def counts_layout(counts: Counts) -> Layout:
    """Return the totals of counts alone, and the modules at the first levels."""
    pairs = [
        (figure.title, quantity(getattr(counts.total, figure.key), figure.unit))
        for figure in figures.of_scope(figures.TOTAL)
        if hasattr(counts.total, figure.key)
    ]
    return [Pairs(pairs), GAP, Note(ledger(counts), "dim" if not counts.unmodelled else ALARM)]


def _line(figure: Figure, value: Any, tokens: int | None = None) -> list[tuple[str, str]]:
    """Return the line of a figure; none if it is unknown."""
    if value is None:
        return []
    per = f" per million {figure.per}" if figure.per else ""
    read = f", {tokens:,} in a forward" if figures.TOKENS in figure.needs and tokens is not None else ""
    return [(figure.short, amount(value * figure.items, figure.unit) + per + read)]


def _paid(cost: Cost, devices: int) -> list[tuple[str, str]]:
    if cost.instances is None:
        return []
    return [("paid", instances_text(cost.usd_per_h, cost.instances, cost.price.devices, devices))]


def _cost(cost: Cost, devices: int) -> list[tuple[str, str]]:
    """Return the cost of a million items, the hours behind it, and the source of the price."""
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
        *_paid(cost, devices),
    ]


def _transfer(estimate: Estimate) -> list[tuple[str, str]]:
    """Return the transfer time of a request, and whether it is part of the cost."""
    moved = estimate.transfer
    terms = moved.terms
    if estimate.transfer_s is None:
        return [("transfer", "unknown: the machine's file has no host link")]
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
    """Return the seconds of a cold start with its range, and of each part that takes time."""
    start = estimate.cold_start
    if start is None:
        if estimate.transfer_s is None:
            return []
        return [("cold start", f"unknown: the warm-up of {estimate.engine} is not known; give its seconds")]
    between = f"{quantity(start.low_s, 's')} to {quantity(start.high_s, 's')}"
    parts = [_start_part(part, start) for part in start.parts if part.seconds > 0]
    return [("cold start", f"{quantity(start.seconds, 's')} ({between}): {', '.join(parts) or 'nothing to load'}")]


def _start_part(part: StartPart, start: ColdStart) -> str:
    terms = start.terms
    place = terms.weights_from if isinstance(terms.weights_from, str) else f"{terms.weights_from:g} GB/s"
    loader = "" if place == "pinned" else f" by {terms.loader}"
    what = f" for {quantity(start.weight_bytes, 'B')} from {place}{loader}" if part.name == "weights" else ""
    return f"{part.name} {quantity(part.seconds, 's')}{what} ({part.evidence})"


def _evidence(estimate: Estimate) -> list[tuple[str, str]]:
    """Return what the band of the latency rests on; shares below 1 % are left out."""
    shares = {word: share for word, share in estimate.evidence.items() if share >= _LEAST_SHARE}
    parts = [f"{word} {percent(share)} %" if len(shares) > 1 else word for word, share in shares.items()]
    return [("evidence", ", ".join(parts))] if parts else []


def _carbon(estimate: Estimate) -> list[tuple[str, str]]:
    place = estimate.place
    if place is None or estimate.carbon_g is None:
        return []
    grams = quantity(figures.FIGURES["carbon_g"].items * estimate.carbon_g, "g")
    grid = f"{place.grid_g_per_kwh:g} g/kWh of {place.dated}, PUE {place.pue:g}"
    return [("carbon", f"{grams} CO2e per million items of the batch, {place.name}: {grid}")]


def _energy(estimate: Estimate) -> str:
    if estimate.energy_j is None or estimate.energy_low_j is None or estimate.energy_high_j is None:
        return "unknown: the machine's file has no power"
    power_w = estimate.energy_j / estimate.latency_s if estimate.latency_s > 0 else 0.0
    return (
        f"{quantity(estimate.energy_j, 'J')} "
        f"({quantity(estimate.energy_low_j, 'J')} to {quantity(estimate.energy_high_j, 'J')}), {quantity(power_w, 'W')}"
    )


def _most(counts: Counts) -> str:
    """Return the location of the activation peak."""
    memory = counts.memory
    if memory.peak_node < 0:
        return ""
    return f", most in {memory.peak_op.removeprefix('aten.')} of {memory.peak_module or 'the model'}"


def ledger(counts: Counts) -> str:
    """Return the coverage of the figures in one sentence."""
    if not counts.unmodelled:
        return f"all {counts.nodes} nodes modeled"
    missing = ", ".join(f"{op} x{number}" for op, number in counts.unmodelled.items())
    return f"not modeled: {missing} ({counts.modelled_nodes} of {counts.nodes} nodes modeled)"


def flattened(document: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return a nested document as names and values, with dotted names: `memory.dram.capacity_gib`, `80`."""
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


@dataclass
class DataSize:
    """One size, or several of one module whose names differ in numbers only.

    Attributes:
        names: Their names.
        values: Their values.
        bounds: Upper bound of each; None if unbounded.
        of: Description of the counted items.
        choice: Origin of the value: the stated default, or given by the user.
    """

    names: list[str]
    values: list[int]
    bounds: list[int | None]
    of: str
    choice: str

    def label(self) -> str:
        """The name, or the common pattern of the names."""
        if len(self.names) == 1:
            return self.names[0]
        return f"{_pattern(self.names[0])} x{len(self.names)}"

    def text(self) -> str:
        """Text such as `4507 of at most 4507; default: as many as there can be`."""
        known = [bound for bound in self.bounds if bound is not None]
        limit = f" of at most {_range(known)}" if known else ""
        return f"{_range(self.values)}{limit}: {self.of}; {self.choice}"


def data_sizes(profile: Profile) -> list[DataSize]:
    """Return all sizes of a profile that depend on data, in graph order."""
    known = profile.graph.sizes
    values = {name: profile.sizes[name] for name in known}
    found = []
    for name, limits in known.items():
        if "origin" in limits:
            of, _, stated = limits["origin"].rpartition("; ")
            default = evaluated(limits["default"], values)
            choice = stated if values[name] == default else "given"
            found.append(DataSize([name], [values[name]], [evaluated(limits["maximum"], values)], of, choice))
    return found


def data_size_lines(profile: Profile) -> list[tuple[str, str]]:
    """Return names and texts, with names that differ in numbers only on one line."""
    groups: dict[tuple[str, str, str], DataSize] = {}
    for size in data_sizes(profile):
        key = (_pattern(size.names[0]), size.of, size.choice)
        group = groups.setdefault(key, DataSize([], [], [], size.of, size.choice))
        group.names += size.names
        group.values += size.values
        group.bounds += size.bounds
    lines = [(group.label(), group.text()) for group in groups.values()]
    if len(lines) > _MOST_SIZES:
        more = sum(len(group.names) for group in list(groups.values())[_MOST_SIZES:])
        lines = [*lines[:_MOST_SIZES], ("...", f"{more} more; graph.sizes and the JSON have all of them")]
    return lines


def evaluated(limit: Any, values: Mapping[str, int]) -> Any:
    """Return the value of a default or a bound at the given sizes."""
    return limit.evaluate(values) if isinstance(limit, Expr) else limit


def _pattern(name: str) -> str:
    return _NUMBER.sub("*", _LAST_NUMBER.sub("*", name) if _LAST_NUMBER.search(name) else f"{name}*")


def _range(values: list[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


_DROPOUTS = frozenset({"aten.dropout", "aten.dropout_", "aten.feature_dropout", "aten.native_dropout"})


def _in_training_mode(graph: Graph) -> bool:
    """Return whether a forward was captured from a module in training mode.

    Its dropouts are active, or its batch norms compute statistics and update the running ones.
    """
    if not any("batch_norm" in op or "dropout" in op for op in graph.op_counts()):
        return False
    active = any(
        (
            node.op == "aten.batch_norm"
            and node.argument("training") is True
            and node.operand("running_mean") is not None
        )
        or (node.op in _DROPOUTS and node.argument("train") is True)
        for node in graph.nodes
    )
    return active and not graph.trains
