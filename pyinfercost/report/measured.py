"""A measurement beside its prediction: as a table, CSV and Markdown."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from .tabular import Column
from .text import quantity, scale_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import RenderableType

    from ..results.measurement import MeasuredLayer, Measurement

_CSV_COLUMNS = (
    "module", "ops", "measured_s", "predicted_s", "ratio",
    "measured_j", "energy_source", "predicted_j", "predicted_j_source",
)  # fmt: skip
_TOTAL = "(total)"
_MOST_OPS = 3


def measured_view(result: Measurement, *, limit: int | None = None) -> RenderableType:
    """What ran, the totals, and the layers whose prediction is off by most."""
    from rich.console import Group
    from rich.text import Text

    from .table import grid_view, pairs_view

    parts: list[RenderableType] = [pairs_view(measured_lines(result))]
    shown = result.worst()[:limit]
    if shown:
        parts += [Text(), grid_view(_layer_columns(shown))]
    if len(shown) < len(result.layers):
        parts.append(Text(f"{len(shown)} of {len(result.layers)} layers; --limit shows more.", "dim"))
    return Group(*parts)


def measured_lines(result: Measurement) -> list[tuple[str, str]]:
    """Names and values of what ran and of the totals."""
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
        lines.append(("layers", "are told apart in eager execution only"))
    return lines


def _energy_lines(result: Measurement) -> list[tuple[str, str]]:
    """Joules of a forward, each with where it is from."""
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
        lines.append(("energy predicted", "not known: the machine's file gives no power"))
    if result.energy_ratio is not None:
        lines.append(("energy predicted / measured", f"{result.energy_ratio:.2f}"))
    return lines


def measured_csv(result: Measurement) -> str:
    """The total, then one line per layer."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS)
    joules = (result.measured_j, result.energy_source, result.predicted_j, result.predicted_j_source)
    writer.writerow((_TOTAL, "", result.measured_s, result.predicted_s, result.ratio, *joules))
    no_joules = (None,) * len(joules)  # counters do not tell layers apart
    for layer in result.worst():
        times = (layer.measured_s, layer.predicted_s, _ratio(layer))
        writer.writerow((layer.module, " ".join(layer.ops), *times, *no_joules))
    return text.getvalue()


def measured_markdown(result: Measurement) -> str:
    """The totals as a list and the layers as a table."""
    columns = _layer_columns(result.worst())
    lines = [f"- {name}: {value}" for name, value in measured_lines(result)]
    if result.layers:
        titles = [f"{column.name} ({column.unit})" if column.unit else column.name for column in columns]
        lines += ["", _row(titles), _row("---:" if column.numeric else "---" for column in columns)]
        lines += [_row(cells) for cells in zip(*(column.cells for column in columns), strict=True)]
    return "\n".join(lines) + "\n"


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


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
        ratios = ["" if (ratio := _ratio(layer)) is None else f"{ratio:.2f}" for layer in layers]
        columns += [Column("predicted", scale.unit, predicted), Column("ratio", "", ratios)]
    return columns


def _ratio(layer: MeasuredLayer) -> float | None:
    if layer.predicted_s is None or layer.measured_s <= 0:
        return None
    return layer.predicted_s / layer.measured_s


def _time(seconds: float) -> str:
    return quantity(seconds, "s")


def _joules(joules: float | None) -> str:
    """With its sign: less than the idle draw is a reading, too."""
    if joules is None:
        return "not known"
    return f"-{quantity(-joules, 'J')}" if joules < 0 else quantity(joules, "J")
