"""CSV and Markdown renderers."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Any

from .._escapes import spreadsheet_cell, visible
from .layout import ALARM, Command, Pairs, Table, titled
from .render import render
from .rows import of_the_whole, profile_columns, shown_rows
from .summary import data_size_lines, heading, ledger, totals

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ..results.profile import Profile
    from .layout import Column, Layout

_MENTION = re.compile(r"(?<!\w)@(?=\w)")


def csv_pieces(result: object) -> Iterator[str]:
    """Yield the CSV of a result: a header, then its rows; unknown values are empty."""
    yield csv_text(render(result, "columns"), (row.values() for row in render(result, "rows")))


def layout_markdown(result: object, **options: Any) -> str:
    """Return the layout of a result as Markdown: names and values as a list, tables as tables."""
    layout: Layout = render(result, "layout", **options)
    blocks: list[list[str]] = []
    for part in layout:
        if isinstance(part, Pairs):
            blocks.append([f"- {escaped(name)}: {escaped(value)}" for name, value in part.pairs])
        elif isinstance(part, Table):
            blocks.append(markdown_table(part.columns))
        elif isinstance(part, Command):
            blocks.append(["```sh", part.text.replace("```", "` ` `"), "```"])
        elif part.text:
            blocks.append([f"**{escaped(part.text)}**" if part.style == ALARM else escaped(part.text)])
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def profile_markdown(
    profile: Profile, *, depth: int | None = None, sort: str | None = None, top: int | None = None
) -> str:
    """Return the heading, the module tree or the most costly rows as a table, the totals and the ledger."""
    shown = shown_rows(profile, depth=depth, sort=sort, top=top)
    table = profile_columns(profile, shown)
    lines = [f"- {name}: {escaped(value)}" for name, value in heading(profile)]
    lines += [
        "",
        *markdown_table(table),
        *(("", of_the_whole(shown)) if shown.flat else ()),
        "",
        *(f"- {name}: {escaped(value)}" for name, value in totals(profile)),
        f"- {escaped(ledger(profile.counts))}",
        *(f"- {escaped(name)}: {escaped(value)}" for name, value in data_size_lines(profile)),
        *(["", "```", profile.engine_command, "```"] if profile.engine_command else []),
    ]
    return "\n".join(lines) + "\n"


def markdown_table(columns: Sequence[Column]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = [_pipes(map(titled, columns)), _pipes("---:" if column.numeric else "---" for column in columns)]
    for cells in zip(*(column.cells for column in columns), strict=True):
        lines.append(_pipes(_markdown_cell(cell) for cell in cells))
    return lines


def _markdown_cell(cell: str) -> str:
    indent = len(cell) - len(cell.lstrip(" "))
    return "&nbsp;" * indent + escaped(cell[indent:])


def escaped(text: str) -> str:
    """Escape text for one line of Markdown, including mentions of users."""
    text = visible(" ".join(text.split("\n")).replace("\r", " ")).replace("&", "&amp;")
    for character in "\\`*_<|[]~$":
        text = text.replace(character, f"\\{character}")
    return _MENTION.sub("@<!-- -->", text)


def _pipes(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def csv_text(columns: Sequence[str] | None, rows: Iterable[Iterable[Any]]) -> str:
    """Return CSV lines, with a header if columns are given; no cell is a formula of a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if columns is not None:
        writer.writerow(map(spreadsheet_cell, columns))
    writer.writerows([spreadsheet_cell(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return text.getvalue()
