"""Parts of a layout, from which terminal tables, text, Markdown and HTML are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from .._records import dataclass


@dataclass(frozen=True)
class Column:
    """A column: its name, the unit of its numbers, and its cells, whose last one may be the total.

    A flexible column narrows if the table is wider than the page: its cells lose their ends or, with `keep_end`, their
    starts. If that does not suffice, spare columns are dropped, those with the largest `spare` first; those with a
    negative `spare` are dropped once names have their minimum width, which `least` raises.
    """

    name: str
    unit: str
    cells: list[str]
    numeric: bool = True
    flexible: bool = False
    spare: int = 0
    keep_end: bool = False
    least: int = 0


@dataclass(frozen=True)
class Pairs:
    """Names and values, one pair per line."""

    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """Adjacent columns; with `total`, the last line is separated."""

    columns: Sequence[Column]
    total: bool = False


@dataclass(frozen=True)
class Note:
    """A line of text, with a style of rich; without text, an empty line of a terminal."""

    text: str = ""
    style: str = "dim"


@dataclass(frozen=True)
class Command:
    """A command for a shell, which a narrow page breaks between words so that a shell joins it again."""

    text: str
    style: str = ""


GAP = Note()
ALARM = "bold red"
WARNING = "bold yellow"

Part: TypeAlias = Pairs | Table | Note | Command
Layout: TypeAlias = Sequence[Part]
"""Content of a result, from top to bottom."""


def titled(column: Column) -> str:
    """Return a column's name with its unit."""
    return f"{column.name} ({column.unit})" if column.unit else column.name
