"""HTML snippets of results for notebooks, with a scoped style, and the same snippets as pages."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from ..layout import ALARM, Command, Note, Pairs, Table, titled
from ..render import render
from ..rows import of_the_whole, profile_columns, shown_rows
from ..summary import heading, ledger, totals

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ...results.profile import Profile
    from ..layout import Column, Layout

_ROWS = 20
_DEEPEST = 8
_SPARE = 3  # columns with this `spare` or more are left out
_LINES = ("FLOPs", "parameters", "latency", "energy", "cost", "bound by", "memory")
# Colors are those of the notebook, so the same rules suit dark themes.
_STYLE = (
    ".pyinfercost{font-size:13px;line-height:1.4;overflow-x:auto}"
    ".pyinfercost table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:6px 0}"
    ".pyinfercost td,.pyinfercost th{padding:1px 8px;text-align:right;white-space:pre;border:0}"
    ".pyinfercost .t{text-align:left}"
    ".pyinfercost tbody tr:last-child.s td{border-top:1px solid currentColor;font-weight:600}"
    ".pyinfercost .d{opacity:.65}"
    ".pyinfercost .a{font-weight:600}"
)


def profile_snippet(profile: Profile) -> str:
    """Return the heading, the main totals, and the module tree at a moderate depth."""
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
    return snippet_of([Pairs(lines), Table(columns, total=True), Note(said + ledger(profile.counts) + ".")])


def layout_snippet(result: object, **options: Any) -> str:
    """Return the layout of a result as a snippet: its first lines, tables without spare columns, and notes."""
    layout: Layout = render(result, "layout", **options)
    return snippet_of(layout)


def snippet_of(layout: Layout) -> str:
    """Return the parts of a layout as a snippet."""
    parts = []
    for part in layout:
        if isinstance(part, Pairs):
            parts.append(_pairs(part.pairs))
        elif isinstance(part, Table):
            parts.append(_table([column for column in part.columns if column.spare < _SPARE], total=part.total))
        elif isinstance(part, Command):
            parts.append(f"<pre>{escape(part.text)}</pre>")
        elif part.text:
            parts.append(f'<div class="{"a" if part.style == ALARM else "d"}">{escape(part.text)}</div>')
    return f'<div class="pyinfercost"><style>{_STYLE}</style>{"".join(parts)}</div>'


def snippet_page(result: object, **options: Any) -> str:
    """Return the snippet of a result as a standalone page without external resources."""
    title = f"{type(result).__name__} of {getattr(result, 'model', '') or getattr(result, 'hardware', '') or 'a graph'}"
    return standalone(title, render(result, "snippet", **options), "body{font-family:sans-serif;margin:2em}")


def standalone(title: str, body: str, style: str, *, headed: bool = True) -> str:
    """Return HTML as a page without scripts, which loads nothing.

    Args:
        title: The title, which is escaped.
        body: HTML of the body.
        style: CSS.
        headed: Whether the title is a heading above the body, too.
    """
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{style}</style></head>"
        f"<body>{f'<h1>{escape(title)}</h1>' if headed else ''}{body}</body></html>\n"
    )


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    lines = "".join(
        f'<tr><td class="t d">{escape(name)}</td><td class="t">{escape(text)}</td></tr>' for name, text in pairs
    )
    return f"<table>{lines}</table>"


def _table(columns: Sequence[Column], *, total: bool) -> str:
    kinds = ["" if column.numeric else ' class="t"' for column in columns]
    titles = "".join(f"<th{kind}>{escape(titled(column))}</th>" for kind, column in zip(kinds, columns, strict=True))
    rows = list(zip(*(column.cells for column in columns), strict=True))
    body = "".join(
        f"<tr{' class=s' if total and place == len(rows) - 1 else ''}>"
        + "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds, cells, strict=True))
        + "</tr>"
        for place, cells in enumerate(rows)
    )
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"
