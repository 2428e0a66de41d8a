"""Output of error lines as a text table, Markdown, or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .figures import Line

_TITLES = (
    "table", "device", "software", "precision", "execution", "part", "rows", "MAPE", "median", "p90", "bias",
    "Spearman", "in band", "roofline MAPE", "roofline median",
)  # fmt: skip
_TEXTS = 6


def rendered(lines: Sequence[Line], form: str) -> str:
    """Return the lines as `table`, `md` or `json`."""
    if form == "json":
        return json.dumps({"rows": [line.to_dict() for line in lines]}, indent=1)
    cells = [_TITLES, *(_cells(line) for line in lines)]
    if form == "md":
        rows = ["| " + " | ".join(row) + " |" for row in cells]
        ruler = "|" + "|".join("---" if i < _TEXTS else "---:" for i in range(len(_TITLES))) + "|"
        return "\n".join([rows[0], ruler, *rows[1:]])
    widths = [max(len(row[i]) for row in cells) for i in range(len(_TITLES))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if i < _TEXTS else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )


def _cells(line: Line) -> tuple[str, ...]:
    def percent(value: float | None) -> str:
        return "" if value is None else f"{100 * value:.1f} %"

    def plain(value: float | None) -> str:
        return "" if value is None else f"{value:.3f}"

    return (
        line.table,
        line.device,
        line.software,
        line.precision,
        line.execution,
        line.part,
        str(line.rows),
        percent(line.mape),
        percent(line.median),
        percent(line.p90),
        plain(line.bias),
        plain(line.spearman),
        percent(line.in_band),
        percent(line.roofline_mape),
        percent(line.roofline_median),
    )
