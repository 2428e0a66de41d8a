"""Markdown of comments on pull requests, which have a limited length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .delimited import escaped

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_BYTES = 60_000
"""GitHub limits comments to 65,536 characters; the rest is left for text of a workflow."""

LONGEST_LINE = 300

_OPEN_ROWS = 12
_MOST_LINES = 12


def fitting_table(head: Sequence[str], lines: Sequence[str], foot: Sequence[str], room: int, *, what: str) -> list[str]:
    """Return as many lines of a table as fit, collapsed if there are many.

    Args:
        head: Its first lines, which are always there.
        lines: The lines of which the last ones may be left out.
        foot: Its last lines, which are always there.
        room: Bytes for all of it.
        what: Words that follow the number of lines where they are collapsed.

    Returns:
        The lines, after an empty one, and how many are left out.
    """
    many = len(lines) > _OPEN_ROWS
    before = ["", *([f"<details><summary>{len(lines)} {what}</summary>", ""] if many else []), *head]
    after = [*foot, *(["", "</details>"] if many else [])]
    cut = "The last {left} of {all} rows are left out: a comment has no room for them; --format json has all."
    room -= bytes_of([*before, *after, "", cut]) + 2 * len(str(len(lines)))
    fitting = 0
    for line in lines:
        room -= bytes_of([line])
        if room < 0:
            break
        fitting += 1
    left = len(lines) - fitting
    return [*before, *lines[:fitting], *after, *(["", cut.format(left=left, all=len(lines))] if left else [])]


def limited(lines: Sequence[str]) -> list[str]:
    """Return the first lines, and how many there are more."""
    left = len(lines) - _MOST_LINES
    return [*lines[:_MOST_LINES], *([f"- and {left} more"] if left > 0 else [])]


def one_line(text: str) -> str:
    """Return a text escaped and short enough for a line."""
    return escaped(shortened(text, LONGEST_LINE))


def shortened(text: str, most: int = 120) -> str:
    """Shorten a long text in its middle."""
    half = (most - 3) // 2
    return text if len(text) <= most else f"{text[:half]}...{text[-half:]}"


def bytes_of(lines: Sequence[str]) -> int:
    """Return the bytes of lines with their ends."""
    return sum(len(line.encode()) + 1 for line in lines)
