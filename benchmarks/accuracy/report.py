"""Output of errors as a text table, Markdown or JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .figures import FIELDS, lines, report_lines
from .measured import shown
from .targets import CURRENT, KEPT, published, reached

if TYPE_CHECKING:
    from pathlib import Path

    from .figures import Judged, Line
    from .measured import Problems, Table

_TITLES = {"in_band": "in band", "mape": "MAPE", "p90": "p90", "spearman": "Spearman", "roofline_mape": "roofline MAPE",
           "roofline_median": "roofline median", "roofline_bias": "roofline bias"}  # fmt: skip
NUMBERS = ("rows", "mape", "median", "p90", "bias", "spread", "spearman", "in_band", "roofline_mape",
            "roofline_median", "roofline_bias")  # fmt: skip
_PLAIN = ("bias", "spread", "spearman", "roofline_bias")


def write_rows(path: Path, table: Table, judged: Judged) -> None:
    """Write a CSV file of rows: the columns of the table, what is judged, and its values in SI units.

    Args:
        path: The file.
        table: The table.
        judged: Its rows; means of several rows have empty columns.
    """
    predicted = judged.predicted
    values = zip(
        judged.groups,
        judged.rows.tolist(),
        judged.measured_s,
        predicted.latency_s,
        predicted.low_s,
        predicted.high_s,
        judged.roofline_s,
        strict=True,
    )
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*table.columns, "judged", "measured", "predicted", "low", "high", "roofline"])
        for group, row, *numbers in values:
            columns = [column[row] if row >= 0 else "" for column in table.columns.values()]
            writer.writerow([*columns, group.table, *(f"{number:.9g}" for number in numbers)])


def rendered(judged: Judged, problems: Problems, form: str) -> str:
    """Return the errors of rows and what is not predicted as `table` (without the latter), `md` or `json`."""
    found = report_lines(judged)
    if form == "json":
        document = {
            "rows": [line.to_dict() for line in found],
            "kinds": [line.to_dict() for line in lines(judged, by=("kind", "evidence"))],
            "targets": [one.to_dict() for one in reached(judged, (*CURRENT, *published(judged)))],
            "kept": [one.to_dict() for one in reached(judged, KEPT)],
            **problems.to_dict(),
        }
        return json.dumps(document, indent=1)
    fields = ("table", *FIELDS)
    cells = [_titles((*fields, *NUMBERS)), *(_cells(line, fields, NUMBERS) for line in found)]
    if form == "md":
        return "\n\n".join([markdown(cells, len(fields)), omitted_rows(problems)])
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if i < len(fields) else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )


def _titles(names: Sequence[str]) -> list[str]:
    return [_TITLES.get(name, name) for name in names]


def _cells(line: Line, fields: Sequence[str], numbers: Sequence[str]) -> list[str]:
    data = line.to_dict()
    return [*(str(data[name]) for name in fields), *(_number(name, data[name]) for name in numbers)]


def _number(name: str, value: float | None) -> str:
    if value is None:
        return ""
    if name == "rows":
        return f"{value:,}"
    return f"{value:.2f}" if name in _PLAIN else f"{100 * value:.1f} %"


def markdown(cells: Sequence[Sequence[str]], texts: int) -> str:
    """Return a table of Markdown from its rows of cells, the titles first; `texts` columns are not numbers."""
    rows = ["| " + " | ".join(row) + " |" for row in cells]
    ruler = "|" + "|".join("---" if i < texts else "---:" for i in range(len(cells[0]))) + "|"
    return "\n".join([rows[0], ruler, *rows[1:]])


def table_of(found: Sequence[Line], fields: Sequence[str], numbers: Sequence[str]) -> str:
    """Return a table of Markdown with some fields and some numbers of lines."""
    cells = [_titles((*fields, *numbers)), *(_cells(line, fields, numbers) for line in found)]
    return markdown(cells, len(fields))


def omitted_rows(problems: Problems) -> str:
    """Return a table of Markdown of omitted rows and skipped tables."""
    data = problems.to_dict()
    rows = [["table", "reason", "subjects", "rows"]]
    for one in data["omitted"]:
        rows.append([one["table"], one["reason"], shown(one["subjects"]), f"{one['rows']:,}"])
    rows += [[table, f"skipped: {reason}", "", ""] for table, reason in data["skipped"].items()]
    return markdown([[text.replace("|", "\\|") for text in row] for row in rows], 3)
