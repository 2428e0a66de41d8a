"""What a notebook shows for a result: a few lines and one table, with a style that touches nothing else."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from ..ranking import of_the_whole
from ..rows import shown_rows
from ..summary import heading, ledger, totals
from ..tabular import profile_columns, sweep_axes, sweep_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ...results.comparison import Comparison
    from ...results.profile import Profile
    from ...sweeps.result import Sweep
    from ..tabular import Column

_ROWS = 20
_DEEPEST = 8
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
    whole = shown_rows(profile).whole
    trees = (shown_rows(profile, depth=depth) for depth in range(min(whole, _DEEPEST), 0, -1))
    shown = next((tree for tree in trees if len(tree.rows) <= _ROWS), None) or shown_rows(profile, top=_ROWS)
    columns = [column for column in profile_columns(profile, shown) if column.spare < _SPARE]
    said = ""
    if shown.flat:
        said = of_the_whole(shown) + " "
    elif shown.depth < shown.whole:
        said = f"Modules below depth {shown.depth} of {shown.whole} are collapsed. "
    lines = [*heading(profile), *(line for line in totals(profile) if line[0] in _LINES)]
    return _snippet(lines, columns, said + ledger(profile) + ".", total=True)


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
