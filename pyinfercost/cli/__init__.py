"""The command line. Data goes to stdout, messages to stderr.

Exit codes: 0 the job is done; 1 it failed (the model cannot be read or captured, a file cannot be written, ...);
2 it was asked for wrongly (an unknown option, hardware, size, precision or column); 130 it was stopped by Ctrl-C.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .. import _core
from .arguments import named_settings, whole_number
from .calibrate_command import calibrate
from .collective_command import collective
from .compare_command import compare
from .machines import check_region, machine_of, paid_price, transfer_of_option
from .measure_command import check_measurable, measure, write_both
from .options import EPILOG, PRICE_HELP, changed, format_option, model_options, utilisation_option, whatif_options
from .output import messages_for_people, progress, show, show_pairs, write, write_result
from .sparsity_command import sparsity
from .sweep_command import sweep

if TYPE_CHECKING:
    from rich.console import RenderableType

_DATA_FORMATS = ("json", "csv")
_OPTIONAL = ("torch", "torchvision", "timm", "transformers", "diffusers", "pandas", "nvidia-ml-py")
_REQUIRED = ("numpy", "click", "rich")


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.version_option(_core.__version__, prog_name="pyinfercost")
@click.option("--debug", is_flag=True, help="Show the whole traceback of an error.")
@click.pass_context
def main(context: click.Context, debug: bool) -> None:
    """What inference costs before anyone pays for it: FLOPs, bytes, memory and latency of PyTorch models."""
    context.obj = debug


@main.command(epilog=EPILOG)
@click.option("--hardware", "-H", help="A catalogue id or a TOML file; without it, nothing is timed.")
@click.option("--batch", metavar="N", help="Short for --set batch=N.")
@click.option("--set", "settings", multiple=True, metavar="NAME=N", help="The value of a named size; repeatable.")
@click.option("--precision", type=click.Choice(_core.precisions()), default="native", show_default=True)
@click.option("--execution", type=click.Choice(_core.executions()), default="eager", show_default=True)
@click.option("--depth", type=click.IntRange(min=1), help="Collapse modules below this depth.")
@click.option("--training", is_flag=True, help="A training step without its optimizer: the forward and its backward.")
@click.option("--price", metavar="PRICE", help=PRICE_HELP)
@utilisation_option
@whatif_options
@click.option("--measure", "measured", is_flag=True, help="Run the model here as well: as `measure` does.")
@format_option("table", "json", "csv", "md")
@model_options
def profile(
    *,
    model: str,
    hardware: str | None,
    batch: str | None,
    settings: tuple[str, ...],
    precision: str,
    execution: str,
    threads: int | None,
    sustained: bool,
    depth: int | None,
    training: bool,
    price: str | None,
    utilisation: float,
    region: str | None,
    transfer: str | None,
    quantize: str | None,
    kv_cache: str | None,
    measured: bool,
    form: str,
    output: str | None,
) -> None:
    """Count a model and, with --hardware, predict its latency, its energy and, with --price, what it costs."""
    sizes: dict[str, Any] = {name: whole_number(name, value) for name, value in named_settings(settings, batch).items()}
    if threads is not None and hardware is None:
        raise click.UsageError("--threads needs --hardware")
    if sustained and hardware is None:
        raise click.UsageError("--sustained needs --hardware")
    if price is not None and hardware is None:
        raise click.UsageError("--price needs --hardware: what is paid is the time of a machine")
    if region is not None and hardware is None:
        raise click.UsageError("--region needs --hardware: it is the machine's energy that has a grid")
    if transfer is not None and hardware is None:
        raise click.UsageError("--transfer needs --hardware: it is a machine that data gets to")
    if measured and (quantize is not None or kv_cache is not None):
        raise click.UsageError("--measure runs the model as it is; --quantize and --kv-cache ask what if it were not")
    if measured:
        check_measurable(model, form, precision, training=training)
    with messages_for_people():
        from ..analysis.models import graph_at
        from ..analysis.profile import profile_on
        from ..analysis.terms import Terms, where_is

        # First: a capture may take long.
        machine = None if hardware is None else machine_of(hardware, threads, sustained=sustained)
        paid = None if machine is None else paid_price(price, machine.id, threads)
        check_region(region)
        terms = Terms(paid, utilisation, where_is(paid, region), transfer_of_option(transfer))
        with progress(model, quiet=form in _DATA_FORMATS):
            captured = changed(graph_at(model, sizes, training=training), quantize, kv_cache)
        result = profile_on(
            machine,
            captured,
            precision=precision,
            execution=execution,
            rules=None,
            threads=threads,
            terms=terms,
        )
        if measured:
            from ..measuring.measure import measure as run

            ran = run(model, hardware=machine, execution=execution, precision=precision, threads=threads, **sizes)
            write_both(result, ran, form, output, depth)
        else:

            def table() -> RenderableType:
                from ..report.table import profile_view

                return profile_view(result, depth=depth)

            write_result(result, form, output, depth, table)


main.add_command(sweep)
main.add_command(collective)
main.add_command(compare)
main.add_command(calibrate)
main.add_command(measure)
main.add_command(sparsity)


@main.command()
@click.argument("name", required=False)
@format_option("table", "json")
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
@click.argument("device", required=False)
@format_option("table", "json")
def prices(*, device: str | None, form: str) -> None:
    """List what machines cost to rent, or what the DEVICE (an id) does; the cheapest device hour is first."""
    with messages_for_people():
        from ..money import offers
        from ..report.document import as_json
        from ..report.prices import price_columns, prices_document
        from ..report.table import grid_view

        found = offers(device=device)
        if device is not None and not found:
            machine_of(device, None)  # an id that is wrong says so
            raise click.ClickException(f"no price of {device} is known; give one of your own, as in --price 2.49/h")
        if form == "json":
            write(as_json(prices_document(found)) + "\n", None)
        else:
            show(grid_view(price_columns(found)), None, width=140)


@main.command()
@format_option("table", "json")
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
