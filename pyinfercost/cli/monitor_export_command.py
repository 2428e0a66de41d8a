"""`pyinfercost monitor export`: the requests of a monitor's log as a workload."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import click

from .._checks import shown
from .commands import command
from .options import EXIT_CODES, format_option, out_option
from .output import messages_for_people, say, write


def time_of(text: str | None, option: str) -> float | None:
    """Return the Unix time of an option: a date with a time of ISO 8601, in UTC without a zone, or seconds since 1970.

    Raises:
        click.UsageError: It is none.
    """
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        raise click.UsageError(
            f"{option} is {shown(text)}; expected a time such as 2026-11-23T08:00 (UTC), or seconds since 1970"
        ) from None
    zoned = found if found.tzinfo else found.replace(tzinfo=timezone.utc)
    return (zoned - datetime(1970, 1, 1, tzinfo=timezone.utc)) / timedelta(seconds=1)


@command(epilog=EXIT_CODES)
@out_option(
    help="FILE.parquet or FILE.csv, which `serve --trace`, `serve --calibrate-from` and `fleet --traffic` read.",
    required=True,
)
@click.option("--model", metavar="NAME", help="Name of the model, of several in the log.")
@click.option("--from", "from_", metavar="TIME", help="Requests from 2026-11-23T08:00 on (UTC).")
@click.option("--until", metavar="TIME", help="Requests before 2026-11-30T08:00 (UTC).")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Decides what is drawn where the log has counters alone.",
)
@format_option("table", "json")
@click.argument("log", nargs=-1, required=True, type=click.Path())
def export(
    *,
    log: tuple[str, ...],
    output: str,
    model: str | None,
    from_: str | None,
    until: str | None,
    seed: int,
    form: str,
) -> None:
    """Write the requests of a monitor's LOG as a workload: arrivals and lengths, no contents.

    Several logs are read as one. Where a log has counters alone, as of a sidecar, arrivals and lengths are drawn from
    them.
    """
    with messages_for_people():
        from ..monitor.log_reader import read_log
        from ..monitor.recorded import export_workload

        start, end = time_of(from_, "--from"), time_of(until, "--until")
        recording = read_log(log)
        found = export_workload(recording, output, model=model, from_s=start, to_s=end, seed=seed)
        if form == "json":
            write(json.dumps(found.to_dict(), indent=2, allow_nan=False) + "\n", None)
            return
        begin = datetime.fromtimestamp(found.start_s, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
        hours = found.span_s / 3600
        say(
            f"{found.requests:,} requests in {hours:.4g} h from {begin} UTC written to {found.path}"
            f"{' (counts, format bins)' if found.form == 'bins' else ''}"
        )
        say("It has arrivals and sizes of requests, and no contents, addresses or names of users.")
        for note in found.notes:
            say(f"Note: {note}")
        for line in recording.damage:
            say(f"Damaged: {line}")
        say("Next:")
        for command in found.next_commands:
            say(f"  {command}")
