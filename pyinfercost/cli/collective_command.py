"""`pyinfercost collective`: the cost of a collective operation between devices."""

from __future__ import annotations

import click

from .._checks import MOST
from .arguments import byte_sizes
from .commands import command
from .machines import machine_of
from .options import format_option, out_option
from .output import messages_for_people, write_result


@command()
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
@click.option(
    "--nodes", type=click.IntRange(min=1, max=MOST), default=1, show_default=True, help="Nodes that they are in."
)
@click.option("--dtype", default="fp16", show_default=True, help="Element type of the message.")
@click.option(
    "--kernel",
    help="library, engine or push; low_latency, normal or engine for tokens of experts.  "
    "[default: library, of tokens engine]",
)
@click.option("--execution", default="cuda_graph", show_default=True, help="cuda_graph or eager.")
@click.option("--share", type=float, default=1.0, show_default=True, help="Bytes of the busiest device over the mean.")
@click.option("--token-bytes", type=click.IntRange(min=1, max=MOST), help="Bytes of a token (dispatch, combine).")
@click.option("--top-k", type=click.IntRange(min=1, max=MOST), default=8, show_default=True, help="Experts of a token.")
@click.option("--experts", type=click.IntRange(min=1, max=MOST), default=256, show_default=True, help="All experts.")
@click.option(
    "--sms", type=click.IntRange(min=1, max=MOST), default=20, show_default=True, help="Cores that send tokens."
)
@format_option("table", "json", "csv")
@out_option()
def collective(
    *,
    op: str,
    size: str,
    hardware: str,
    devices: int,
    nodes: int,
    dtype: str,
    kernel: str | None,
    execution: str,
    share: float,
    token_bytes: int | None,
    top_k: int,
    experts: int,
    sms: int,
    form: str,
    output: str | None,
) -> None:
    """Predict the cost of a collective operation between devices.

    OP is all_reduce, all_gather, reduce_scatter, alltoall, broadcast or send, or dispatch and combine of the tokens of
    experts. SIZE is the size of the whole message, such as 64MiB, or a comma-separated list: 4KiB,1MiB,64MiB; of tokens
    it is the size of one device's tokens, each once.
    """
    sizes = byte_sizes(size)
    with messages_for_people():
        from ..predict.collectives import ExpertTokens, UnknownCollectiveError
        from ..predict.collectives import collective as estimate_collective

        machine = machine_of(hardware)
        try:
            tokens = None if token_bytes is None else ExpertTokens(token_bytes, top_k, experts, sms)
            result = estimate_collective(
                op,
                sizes,
                hardware=machine,
                devices=devices,
                nodes=nodes,
                dtype=dtype,
                kernel=kernel,
                execution=execution,
                share=share,
                tokens=tokens,
            )
        except UnknownCollectiveError as error:
            raise click.UsageError(str(error)) from error
        write_result(result, form, output)
