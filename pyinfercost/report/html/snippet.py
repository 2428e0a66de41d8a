"""What a notebook shows for a result: a few lines and one table, with a style that touches nothing else."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from ..rows import module_rows
from ..summary import heading, ledger, totals
from ..tabular import profile_columns, sweep_axes, sweep_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ...analysis.comparison import Comparison
    from ...analysis.profile import Profile
    from ...analysis.sweeps.result import Sweep
    from ..tabular import Column

_ROWS = 20
_SPARE = 3  # columns of this much to spare, and more, are left out
_LINES = ("FLOPs", "parameters", "latency", "energy", "cost", "bound by", "memory")
# Colours are the notebook's own, so that the same rules do for a dark one.
_STYLE = (
    ".pyinfercost{font-size:13px;line-height:1.4;overflow-x:auto}"
    ".pyinfercost table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:6px 0}"
    ".pyinfercost td,.pyinfercost th{padding:1px 8px;text-align:right;white-space:pre;border:0}"
    ".pyinfercost .t{text-align:left}"
    ".pyinfercost tbody tr:last-child.s td{border-top:1px solid currentColor;font-weight:600}"
    ".pyinfercost .d{opacity:.65}"
)


def profile_snippet(profile: Profile) -> str:
    """The heading, the totals that people ask for first, and the module tree at a depth that is short."""
    depth = next((level for level in range(8, 0, -1) if len(module_rows(profile, level)[0]) <= _ROWS), 1)
    rows, shown, whole = module_rows(profile, depth)
    columns = [column for column in profile_columns(profile, rows) if column.spare < _SPARE]
    said = "" if len(rows) <= _ROWS else f"{_ROWS} of {len(rows)} rows. "
    if shown < whole:
        said += f"Modules below depth {shown} of {whole} are collapsed. "
    cut = [_cut(column) for column in columns] if len(rows) > _ROWS else columns
    lines = [*heading(profile), *(line for line in totals(profile) if line[0] in _LINES)]
    return _snippet(lines, cut, said + ledger(profile) + ".", total=True)


def sweep_snippet(sweep: Sweep) -> str:
    """What all points share, and the first points."""
    import numpy as np

    first = sweep.take(np.arange(min(len(sweep), _ROWS)))
    shared, axes = sweep_axes(sweep, first)
    columns = [*axes, *(column for column in sweep_columns(first) if column.spare < _SPARE)] if len(first) else []
    note = f"{len(first)} of {len(sweep):,} points." if len(first) < len(sweep) else f"{len(sweep):,} points."
    return _snippet([("model", sweep.model or "(unnamed graph)"), *shared], columns, note)


def comparison_snippet(comparison: Comparison) -> str:
    """What is compared, and the totals before and after."""
    from ..comparison import comparison_heading, total_columns

    return _snippet(comparison_heading(comparison), total_columns(comparison), " ".join(comparison.warnings))


def _cut(column: Column) -> Column:
    from dataclasses import replace

    return replace(column, cells=[*column.cells[:_ROWS], column.cells[-1]])


def _snippet(
    lines: Iterable[tuple[str, str]], columns: Sequence[Column], note: str = "", *, total: bool = False
) -> str:
    pairs = "".join(
        f'<tr><td class="t d">{escape(name)}</td><td class="t">{escape(text)}</td></tr>' for name, text in lines
    )
    parts = [f'<div class="pyinfercost"><style>{_STYLE}</style><table>{pairs}</table>']
    if columns:
        kinds = ["" if column.numeric else ' class="t"' for column in columns]
        titles = "".join(
            f"<th{kind}>{escape(column.name)}{f' ({escape(column.unit)})' if column.unit else ''}</th>"
            for kind, column in zip(kinds, columns, strict=True)
        )
        rows = list(zip(*(column.cells for column in columns), strict=True))
        body = "".join(
            f"<tr{' class=s' if total and place == len(rows) - 1 else ''}>"
            + "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds, cells, strict=True))
            + "</tr>"
            for place, cells in enumerate(rows)
        )
        parts.append(f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>")
    if note:
        parts.append(f'<div class="d">{escape(note)}</div>')
    return "".join([*parts, "</div>"])
