"""HTML snippets of results for notebooks, with a scoped style, and the same snippets as pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..layout import ALARM, GAP, Command, Note, Pairs, Table, titled
from ..render import render
from ..rows import of_the_whole, profile_columns, shown_rows
from ..summary import heading, ledger, totals
from .parts import policy_of, rendered

if TYPE_CHECKING:
    from ...results.profile import Profile
    from ..layout import Layout

_ROWS = 20
_DEEPEST = 8
_SPARE = 3  # columns with this `spare` or more are left out
_LINES = ("FLOPs", "parameters", "latency", "energy", "cost", "bound by", "memory")
# Colors come from the notebook, so the same rules suit dark themes.
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
    return rendered("snippet.html", style=_STYLE, parts=[_part(each) for each in layout if each != GAP])


def _part(part: Pairs | Table | Note | Command) -> dict[str, Any]:
    """Return a part of a layout as `snippet.html` reads it; spare columns are left out."""
    if isinstance(part, Pairs):
        return {"pairs": part.pairs}
    if isinstance(part, Command):
        return {"command": part.text}
    if isinstance(part, Note):
        return {"text": part.text, "css": "a" if part.style == ALARM else "d"}
    columns = [column for column in part.columns if column.spare < _SPARE]
    kinds = ["" if column.numeric else "t" for column in columns]
    rows = [list(zip(kinds, cells, strict=True)) for cells in zip(*(column.cells for column in columns), strict=True)]
    return {"heads": list(zip(kinds, map(titled, columns), strict=True)), "rows": rows, "total": part.total}


def snippet_page(result: object, **options: Any) -> str:
    """Return the snippet of a result as a standalone page without external resources."""
    title = f"{type(result).__name__} of {getattr(result, 'model', '') or getattr(result, 'hardware', '') or 'a graph'}"
    style = "body{font-family:sans-serif;margin:2em}"
    snippet = render(result, "snippet", **options)
    return rendered("snippet_page.html", title=title, snippet=snippet, style=style, script="", policy=policy_of(""))
