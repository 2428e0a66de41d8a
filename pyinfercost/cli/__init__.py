"""The command line. Data goes to stdout, messages to stderr.

Exit codes: 0 the job is done; 1 it failed (the model cannot be read or captured, a file cannot be written, ...);
2 it was asked for wrongly (an unknown option, hardware, size or precision).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from .. import _core
from .arguments import axis_values, known_names, named_settings, whole_number
from .output import messages_for_people, progress, show, show_pairs, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_Command = TypeVar("_Command", bound="Callable[..., Any]")

_EPILOG = (
    "MODEL is torchvision:NAME, timm:NAME, hf:FOLDER[#prefill|#decode], diffusers:CONFIG.json, a .pt2 file, a graph "
    ".json, or package.module:callable. Exit codes: 0 done, 1 the job failed, 2 it was asked for wrongly."
)
_DATA_FORMATS = ("json", "csv")
_OPTIONAL = ("torch", "torchvision", "timm", "transformers", "diffusers", "pandas")
_REQUIRED = ("numpy", "click", "rich")


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG)
@click.version_option(_core.__version__, prog_name="pyinfercost")
@click.option("--debug", is_flag=True, help="Show the whole traceback of an error.")
@click.pass_context
def main(context: click.Context, debug: bool) -> None:
    """What inference costs before anyone pays for it: FLOPs, bytes, memory and latency of PyTorch models."""
    context.obj = debug


def _model_options(command: _Command) -> _Command:
    for option in (
        click.option("--output", "-o", type=click.Path(dir_okay=False), help="Write to a file instead of stdout."),
        click.option("--threads", type=click.IntRange(min=1), help="Threads to run on; only for a CPU."),
        click.argument("model"),
    ):
        command = option(command)
    return command


def _format_option(*formats: str) -> Callable[[_Command], _Command]:
    return click.option(
        "--format", "form", type=click.Choice(formats), default="table", show_default=True, help="How to show it."
    )


@main.command(epilog=_EPILOG)
@click.option("--hardware", "-H", help="A catalogue id or a TOML file; without it, nothing is timed.")
@click.option("--batch", metavar="N", help="Short for --set batch=N.")
@click.option("--set", "settings", multiple=True, metavar="NAME=N", help="The value of a named size; repeatable.")
@click.option("--precision", type=click.Choice(_core.precisions()), default="native", show_default=True)
@click.option("--execution", type=click.Choice(_core.executions()), default="eager", show_default=True)
@click.option("--depth", type=click.IntRange(min=1), help="Collapse modules below this depth.")
@click.option("--training", is_flag=True, help="A training step without its optimizer: the forward and its backward.")
@_format_option("table", "json", "csv", "md")
@_model_options
def profile(
    *,
    model: str,
    hardware: str | None,
    batch: str | None,
    settings: tuple[str, ...],
    precision: str,
    execution: str,
    threads: int | None,
    depth: int | None,
    training: bool,
    form: str,
    output: str | None,
) -> None:
    """Count a model and, with --hardware, predict its latency."""
    sizes = {name: whole_number(name, value) for name, value in named_settings(settings, batch).items()}
    if threads is not None and hardware is None:
        raise click.UsageError("--threads needs --hardware")
    with messages_for_people():
        from ..analysis.models import graph_at
        from ..analysis.profile import profile_on
        from ..hardware import load

        _check_machines([] if hardware is None else [hardware], threads)
        with progress(model, quiet=form in _DATA_FORMATS):
            captured = graph_at(model, sizes, training=training)
        machine = None if hardware is None else load(hardware, threads=threads)
        result = profile_on(machine, captured, precision=precision, execution=execution, rules=None, threads=threads)
        if form == "json":
            write(result.to_json() + "\n", output)
        elif form == "csv":
            write(result.to_csv(), output)
        elif form == "md":
            write(result.to_markdown(depth=depth), output)
        else:
            from ..report.table import profile_view

            show(profile_view(result, depth=depth), output)


@main.command(epilog=_EPILOG)
@click.option("--hardware", "-H", required=True, help="Catalogue ids or TOML files, with commas between.")
@click.option("--batch", metavar="AXIS", help="Short for --set batch=AXIS.")
@click.option("--set", "settings", multiple=True, metavar="NAME=AXIS", help="The axis of a named size; repeatable.")
@click.option("--precision", default="native", show_default=True, help="One or several, with commas between.")
@click.option("--execution", default="eager", show_default=True, help="One or several, with commas between.")
@_format_option("table", "json", "csv")
@_model_options
def sweep(
    *,
    model: str,
    hardware: str,
    batch: str | None,
    settings: tuple[str, ...],
    precision: str,
    execution: str,
    threads: int | None,
    form: str,
    output: str | None,
) -> None:
    """Predict the latency at every point of a grid of sizes, machines, precisions and executions.

    An AXIS is a list (1,8,64) or a range that includes its end (1:64, or 8:64:8 in steps of 8).
    """
    axes = {name: axis_values(name, value) for name, value in named_settings(settings, batch).items()}
    machines = hardware.split(",")
    precisions = known_names("precision", precision, _core.precisions())
    executions = known_names("execution", execution, _core.executions())
    with messages_for_people():
        from ..analysis.models import graph_over
        from ..analysis.sweep import sweep_over

        _check_machines(machines, threads)
        with progress(model, quiet=form in _DATA_FORMATS):
            captured = graph_over(model, axes)
        result = sweep_over(
            captured, hardware=machines, precision=precisions, execution=executions, rules=None, threads=threads
        )
        if form == "json":
            write(result.to_json() + "\n", output)
        elif form == "csv":
            write(result.to_csv(), output)
        else:
            from ..report.table import sweep_view

            show(sweep_view(result), output)


@main.command()
@click.argument("name", required=False)
@_format_option("table", "json")
def hardware(*, name: str | None, form: str) -> None:
    """List the catalogue of machines, or describe the machine NAME (an id or a TOML file)."""
    with messages_for_people():
        from ..hardware import UnknownHardwareError, describe, names

        try:
            machines = [describe(known) for known in ([name] if name else names())]
        except UnknownHardwareError as error:
            raise click.UsageError(str(error)) from error
        if name or form == "json":
            if form == "table":
                machines[0]["calibration"].pop("origin")  # long sentences, one for each constant
            show_pairs(machines[0] if name else machines, form)
        else:
            from ..report.table import grid_view
            from ..report.tabular import hardware_columns

            show(grid_view(hardware_columns(machines)), None, width=140)


@main.command()
@_format_option("table", "json")
def info(*, form: str) -> None:
    """Say which versions are at work, which optional packages are here, and how much is known."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    with messages_for_people():
        from ..hardware import names

        packages: dict[str, str | None] = {}
        for package in (*_REQUIRED, *_OPTIONAL):
            try:
                packages[package] = version(package)
            except PackageNotFoundError:
                packages[package] = None
        show_pairs(
            {
                "version": _core.__version__,
                "python": platform.python_version(),
                "platform": platform.platform(),
                "core": _core.__file__,
                "packages": packages,
                "machines": len(names()),
                "op_rules": len(_core.rules()),
            },
            form,
        )


def _check_machines(names: Iterable[str], threads: int | None) -> None:
    """Refuses an unknown name before the capture, which may take long."""
    from ..hardware import HardwareFileError, MissingFactError, load

    for name in names:
        try:
            load(name, threads=threads)
        except (HardwareFileError, MissingFactError):
            raise  # the name is right, the file is not
        except ValueError as error:
            raise click.UsageError(str(error)) from error
