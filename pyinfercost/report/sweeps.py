"""Renderers of sweeps: rows, CSV and tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..hardware.evidence import EVIDENCE as WORDS_OF_EVIDENCE
from ..results import figures
from ..results.estimate import BOUNDS
from ..results.units import Scale, amount, percent, quantity, scale_for, significant
from ..sources.sizes import maximum
from ..sweeps.columns import EMULATED_BY, EVIDENCE, TEXTS, GridColumns
from ..sweeps.frames import known_values
from ..sweeps.result import ROWS_OF_A_TABLE, joined
from .delimited import csv_text
from .html.snippet import snippet_of
from .layout import GAP, Column, Layout, Note, Pairs, Table

if TYPE_CHECKING:
    from ..results.figures import Figure
    from ..sweeps.result import Sweep
    from ..sweeps.storage import StoredSweep

_ROWS_OF_A_SNIPPET = 20
_POINTS_AT_ONCE = 2**14
_SCALE = "_scale"
_DATA_PARALLEL = "data parallel: devices share the batch"
_SHORT = {words: key for key, words in WORDS_OF_EVIDENCE.items()}
"""Evidence in the words of results -> in a table."""


def sweep_names(sweep: Sweep | StoredSweep) -> tuple[str, ...]:
    """Return the names of the columns, in order."""
    return tuple(sweep.columns)


def sweep_rows(sweep: Sweep) -> list[dict[str, Any]]:
    """Return the points as dicts; unknown values are None."""
    lists = [known_values(sweep[name]) for name in sweep.data]
    return [dict(zip(sweep.data, row, strict=True)) for row in zip(*lists, strict=True)]


def sweep_csv(sweep: Sweep) -> Iterator[str]:
    """Yield the header, then pieces of some thousand lines, so that a long sweep is never one string."""
    import numpy as np

    yield csv_text(sweep_names(sweep), ())
    for first in range(0, len(sweep), _POINTS_AT_ONCE):
        part = sweep.take(np.arange(first, min(first + _POINTS_AT_ONCE, len(sweep))))
        yield csv_text(None, zip(*(known_values(part[name]) for name in part.data), strict=True))


def stored_csv(stored: StoredSweep) -> Iterator[str]:
    """Yield the parts of a stored sweep as one CSV file."""
    yield csv_text(sweep_names(stored), ())
    for part in stored:
        pieces = sweep_csv(part)
        next(pieces)
        yield from pieces


def sweep_layout(
    sweep: Sweep,
    *,
    about: Sequence[tuple[str, str]] = (),
    limit: int | None = ROWS_OF_A_TABLE,
    points: int | None = None,
    more: str = "to_csv() has all of them, where() and pareto() choose",
    point: bool = False,
) -> Layout:
    """Return the common values of all points, and one row per point.

    Args:
        sweep: The points.
        about: Names and values that describe the sweep.
        limit: Maximum number of points with rows, the first ones; None for all.
        points: Total number of points, if `sweep` has only a part.
        more: Note on how to see the other points.
        point: Return the first point as names and values instead.

    Returns:
        The layout.
    """
    if point:
        named = [("model", sweep.model or "(unnamed graph)"), *about]
        return [Pairs(named), GAP, Pairs(point_lines(sweep))]
    import numpy as np

    points = len(sweep) if points is None else points
    rows = sweep.take(np.arange(len(sweep) if limit is None else min(limit, len(sweep))))
    shared, axes = sweep_axes(sweep, rows)
    parts: list[Any] = [Pairs([("model", sweep.model or "(unnamed graph)"), *shared, *about])]
    if len(rows):
        parts += [GAP, Table([*axes, *sweep_columns(rows)])]
    if len(rows) < points:
        parts.append(Note(f"{len(rows):,} of {points:,} points; {more}."))
    return parts


def sweep_snippet(sweep: Sweep) -> str:
    """Return common values and the first points, as HTML for a notebook."""
    return snippet_of(sweep_layout(sweep, limit=_ROWS_OF_A_SNIPPET))


def stored_layout(stored: StoredSweep, *, limit: int | None = ROWS_OF_A_TABLE, **options: Any) -> Layout:
    """Return the layout of a stored sweep; only the rows shown are read.

    Args:
        stored: The sweep.
        limit: Maximum number of points with rows, the first ones; None for all.
        **options: As in `sweep_layout`.

    Returns:
        The layout.
    """
    first = stored.head(len(stored) if limit is None else limit)
    # In a grid, a column that is equal in the first points and the last is constant.
    ends = joined([first, stored.tail(1)])
    return sweep_layout(ends, limit=len(first), points=len(stored), **options)


def in_memory(stored: StoredSweep) -> Sweep:
    """Return all points of a stored sweep in memory."""
    return stored.where(None)


def sweep_axes(sweep: Sweep, shown: Sweep) -> tuple[list[tuple[str, str]], list[Column]]:
    """Return the identification of rows: names and values common to all points, and columns that differ.

    Args:
        sweep: All points.
        shown: The points with rows.

    Returns:
        Common names and values, and the columns.
    """
    shared, columns = [], []
    for name in sweep.identity():
        cells = [f"{value:g}" if isinstance(value, float) else str(value) for value in shown[name].tolist()]
        scale = name.endswith(_SCALE)
        title = name.removesuffix(_SCALE)
        if _varies(sweep, name, cells):
            text = name in TEXTS
            columns.append(Column(title, "x" if scale else "", cells, numeric=not text))
        elif cells:
            shared.append((title, f"x {cells[0]}" if scale else cells[0]))
    if _shares_batch(sweep):
        shared.append(("layout", _DATA_PARALLEL))
    words = set(shown[EVIDENCE].tolist()) - {""}
    if len(words) == 1:  # else it is a column
        shared.append(("evidence", words.pop()))
    return shared, columns


def _shares_batch(sweep: Sweep) -> bool:
    """Return whether devices share the batch at some point; the column is not computed if the grid has the answer."""
    if "devices" not in sweep or "layout" in sweep or not len(sweep):
        return False
    known = isinstance(sweep.data, GridColumns)
    return maximum(sweep.data.grid.values("devices") if known else sweep["devices"]) > 1  # type: ignore[attr-defined]


def _varies(sweep: Sweep, name: str, cells: Sequence[str]) -> bool:
    """Return whether the points differ in a column; it is not computed if the grid has the answer."""
    import numpy as np

    if not cells or len(set(cells)) > 1 or len(cells) == len(sweep):
        return len(set(cells)) > 1
    if isinstance(sweep.data, GridColumns) and len(sweep.data.grid.values(name)) == 1:
        return False
    if not (isinstance(sweep.data, GridColumns) and isinstance(sweep.data.grid.values(name), tuple)):
        column = sweep[name]
        return bool((column != column[0]).any())
    codes, values = sweep.data.labels(name)
    return len({values[code] for code in np.flatnonzero(np.bincount(codes, minlength=len(values)))}) > 1


def sweep_columns(shown: Sweep) -> list[Column]:
    """Return the figures of a sweep's table, the bound of each point, and whether it fits."""
    columns = []
    for figure in figures.of_scope(figures.GRID):
        if figure.key in shown:
            values = known_values(shown[figure.key])
            if any(values) or not _may_be_unknown(figure):
                columns.append(_figure_column(figure, values, shown))
    if "knee" in shown:
        columns.append(Column("of peak", "%", [percent(value) for value in shown["throughput_share"].tolist()]))
        columns.append(Column("of lowest", "x", [significant(value) for value in shown["latency_ratio"].tolist()]))
        columns.append(Column("knee", "", ["knee" if knee else "" for knee in shown["knee"].tolist()], numeric=False))
    times = [shown[f"{bound}_s"].tolist() for bound in BOUNDS]
    bounds = [BOUNDS[point.index(max(point))] for point in zip(*times, strict=True)]
    columns.append(Column("bound", "", bounds, numeric=False, spare=3))
    words = shown[EVIDENCE].tolist()
    if len(set(words)) > 1:
        columns.append(Column("evidence", "", [_SHORT.get(word, "") for word in words], numeric=False, spare=3))
    emulators = shown[EMULATED_BY].tolist()
    if any(emulators):
        columns.append(Column("emulated", "", [f"by {dtype}" if dtype else "" for dtype in emulators], numeric=False))
    columns.append(Column("fits", "", _fits_cells(shown), numeric=False))
    return columns


