"""Measurements with their predictions: JSON, rows and tables."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..measuring.measure import worst_layers
from ..results.measurement import MeasuredLayer
from ..results.units import quantity, scale_for
from .derived import columns_of, row_of, whole_document
from .layout import GAP, Column, Note, Pairs, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..results.measurement import Measurement
    from .layout import Layout, Part

_JOULES = ("measured_j", "energy_source", "predicted_j", "predicted_j_source")
COLUMNS = (*columns_of(MeasuredLayer), *_JOULES)
_TOTAL = "(total)"
_MOST_OPS = 3


def measured_document(result: Measurement) -> dict[str, Any]:
    """Return the JSON object of a measurement, the layers with the worst prediction first."""
    return whole_document(replace(result, layers=tuple(worst_layers(result))))


def measured_rows(result: Measurement) -> list[dict[str, Any]]:
    """Return the whole model, whose module is `(total)`, then one row per layer; counters do not separate layers."""
    total = MeasuredLayer(module=_TOTAL, ops=(), measured_s=result.measured_s, predicted_s=result.predicted_s)
    layers = [{**row_of(layer), **dict.fromkeys(_JOULES)} for layer in worst_layers(result)]
    return [{**row_of(total), **{name: getattr(result, name) for name in _JOULES}}, *layers]


def measured_layout(result: Measurement, *, limit: int | None = None) -> Layout:
    """Return the measured model, the totals, and the layers with the worst predictions.

    Args:
        result: The measurement.
        limit: Maximum number of layer rows; None for all.

    Returns:
        The layout.
    """
    parts: list[Part] = [Pairs(measured_lines(result))]
    shown = worst_layers(result)[:limit]
    if shown:
        parts += [GAP, Table(_layer_columns(shown))]
    if len(shown) < len(result.layers):
        parts.append(Note(f"{len(shown)} of {len(result.layers)} layers; --top shows more."))
    return parts


def measured_lines(result: Measurement) -> list[tuple[str, str]]:
    """Return names and values of the run and of the totals."""
    sizes = ", ".join(f"{name} {value}" for name, value in result.sizes.items())
    lines = [
        ("model", result.model + (f" ({sizes})" if sizes else "")),
        ("ran", f"{result.execution}, {result.precision}, on {result.device} with {result.threads} threads"),
        (
            "measured",
            f"{_time(result.measured_s)} (median of {result.runs}; half of them between "
            f"{_time(result.measured_low_s)} and {_time(result.measured_high_s)})",
        ),
    ]
    if result.predicted_s is not None and result.ratio is not None:
        low, high = result.predicted_low_s or 0.0, result.predicted_high_s or 0.0
        lines += [
            ("predicted", f"{_time(result.predicted_s)} ({_time(low)} to {_time(high)}) on {result.hardware}"),
            ("predicted / measured", f"{result.ratio:.2f}"),
        ]
    lines += _energy_lines(result)
    if not result.layers:
        lines.append(("layers", "are separated in eager execution only"))
    return lines


def _energy_lines(result: Measurement) -> list[tuple[str, str]]:
    """Return the joules of a forward, measured and predicted, with their sources."""
    energy = result.energy
    lines = []
    if energy.joules is None:
        lines.append(("energy", f"not measured: {energy.why_not}"))
    else:
        idle = None if energy.idle_w is None else quantity(energy.idle_w, "W")
        rest = "" if idle is None else f", {_joules(energy.above_idle_j)} of them above an idle {idle}"
        step = "" if energy.resolution is None else f"; a step is {100 * energy.resolution:.2g} %"
        lines += [
            ("energy", f"{_joules(energy.joules)} a forward{rest} ({energy.source}, {energy.runs} forwards{step})"),
            ("energy covers", str(energy.covers)),
        ]
    if result.predicted_j is not None:
        band = f"{_joules(result.predicted_low_j)} to {_joules(result.predicted_high_j)}"
        lines.append(("energy predicted", f"{_joules(result.predicted_j)} ({band}; {result.predicted_j_source})"))
    elif result.hardware is not None:
        lines.append(("energy predicted", "unknown: the machine's file has no power"))
    if result.energy_ratio is not None:
        lines.append(("energy predicted / measured", f"{result.energy_ratio:.2f}"))
    return lines


def _layer_columns(layers: Sequence[MeasuredLayer]) -> list[Column]:
    scale = scale_for(max((layer.measured_s for layer in layers), default=0.0), "s")
    shown = [", ".join(op.split(".")[1] for op in layer.ops[:_MOST_OPS]) for layer in layers]
    columns = [
        Column("module", "", [layer.module or "(itself)" for layer in layers], numeric=False, flexible=True),
        Column("ops", "", shown, numeric=False, flexible=True),
        Column("measured", scale.unit, [scale.show(layer.measured_s) for layer in layers]),
    ]
    if any(layer.predicted_s is not None for layer in layers):
        predicted = [scale.show(layer.predicted_s) for layer in layers]
        ratios = ["" if layer.ratio is None else f"{layer.ratio:.2f}" for layer in layers]
        columns += [Column("predicted", scale.unit, predicted), Column("ratio", "", ratios)]
    return columns


def _time(seconds: float) -> str:
    return quantity(seconds, "s")


def _joules(joules: float | None) -> str:
    """Format joules with their sign; a value below idle energy is a valid reading."""
    if joules is None:
        return "not known"
    return f"-{quantity(-joules, 'J')}" if joules < 0 else quantity(joules, "J")
