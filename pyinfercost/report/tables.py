"""Tables of a profile: modules with shapes as torchinfo shows them, and totals by operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._checks import Range, whole
from .._core import Expr
from ..results.units import percent, quantity, scale_for
from .derived import row_of
from .layout import ALARM, GAP, Column, Note, Pairs, Table
from .rows import short_op

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..results.tables import ModuleRow, ModuleTable, OperatorTable
    from .layout import Layout, Part

_DEPTH = 3  # the default of torchinfo
_DEPTHS = Range(1, 1000)
_NONE = "--"

_SHAPES = ("input_shape", "output_shape", "kernel_shape")


def module_rows(table: ModuleTable) -> list[dict[str, Any]]:
    """Return one row per module; shapes are texts such as `[8, 3, 224, 224]`."""
    return [
        row_of(row) | {name: _shape(known) for name in _SHAPES if (known := getattr(row, name)) is not None}
        for row in table.rows
    ]


def module_layout(table: ModuleTable, *, depth: int | None = None) -> Layout:
    """Return the table of modules down to a depth, and the totals below it, in the words of torchinfo."""
    depth = _DEPTH if depth is None else whole(depth, "depth", _DEPTHS)
    shown = [row for row in table.rows if row.depth <= depth]
    below = {row.module for row in table.rows if row.depth == depth + 1}
    folded = {path.rpartition(".")[0] for path in below}
    parameters = [row.parameters if row.module in folded else row.own_parameters for row in shown]
    counts: dict[int, int] = {}
    names = []
    for place, row in enumerate(shown):
        counts[row.depth] = counts.get(row.depth, 0) + 1
        names.append(_name(shown, place, counts[row.depth], table.model))
    timed = table.hardware is not None
    time = scale_for(shown[0].latency_s or 0.0 if shown else 0.0, "s", decimals=2)
    columns = [
        Column("Layer (op): depth-idx", "", names, numeric=False),
        Column("Input Shape", "", [_shape(row.input_shape) for row in shown], numeric=False, spare=2),
        Column("Output Shape", "", [_shape(row.output_shape) for row in shown], numeric=False),
        Column("Kernel Shape", "", [_shape(row.kernel_shape) for row in shown], numeric=False, spare=3),
        Column("Param #", "", [_count(number) for number in parameters]),
        Column("Trainable", "", [_trainable(row) for row in shown], numeric=False, spare=4),
        Column("Mult-Adds", "", [_count(row.mult_adds) for row in shown]),
        *([Column("Time", time.unit, [time.show(row.latency_s) for row in shown], spare=1)] if timed else []),
    ]
    parts: list[Part] = [Table(columns), GAP, Pairs(_totals(table))]
    if folded:
        parts.append(Note(f"Modules below depth {depth} have no row; --depth or depth= shows more."))
    return parts


def _totals(table: ModuleTable) -> list[tuple[str, str]]:
    model = table.rows[0]
    frozen = sum(row.own_parameters for row in table.rows if row.trainable is False and row.own_parameters != 0)
    return [
        ("Total params", _count(model.parameters)),
        ("Trainable params", f"{_count(model.parameters - frozen)} (of floating point; a graph has no frozen weights)"),
        ("Non-trainable params", _count(frozen) if frozen != 0 else "0"),
        ("Total mult-adds", quantity(model.mult_adds, "")),
        ("Input size", quantity(table.input_bytes, "B")),
        ("Activations at the peak", quantity(table.peak_activation_bytes, "B")),
        ("Params size", quantity(table.parameter_bytes, "B")),
    ]


def _name(rows: Sequence[ModuleRow], place: int, number: int, model: str) -> str:
    """Return the name of a row with the branches of the tree, its operator, and its number at its depth."""
    row = rows[place]
    name = row.module.rpartition(".")[2] or model or "(model)"
    op = f" ({short_op(row.op)})" if row.op else ""
    marks = ""
    for depth in range(1, row.depth + 1):
        later = next((other.depth for other in rows[place + 1 :] if other.depth <= depth), 0)
        goes_on = later == depth
        last = depth == row.depth
        marks += ("├─" if goes_on else "└─") if last else ("│ " if goes_on else "  ")
    return f"{marks}{name}{op}: {row.depth}-{number}" if row.depth else f"{name}{op}"


def _shape(shape: Sequence[Any] | None) -> str:
    return _NONE if shape is None else f"[{', '.join(map(str, shape))}]"


def _count(number: Any) -> str:
    if isinstance(number, Expr):
        return str(number)
    return f"{number:,}" if number else _NONE


def _trainable(row: ModuleRow) -> str:
    return _NONE if row.trainable is None else str(row.trainable)


# ---- operators -------------------------------------------------------------------------------------------------------


def operator_layout(table: OperatorTable) -> Layout:
    """Return the table of operators, with the total as the last row."""
    rows, timed = table.rows, table.hardware is not None
    cells: list[Column] = [
        Column("op", "", [*(short_op(row.op) for row in rows), "total"], numeric=False, flexible=True),
        Column("calls", "", [f"{number:,}" for number in (*(row.calls for row in rows), sum(r.calls for r in rows))]),
    ]
    for name, unit, values, spare in (
        ("FLOPs", "FLOP", [row.flops for row in rows], 0),
        ("mult-adds", "", [row.mult_adds for row in rows], 1),
        ("read", "B", [row.bytes_read for row in rows], 2),
        ("written", "B", [row.bytes_written for row in rows], 3),
        *((("time", "s", [row.latency_s or 0.0 for row in rows], 0),) if timed else ()),
    ):
        texts = [quantity(value, unit) if value else "0" for value in (*values, sum(values))]
        cells.append(Column(name, "", ["?" if unknown else text for unknown, text in _known(rows, texts)], spare=spare))
    shares = ["" if row.share is None else percent(row.share) for row in rows]
    cells.append(Column("share", "%", [*shares, "100"]))
    parts: list[Part] = [Table(cells, total=True)]
    missing = [f"{row.op} x{row.calls}" for row in rows if not row.is_modelled]
    if missing:
        parts.append(Note(f"Not modeled, and in no figure: {', '.join(missing)}", ALARM))
    return parts


def _known(rows: Sequence[Any], texts: Sequence[str]) -> list[tuple[bool, str]]:
    """Return each text with whether its operator is not modeled; the last one is the total."""
    return list(zip([*(not row.is_modelled for row in rows), False], texts, strict=True))
