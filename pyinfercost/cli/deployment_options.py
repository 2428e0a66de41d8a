"""Command-line options of a deployment, shared by all commands, and the `Deployment` that they build."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .._checks import read_json
from ..deployment.deployment import Deployment
from ..deployment.fields import OPTIONS, needs_machine
from ..deployment.keywords import deployment_of
from .commands import grouped
from .configured import named_machines
from .output import in_options
from .settings_options import option_of
from .types import ExecutionType, HardwareType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..inputs.settings import Setting

_Command = TypeVar("_Command", bound="Callable[..., Any]")

DEPLOYMENT = ("on", *OPTIONS)
"""Names of the options."""

NEED_HARDWARE = {
    name: f"--{name} needs --hardware; give a machine, such as --hardware l4" for name in OPTIONS if needs_machine(name)
}
"""Options that need a machine -> message without one."""

PRICE_HELP = next(each.option for each in Deployment.fields if each.name == "price")
_HELP = {each.name: each.option for each in Deployment.fields}
_SEVERAL = {
    "precision": "One or several, separated by commas; {}",
    "engine": "One or several, separated by commas; {}",
    "execution": "One or several, separated by commas; {}",
    "devices": "Numbers of devices.",
    "layout": "{} Several: give it again; all: all that are legal on each number of --devices; those that do not fit "
    "the memory are not chosen.",
    "price": "{} By machine: l4=0.80,t4=spot. Several: on-demand,spot.",
}
"""Options with several values -> help, with the help for one value."""

MACHINE, BILL = "Machine", "Price and place"
"""Titles of the options in the help."""
_OF_BILL = ("price", "utilization", "region", "transfer", "startup")

_ON_HELP = "A JSON file with a deployment, as written by Deployment.to_dict(); other options override it."


_TENSOR = click.option(
    "--tensor", metavar="AXIS", help="Numbers of devices that share each product, in the place of --layout."
)


def _hardware(text: str, *, several: bool) -> Any:
    kind = HardwareType(several=several)
    return click.option("--hardware", "-H", type=kind, help=text, callback=named_machines)


def _option(setting: Setting, *, several: bool, under_load: bool) -> Any:
    """Return the option of a setting.

    Args:
        setting: The setting.
        several: Whether an option with a list of its own accepts several values.
        under_load: As in `deployment_options`.
    """
    name, text = setting.name, setting.option
    if name == "sustained":
        return option_of(setting, f"--{name}/--short")
    if several and name in _SEVERAL:
        text = _SEVERAL[name].format(text)
        axis = {"metavar": "AXIS"} if name == "devices" else {}
        return option_of(setting, text=text, type=None, multiple=name == "layout", **axis)
    if name == "execution":
        return option_of(setting, type=ExecutionType())
    if under_load and name == "serving":
        text = text.replace("prefix_hit=0.5, chunk_tokens=2048, ", "")
    return option_of(setting, text=text)


def deployment_options(
    *,
    several: bool = False,
    precisions: tuple[str, ...] | None = None,
    hardware: str | None = None,
    only: tuple[str, ...] = DEPLOYMENT,
    under_load: bool = False,
    refused: tuple[str, ...] = (),
) -> Callable[[_Command], _Command]:
    """Return a decorator that adds the options of a deployment to a command.

    Args:
        several: Whether hardware, precision, execution, devices and price accept comma-separated lists.
        precisions: Precisions that the command accepts; None for all.
        hardware: Help text of `--hardware`; None for the default.
        only: Names of the options that the command has.
        under_load: Whether a workload and a scheduler decide what a step reads.
        refused: Names of the options that the command answers with a reason, which its help leaves out.
    """
    options = {each.name: _option(each, several=several, under_load=under_load) for each in Deployment.fields}
    options["hardware"] = _hardware(hardware or _HELP["hardware"], several=several)
    options["on"] = click.option("--on", type=click.Path(dir_okay=False), metavar="FILE", help=_ON_HELP)
    if precisions is not None:
        kind = click.Choice(precisions, case_sensitive=False)
        options["precision"] = click.option("--precision", type=kind, help=_HELP["precision"])
    if several:
        options["tensor"] = _TENSOR

    for name in refused:
        options[name] = _hidden(options[name])
    chosen = {name: option for name, option in options.items() if name in (*only, "tensor")}
    of_machine = grouped(MACHINE, *(option for name, option in chosen.items() if name not in _OF_BILL))
    of_bill = grouped(BILL, *(option for name, option in chosen.items() if name in _OF_BILL))
    return lambda command: of_machine(of_bill(command))


def _hidden(option: Any) -> Any:
    def added(command: Any) -> Any:
        command = option(command)
        command.__click_params__[-1].hidden = True
        return command

    return added


def deployment_of_options(options: Mapping[str, Any]) -> Deployment:
    """Return the deployment that the options of a command describe.

    Args:
        options: Values of the options by name.

    Raises:
        click.UsageError: The options exclude each other, or a value is unknown.
    """
    on = None if options["on"] is None else _single(read_deployments(options["on"]))
    if options["hardware"] is None and (on is None or on.hardware is None):
        for name, message in NEED_HARDWARE.items():
            if options.get(name):
                raise click.UsageError(message)
    fields = {name: options.get(name) for name in DEPLOYMENT[1:]}
    with usage_errors():
        return deployment_of(on or Deployment(), fields)


def read_deployments(path: str) -> list[Deployment]:
    """Return the deployments in a JSON file, which is one or a list.

    Raises:
        click.UsageError: The file is anything else.
    """
    document = read_json(path)
    documents = document if isinstance(document, list) else [document]
    if not documents or not all(isinstance(each, dict) for each in documents):
        raise click.UsageError(f"--on: {path} does not hold a deployment; expected the output of Deployment.to_dict()")
    with usage_errors("--on"):
        return [Deployment.from_dict(each) for each in documents]


@contextmanager
def usage_errors(option: str | None = None) -> Iterator[None]:
    """Turn errors about names and values into usage errors; an invalid file is still a failure.

    Args:
        option: The option with the value, named in the message.
    """
    from ..deployment import StartupError, TransferError
    from ..hardware import HardwareFileError, MissingFactError

    try:
        yield
    except (HardwareFileError, MissingFactError):
        raise  # the name is right, the file is not
    except ValueError as error:
        for kind, name in ((TransferError, "--transfer"), (StartupError, "--startup")):
            option = option or (name if isinstance(error, kind) else None)
        text = in_options(str(error))
        raise click.UsageError(f"{option}: {text}" if option else text) from error


def _single(deployments: list[Deployment]) -> Deployment:
    if len(deployments) > 1:
        raise click.UsageError(f"--on: the file has {len(deployments)} deployments; expected one")
    return deployments[0]
