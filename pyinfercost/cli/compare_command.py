"""`pyinfercost compare`: what changed between two profiles, and what it buys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .options import format_option
from .output import check_writable, messages_for_people, write_result

if TYPE_CHECKING:
    from rich.console import RenderableType

_EPILOG = (
    "BEFORE and AFTER are files that `pyinfercost profile MODEL --format json -o FILE` wrote. Exit codes: 0 done, "
    "whatever differs, 1 the job failed, 2 it was asked for wrongly."
)
_WHOLE = ("json", "csv")


@click.command(epilog=_EPILOG)
@click.option("--depth", type=click.IntRange(min=1), help="Add up modules below this depth.")
@format_option("table", "json", "csv", "md")
@click.option("--output", "-o", type=click.Path(dir_okay=False), help="Write to a file instead of stdout.")
@click.argument("before")
@click.argument("after")
def compare(*, before: str, after: str, depth: int | None, form: str, output: str | None) -> None:
    """Set two profiles side by side, module by module: FLOPs, bytes, latency, energy and cost, and how they differ.

    Other machines, precisions, executions and sizes may be compared, too; the report then says so.
    """
    if depth is not None and form in _WHOLE:
        raise click.UsageError("--depth is for tables and Markdown; json and csv have each module")
    with messages_for_people():
        from ..analysis.comparing import compare as compared

        if output is not None:
            check_writable(output)
        result = compared(before, after)

        def table() -> RenderableType:
            from ..report.comparison import comparison_view

            return comparison_view(result, depth=depth)

        write_result(result, form, output, {"depth": depth}, table)
