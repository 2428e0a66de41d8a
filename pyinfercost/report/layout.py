"""The parts that tables are made of, before they become text, Markdown or HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Column:
    """A column: its name, the unit of its numbers, and its cells, the last of them the total if there is one.

    A flexible column narrows if the table is wider than the page: it loses the end of its cells, or the start if ends
    tell cells apart (`keep_end`). If that does not suffice, columns to spare are left out, those of the greatest
    `spare` first; those of a `spare` below 0 are left out when names are as short as they get.
    """

    name: str
    unit: str
    cells: list[str]
    numeric: bool = True
    flexible: bool = False
    spare: int = 0
    keep_end: bool = False


@dataclass(frozen=True)
class Pairs:
    """Names and values, one pair per line."""

    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """Columns side by side; with `total`, the last line is set apart."""

    columns: Sequence[Column]
    total: bool = False


@dataclass(frozen=True)
class Note:
    """A line of text, with a style of rich; without text, an empty line of a terminal."""

    text: str = ""
    style: str = "dim"


GAP = Note()
ALARM = "bold red"
WARNING = "bold yellow"

Part: TypeAlias = Pairs | Table | Note
Layout: TypeAlias = Sequence[Part]
"""What a result shows, from top to bottom."""


def titled(column: Column) -> str:
    """Return a column's name with its unit."""
    return f"{column.name} ({column.unit})" if column.unit else column.name
