"""Pages of results that do not change: panels of tables, charts and texts, which `templates/parts.html` renders."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from .parts import asset, library, policy_of, rendered, script_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..layout import Column

MINUS = "\u2212"
"""Sign of negative amounts in tables."""

_SCRIPTS = ("numbers", "tip", "chart", "over_time", "static_charts")


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    css: str = ""
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Code:
    """Lines of a program or a command."""

    text: str
    kind: ClassVar[str] = "code"


@dataclass(frozen=True)
class Bullets:
    """A list: class of CSS and text of each line."""

    lines: Sequence[tuple[str, str]]
    css: str = ""
    kind: ClassVar[str] = "bullets"


@dataclass(frozen=True)
class Pairs:
    """Names and values."""

    pairs: Sequence[tuple[str, str]]
    css: str = ""
    kind: ClassVar[str] = "pairs"


@dataclass(frozen=True)
class Cards:
    """Headline figures with their words."""

    figures: Sequence[tuple[str, str]]
    kind: ClassVar[str] = "cards"


@dataclass(frozen=True)
class Grid:
    """A table: name, unit and class of each column; class of each row, and class and text of its cells."""

    heads: Sequence[tuple[str, str, str]]
    rows: Sequence[tuple[str, Sequence[tuple[str, str]]]]
    css: str = ""
    kind: ClassVar[str] = "grid"


@dataclass(frozen=True)
class Chart:
    """A chart: its data as JSON, its legend, and a heading above it."""

    document: Mapping[str, Any]
    legend: Legend
    css: str = ""
    heading: str = ""
    kind: ClassVar[str] = "chart"


@dataclass(frozen=True)
class Legend:
    """Class, color and label of each entry of a legend."""

    entries: Sequence[tuple[str, str, str]]
    kind: ClassVar[str] = "legend"


@dataclass(frozen=True)
class Bar:
    """A bar with a range: percents of the longest bar, and texts.

    Attributes:
        name: Text before the bar.
        name_css: Class of that text.
        css: Class of the bar.
        percent: Its length.
        low: Low end of its range.
        high: High end of its range; the low end for none.
        value: Text after the bar.
        band: The range as text.
    """

    name: str
    name_css: str
    css: str
    percent: float
    low: float
    high: float
    value: str
    band: str


@dataclass(frozen=True)
class Bars:
    """Bars below each other."""

    bars: Sequence[Bar]
    kind: ClassVar[str] = "bars"


@dataclass(frozen=True)
class Steps:
    """A numbered list: text of each step, and what to run for it."""

    steps: Sequence[tuple[str, str]]
    kind: ClassVar[str] = "steps"


@dataclass(frozen=True)
class Details:
    """Parts that open below a summary."""

    summary: str
    parts: Sequence[Part]
    kind: ClassVar[str] = "details"


@dataclass(frozen=True)
class Panel:
    """A box of parts with a title and, in small type, a note."""

    title: str
    parts: Sequence[Part]
    note: str = ""
    css: str = ""
    kind: ClassVar[str] = "panel"


@dataclass(frozen=True)
class Group:
    """Parts side by side: a pair of panels, or three charts."""

    parts: Sequence[Part]
    css: str = "pair"
    kind: ClassVar[str] = "group"


@dataclass(frozen=True)
class Heading:
    """A heading above several panels."""

    text: str
    note: str
    kind: ClassVar[str] = "heading"


Part: TypeAlias = (
    "Text | Code | Bullets | Pairs | Cards | Grid | Chart | Legend | Bars | Steps | Details | Panel | Group | Heading"
)


@cache
def _script() -> str:
    return "".join(["(() => {\n", library("uplot"), script_of(_SCRIPTS), "})();\n"])


def static_page(
    title: str,
    main: Sequence[Part],
    *,
    kicker: str,
    heading: str,
    about: Sequence[tuple[str, str]],
    style: str,
    template: str = "static.html",
    has_charts: bool = True,
    **more: Any,
) -> str:
    """Return a page, which loads nothing.

    Args:
        title: The title of the window.
        main: Its parts.
        kicker: A line above the heading.
        heading: The heading.
        about: Names with values below the heading; those without a value are left out.
        style: Colors as variables of CSS, and style of this kind of page.
        template: The template; `static.html` or one that extends it.
        has_charts: Whether the page has charts, and so a script.
        **more: Values of the template: `foot`, what the footer says after the version, and `lead`.
    """
    script = _script() if has_charts else ""
    charts = asset("chart.css") if has_charts else ""
    return rendered(
        template,
        title=title,
        main=main,
        kicker=kicker,
        heading=heading,
        about=Pairs([(name, text) for name, text in about if text]),
        style=asset("base.css") + charts + asset("fleet.css") + style,
        script=script,
        policy=policy_of(script),
        **{"lead": "", **more},
    )


def table(
    columns: Sequence[Column],
    *,
    kinds: Sequence[str] = (),
    name: str = "",
    total: bool = False,
    colored: bool = False,
) -> Grid:
    """Return a table that scrolls if it is wider than the page; spare columns are left out on a phone and in print.

    Args:
        columns: The columns.
        kinds: Class of each row; empty for none.
        name: Class of the table.
        total: Whether the last row is a total.
        colored: Whether cells with a sign have the colors of more and less.
    """
    kept = [("" if c.numeric else "t", "wide" if c.spare else "", "extra" if c.spare > 1 else "") for c in columns]
    classes = [" ".join(filter(None, each)) for each in kept]
    lines = list(zip(*(column.cells for column in columns), strict=True))
    rows = []
    for number, cells in enumerate(lines):
        kind = kinds[number] if kinds else "total" if total and number == len(lines) - 1 else ""
        found = []
        for own, column, cell in zip(classes, columns, cells, strict=True):
            marks = [own, "long" if column.flexible else ""]
            if colored and cell[:1] in ("+", MINUS):
                marks.append("more" if cell[0] == "+" else "less")
            found.append((" ".join(filter(None, marks)), cell))
        rows.append((kind, found))
    return Grid([(c.name, c.unit, css) for c, css in zip(columns, classes, strict=True)], rows, name)
