"""Columns laid out as lines of a page, with bars; imports rich."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from .bars import Bars

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console, ConsoleOptions

    from .tabular import Column

BOUND_STYLES = {"compute": "green", "dram": "yellow", "cache": "cyan", "launch": "magenta"}
"""The colour of what sets the time."""
_READABLE = 10
"""Names keep this much while there are columns to spare."""
_READABLE_END = 32
"""The same of names that their ends tell apart, which are long."""
_NARROWEST = 6
_CUT = "~"


def draws_blocks(console: Console, options: ConsoleOptions) -> bool:
    """Whether a page may have more than ASCII: a terminal that shows UTF-8, and nothing that text is sent on to."""
    plain = options.ascii_only or options.legacy_windows or console.is_dumb_terminal
    return options.is_terminal and not plain


@dataclass(frozen=True)
class Grid:
    """Columns side by side in as much width as there is: numbers keep theirs, names give way.

    Lines are laid out here and not by rich's table, which shrinks all columns alike, and are ASCII only, so that they
    go through pipes and consoles of any encoding.
    """

    columns: Sequence[Column]
    total: bool

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        spares = [column.spare for column in self.columns] or [0]
        widths, gap = self._widths(options.max_width, readable=max(spares) > 0)
        # Columns to spare go before names become unreadable; those of a spare below 0 when nothing else gives way.
        goes = max(spares) or min(spares)
        if goes and sum(widths) + len(gap) * (len(widths) - 1) > options.max_width:
            kept = [column for column in self.columns if column.spare != goes]
            yield from Grid(kept, self.total).__rich_console__(console, options)
            return
        rule = "-" * (sum(widths) + len(gap) * (len(widths) - 1))
        yield self._line([column.name for column in self.columns], widths, gap, "bold")
        units = [
            column.heading(width) if isinstance(column, Bars) else column.unit
            for column, width in zip(self.columns, widths, strict=True)
        ]
        if any(units):
            yield self._line(units, widths, gap, "bold")
        yield _text(rule)
        blocks = draws_blocks(console, options)
        drawn = [
            column.drawn(width, blocks=blocks) if isinstance(column, Bars) else column.cells
            for column, width in zip(self.columns, widths, strict=True)
        ]
        lines = list(zip(*drawn, strict=True))
        last = len(lines) - 1 if self.total else len(lines)
        for number, cells in enumerate(lines[:last]):
            yield self._line(cells, widths, gap, number=number)
        if self.total:
            yield _text(rule)
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
    ) -> Text:
        line = _text("", style)
        for place, (cell, width, column) in enumerate(zip(cells, widths, self.columns, strict=True)):
            shown = cell if len(cell) <= width else _cut(cell, width, column)
            padded = shown.rjust(width) if column.numeric else shown.ljust(width)
            if isinstance(column, Bars) and number is not None:
                colour = BOUND_STYLES.get(column.bounds[number], "")
            else:
                colour = BOUND_STYLES.get(cell, "")
            line.append(gap if place else "").append(padded, colour)
        line.rstrip()
        return line


def _least(column: Column, *, readable: bool) -> int:
    """What a column that gives way keeps; bars may be as short as names that nobody can read."""
    if not readable or isinstance(column, Bars):
        return _NARROWEST
    return _READABLE_END if column.keep_end else _READABLE


def _cut(cell: str, width: int, column: Column) -> str:
    return _CUT + cell[len(cell) - width + 1 :] if column.keep_end else cell[: width - 1] + _CUT


def _text(text: str, style: str = "") -> Text:
    return Text(text, style, no_wrap=True, overflow="ignore")
