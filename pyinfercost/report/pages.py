"""Pages for a terminal and as plain text. A terminal shows them with rich; plain text does without, since it takes rich
as long to be imported as it takes to compute a profile.

Both break lines in the same way, which tests compare.
"""

from __future__ import annotations

import shlex
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .._escapes import visible, visible_lines
from .._records import dataclass

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions

NARROWEST = 6
"""Minimum width of a flexible column."""

_NAMES = 0.4  # most of the width that names left of values take
_GAP = 2  # between the columns of pairs
_LEAST = 20  # width of values that rich's table does not have to shrink columns for


class Part:
    """A part of a page: a renderable of rich, and lines of plain text."""

    @abstractmethod
    def lines(self, width: int) -> list[str] | None:
        """Return the lines of plain text, of ASCII; None if it takes rich to lay them out."""

    @abstractmethod
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]: ...


@dataclass(frozen=True)
class Page(Part):
    """Parts, from top to bottom."""

    parts: Sequence[Part]

    def lines(self, width: int) -> list[str] | None:
        found: list[str] = []
        for part in self.parts:
            lines = part.lines(width)
            if lines is None:
                return None
            found += lines
        return found

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        del console, options
        yield from self.parts


@dataclass(frozen=True)
class Lines(Part):
    """Text of one or several lines, in a style of rich."""

    text: str = ""
    style: str = ""

    def lines(self, width: int) -> list[str] | None:
        return _broken(visible_lines(self.text), width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        del console, options
        from rich.text import Text

        yield Text(visible_lines(self.text), self.style)


@dataclass(frozen=True)
class PairLines(Part):
    """Names and values side by side; names are broken into lines if they take too much of a narrow page."""

    pairs: Sequence[tuple[str, str]]

    def lines(self, width: int) -> list[str] | None:
        names = [visible(name) for name, _ in self.pairs]
        if not all(name.isascii() and name for name in names):
            return None
        widest = max(map(len, names), default=0)
        if widest > _most(width) or widest + _GAP + _LEAST > width:
            return None
        found: list[str] = []
        for name, (_, value) in zip(names, self.pairs, strict=True):
            values = _broken(visible_lines(value), width - widest - _GAP)
            if values is None:
                return None
            lefts = [name, *[""] * (len(values) - 1)]
            found += [f"{left:{widest}}{'':{_GAP}}{line}" for left, line in zip(lefts, values, strict=True)]
        return found

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        del console
        from rich.table import Table
        from rich.text import Text

        names = [visible(name) for name, _ in self.pairs]
        most = _most(options.max_width)
        wide = max(map(len, names), default=0) > most
        table = Table.grid(padding=(0, _GAP))
        table.add_column(style="dim", no_wrap=not wide, width=most if wide else None, overflow="fold")
        table.add_column(overflow="fold")
        for name, (_, value) in zip(names, self.pairs, strict=True):
            table.add_row(Text(name), Text(visible_lines(value)))
        yield table


def _most(width: int) -> int:
    """Return how much of the width names left of values take, before they are broken into lines."""
    return max(NARROWEST, int(width * _NAMES))


@dataclass(frozen=True)
class CommandLines(Part):
    """A command in as many lines as the page needs, joined by backslashes; a word is broken if it is wider than one."""

    text: str

    def lines(self, width: int) -> list[str] | None:
        found = broken(visible(self.text), max(width, NARROWEST * 2))
        return found if all(map(str.isascii, found)) else None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        del console
        from rich.text import Text

        for line in broken(visible(self.text), max(options.max_width, NARROWEST * 2)):
            yield Text(line, no_wrap=True, overflow="ignore")


def broken(command: str, width: int) -> list[str]:
    """Return the lines of a command that a shell joins to the same words.

    Args:
        command: The command.
        width: Characters of a line, at least 8.
    """
    lines = [_INDENT.rstrip()]
    words = shlex.split(command)
    for word, value in zip(words, [*words[1:], ""], strict=True):
        quoted = shlex.quote(word)
        # An option stays with its value, if a line has room for both.
        paired = word.startswith("--") and not value.startswith("--")
        with_value = f"{quoted} {shlex.quote(value)}" if paired else quoted
        held = with_value if len(_INDENT * 2 + with_value) + len(_BREAK) <= width else quoted
        if len(lines[-1]) + len(held) + 1 + len(_BREAK) <= width:
            lines[-1] += f"{' ' if lines[-1] else _INDENT}{quoted}"
            continue
        lines[-1] += _BREAK
        lines.append(_INDENT * 2 + quoted)
        room = width - len(_BREAK.strip()) - 2  # quotes
        if len(lines[-1]) + len(_BREAK) > width:  # parts of a word begin their lines, so that a shell joins them
            parts = [shlex.quote(word[at : at + room]) for at in range(0, len(word), room)]
            lines[-1:] = [*(f"{part}\\" for part in parts[:-1]), parts[-1]]
    return lines


_INDENT = "  "
_BREAK = " \\"


def _broken(text: str, width: int) -> list[str] | None:
    """Return the lines of a text, broken between words where they are longer than the width.

    None for text with characters of other widths, tabs, or words that are longer than a line.
    """
    if not text.isascii() or "\t" in text:
        return None
    found: list[str] = []
    for line in text.split("\n"):
        rest = line
        while len(rest.rstrip(" ")) > width:
            # The space after the last word of a line may exceed it.
            end = rest.rfind(" ", 0, width + 1) + 1
            if end <= len(rest) - len(rest.lstrip(" ")):
                return None
            found.append(rest[:end].rstrip(" "))
            rest = rest[end:].lstrip(" ")
        found.append(rest.rstrip(" "))
    return found