def _fits_cells(shown: Sweep) -> list[str]:
    sizes = known_values(shown["machine_memory_bytes"])  # unknown if the owner of the machine chooses it
    return [
        "depends" if size is None else "yes" if fits else "NO"
        for size, fits in zip(sizes, shown["fits_in_memory"].tolist(), strict=True)
    ]


def _may_be_unknown(figure: Figure) -> bool:
    """Return whether a column exists by default and may be unknown or 0 on every machine."""
    return bool(figure.needs - {figures.HARDWARE}) and not figure.needs & {figures.PRICE, figures.PLACE}


def _figure_column(figure: Figure, values: Sequence[float | None], shown: Sweep) -> Column:
    if figure.per or figure.unit == "per s":
        scale = Scale(1.0 / figure.items, figure.shown_unit, 0)
    else:  # the ends of a band share the unit of the value between them
        middle = figure.key.replace("_low_", "_").replace("_high_", "_")
        scale = _usual_scale([value for value in known_values(shown[middle]) if value is not None], figure.unit)
    cells = ["" if value is None else significant(value / scale.factor) for value in values]
    return Column(figure.short, scale.unit, cells, spare=figure.spare)


def _usual_scale(values: Sequence[float], unit: str) -> Scale:
    """Return the scale of the median: points may differ by orders of magnitude, with outliers."""
    return scale_for(sorted(values)[(len(values) - 1) // 2] if values else 0.0, unit)


def point_lines(sweep: Sweep) -> list[tuple[str, str]]:
    """Return the first point of a sweep, as names and values."""
    point = sweep.row(0)
    identity = [(name, point[name]) for name in sweep.identity()]
    lines = [(name, f"{value:g}" if isinstance(value, float) else str(value)) for name, value in identity]
    lines += [("layout", _DATA_PARALLEL)] if point.get("devices", 1) > 1 and "layout" not in point else []
    latency_s, rate = point["latency_s"], point["throughput_per_s"]
    shares = sorted(((point[f"{name}_s"], name) for name in BOUNDS), reverse=True)
    emulator = point[EMULATED_BY]
    memory = quantity(point["peak_memory_bytes"], "B")
    fits = "which fits" if point["fits_in_memory"] else "which DOES NOT FIT"
    if point["machine_memory_bytes"] is None:
        fits = "the machine's memory size is configurable"
    lines += [
        (
            "latency",
            f"{quantity(latency_s, 's')} "
            f"({quantity(point['latency_low_s'], 's')} to {quantity(point['latency_high_s'], 's')})",
        ),
        *([("evidence", point[EVIDENCE])] if point[EVIDENCE] else []),
        *([("emulated", f"no engine for this precision: computed as {emulator}")] if emulator else []),
        ("throughput", "not known" if rate is None else f"{significant(rate)} per second"),
        ("energy", "not known" if point["energy_j"] is None else quantity(point["energy_j"], "J")),
        (
            "bound by",
            ", ".join(f"{name} {percent(time / latency_s)} %" for time, name in shares if time > 0) or "nothing",
        ),
        ("memory", f"{memory}, {fits}"),
    ]
    for figure in figures.of_scope(figures.SWEEP):
        value = point.get(figure.key)
        if figure.needs - {figures.HARDWARE, figures.POWER} and value is not None:
            per = f" per million {figure.per}" if figure.per else ""
            lines.append((figure.title, amount(value * figure.items, figure.unit) + per))
    return lines
