"""JSON documents of results. The keys of `profile_document` are stable: keys may be added, but none is renamed."""

from __future__ import annotations

import json
from math import isfinite
from typing import TYPE_CHECKING, Any

from .._core import Expr
from ..results import figures
from ..results.declared import document_of
from ..results.estimate import LayerEstimate
from .derived import SCHEMA_VERSION, columns_of
from .render import render
from .summary import data_sizes, host_of

if TYPE_CHECKING:
    from .._core import Counts, Hardware, Quantity
    from ..results.estimate import Estimate
    from ..results.exploration import Exploration
    from ..results.profile import Profile
    from ..sweeps.result import Sweep

TOTALS = figures.keys(figures.TOTAL)
LAYER_COUNTS = ("contraction_flops", "pointwise_flops", "bytes_read", "bytes_written")
_LABELS = {"latency_s": ("bound", "phase"), "energy_j": ("effect", "effect_share", "unit")}
"""Figure of a layer -> the descriptive keys after it."""
LAYER_KEYS = (
    "module",
    "op",
    *(key for figure in figures.keys(figures.LAYER) for key in (figure, *_LABELS.get(figure, ()))),
    "note",
)
"""Keys of `layers`, which are also the columns of a profile's CSV."""
_WAY = ("hardware", "precision", "engine", "serving", "execution", "threads", "instances", "sustained", "devices")
ESTIMATE = (*_WAY, *figures.keys(figures.ESTIMATE))
LAYER_TIMES = tuple(
    figure.key for figure in figures.of_scope(figures.LAYER) if figures.HARDWARE in figure.needs and figure.unit == "s"
)
_KERNEL = ("effect", "effect_share", "unit", "kernel_flops", "kernel_bytes")


def profile_document(profile: Profile) -> dict[str, Any]:
    """Return the JSON object of a profile; keys include units. Without hardware, `estimate` and times are null."""
    counts = profile.counts
    return {
        "schema_version": SCHEMA_VERSION,
        "model": profile.model,
        "precision": profile.precision,
        "sizes": dict(profile.sizes),
        "data_sizes": _data_sizes(profile),
        "totals": {name: _plain(profile.figures[name]) for name in TOTALS},
        **_coverage_and_memory(counts),
        "layers": profile_layers(profile),
        "modules": _modules(profile),
        "estimate": None if profile.estimate is None else estimate_document(profile.estimate),
        "kv_cache": None if profile.kv_cache is None else profile.kv_cache.to_dict(),
        "training_memory": None if profile.training_memory is None else profile.training_memory.to_dict(),
        "engine_command": profile.engine_command,
    }


def _coverage_and_memory(counts: Counts) -> dict[str, Any]:
    return {
        "coverage": {
            "nodes": counts.nodes,
            "modelled_nodes": counts.modelled_nodes,
            "unmodelled": [{"op": op, "count": count} for op, count in counts.unmodelled.items()],
        },
        "memory": {
            "lifetimes": counts.memory.lifetimes,
            "input_bytes": _plain(counts.memory.input_bytes),
            "peak_node": counts.memory.peak_node,
            "peak_op": counts.memory.peak_op,
            "peak_module": counts.memory.peak_module,
        },
    }


def _modules(profile: Profile) -> list[dict[str, Any]]:
    """Return the modules that own parameters, with the totals of these, excluding submodules, in layer order.

    A tensor shared by several modules counts for the one in its name.
    """
    whole = profile.counts.by_module()
    children: dict[str, list[str]] = {}
    for path in whole:
        if path:
            children.setdefault(path.rpartition(".")[0], []).append(path)

    def own(path: str, name: str) -> Any:
        return getattr(whole[path], name) - sum(getattr(whole[child], name) for child in children.get(path, ()))

    order = dict.fromkeys([*(layer.module for layer in profile.counts.layers), *whole])
    modules = [
        {"module": path, **{name: _plain(own(path, name)) for name in ("parameters", "parameter_bytes")}}
        for path in order
        if path in whole
    ]
    return [module for module in modules if module["parameters"] != 0]


def _data_sizes(profile: Profile) -> list[dict[str, Any]]:
    """Return the sizes that depend on data: values, bounds and defaults, as numbers and as expressions."""
    return [
        {
            "name": size.names[0],
            "value": size.values[0],
            "bound": size.bounds[0],
            "bound_expression": _text(profile.graph.sizes[size.names[0]]["maximum"]),
            "default_expression": _text(profile.graph.sizes[size.names[0]]["default"]),
            "of": size.of,
            "choice": size.choice,
        }
        for size in data_sizes(profile)
    ]


def _text(limit: Any) -> str | None:
    return None if limit is None else str(limit)


