"""The command line. Data goes to stdout, messages to stderr.

Exit codes: 0 success; 1 failure (the model cannot be read or captured, a file cannot be written, ...); 2 usage error
(an unknown option, hardware, size, precision or column); 3 a limit of `diff --fail-if` is exceeded; 130 interrupted by
Ctrl-C.
"""

from __future__ import annotations

from typing import Any

import click

from .. import _core
from .._escapes import visible_lines
from .advise_command import advise
from .calibrate_command import calibrate
from .ci_command import ci, comment
from .collective_command import collective
from .configuration import NAME
from .configured import configure
from .deployment_options import NEED_HARDWARE
from .diff_command import diff
from .fleet_command import fleet
from .init_command import init
from .machines import machine_of
from .measure_command import measure
from .monitor_command import monitor
from .options import EPILOG, format_option
from .output import messages_for_people, show, show_pairs, write
from .profile_command import profile
from .serve_command import serve
from .sparsity_command import sparsity
from .sweep_command import sweep

_OPTIONAL = ("torch", "torchvision", "timm", "transformers", "diffusers", "pandas", "nvidia-ml-py")
_REQUIRED = ("numpy", "click", "rich")


class _Commands(click.Group):
    """The commands. Messages on usage may quote names from files of others."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if any("\0" in word for word in args):  # no shell passes one
            raise click.UsageError("an argument has a null character; leave it out")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            error.message = visible_lines(error.message)  # type: ignore[misc]  # final for subclasses
            raise


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.version_option(_core.__version__, prog_name="pyinfercost")
@click.option("--debug", is_flag=True, help="Show the full traceback of an error.")
@click.option(
    "--config",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help=f"Configuration to read; default: {NAME} of this folder or of the nearest one above it that has one.",
)
@click.option("--no-config", is_flag=True, help="Read no configuration.")
@click.pass_context
def main(context: click.Context, debug: bool, config: str | None, no_config: bool) -> None:
    """Predict what a neural network costs to run: FLOPs, bytes, memory and latency of PyTorch models."""
    context.obj = debug
    if config is not None and no_config:
        raise click.UsageError("--config and --no-config exclude each other; give one of them")
    if no_config or context.invoked_subcommand == init.name:
        return
    with messages_for_people():
        configure(context, config, needs=NEED_HARDWARE)


main.add_command(init)
main.add_command(profile)
main.add_command(sweep)
main.add_command(collective)
main.add_command(serve)
main.add_command(fleet)
main.add_command(advise)
main.add_command(diff)
main.add_command(ci)
main.add_command(comment)
main.add_command(calibrate)
main.add_command(measure)
main.add_command(monitor)
main.add_command(sparsity)


@main.command()
@click.argument("name", required=False)
@format_option("table", "json", "core-json")
def hardware(*, name: str | None, form: str) -> None:
    """List the machines of the catalog, or describe the machine NAME (an id or a TOML file).

    `core-json` is the machine in base units with all constants, the form that the C++ library reads.
    """
    with messages_for_people():
        if form == "core-json":
            if name is None:
                raise click.UsageError("--format core-json describes one machine; give its NAME")
            write(machine_of(name).to_json() + "\n", None)
            return
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
            from ..report.catalog_tables import hardware_columns
            from ..report.layout import Table
            from ..report.table import laid_out

            show(laid_out([Table(hardware_columns(machines))]), None, width=140)


@main.command()
@click.argument("device", required=False)
@format_option("table", "json")
def prices(*, device: str | None, form: str) -> None:
    """List rental prices of all machines or of DEVICE (an id), sorted by price per device-hour."""
    with messages_for_people():
        from ..deployment import offers
        from ..report.catalog_tables import price_columns, prices_document
        from ..report.documents import as_json
        from ..report.layout import Table
        from ..report.table import laid_out

        found = offers(device=device)
        if device is not None and not found:
            machine_of(device)  # raises for an unknown id
            raise click.ClickException(f"no price of {device} is known; give one of your own, such as --price 2.49/h")
        if form == "json":
            write(as_json(prices_document(found)) + "\n", None)
        else:
            show(laid_out([Table(price_columns(found))]), None, width=140)


@main.command()
@format_option("table", "json")
def info(*, form: str) -> None:
    """Show versions, installed optional packages, and the numbers of known operators and machines."""
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
