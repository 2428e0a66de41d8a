"""CSV and Markdown."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Any

from .data_sizes import data_size_lines
from .document import LAYER_KEYS, profile_layers
from .ranking import of_the_whole
from .rows import shown_rows
from .summary import heading, ledger, totals
from .tabular import profile_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ..results.profile import Profile
    from ..sweeps.result import Sweep
    from .tabular import Column

_POINTS_AT_ONCE = 2**14
_MENTION = re.compile(r"(?<!\w)@(?=\w)")


def profile_csv(profile: Profile) -> str:
    """One line per node of the graph; the columns are the keys of `layers` in the JSON document."""
    return csv_text(LAYER_KEYS, (layer.values() for layer in profile_layers(profile)))


def sweep_csv(sweep: Sweep) -> str:
    """One line per point."""
    return "".join(sweep_csv_lines(sweep))


def sweep_csv_lines(sweep: Sweep) -> Iterator[str]:
    """The same in pieces of some thousand lines, so that a long sweep never is one text."""
    import numpy as np

    yield csv_text(sweep.columns, ())
    for first in range(0, len(sweep), _POINTS_AT_ONCE):
        part = sweep.take(np.arange(first, min(first + _POINTS_AT_ONCE, len(sweep))))
        yield csv_text(None, (row.values() for row in part.rows()))


def profile_markdown(
    profile: Profile, *, depth: int | None = None, sort: str | None = None, top: int | None = None
) -> str:
    """The heading, the module tree or the most costly rows as a table, the totals and the ledger."""
    shown = shown_rows(profile, depth=depth, sort=sort, top=top)
    table = profile_columns(profile, shown)
    lines = [f"- {name}: {escaped(value)}" for name, value in heading(profile)]
    lines += [
        "",
        *markdown_table(table),
        *(("", of_the_whole(shown)) if shown.flat else ()),
        "",
        *(f"- {name}: {escaped(value)}" for name, value in totals(profile)),
        f"- {escaped(ledger(profile))}",
        *(f"- {escaped(name)}: {escaped(value)}" for name, value in data_size_lines(profile)),
    ]
    return "\n".join(lines) + "\n"


def markdown_table(columns: Sequence[Column]) -> list[str]:
    """Columns as the lines of a table."""
    titles = [f"{column.name} ({column.unit})" if column.unit else column.name for column in columns]
    lines = [_pipes(titles), _pipes("---:" if column.numeric else "---" for column in columns)]
    for cells in zip(*(column.cells for column in columns), strict=True):
        lines.append(_pipes(_markdown_cell(cell) for cell in cells))
    return lines


def _markdown_cell(cell: str) -> str:
    indent = len(cell) - len(cell.lstrip(" "))
    return "&nbsp;" * indent + escaped(cell[indent:])


def escaped(text: str) -> str:
    """Text of others as Markdown that shows it as it is, in one line, and that calls nobody."""
    text = " ".join(text.split("\n")).replace("\r", " ").replace("&", "&amp;")
    for character in "\\`*_<|[]~$":
        text = text.replace(character, f"\\{character}")
    return _MENTION.sub("@<!-- -->", text)


def _pipes(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def csv_text(columns: Sequence[str] | None, rows: Iterable[Iterable[Any]]) -> str:
    """Lines of CSV, with a header where columns are named."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if columns is not None:
        writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()