def profile_layers(profile: Profile) -> list[dict[str, Any]]:
    """Return one object per node of the graph, in execution order.

    `latency_s` and its terms are 0 for nodes that run no kernel (views), and null if unknown: without hardware, or for
    an operator that is not modeled. `bound` and `effect` are null if there is no time; `effect_share` is the share of
    the latency due to the effect. `unit`, `kernel_flops` and `kernel_bytes` describe the kernel attributed to the
    node, and are 0 if it is attributed to another node, which `note` names. `live_activation_bytes` is the memory in
    use while the node runs, including its workspace.
    """
    times = None if profile.estimate is None else {layer.index: layer for layer in profile.estimate.layers}
    layers = []
    for layer in profile.counts.layers:
        known: dict[str, Any] = dict.fromkeys(LAYER_KEYS)
        known |= {"module": layer.module, "op": layer.op, "phase": layer.phase}
        known |= {name: _plain(getattr(layer.row, name)) for name in LAYER_COUNTS}
        known["live_activation_bytes"] = _plain(layer.row.peak_activation_bytes)
        if times is not None and layer.index in times:
            time = times[layer.index]
            known |= {name: getattr(time, name) for name in (*LAYER_TIMES, "energy_j", "bound", *_KERNEL)}
            known["note"] = time.note or None
        elif times is not None and layer.modelled:
            known |= dict.fromkeys((*LAYER_TIMES, "kernel_flops", "kernel_bytes"), 0.0)
            if profile.estimate is not None and profile.estimate.energy_j is not None:
                known["energy_j"] = 0.0
        layers.append(known)
    return layers


COUNT_COLUMNS = ("module", "op", *LAYER_COUNTS, "phase", "live_activation_bytes")
ESTIMATE_COLUMNS = columns_of(LayerEstimate)


def counts_document(counts: Counts) -> dict[str, Any]:
    """Return the JSON object of counts alone: totals, coverage, memory and layers."""
    return {
        "schema_version": SCHEMA_VERSION,
        "totals": {name: _plain(getattr(counts.total, name)) for name in counts.total.to_dict()},
        **_coverage_and_memory(counts),
        "layers": counted_layers(counts),
    }


def counted_layers(counts: Counts) -> list[dict[str, Any]]:
    """Return one object per node: its module, op and phase, FLOPs, bytes and live activations."""
    return [
        {
            "module": layer.module,
            "op": layer.op,
            **{name: _plain(getattr(layer.row, name)) for name in LAYER_COUNTS},
            "phase": layer.phase,
            "live_activation_bytes": _plain(layer.row.peak_activation_bytes),
        }
        for layer in counts.layers
    ]


def sweep_document(sweep: Sweep) -> dict[str, Any]:
    """Return the JSON object of a sweep: `points` has one object per row, with the columns as keys.

    `complete` is false if the sweep was stopped before all points of its grid were computed.
    """
    from .sweeps import sweep_rows

    points = sweep_rows(sweep)
    return {"schema_version": SCHEMA_VERSION, "model": sweep.model, "complete": sweep.complete, "points": points}


def json_text(result: object, *, indent: int | None = 2) -> str:
    """Return the document of a result as JSON text."""
    return as_json(render(result, "dict"), indent=indent)


def as_json(document: Any, *, indent: int | None = 2) -> str:
    """Return a document as JSON text."""
    return json.dumps(document, indent=indent, allow_nan=False)


def whole_estimate_document(estimate: Estimate) -> dict[str, Any]:
    """Return the JSON object of an estimate: `sizes`, `layers` and, as in a profile, `estimate`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "sizes": dict(estimate.sizes),
        "devices": estimate.devices,
        "layers": estimate_layers(estimate),
        "estimate": estimate_document(estimate),
    }


def estimate_layers(estimate: Estimate) -> list[dict[str, Any]]:
    """Return one object per node that a kernel covers."""
    return [document_of(layer) for layer in estimate.layers]


def estimate_document(estimate: Estimate) -> dict[str, Any]:
    """Return the JSON object of an estimate without its layers."""
    return {
        **document_of(estimate),
        "layout": estimate.layout.given,
        "bound": dict(estimate.bound_shares),
        "host": host_of(estimate.machine, estimate.engine),
        "machine": machine_document(estimate.machine),
    }


def machine_document(machine: Hardware) -> dict[str, Any]:
    """Return the JSON object of a machine: its dense peaks by arithmetic unit and dtype, its memory, and sources."""
    units = (("matrix", machine.matrix_flop_per_s), ("vector", machine.vector_flop_per_s))
    return {
        "id": machine.id,
        "name": machine.name,
        "kind": machine.kind,
        "family": machine.family,
        "cores": machine.cores,
        "units": [
            {"unit": unit, "dtype": dtype, "flop_per_s": rate} for unit, rates in units for dtype, rate in rates.items()
        ],
        "memory": [
            {"level": level, "capacity_bytes": _finite(capacity), "bandwidth_byte_per_s": bandwidth}
            for level, capacity, bandwidth in machine.memory
        ],
        "spread": machine.spread,
        "evidence": dict(machine.evidence),
        "provenance": dict(machine.provenance),
    }


def _plain(value: Quantity | float | None) -> int | float | str | None:
    return str(value) if isinstance(value, Expr) else value


def _finite(value: Any) -> Any:
    """Replace infinity, which JSON lacks, by None; it is the throughput of a graph that takes no time."""
    return None if isinstance(value, float) and not isfinite(value) else value


def exploration_document(exploration: Exploration) -> dict[str, Any]:
    """Return the JSON object of the point at which an exploration begins; empty without a model."""
    return {} if exploration.profile is None else profile_document(exploration.profile)


def exploration_rows(exploration: Exploration) -> list[dict[str, Any]]:
    """Return one object per node of the graph at that point."""
    return [] if exploration.profile is None else profile_layers(exploration.profile)
