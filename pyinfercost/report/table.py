"""Tables for a terminal, and the same as plain text; the only module here that imports rich."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from .collectives import collective_columns, collective_heading
from .data_sizes import OF_DATA, data_size_lines
from .rows import module_rows
from .summary import heading, ledger, point_lines, totals
from .tabular import Column, profile_columns, sweep_axes, sweep_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import ConsoleOptions, RenderableType

    from ..analysis.collectives import CollectiveEstimate
    from ..analysis.profile import Profile
    from ..analysis.sweeps.result import Sweep

_BOUND_STYLES = {"compute": "green", "dram": "yellow", "cache": "cyan", "launch": "magenta"}
_READABLE = 10
"""Names keep this much while there are columns to spare."""
_NARROWEST = 6
_CUT = "~"


def profile_view(profile: Profile, *, depth: int | None = None) -> RenderableType:
    """The heading, the module tree, the totals and the ledger."""
    rows, shown, whole = module_rows(profile, depth)
    parts: list[RenderableType] = [_pairs(heading(profile)), Text(), _Grid(profile_columns(profile, rows), total=True)]
    if shown < whole:
        parts.append(
            Text(f"Modules below depth {shown} of {whole} are collapsed; --depth or depth= shows more.", "dim")
        )
    parts += [Text(), _pairs(totals(profile))]
    of_data = data_size_lines(profile)
    if of_data:
        parts += [Text(OF_DATA, "dim"), _pairs(of_data)]
    unmodelled = bool(profile.counts.unmodelled)
    parts.append(Text("\n" + ledger(profile), "bold red" if unmodelled else "dim"))
    return Group(*parts)


def sweep_view(
    sweep: Sweep, about: Sequence[tuple[str, str]] = (), *, shown: int | None = None, points: int | None = None
) -> RenderableType:
    """What all points share, what was asked, and one row per point.

    Args:
        sweep: the points.
        about: names and values that say what was searched.
        shown: how many points get rows, the first ones; all if left out.
        points: how many points there are, where that is more than `sweep` has.
    """
    import numpy as np

    points = len(sweep) if points is None else points
    rows = sweep.take(np.arange(len(sweep) if shown is None else shown))
    shared, axes = sweep_axes(sweep, rows)
    parts: list[RenderableType] = [_pairs([("model", sweep.model or "(unnamed graph)"), *shared, *about])]
    if len(rows):
        parts += [Text(), _Grid([*axes, *sweep_columns(rows)], total=False)]
    if len(rows) < points:
        more = "--limit shows more, --format csv all, --where and --pareto choose"
        parts.append(Text(f"{len(rows):,} of {points:,} points; {more}.", "dim"))
    return Group(*parts)


def point_view(sweep: Sweep, about: Sequence[tuple[str, str]] = ()) -> RenderableType:
    """One point, the first, in words."""
    named = [("model", sweep.model or "(unnamed graph)"), *about]
    return Group(_pairs(named), Text(), _pairs(point_lines(sweep.row(0), sweep.identity())))


def collective_view(estimate: CollectiveEstimate[Any, Any]) -> RenderableType:
    """What all sizes share, and one row per size."""
    return Group(_pairs(collective_heading(estimate)), Text(), _Grid(collective_columns(estimate), total=False))


def pairs_view(pairs: Sequence[tuple[str, str]]) -> RenderableType:
    """Names and values, one pair a line."""
    return _pairs(pairs)


def grid_view(columns: Sequence[Column]) -> RenderableType:
    """A plain table."""
    return _Grid(columns, total=False)


def total_grid_view(columns: Sequence[Column]) -> RenderableType:
    """A table whose last line is the total."""
    return _Grid(columns, total=True)


def profile_text(profile: Profile, *, depth: int | None = None, width: int = 100) -> str:
    """`profile_view` as plain text, without colours."""
    return as_text(profile_view(profile, depth=depth), width=width)


def as_text(view: RenderableType, *, width: int = 100) -> str:
    """What `show` would print, as plain text without colours."""
    text = io.StringIO()
    Console(file=text, width=width, color_system=None, force_terminal=False, legacy_windows=False).print(view)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def _pairs(pairs: Sequence[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(Text(name), Text(value))
    return table


@dataclass(frozen=True)
class _Grid:
    """Columns side by side in as much width as there is: numbers keep theirs, names give way.

    Lines are laid out here and not by rich's table, which shrinks all columns alike, and are ASCII only, so that they
    go through pipes and consoles of any encoding.
    """

    columns: Sequence[Column]
    total: bool

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        most = max((column.spare for column in self.columns), default=0)
        widths, gap = self._widths(options.max_width, _READABLE if most else _NARROWEST)
        if most and sum(widths) + len(gap) * (len(widths) - 1) > options.max_width:
            needed = [column for column in self.columns if column.spare < most]
            yield from _Grid(needed, self.total).__rich_console__(console, options)
            return
        rule = "-" * (sum(widths) + len(gap) * (len(widths) - 1))
        yield self._line([column.name for column in self.columns], widths, gap, "bold")
        if any(column.unit for column in self.columns):
            yield self._line([column.unit for column in self.columns], widths, gap, "bold")
        yield _text(rule)
        lines = list(zip(*(column.cells for column in self.columns), strict=True))
        for cells in lines[:-1] if self.total else lines:
            yield self._line(cells, widths, gap)
        if self.total:
            yield _text(rule)
            yield self._line(lines[-1], widths, gap, "bold")

    def _widths(self, page: int, narrowest: int) -> tuple[list[int], str]:
        natural = [max(map(len, (column.name, column.unit, *column.cells))) for column in self.columns]
        least = [
            min(width, narrowest) if column.flexible else width
            for width, column in zip(natural, self.columns, strict=True)
        ]
        gap = "  " if sum(least) + 2 * (len(least) - 1) <= page else " "
        widths = natural
        while sum(widths) + len(gap) * (len(widths) - 1) > page and widths != least:
            widest = max((width - low, place) for place, (width, low) in enumerate(zip(widths, least, strict=True)))[1]
            widths[widest] -= 1
        return widths, gap

    def _line(self, cells: Sequence[str], widths: Sequence[int], gap: str, style: str = "") -> Text:
        line = _text("", style)
        for place, (cell, width, column) in enumerate(zip(cells, widths, self.columns, strict=True)):
            shown = cell if len(cell) <= width else cell[: width - 1] + _CUT
            padded = shown.rjust(width) if column.numeric else shown.ljust(width)
            line.append(gap if place else "").append(padded, _BOUND_STYLES.get(cell, ""))
        line.rstrip()
        return line


def _text(text: str, style: str = "") -> Text:
    return Text(text, style, no_wrap=True, overflow="ignore")
