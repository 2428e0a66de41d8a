"""Tables of sensitivities and allocations: layers and of whole models."""

from __future__ import annotations

from math import floor, log10
from typing import TYPE_CHECKING

from ..results.figures import FIGURES
from ..results.sensitivity import ADDED
from ..results.tradeoff import ORIGINAL
from ..results.units import quantity, scale_for, significant
from .layout import ALARM, GAP, Column, Note, Pairs, Table
from .tradeoff import accuracy_figure, scaled_columns, signed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..results.sensitivity import (
        AllocatedLayer,
        Allocation,
        FormatSensitivity,
        MixedFigures,
        Sensitivity,
        WholeFormat,
    )
    from .layout import Layout, Part

_UNITS = {"latency_s": "s", "energy_j": "J", "parameter_bytes": "B"}
_DIGITS = 3
_LISTED = 60  # rows of the table of layers
_NAMED = 8  # layers in a line of code or of a note


def sensitivity_layout(result: Sensitivity) -> Layout:
    """Return the settings, the layers in each format, and each format in all layers."""
    pairs = [
        ("model", result.model),
        ("predicted", _predicted(result)),
        ("evaluated", _better(maximize=result.maximize)),
        ("original", f"{_accuracy(result.original)}, {quantity(result.original.latency_s, 's')}"),
    ]
    parts: list[Part] = [Pairs(pairs), GAP, Note("One layer in one format", "")]
    rows = [row for row in result.rows if row.applicable and row.saved_s is not None]
    shown = _largest(rows)
    parts.append(Table(_layer_columns(result, shown)))
    if len(shown) < len(rows):
        parts.append(Note(f"The {len(shown)} largest savings of {len(rows)} rows; to_csv() has all."))
    failed = [(f"{row.format} of {row.layer}", str(row.error)) for row in result.rows if row.applicable and row.error]
    if failed:
        parts += [Note("Failed:", ALARM), Pairs(failed)]
    without = _without(result)
    if without:
        parts += [Note("No kernel, or no way to apply it:"), Pairs(without)]
    title = "One format in all its layers: the sum of single layers, and the whole"
    return [*parts, GAP, Note(title, ""), Table(_whole_columns(result))]


def allocation_layout(result: Allocation) -> Layout:
    """Return the limits, the format of each layer, and the whole next to the original and single formats."""
    limits = ", ".join(f"{name} at most {_amount(name, most)}" for name, most in result.limits.items())
    proof = ", no choice has a smaller sum" if result.optimal else ""
    pairs = [
        ("model", result.model),
        ("predicted", _predicted(result)),
        ("evaluated", _better(maximize=result.maximize)),
        ("limit", limits),
        ("least", f"{result.minimized} ({result.method}{proof})"),
    ]
    parts: list[Part] = [Pairs(pairs)]
    if not result.holds:
        tried = f"none of {result.rounds} combinations is within it"
        parts.append(Note(f"The limit holds for sums of single layers, and not for the whole: {tried}.", ALARM))
    changed = [layer for layer in result.layers if layer.format != ORIGINAL]
    same = len(result.layers) - len(changed)
    parts += [GAP, Table(_allocated_columns(changed))] if changed else [GAP, Note("All layers stay as they are.", "")]
    if changed and same:
        names = [layer.layer for layer in result.layers if layer.format == ORIGINAL]
        parts.append(Note(f"Unchanged: {_some(names)}"))
    parts += [GAP, Table(_compared_columns(result))]
    if changed:
        parts += [GAP, Pairs([("graph", _code(result))])]
    return parts


def _predicted(result: Sensitivity | Allocation) -> str:
    kernels = "torchao" if result.kernels == "torchao" else "serving engines, not of the evaluated modules"
    return f"{result.hardware}, {result.precision}, {result.execution}, kernels of {kernels}"


def _better(*, maximize: bool) -> str:
    return "accuracy: more is better" if maximize else "accuracy is a loss: less is better"


def _accuracy(figures: MixedFigures) -> str:
    return "-" if figures.accuracy is None else accuracy_figure(figures.accuracy)


def _largest(rows: list[FormatSensitivity]) -> list[FormatSensitivity]:
    """Return the rows with the largest savings of time, in the order of the model."""
    kept = sorted(range(len(rows)), key=lambda place: -(rows[place].saved_s or 0.0))[:_LISTED]
    return [rows[place] for place in sorted(kept)]


def _layer_columns(result: Sensitivity, rows: Sequence[FormatSensitivity]) -> list[Column]:
    latency_s = result.original.latency_s
    return [
        Column("layer", "", [row.layer or "(itself)" for row in rows], numeric=False, flexible=True),
        Column("format", "", [row.format for row in rows], numeric=False),
        Column("applied", "", [row.applied for row in rows], numeric=False, spare=2),
        Column("lost", "", ["failed" if row.error else signed(row.lost) for row in rows]),
        *_saved("saved", "s", [row.saved_s for row in rows]),
        Column("of all", "%", [f"{100 * (row.saved_s or 0.0) / latency_s + 0.0:+.1f}" for row in rows]),
        *_saved("weights", "B", [row.saved_bytes for row in rows]),
        *_saved("energy", "J", [row.saved_j for row in rows], spare=3),
        *_money([row.saved_usd for row in rows]),
    ]


