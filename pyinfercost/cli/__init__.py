"""The command line. Data goes to stdout, messages to stderr.

Exit codes: 0 success; 1 failure (the model cannot be read or captured, a file cannot be written, ...); 2 usage error
(an unknown option, hardware, size, precision or column); 3 a limit of `diff --fail-if` is exceeded; 130 interrupted by
Ctrl-C.

A command is imported when it runs: together they import half of the package.
"""

from __future__ import annotations

import sys
from difflib import get_close_matches
from importlib import import_module
from os import devnull, environ
from pathlib import Path
from typing import Any

import click

from .. import _core
from .._escapes import visible_lines
from ..errors import UnknownNameError
from .configuration import NAME
from .configured import configure
from .deployment_options import NEED_HARDWARE
from .options import EPILOG
from .output import messages_for_people

COMMANDS = {
    "init": "init_command",
    "profile": "profile_command",
    "explore": "explore_command",
    "sweep": "sweep_command",
    "collective": "collective_command",
    "serve": "serve_command",
    "fleet": "fleet_command",
    "advise": "advise_command",
    "compare": "compare_command",
    "diff": "diff_command",
    "ci": "ci_command",
    "comment": "ci_command",
    "calibrate": "calibrate_command",
    "measure": "measure_command",
    "monitor": "monitor_command",
    "sparsity": "sparsity_command",
    "hardware": "hardware_command",
    "prices": "prices_command",
    "info": "info_command",
    "cache": "cache_command",
    "completion": "completion_command",
}
"""Name of a command -> the module of this package with a command of that name, in the order of the help text."""


_WITHOUT_CONFIGURATION = ("init", "cache", "completion")


class _Loaded(dict[str, click.Command]):
    """The commands, each imported when it is asked for."""

    def __missing__(self, name: str) -> click.Command:
        if name not in COMMANDS:
            raise UnknownNameError(name)
        self[name] = getattr(import_module(f".{COMMANDS[name]}", __package__), name)
        return self[name]

    def items(self) -> Any:
        return {name: self[name] for name in COMMANDS}.items()


class _Commands(click.Group):
    """The commands. Messages on usage may quote names from files of others."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        return self.commands[cmd_name] if cmd_name in COMMANDS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            near = get_close_matches(args[0], COMMANDS, n=2)
            hint = f"did you mean {' or '.join(near)}?" if near else f"expected one of {', '.join(COMMANDS)}"
            ctx.fail(f"No such command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if any("\0" in word for word in args):  # no shell passes one
            raise click.UsageError("an argument has a null character; leave it out")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            # One form for all errors: the fault, and in the next line where to look.
            where = "" if error.ctx is None else f"\n({error.ctx.command_path} --help shows the options)"
            told = error.format_message().replace(",\n\t", ", ").replace("\n\t", " ")  # click lists choices in lines
            raise click.UsageError(visible_lines(told) + where) from error
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
    if sys.stdout is None:  # closed by the shell, as by >&-
        sys.stdout = Path(devnull).open("w", encoding="utf-8")  # noqa: SIM115  # for the rest of the process
    if config is not None and no_config:
        raise click.UsageError("--config and --no-config exclude each other; give one of them")
    if no_config or context.invoked_subcommand in _WITHOUT_CONFIGURATION:
        return
    with messages_for_people():
        configure(context, config, needs=NEED_HARDWARE)


main.commands = _Loaded()

if "_PYINFERCOST_COMPLETE" in environ:  # a shell asks
    from . import completion_command as _  # noqa: F401
