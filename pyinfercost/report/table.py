"""Tables for a terminal, and the same as plain text; like `grid.py`, it imports rich."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from .bars import with_bars
from .collectives import collective_columns, collective_heading
from .data_sizes import OF_DATA, data_size_lines
from .grid import BOUND_STYLES, Grid, draws_blocks
from .ranking import of_the_whole
from .roofline import Roofline, roofline_of
from .roofline_text import drawn
from .rows import shown_rows
from .summary import heading, ledger, point_lines, totals
from .tabular import Column, profile_columns, sweep_axes, sweep_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import ConsoleOptions, RenderableType

    from ..results.collective import CollectiveEstimate
    from ..results.profile import Profile
    from ..sweeps.result import Sweep


def profile_view(
    profile: Profile,
    *,
    depth: int | None = None,
    sort: str | None = None,
    top: int | None = None,
    roofline: bool = False,
) -> RenderableType:
    """The heading, the module tree or the most costly rows, a roofline if wanted, the totals and the ledger."""
    shown = shown_rows(profile, depth=depth, sort=sort, top=top)
    columns = with_bars(profile_columns(profile, shown), shown)
    parts: list[RenderableType] = [_pairs(heading(profile)), Text(), Grid(columns, total=True)]
    if shown.flat:
        parts.append(Text(of_the_whole(shown), "dim"))
    if shown.depth < shown.whole:
        more = f"Modules below depth {shown.depth} of {shown.whole} are collapsed; --depth or depth= shows more."
        parts.append(Text(more, "dim"))
    if roofline:
        parts += [Text(), _RooflineView(roofline_of(profile.to_dict()))]
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
        parts += [Text(), Grid([*axes, *sweep_columns(rows)], total=False)]
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
    return Group(_pairs(collective_heading(estimate)), Text(), Grid(collective_columns(estimate), total=False))


def pairs_view(pairs: Sequence[tuple[str, str]]) -> RenderableType:
    """Names and values, one pair a line."""
    return _pairs(pairs)


def grid_view(columns: Sequence[Column]) -> RenderableType:
    """A plain table."""
    return Grid(columns, total=False)


def total_grid_view(columns: Sequence[Column]) -> RenderableType:
    """A table whose last line is the total."""
    return Grid(columns, total=True)


def profile_text(
    profile: Profile,
    *,
    depth: int | None = None,
    sort: str | None = None,
    top: int | None = None,
    roofline: bool = False,
    width: int = 100,
) -> str:
    """`profile_view` as plain text, without colours."""
    return as_text(profile_view(profile, depth=depth, sort=sort, top=top, roofline=roofline), width=width)


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
class _RooflineView:
    """A roofline as wide as the page."""

    roofline: Roofline

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        blocks = draws_blocks(console, options)
        colours = console.color_system is not None and not console.no_color
        for line in drawn(self.roofline, options.max_width, blocks=blocks, colours=colours):
            text = Text(no_wrap=True, overflow="ignore")
            for piece, bound in line:
                text.append(piece, BOUND_STYLES.get(bound, ""))
            text.rstrip()
            yield text
