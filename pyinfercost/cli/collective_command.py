"""`pyinfercost collective`: the cost of a collective operation between devices of one node."""

from __future__ import annotations

import click

from .._checks import MOST
from .arguments import byte_sizes
from .machines import machine_of
from .options import format_option
from .output import messages_for_people, write_result


@click.command()
@click.argument("op")
@click.argument("size")
@click.option("--hardware", "-H", required=True, help="A catalog id or a TOML file.")
@click.option(
    "--devices",
    "-n",
    type=click.IntRange(min=1, max=MOST),
    required=True,
    help="Number of participating devices.",
)
@click.option("--dtype", default="fp16", show_default=True, help="Element type of the message.")
@format_option("table", "json", "csv")
@click.option("--output", "-o", type=click.Path(dir_okay=False), help="Write to a file instead of stdout.")
def collective(*, op: str, size: str, hardware: str, devices: int, dtype: str, form: str, output: str | None) -> None:
    """Predict the cost of a collective operation between devices of one node.

    OP is all_reduce, all_gather, reduce_scatter, alltoall, broadcast or send. SIZE is the size of the whole message,
    such as 64MiB, or a comma-separated list: 4KiB,1MiB,64MiB.
    """
    sizes = byte_sizes(size)
    with messages_for_people():
        from ..predict.collectives import UnknownCollectiveError
        from ..predict.collectives import collective as estimate_collective

        machine = machine_of(hardware)
        try:
            result = estimate_collective(op, sizes, hardware=machine, devices=devices, dtype=dtype)
        except UnknownCollectiveError as error:
            raise click.UsageError(str(error)) from error
        write_result(result, form, output)
