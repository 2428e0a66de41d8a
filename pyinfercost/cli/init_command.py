"""`pyinfercost init`: write a starter configuration."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .._checks import exists, write_text
from ..errors import ExistingFileError
from .commands import command
from .configuration import NAME, read_configuration
from .output import messages_for_people, say

_TEXT = """\
# Configuration of pyinfercost. All commands in this folder and below read it; options of the command line take
# precedence, and `pyinfercost --no-config COMMAND ...` ignores it.
schema_version = 1

# Options of all commands that have them, by their names without `--`.
[defaults]
{hardware}
# precision = "fp16"
# execution = "compiled"

# Options of one command.
# [commands.profile]
# depth = 2

# Models by names of your own: `pyinfercost profile {name}`. Paths are relative to this file. Options of a model take
# precedence over those above. `pyinfercost ci` compares all of them, and prices them if it has their requests.
{models}

# Machines by names of your own: ids (`pyinfercost hardware` lists them) or files.
[machines]
# production = "l4"
# lab = "machines/lab.toml"

# Prices of a device-hour, by machine: USD, on-demand, spot, or an instance such as aws/g6.4xlarge.
[prices]
{prices}

# Limits of `pyinfercost diff` and `pyinfercost ci`, as of --fail-if: how much a figure may change.
[limits]
# latency_s = "+5%"
# peak_memory_bytes = "+5%"
# cost_usd = "+5%"
# unmodelled_ops = "+0"
"""
_MODEL = """\
[models.{name}]
spec = {spec}
# batch = 8
# requests_per_month = 10_000_000"""
_NO_MODEL = """\
# [models.classifier]
# spec = "torchvision:resnet50"
# batch = 8
# requests_per_month = 10_000_000"""


@command()
@click.argument("models", metavar="[MODEL]...", nargs=-1)
@click.option("--hardware", "-H", help="The machine that commands use by default.")
@click.option("--price", metavar="PRICE", help="Its price of a device-hour, such as 2.49 or spot.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
def init(*, models: tuple[str, ...], hardware: str | None, price: str | None, force: bool) -> None:
    """Write a starter pyinfercost.toml, with comments, into this folder.

    It names each MODEL, so that `pyinfercost profile NAME` profiles it.
    """
    if price is not None and hardware is None:
        raise click.UsageError(
            "--price needs --hardware; give the machine that the price is for, such as --hardware l4"
        )
    with messages_for_people():
        path = Path(NAME)
        if exists(path) and not force:
            raise ExistingFileError(f"{NAME} exists in this folder; edit it, or replace it with --force")
        if hardware is not None:
            from .machines import machine_of

            machine_of(hardware)  # raises for an unknown one
        _check_models(models)
        names = _names(models)
        text = _TEXT.format(
            hardware='# hardware = "l4"' if hardware is None else f"hardware = {_quoted(hardware)}",
            name=next(iter(names), "classifier"),
            models="\n\n".join(_MODEL.format(name=name, spec=_quoted(spec)) for name, spec in names.items())
            or _NO_MODEL,
            prices='# l4 = "on-demand"\n# production = 0.80'
            if price is None
            else f"{_quoted(hardware)} = {_quoted(price)}",
        )
        write_text(path, (text,))
        read_configuration(path)
        say(f"Wrote {NAME}; `pyinfercost profile {next(iter(names), 'MODEL')}` reads it")


def _check_models(specs: tuple[str, ...]) -> None:
    """Reject unknown names of models, and report files that do not exist, which may be written later.

    Functions of the user's own are looked up when they are used.

    Raises:
        UnknownModelError: There is no such model, or there are several of that name that differ.
        SpecError: A folder has no config.
    """
    from ..sources.spec_names import missing_file, named

    for spec in specs:
        if missing_file(named(spec)):
            say(f"Warning: {spec} does not exist; commands that read it fail until it does")


def _quoted(text: str | None) -> str:
    """Return a text as TOML, whose strings have the escapes of JSON."""
    return json.dumps(text)


def _names(specs: tuple[str, ...]) -> dict[str, str]:
    """Return a name of letters, digits, `_` and `-` for each spec, from its last part."""
    found: dict[str, str] = {}
    for spec in specs:
        last = Path(spec.partition(":")[2].partition("#")[0] or spec).stem
        base = "".join(each if each.isascii() and (each.isalnum() or each in "_-") else "_" for each in last) or "model"
        name, number = base, 2
        while name in found:
            name, number = f"{base}_{number}", number + 1
        found[name] = spec
    return found
