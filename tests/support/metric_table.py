"""The table of exported metrics in the documentation: `python tests/support/metric_table.py` writes it."""

from __future__ import annotations

from pathlib import Path

from pyinfercost.monitor.metric_names import otel_name, otel_unit, prometheus_name
from pyinfercost.results.live_figures import LIVE_FIGURES

PAGE = Path(__file__).parents[2] / "docs" / "dashboards.md"
BEGIN, END = "<!-- metrics -->\n", "<!-- end of metrics -->\n"


def table() -> str:
    """Return the table, a row for each figure of the catalog."""
    rows = ["| Prometheus | kind | labels | OpenTelemetry | unit | what |", "|---|---|---|---|---|---|"]
    for figure in LIVE_FIGURES.values():
        labels = ", ".join(f"`{label}`" for label in figure.labels)
        cells = (
            *(f"`{prometheus_name(figure)}`", figure.kind, labels),
            *(f"`{otel_name(figure)}`", f"`{otel_unit(figure)}`", figure.help.rstrip(".")),
        )
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def with_table(text: str) -> str:
    """Return the page with the table of this catalog."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + table() + END + after


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
