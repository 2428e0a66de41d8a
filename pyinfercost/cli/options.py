"""Options and help texts that several commands share."""

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
    ".json, or package.module:callable. Exit codes: 0 success, 1 failure, 2 usage error, 3 a limit of diff is "
    "exceeded, 130 interrupted."
)


def model_options(command: _Command) -> _Command:
    """Add the model argument and the output options."""
    for option in (
        click.option("--output", "-o", type=click.Path(dir_okay=False), help="Write to a file instead of stdout."),
        click.argument("model"),
    ):
        command = option(command)
    return command


def whatif_options(command: _Command) -> _Command:
    """Add the options for formats that the model does not have."""
    command = click.option(
        "--kv-cache", metavar="FORMAT", help="What if the KV cache were in int8, fp8, fp16 or bf16."
    )(command)
    return click.option(
        "--quantize",
        metavar="FORMATS",
        help="What if weights were in another format: int8_wo, int4_wo:64, fp8_dynamic, ...; for all, or by pattern of "
        "modules or of weights of experts: '*.mlp.*=int4_wo,*=int8_wo'.",
    )(command)


def layout_options(command: _Command) -> _Command:
    """Add the options for rows of a profile: which to show, and in which order."""
    for option in (
        click.option("--roofline", is_flag=True, help="Draw a roofline below the table."),
        click.option(
            "--top", type=click.IntRange(min=1), help="Show only this many of the most costly rows, with full paths."
        ),
        click.option(
            "--sort",
            type=click.Choice(SORTS),
            help="Sort sibling modules, largest first; share is latency, or FLOPs without --hardware, memory is the "
            "memory in use while they run. Default: graph order.",
        ),
        click.option("--depth", type=click.IntRange(min=1), help="Collapse modules below this depth."),
    ):
        command = option(command)
    return command


def check_layout(form: str, sort: str | None, top: int | None, *, timed: bool, roofline: bool) -> None:
    """Reject options that a format does not support, and figures that need a machine.

    Raises:
        click.UsageError: The message states the reason.
    """
    named = [name for name, given in (("--sort", sort), ("--top", top)) if given is not None]
    if named and form in ("json", "csv"):
        raise click.UsageError(
            f"{' and '.join(named)} are for tables and Markdown; {form} has every layer, in graph order"
        )
    if roofline and form != "table":
        raise click.UsageError(f"--roofline is drawn below a table; got --format {form}, whose data is complete")
    if not timed and sort in TIMED:
        raise click.UsageError(f"--sort {sort} needs --hardware; give a machine, such as --hardware l4")
    if not timed and roofline:
        raise click.UsageError("--roofline needs --hardware; give a machine, such as --hardware l4")


def trace_option(command: _Command) -> _Command:
    """Add the option to write a timeline."""
    return click.option(
        "--trace",
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="Also write a timeline for Perfetto or chrome://tracing.",
    )(command)


def changed(captured: Captured, quantize: str | None, kv_cache: str | None) -> Captured:
    """Return the captured model in other formats, if any are given; an impossible format is a usage error."""
    if quantize is None and kv_cache is None:
        return captured
    from ..formats.table import FormatError
    from ..transform.whatif import whatif

    policy: str | dict[str, str | None] | None = quantize
    if quantize is not None and "=" in quantize:
        pairs = [part.partition("=") for part in quantize.split(",")]
        if not all(equals and form for _, equals, form in pairs):
            raise click.UsageError(f"--quantize takes FORMAT or a list of PATTERN=FORMAT; got {quantize!r}")
        policy = {pattern: None if form == "none" else form for pattern, _, form in pairs}
    try:
        graph = whatif(captured.graph, quantize=policy, kv_cache=kv_cache)
        return captured._replace(graph=graph, name=changed_name(captured.name, quantize, kv_cache))
    except FormatError as error:
        raise click.UsageError(str(error)) from error


def changed_name(name: str, quantize: str | None, kv_cache: str | None) -> str:
    """Return the name of a model with the formats that `changed` gives it."""
    asked = [*filter(None, (quantize, kv_cache and f"kv cache {kv_cache}"))]
    return f"{name}, what if {', '.join(asked)}" if asked else name


def format_option(*formats: str) -> Callable[[_Command], _Command]:
    """Add the option for the output format."""
    return click.option(
        "--format", "form", type=click.Choice(formats), default="table", show_default=True, help="Output format."
    )
