"""Options and help texts that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .. import _cache
from .._records import dataclass
from ..report.rows import SORTS, TIMED
from .commands import OUTPUT, grouped
from .configured import named_model
from .types import ModelType

if TYPE_CHECKING:
    from ..sources.captured import Captured

_Command = TypeVar("_Command", bound="Callable[..., Any]")

EXIT_CODES = "Exit codes: 0 success, 1 failure, 2 usage error, 3 a limit of diff is exceeded, 130 interrupted."
EPILOG = (
    "MODEL is a name (resnet50), torchvision:NAME, timm:NAME, hf:FOLDER[#prefill|#decode], diffusers:CONFIG.json, "
    "a folder with a checkpoint, a .gguf, .onnx or .pt2 file, a graph .json, or package.module:callable; "
    f"#channels_last may follow. {EXIT_CODES}"
)


def no_cache_option(command: _Command) -> _Command:
    """Add the option to capture a model anew."""

    def switch_off(context: click.Context, _: click.Parameter, value: bool) -> None:
        if value:
            context.with_resource(_cache.placed(None))

    option = click.option(
        "--no-cache",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=switch_off,
        help="Capture the model anew; read and store nothing in the cache.",
    )
    return grouped(OUTPUT, option)(command)


def out_option(*, help: str = "Write to a file instead of stdout.", **settings: Any) -> Callable[[_Command], _Command]:
    """Return a decorator that adds the file to write, which has one option in all commands.

    Args:
        help: Its line of the help.
        **settings: Other settings of the option.
    """
    file = click.Path(dir_okay=False)
    return grouped(OUTPUT, click.option("--output", "-o", type=file, metavar="FILE", help=help, **settings))


def html_option(help: str = "Also write an HTML report.") -> Callable[[_Command], _Command]:
    """Return a decorator that adds the HTML page to write."""
    return grouped(OUTPUT, click.option("--html", type=click.Path(dir_okay=False), metavar="FILE", help=help))


no_progress_option = grouped(OUTPUT, click.option("--no-progress", is_flag=True, help="Do not show progress."))
"""Adds the option to work in silence."""


def model_options(command: _Command) -> _Command:
    """Add the model argument and the output options."""
    for option in (
        out_option(),
        click.argument("model", is_eager=True, callback=named_model, type=ModelType()),
        no_cache_option,
    ):
        command = option(command)
    return command


whatif_options = grouped(
    "What if",
    click.option(
        "--quantize",
        metavar="FORMATS",
        help="What if weights were in another format: int8_wo, int4_wo:64, fp8_dynamic, ...; for all, or by pattern of "
        "modules or of weights of experts: '*.mlp.*=int4_wo,*=int8_wo'. Kernels of torchao in front: torchao:int8_wo.",
    ),
    click.option("--kv-cache", metavar="FORMAT", help="What if the KV cache were in int8, fp8, fp16 or bf16."),
    click.option(
        "--prune", metavar="STRUCTURE", help="What if weights of matrix products were pruned: 2:4; or by pattern."
    ),
    click.option(
        "--exit-at",
        type=click.IntRange(min=1),
        metavar="N",
        help="What if the forward ended at early exit N of a model that has some.",
    ),
    click.option(
        "--layers",
        type=click.FloatRange(min=0, max=1, min_open=True),
        metavar="SHARE",
        help="What if each stack of equal layers kept this share of them, 0 to 1.",
    ),
    click.option(
        "--width",
        type=click.FloatRange(min=0, max=1, min_open=True),
        metavar="SHARE",
        help="What if each group of channels kept this share of them, 0 to 1.",
    ),
)
"""Adds the options for formats, pruned weights and widths that the model does not have."""

layout_options = grouped(
    OUTPUT,
    click.option("--depth", type=click.IntRange(min=1), help="Collapse modules below this depth."),
    click.option(
        "--sort",
        type=click.Choice(SORTS),
        help="Sort sibling modules, largest first; share is latency, or FLOPs without --hardware, memory is the "
        "memory in use while they run. Default: graph order.",
    ),
    click.option(
        "--top", type=click.IntRange(min=1), help="Show only this many of the most costly rows, with full paths."
    ),
    click.option("--roofline", is_flag=True, help="Draw a roofline below the table."),
)
"""Adds the options for rows of a profile: which to show, and in which order."""


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
    text = "Also write a timeline for Perfetto or chrome://tracing."
    return grouped(OUTPUT, click.option("--trace", type=click.Path(dir_okay=False), metavar="FILE", help=text))(command)


WHAT_IF = ("quantize", "prune", "kv_cache", "width", "layers", "exit_at")
"""Names of the options of `whatif_options`."""


@dataclass(frozen=True)
class WhatIf:
    """Formats, pruned weights and widths that the model does not have; None for the model's own.

    Attributes:
        quantize: Formats of weights.
        prune: Structure of pruned weights.
        kv_cache: Format of keys and values.
        width: Share of channels that are kept.
        layers: Share of layers that are kept.
        exit_at: Early exit at which the forward ends.
    """

    quantize: str | None = None
    prune: str | None = None
    kv_cache: str | None = None
    width: float | None = None
    layers: float | None = None
    exit_at: int | None = None

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> WhatIf:
        """Return what the options of a command describe."""
        return cls(**{name: options[name] for name in WHAT_IF})

    @property
    def words(self) -> list[str]:
        """The changes in words."""
        width = None if self.width in (None, 1) else f"width {self.width:g}"
        layers = None if self.layers in (None, 1) else f"layers {self.layers:g}"
        early = f"exit {self.exit_at}" if self.exit_at else None
        cache = self.kv_cache and f"kv cache {self.kv_cache}"
        return [*filter(None, (self.quantize, self.prune, cache, width, layers, early))]

    def name(self, model: str) -> str:
        """Return the name of a model with these changes."""
        return f"{model}, what if {', '.join(self.words)}" if self.words else model

    @property
    def formats(self) -> dict[str, Any]:
        """The arguments of `transform.variants.varied`."""
        return {name: value for name in WHAT_IF if (value := getattr(self, name))}

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn errors about changes that are unknown, or apply to nothing in the model, into usage errors."""
        from ..formats.table import FormatError
        from ..transform.channels import ChannelGroupsError
        from ..transform.exits import ExitsError
        from ..transform.layers import LayersError

        try:
            yield
        except (FormatError, ChannelGroupsError, LayersError, ExitsError) as error:
            raise click.UsageError(f"--quantize: {error}" if "PATTERN" in str(error) else str(error)) from error

    def changed(self, captured: Captured) -> Captured:
        """Return the captured model with these changes.

        Raises:
            click.UsageError: A change is unknown, or applies to nothing in the model.
        """
        if not self.words:
            return captured
        from ..transform.variants import varied

        with self.errors():
            graph = varied(captured.graph, **self.formats)
        return captured._replace(graph=graph, name=self.name(captured.name))


def format_option(*formats: str) -> Callable[[_Command], _Command]:
    """Add the option for the output format."""
    kind = click.Choice(formats)
    option = click.option("--format", "form", type=kind, default="table", show_default=True, help="Output format.")
    return grouped(OUTPUT, option)
