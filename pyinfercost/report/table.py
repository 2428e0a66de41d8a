"""Tables for a terminal and as plain text."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .._checks import Range, whole
from .._escapes import visible
from ..results.units import percent
from .language_lines import started_by
from .layout import Column, Command, Layout, Pairs, Table
from .layout import Part as LayoutPart
from .pages import NARROWEST, CommandLines, Lines, Page, PairLines, Part
from .render import render
from .rows import of_the_whole, profile_columns, shown_rows
from .summary import OF_DATA, data_size_lines, heading, ledger, totals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.text import Text

    from ..results.profile import Profile
    from .roofline import Roofline
    from .rows import Shown

BOUND_STYLES = {"compute": "green", "dram": "yellow", "cache": "cyan", "link": "blue", "launch": "magenta"}
"""Colors of bounds."""
_READABLE = 10
_READABLE_END = 32
"""Minimum width of long names that differ at their ends, while spare columns remain."""
_CUT = "~"
_EIGHTHS = " ▏▎▍▌▋▊▉"
_WHOLE = "█"
_PLAIN = "#"
_SHARES = ("share", "FLOPs")  # columns next to which bars are drawn
_WIDEST = 20
_WIDTH = Range(1, 100_000)
_SPARE = 9  # dropped first, since bars repeat a number


def profile_view(
    profile: Profile,
    *,
    depth: int | None = None,
    sort: str | None = None,
    top: int | None = None,
    roofline: bool = False,
) -> Page:
    """Return the heading, the module tree or the most costly rows, a roofline on request, the totals and the ledger."""
    shown = shown_rows(profile, depth=depth, sort=sort, top=top)
    columns = with_bars(profile_columns(profile, shown), shown)
    parts: list[Part] = [PairLines(heading(profile)), Lines(), Grid(columns, total=True)]
    if shown.flat:
        parts.append(Lines(of_the_whole(shown), "dim"))
    if shown.depth < shown.whole:
        more = f"Modules below depth {shown.depth} of {shown.whole} are collapsed; --depth or depth= shows more."
        parts.append(Lines(more, "dim"))
    if roofline:
        from .roofline import roofline_of

        parts += [Lines(), _RooflineView(roofline_of(profile.to_dict()))]
    parts += [Lines(), PairLines(totals(profile))]
    of_data = data_size_lines(profile)
    if of_data:
        parts += [Lines(OF_DATA, "dim"), PairLines(of_data)]
    unmodelled = bool(profile.counts.unmodelled)
    parts.append(Lines("\n" + ledger(profile.counts), "bold red" if unmodelled else "dim"))
    parts += [_part_view(part) for part in started_by(profile.engine_command)]
    return Page(parts)


def layout_view(result: object, **options: Any) -> Page:
    """Return the layout of a result for a terminal."""
    layout: Layout = render(result, "layout", **options)
    return laid_out(layout)


def laid_out(layout: Layout) -> Page:
    """Return the parts of a layout for a terminal, from top to bottom."""
    return Page([*map(_part_view, layout)])


def _part_view(part: LayoutPart) -> Part:
    if isinstance(part, Pairs):
        return PairLines(part.pairs)
    if isinstance(part, Table):
        return Grid(part.columns, part.total)
    if isinstance(part, Command):
        return CommandLines(part.text)
    return Lines(part.text, part.style)


def plain_text(result: object, *, width: int = 100, **options: Any) -> str:
    """Return the view of a result as plain text without colors.

    Args:
        result: The result.
        width: Width of a line in characters.
        **options: Options of the view.

    Returns:
        The text.
    """
    return as_text(render(result, "view", **options), width=width)


def as_text(view: RenderableType, *, width: int = 100) -> str:
    """Return a view as plain text without colors."""
    width = whole(width, "width", _WIDTH)
    lines = view.lines(width) if isinstance(view, Page) else None
    if lines is not None:
        return "\n".join(line.rstrip() for line in lines) + "\n"
    from rich.console import Console

    text = io.StringIO()
    Console(file=text, width=width, color_system=None, force_terminal=False, legacy_windows=False).print(view)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


@dataclass(frozen=True)
class _RooflineView(Part):
    """A roofline as wide as the page."""

    roofline: Roofline

    def lines(self, width: int) -> list[str] | None:
        from .roofline_text import drawn

        found = [
            "".join(visible(piece) for piece, _ in line)
            for line in drawn(self.roofline, width, blocks=False, colors=False)
        ]
        return found if all(map(str.isascii, found)) else None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        from rich.text import Text

        from .roofline_text import drawn

        blocks = draws_blocks(console, options)
        colors = console.color_system is not None and not console.no_color
        for line in drawn(self.roofline, options.max_width, blocks=blocks, colors=colors):
            text = Text(no_wrap=True, overflow="ignore")
            for piece, bound in line:
                text.append(visible(piece), BOUND_STYLES.get(bound, ""))
            text.rstrip()
            yield text


def draws_blocks(console: Console, options: ConsoleOptions) -> bool:
    """Return whether a page may use characters beyond ASCII: only a terminal with UTF-8, never piped text."""
    plain = options.ascii_only or options.legacy_windows or console.is_dumb_terminal
    return options.is_terminal and not plain


@dataclass(frozen=True)
class Grid(Part):
    """Adjacent columns in the available width: numeric columns keep theirs, names are shortened.

    Lines are laid out here instead of by rich's table, which shrinks all columns alike. They are ASCII, so that they
    pass through pipes and consoles of any encoding.
    """

    columns: Sequence[Column]
    total: bool

    def __post_init__(self) -> None:
        columns = [
            replace(column, name=visible(column.name), cells=[*map(visible, column.cells)]) for column in self.columns
        ]
        object.__setattr__(self, "columns", columns)

    def lines(self, width: int) -> list[str] | None:
        found = ["".join(piece for piece, _ in pieces) for pieces, _ in self._drawn(width, blocks=False)]
        # Rich cuts lines of other characters by their width on a terminal.
        return found if all(line.isascii() for line in found) and all(len(line) <= width for line in found) else None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        from rich.text import Text

        for pieces, style in self._drawn(options.max_width, blocks=draws_blocks(console, options)):
            line = Text("", style, no_wrap=True, overflow="ignore")
            for piece, color in pieces:
                line.append(piece, color)
            line.rstrip()
            yield line

    def _drawn(self, page: int, *, blocks: bool) -> Iterator[tuple[list[tuple[str, str]], str]]:
        """Yield the pieces of each line with their colors, and the style of the line."""
        spares = [column.spare for column in self.columns] or [0]
        widths, gap = self._widths(page, readable=max(spares) > 0)
        # Spare columns are dropped before names become unreadable; those with a negative spare as a last resort.
        goes = max(spares) or min(spares)
        if goes and sum(widths) + len(gap) * (len(widths) - 1) > page:
            kept = [column for column in self.columns if column.spare != goes]
            yield from Grid(kept, self.total)._drawn(page, blocks=blocks)
            return
        rule = "-" * (sum(widths) + len(gap) * (len(widths) - 1))
        yield self._line([column.name for column in self.columns], widths, gap, "bold")
        units = [
            column.heading(width) if isinstance(column, Bars) else column.unit
            for column, width in zip(self.columns, widths, strict=True)
        ]
        if any(units):
            yield self._line(units, widths, gap, "bold")
        yield [(rule, "")], ""
        drawn = [
            column.drawn(width, blocks=blocks) if isinstance(column, Bars) else column.cells
            for column, width in zip(self.columns, widths, strict=True)
        ]
        lines = list(zip(*drawn, strict=True))
        last = len(lines) - 1 if self.total else len(lines)
        for number, cells in enumerate(lines[:last]):
            yield self._line(cells, widths, gap, number=number)
        if self.total:
            yield [(rule, "")], ""
            yield self._line(lines[-1], widths, gap, "bold")

    def _widths(self, page: int, *, readable: bool) -> tuple[list[int], str]:
        natural = [max(map(len, (column.name, column.unit, *column.cells))) for column in self.columns]
        least = [
            min(width, _least(column, readable=readable)) if column.flexible else width
            for width, column in zip(natural, self.columns, strict=True)
        ]
        gap = "  " if sum(least) + 2 * (len(least) - 1) <= page else " "
        widths = natural
        while sum(widths) + len(gap) * (len(widths) - 1) > page and widths != least:
            widest = max((width - low, place) for place, (width, low) in enumerate(zip(widths, least, strict=True)))[1]
            widths[widest] -= 1
        return widths, gap

    def _line(
        self, cells: Sequence[str], widths: Sequence[int], gap: str, style: str = "", number: int | None = None
    ) -> tuple[list[tuple[str, str]], str]:
        pieces: list[tuple[str, str]] = []
        for place, (cell, width, column) in enumerate(zip(cells, widths, self.columns, strict=True)):
            shown = cell if len(cell) <= width else _cut(cell, width, column)
            padded = shown.rjust(width) if column.numeric else shown.ljust(width)
            if isinstance(column, Bars) and number is not None:
                color = BOUND_STYLES.get(column.bounds[number], "")
            else:
                color = BOUND_STYLES.get(cell, "")
            pieces += [(gap if place else "", ""), (padded, color)]
        return pieces, style


def _least(column: Column, *, readable: bool) -> int:
    """Return the minimum width of a flexible column; bars may be as short as unreadable names."""
    if not readable or isinstance(column, Bars):
        return NARROWEST
    return max(column.least, _READABLE_END if column.keep_end else _READABLE)


def _cut(cell: str, width: int, column: Column) -> str:
    return _CUT + cell[len(cell) - width + 1 :] if column.keep_end else cell[: width - 1] + _CUT


@dataclass(frozen=True)
class Bars(Column):
    """Bars proportional to shares; the largest share fills the column.

    Attributes:
        shares: Share of each line; None draws nothing.
        bounds: Bound of each line, which colors its bar.
        largest: Share that fills the column.
    """

    shares: Sequence[float | None] = ()
    bounds: Sequence[str] = ()
    largest: float = 1.0

    @property
    def scale(self) -> str:
        """Value of a full bar."""
        return percent(self.largest)

    def heading(self, width: int) -> str:
        """Return the unit line: the ends of the scale."""
        return "0" + self.scale.rjust(width - 1)

    def drawn(self, width: int, *, blocks: bool) -> list[str]:
        """Return the cells at a width.

        Args:
            width: Width of a full bar in characters.
            blocks: Whether fractional block characters are available; otherwise bars consist of `#`.

        Returns:
            The cells.
        """
        return [self._bar(share, width, blocks=blocks) for share in self.shares]

    def _bar(self, share: float | None, width: int, *, blocks: bool) -> str:
        if not share or share < 0 or not self.largest:
            return ""
        filled = width * min(share / self.largest, 1.0)
        if not blocks:
            return _PLAIN * int(filled + 0.5)
        # Nonzero values show at least one eighth.
        eighths = max(int(len(_EIGHTHS) * filled + 0.5), 1)
        whole, rest = divmod(eighths, len(_EIGHTHS))
        return _WHOLE * whole + (_EIGHTHS[rest] if rest else "")


def with_bars(columns: Sequence[Column], shown: Shown) -> list[Column]:
    """Add bars after the share column of a profile, if any share is known."""
    shares = [*(row.share for row in shown.rows), None]  # the total has none
    known = [share for share in shares if share]
    if not known:
        return list(columns)
    bars = Bars(
        name="",
        unit="",
        cells=["#" * _WIDEST] * len(shares),  # preferred width; the drawn cells depend on the page
        numeric=False,
        flexible=True,
        spare=_SPARE,
        shares=shares,
        bounds=[*(row.bound for row in shown.rows), ""],
        largest=max(known),
    )
    place = next(place for place, column in enumerate(columns) if column.name in _SHARES)
    return [*columns[: place + 1], bars, *columns[place + 1 :]]
