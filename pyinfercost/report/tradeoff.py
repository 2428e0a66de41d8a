"""Tables of trade-offs: of candidates and of the sensitivity of layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..results.figures import FIGURES
from ..results.units import percent, scale_for, significant
from .layout import ALARM, GAP, Column, Note, Pairs, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..results.tradeoff import LayerSensitivity, Tradeoff, TradeoffRow
    from .layout import Layout, Part

_STORED_ZEROS = "Zeros are stored as numbers; dense kernels take the same time for them, so pruning saves no time."
_MANY = 1000.0
_DECIMALS = 4


def tradeoff_layout(result: Tradeoff) -> Layout:
    """Return the settings, the candidates, the failures, and the sensitivity of layers."""
    parts: list[Part] = [Pairs(_heading(result)), GAP, Table(_columns(result))]
    failed = [(row.name, row.error) for row in result.rows if row.error is not None]
    if failed:
        parts += [GAP, Note("Failed:", ALARM), Pairs([(name, str(error)) for name, error in failed])]
    if _pruned(result.rows):
        parts.append(Note(_STORED_ZEROS))
    trained = [row for row in result.rows if row.training_steps is not None]
    if trained:
        parts += [GAP, Note("Training, and the inferences whose savings pay for it", ""), Table(_training(trained))]
        parts += [Note(text) for text in _why_no_break_even(trained)]
    if result.layers:
        parts += [GAP, Note("Accuracy lost by changing one layer", ""), Table(_layer_columns(result))]
        wrong = [(f"{row.candidate} of {row.module}", str(row.error)) for row in result.layers if _failed(row)]
        if wrong:
            parts += [Note("Failed:", ALARM), Pairs(wrong)]
    return parts


def _heading(result: Tradeoff) -> list[tuple[str, str]]:
    better = "accuracy: more is better" if result.maximize else "accuracy is a loss: less is better"
    return [
        ("model", result.model),
        ("predicted", f"{result.hardware}, {result.precision}, {result.execution}, kernels of the evaluated modules"),
        ("evaluated", better),
    ]


def _columns(result: Tradeoff) -> list[Column]:
    rows = result.rows
    columns = [
        Column("candidate", "", [row.name for row in rows], numeric=False, flexible=True),
        Column("accuracy", "", ["-" if row.accuracy is None else accuracy_figure(row.accuracy) for row in rows]),
        Column("lost", "", [signed(row.lost) for row in rows]),
        *scaled_columns("latency", "s", [row.latency_s for row in rows]),
        *scaled_columns("measured", "s", [row.measured_s for row in rows]),
        *scaled_columns("memory", "B", [row.peak_memory_bytes for row in rows], spare=1),
        *scaled_columns("weights", "B", [row.parameter_bytes for row in rows]),
        *scaled_columns("energy", "J", [row.energy_j for row in rows], spare=2),
    ]
    if any(row.cost_usd is not None for row in rows):
        cells = ["-" if row.cost_usd is None else significant(FIGURES["cost_usd"].items * row.cost_usd) for row in rows]
        columns.append(Column("cost", "USD/1M", cells))
    if any(row.zero_share for row in rows):
        columns += [
            Column("zeros", "%", ["-" if row.zero_share is None else percent(row.zero_share) for row in rows]),
            Column("N:M", "", [row.structure for row in rows], numeric=False, spare=3),
            Column("rows", "zero", ["-" if row.zero_rows is None else str(row.zero_rows) for row in rows], spare=4),
        ]
    return columns


def _training(rows: Sequence[TradeoffRow]) -> list[Column]:
    """Return the columns of trained candidates: predicted and measured cost, and break-even."""
    columns = [
        Column("candidate", "", [row.name for row in rows], numeric=False, flexible=True),
        Column("steps", "", [str(row.training_steps) for row in rows]),
        *scaled_columns("predicted", "s", [row.training_s for row in rows]),
        *scaled_columns("measured", "s", [row.measured_training_s for row in rows]),
        *scaled_columns("predicted", "J", [row.training_j for row in rows], spare=2),
        *scaled_columns("measured", "J", [row.measured_training_j for row in rows], spare=1),
    ]
    if any(row.training_usd is not None for row in rows):
        columns.append(
            Column("cost", "USD", ["-" if row.training_usd is None else significant(row.training_usd) for row in rows])
        )
    columns.append(Column("break-even", "predicted", [_inferences(row.break_even) for row in rows]))
    if any(row.measured_s is not None for row in rows):
        columns.append(Column("break-even", "measured", [_inferences(row.measured_break_even) for row in rows]))
    return columns


def _inferences(text: str) -> str:
    """Return the number of a break-even, or the word for why there is none."""
    return text.removesuffix(" inferences").removesuffix(" inference").partition(":")[0]


def _why_no_break_even(rows: Sequence[TradeoffRow]) -> list[str]:
    """Return the reasons of trainings that never pay, or of which it is unknown."""
    found = []
    for row in rows:
        for what, text in (("predicted", row.break_even), ("measured", row.measured_break_even)):
            if ":" in text and (what == "predicted" or row.measured_s is not None):
                found.append(f"{row.name}, {what}: {text}.")
    return found


def scaled_columns(name: str, unit: str, values: Sequence[float | None], spare: int = 0) -> list[Column]:
    """Return a column in one unit; none if all values are unknown."""
    known = [value for value in values if value is not None]
    if not known:
        return []
    scale = scale_for(max(known), unit, decimals=2)
    return [Column(name, scale.unit, ["-" if value is None else scale.show(value) for value in values], spare=spare)]


def _layer_columns(result: Tradeoff) -> list[Column]:
    """Return the columns of layers: one row per layer, one column per candidate."""
    cells = {(row.module, row.candidate): _lost(row) for row in result.layers}
    modules = list(dict.fromkeys(row.module for row in result.layers))
    candidates = list(dict.fromkeys(row.candidate for row in result.layers))
    return [
        Column("layer", "", [module or "(itself)" for module in modules], numeric=False, flexible=True),
        *(Column(name, "", [cells.get((module, name), "") for module in modules]) for name in candidates),
    ]


def _lost(row: LayerSensitivity) -> str:
    if not row.applicable:
        return "-"
    return "failed" if row.lost is None else signed(row.lost)


def _failed(row: LayerSensitivity) -> bool:
    return row.applicable and row.error is not None


def _pruned(rows: Sequence[TradeoffRow]) -> bool:
    """Return whether a candidate has more zeros than the first row without being predicted to be faster."""
    if not rows:
        return False
    first = rows[0]
    return any(
        (row.zero_share or 0.0) > (first.zero_share or 0.0)
        and row.latency_s is not None
        and first.latency_s is not None
        and row.latency_s >= first.latency_s
        for row in rows[1:]
    )


def accuracy_figure(value: float) -> str:
    """Return an accuracy or a loss with four decimals."""
    return significant(value) if abs(value) >= _MANY else f"{value:.{_DECIMALS}f}"


def signed(value: float | None) -> str:
    """Return a lost accuracy with its sign; a dash for None."""
    if value is None:
        return "-"
    return ("+" if value > 0 else "") + accuracy_figure(value + 0.0)
