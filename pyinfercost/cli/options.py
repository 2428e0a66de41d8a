"""What several commands have in common: their last lines of help, and options."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..report.rows import SORTS, TIMED

if TYPE_CHECKING:
    from ..sources.captured import Captured

_Command = TypeVar("_Command", bound="Callable[..., Any]")

EPILOG = (
    "MODEL is torchvision:NAME, timm:NAME, hf:FOLDER[#prefill|#decode], diffusers:CONFIG.json, a .pt2 file, a graph "
    ".json, or package.module:callable. Exit codes: 0 done, 1 the job failed, 2 it was asked for wrongly, 3 a limit of "
    "diff is broken, 130 stopped."
)


def model_options(command: _Command) -> _Command:
    """The model, and where what is said of it goes."""
    for option in (
        click.option("--output", "-o", type=click.Path(dir_okay=False), help="Write to a file instead of stdout."),
        click.argument("model"),
    ):
        command = option(command)
    return command


def whatif_options(command: _Command) -> _Command:
    """Formats that the model does not have, to see what they would buy."""
    command = click.option(
        "--kv-cache", metavar="FORMAT", help="Keep keys and values of attention in int8, fp8, fp16 or bf16 instead."
    )(command)
    return click.option(
        "--quantize",
        metavar="FORMATS",
        help="Give weights another format: int8_wo, int4_wo:64, fp8_dynamic, ... for all, or by patterns of modules: "
        "'*.mlp.*=int4_wo,*=int8_wo'.",
    )(command)


def layout_options(command: _Command) -> _Command:
    """Which rows of a profile are shown, and in which order."""
    for option in (
        click.option("--roofline", is_flag=True, help="Draw one below the table."),
        click.option(
            "--top", type=click.IntRange(min=1), help="Show only so many of the most costly rows, with whole paths."
        ),
        click.option(
            "--sort",
            type=click.Choice(SORTS),
            help="Sort modules beside each other, the largest first; share is latency, or FLOPs without --hardware, "
            "memory what is held while they run. By default in the order of the graph.",
        ),
        click.option("--depth", type=click.IntRange(min=1), help="Collapse modules below this depth."),
    ):
        command = option(command)
    return command


def check_layout(form: str, sort: str | None, top: int | None, *, timed: bool, roofline: bool) -> None:
    """Refuses rows that a format does not have, and figures that only a machine has.

    Raises:
        click.UsageError: saying why.
    """
    named = [name for name, given in (("--sort", sort), ("--top", top)) if given is not None]
    if named and form in ("json", "csv"):
        raise click.UsageError(
            f"{' and '.join(named)} are for tables and Markdown; {form} has every layer, in the order of the graph"
        )
    if roofline and form != "table":
        raise click.UsageError(f"--roofline is drawn below a table; got --format {form}. JSON has all that one needs")
    if not timed and sort in TIMED:
        raise click.UsageError(f"--sort {sort} needs --hardware: it is a machine that takes time and energy")
    if not timed and roofline:
        raise click.UsageError("--roofline needs --hardware: it is of a machine")


def trace_option(command: _Command) -> _Command:
    """A timeline beside the result."""
    return click.option(
        "--trace",
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="Write a timeline as well, for Perfetto or chrome://tracing.",
    )(command)


def changed(captured: Captured, quantize: str | None, kv_cache: str | None) -> Captured:
    """What was captured, in other formats where these are asked for; what cannot be is wrong usage."""
    if quantize is None and kv_cache is None:
        return captured
    from ..transform.formats import WhatIfError
    from ..transform.whatif import whatif

    policy: str | dict[str, str | None] | None = quantize
    if quantize is not None and "=" in quantize:
        pairs = [part.partition("=") for part in quantize.split(",")]
        if not all(equals and form for _, equals, form in pairs):
            raise click.UsageError(f"--quantize takes FORMAT, or PATTERN=FORMAT with commas between; got {quantize!r}")
        policy = {pattern: None if form == "none" else form for pattern, _, form in pairs}
    try:
        asked = [*filter(None, (quantize, kv_cache and f"kv cache {kv_cache}"))]
        graph = whatif(captured.graph, quantize=policy, kv_cache=kv_cache)
        return captured._replace(graph=graph, name=f"{captured.name}, what if {', '.join(asked)}")
    except WhatIfError as error:
        raise click.UsageError(str(error)) from error


def format_option(*formats: str) -> Callable[[_Command], _Command]:
    """How to show results."""
    return click.option(
        "--format", "form", type=click.Choice(formats), default="table", show_default=True, help="How to show it."
    )
