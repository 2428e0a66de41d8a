"""`pyinfercost sparsity`: the share and the structure of zeros in a model's weights."""

from __future__ import annotations

import click

from .commands import command
from .configured import named_model
from .options import format_option, out_option
from .output import check_writable, messages_for_people, write_result
from .types import ModelType

_EPILOG = (
    "MODEL is a .safetensors file, a folder or .index.json of several, a .pt2 or .onnx file, or "
    "package.module:callable that returns a module with weights. Exit codes: 0 success, 1 failure, 2 usage error, "
    "130 interrupted."
)


@command(epilog=_EPILOG)
@click.option("--threads", type=click.IntRange(min=1), help="Number of threads to scan with; default: all.")
@click.option("--depth", type=click.IntRange(min=1), help="Sum up the weights of modules below this depth.")
@click.option(
    "--threshold", "thresholds", multiple=True, type=click.FloatRange(min=1e-12, max=1e12), metavar="FRACTION",
    help="Show the share of weights below this fraction of their root mean square; repeatable. Default: 0.01 and 0.1.",
)  # fmt: skip
@format_option("table", "json", "csv")
@out_option()
@click.argument("model", is_eager=True, callback=named_model, type=ModelType())
def sparsity(
    *,
    model: str,
    threads: int | None,
    depth: int | None,
    thresholds: tuple[float, ...],
    form: str,
    output: str | None,
) -> None:
    """Count the zeros of a model's weights, by element, N:M group, block, row and channel.

    N:M is the strictest pattern that all groups satisfy. Blocks are the largest that cover nearly all zero 4x4 blocks.
    The last columns show the share of elements below each threshold. Files are read in parts, not loaded.
    """
    if form != "table" and (depth is not None or thresholds):
        raise click.UsageError("--depth and --threshold are for tables; json and csv list every weight and a histogram")
    with messages_for_people():
        from ..scan.sparsity import sparsity as scan

        if output is not None:
            check_writable(output)
        result = scan(model, threads=threads)
        shares = {"thresholds": thresholds} if thresholds else {}
        write_result(result, form, output, layout={"depth": depth}, table=shares)
