"""`pyinfercost monitor report`: predicted against measured, drift, money and the plan, from a monitor's log."""

from __future__ import annotations

import click

from .._checks import write_text
from .commands import command
from .monitor_export_command import time_of
from .options import EXIT_CODES, format_option, html_option, out_option
from .output import messages_for_people, say, write_result


@command(epilog=EXIT_CODES)
@click.option(
    "--planned",
    "plan",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="What was planned: JSON of `fleet`, `fleet --plan` or `serve`. By default what the monitor knows of its plan.",
)
@click.option("--model", metavar="NAME", help="Name of the model, of several in the log; by default all together.")
@click.option("--from", "from_", metavar="TIME", help="Intervals from 2026-11-23T08:00 on (UTC).")
@click.option("--until", metavar="TIME", help="Intervals before 2026-11-30T08:00 (UTC).")
@click.option("--suggest", is_flag=True, help="Search the cheapest fleet for the recorded traffic.")
@click.option("--slo", metavar="LIMITS", help='Its objective, such as "ttft_p95<2"; by default of the plan.')
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Decides the random numbers.")
@html_option("Also write a report with charts.")
@format_option("table", "json", "csv", "md")
@out_option()
@click.argument("log", nargs=-1, required=True, type=click.Path())
def report(
    *,
    log: tuple[str, ...],
    plan: str | None,
    model: str | None,
    from_: str | None,
    until: str | None,
    suggest: bool,
    slo: str | None,
    seed: int,
    html: str | None,
    form: str,
    output: str | None,
) -> None:
    """Report a monitor's LOG: predicted against measured, what drifted, what it cost, and how far from the plan.

    CSV has one row for each hour, or for less of a short log.
    """
    with messages_for_people():
        if slo is not None and not suggest:
            raise click.UsageError("--slo goes with --suggest")
        from ..monitor.log_reader import read_log
        from ..monitor.log_report import report_log

        start, end = time_of(from_, "--from"), time_of(until, "--until")
        result = report_log(
            read_log(log), plan=plan, model=model, from_s=start, to_s=end, suggest=suggest, slo=slo, seed=seed
        )
        write_result(result, form, output)
        if html is not None:
            write_text(html, result.to_html())
            say(f"Report written to {html}")
