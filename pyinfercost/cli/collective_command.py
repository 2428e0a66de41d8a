"""`pyinfercost collective`: what an operation between devices of one node costs."""

from __future__ import annotations

import click

from .arguments import byte_sizes
from .machines import machine_of
from .options import format_option
from .output import messages_for_people, show, write


@click.command()
@click.argument("op")
@click.argument("size")
@click.option("--hardware", "-H", required=True, help="A catalogue id or a TOML file.")
@click.option("--devices", "-n", type=click.IntRange(min=1), required=True, help="How many of them take part.")
@click.option("--dtype", default="fp16", show_default=True, help="What the message holds.")
@format_option("table", "json", "csv")
@click.option("--output", "-o", type=click.Path(dir_okay=False), help="Write to a file instead of stdout.")
def collective(*, op: str, size: str, hardware: str, devices: int, dtype: str, form: str, output: str | None) -> None:
    """Predict what a collective operation costs between devices of one node.

    OP is all_reduce, all_gather, reduce_scatter, alltoall, broadcast or send. SIZE is the whole message, such as 64MiB,
    or several sizes with commas: 4KiB,1MiB,64MiB.
    """
    sizes = byte_sizes(size)
    with messages_for_people():
        from ..predict.collectives import UnknownCollectiveError
        from ..predict.collectives import collective as estimate_collective
        from ..report.collectives import collective_csv, collective_document
        from ..report.document import as_json

        machine = machine_of(hardware, None)
        try:
            result = estimate_collective(op, sizes, hardware=machine, devices=devices, dtype=dtype)
        except UnknownCollectiveError as error:
            raise click.UsageError(str(error)) from error
        if form == "json":
            write(as_json(collective_document(result)) + "\n", output)
        elif form == "csv":
            write(collective_csv(result), output)
        else:
            from ..report.table import collective_view

            show(collective_view(result), output)