def _saved(name: str, unit: str, values: Sequence[float | None], spare: int = 0) -> list[Column]:
    """Return a column of savings, with signs; none if all are unknown."""
    known = [abs(value) for value in values if value is not None]
    if not known:
        return []
    scale = scale_for(max(known), unit, decimals=2)
    cells = []
    for value in values:
        if value is None:
            cells.append("-")
            continue
        text = f"{value / scale.factor:+.{scale.decimals}f}"
        cells.append("0" if not text.strip("+-0.") else text)
    return [Column(name, scale.unit, cells, spare=spare)]


def _money(values: Sequence[float | None]) -> list[Column]:
    """Return a column of USD saved by a million items; none if they are unknown or nothing is saved."""
    known = [FIGURES["cost_usd"].items * value for value in values if value is not None]
    most = max(map(abs, known), default=0.0)
    if most == 0:
        return []
    decimals = max(0, _DIGITS - 1 - floor(log10(most)))
    cells = ["-" if value is None else f"{FIGURES['cost_usd'].items * value:+.{decimals}f}" for value in values]
    return [Column("saved", "USD/1M", cells, spare=1)]


def _without(result: Sensitivity) -> list[tuple[str, str]]:
    """Return the layers that each format does not apply to."""
    layers: dict[str, list[str]] = {}
    for row in result.rows:
        if not row.applicable:
            layers.setdefault(row.format, []).append(row.layer or "(itself)")
    return [(form, _some(names)) for form, names in layers.items()]


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _whole_columns(result: Sensitivity) -> list[Column]:
    whole = result.whole
    scale = scale_for(max((each.figures.latency_s for each in whole), default=0.0), "s", decimals=2)
    return [
        Column("format", "", [each.format for each in whole], numeric=False, flexible=True),
        Column("layers", "", [str(each.layers) for each in whole]),
        Column("lost", "sum", [signed(each.added_lost) for each in whole]),
        Column("lost", "whole", ["failed" if each.error else signed(each.figures.lost) for each in whole]),
        Column("latency", f"{scale.unit} sum", [scale.show(each.added_latency_s) for each in whole]),
        Column("latency", f"{scale.unit} whole", [scale.show(each.figures.latency_s) for each in whole]),
        *scaled_columns("weights", "B", [each.figures.parameter_bytes for each in whole]),
    ]


def _allocated_columns(layers: Sequence[AllocatedLayer]) -> list[Column]:
    return [
        Column("layer", "", [each.layer or "(itself)" for each in layers], numeric=False, flexible=True),
        Column("format", "", [each.format for each in layers], numeric=False),
        Column("applied", "", [each.applied for each in layers], numeric=False, spare=1),
        Column("lost", "alone", [signed(each.lost) for each in layers]),
        *_saved("saved", "s", [each.saved_s for each in layers]),
        *_saved("weights", "B", [each.saved_bytes for each in layers]),
    ]


def _compared_columns(result: Allocation) -> list[Column]:
    """Return the original, sums and whole of the choice, and each format in all its layers."""
    added = result.added
    whole = [each for each in result.whole if each.error is None]
    rows: list[tuple[str, float | None, float | None, dict[str, float | None]]] = [
        (ORIGINAL, result.original.accuracy, result.original.lost, _costs(result.original)),
        ("chosen, by sums", None, added["lost"], {name: added[name] for name in ADDED}),
        ("chosen", result.together.accuracy, result.together.lost, _costs(result.together)),
        *((_title(each), each.figures.accuracy, each.figures.lost, _costs(each.figures)) for each in whole),
    ]
    columns = [
        Column("model", "", [name for name, *_ in rows], numeric=False, flexible=True),
        Column("accuracy", "", ["-" if each is None else accuracy_figure(each) for _, each, _, _ in rows]),
        Column("lost", "", [signed(each) for _, _, each, _ in rows]),
        *scaled_columns("latency", "s", [costs["latency_s"] for *_, costs in rows]),
        *scaled_columns("weights", "B", [costs["parameter_bytes"] for *_, costs in rows]),
        *scaled_columns("energy", "J", [costs["energy_j"] for *_, costs in rows], spare=1),
    ]
    usd = [costs["cost_usd"] for *_, costs in rows]
    if any(each is not None for each in usd):
        items = FIGURES["cost_usd"].items
        columns.append(Column("cost", "USD/1M", ["-" if each is None else significant(items * each) for each in usd]))
    return columns


def _title(whole: WholeFormat) -> str:
    return f"{whole.format} in all {whole.layers}"


def _costs(figures: MixedFigures) -> dict[str, float | None]:
    return {name: getattr(figures, name) for name in ADDED}


def _amount(name: str, value: float) -> str:
    if name in _UNITS:
        return quantity(value, _UNITS[name])
    if name == "cost_usd":
        return f"{significant(FIGURES['cost_usd'].items * value)} USD/1M"
    return accuracy_figure(value)


def _code(result: Allocation) -> str:
    """Return the call of `whatif` that gives the graph of the choice."""
    policies = {"quantize": result.quantize, "prune": result.prune}
    short = len(result.quantize) + len(result.prune) <= _NAMED
    given = ", ".join(
        f"{name}={dict(policy) if short else f'allocation.{name}'}" for name, policy in policies.items() if policy
    )
    kernels = "" if result.kernels == "engine" else f", kernels={result.kernels!r}"
    return f"ic.whatif(graph, {given}{kernels})" if given else "captured from allocation.module()"
