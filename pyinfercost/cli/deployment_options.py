"""The options that describe a deployment, the same for every command, and the `Deployment` that they build."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .. import _core

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..deployment import Deployment

_Command = TypeVar("_Command", bound="Callable[..., Any]")

DEPLOYMENT = (
    "on",
    "hardware",
    "devices",
    "precision",
    "execution",
    "threads",
    "sustained",
    "price",
    "utilization",
    "region",
    "transfer",
)
"""The names of the options."""

_NEED_HARDWARE = {
    "devices": "--devices needs --hardware: it counts machines",
    "threads": "--threads needs --hardware",
    "sustained": "--sustained needs --hardware",
    "price": "--price needs --hardware: what is paid is the time of a machine",
    "region": "--region needs --hardware: it is the machine's energy that has a grid",
    "transfer": "--transfer needs --hardware: it is a machine that data gets to",
}
PRICE_HELP = (
    "Price of an hour of one device: 2.49/h, an instance such as aws/g6.4xlarge or p5.48xlarge:spot, on-demand or "
    "spot (the cheapest known offer), or a .toml file. Adds cost_usd."
)
_ON_HELP = "A JSON file with a deployment, as Deployment.to_dict() writes it; other options override it."


def deployment_options(
    *, several: bool = False, precisions: tuple[str, ...] | None = None, hardware: str | None = None
) -> Callable[[_Command], _Command]:
    """Return a decorator that adds the options of a deployment.

    Args:
        several: Whether hardware, precision, execution, devices and price may have several values, with commas.
        precisions: Precisions that the command accepts; None for all.
        hardware: Help of `--hardware`, if it differs.
    """
    helps = "One or several, with commas between; " if several else ""
    known = None if several else click.Choice(precisions or _core.precisions())
    ways = None if several else click.Choice(_core.executions())
    options = (
        click.option(
            "--hardware", "-H", help=hardware or "A catalogue id or a TOML file; without it, nothing is timed."
        ),
        click.option("--on", type=click.Path(dir_okay=False), metavar="FILE", help=_ON_HELP),
        click.option("--precision", type=known, help=f"{helps}native if left out."),
        click.option("--execution", type=ways, help=f"{helps}eager if left out; cuda_graph launches a recorded graph."),
        click.option(
            "--devices",
            type=None if several else click.IntRange(min=1),
            metavar="AXIS" if several else "N",
            help="Numbers of devices that share the batch." if several else "Number of devices that share the batch.",
        ),
        click.option("--threads", type=click.IntRange(min=1), help="Threads to run on; only for a CPU."),
        click.option(
            "--sustained", is_flag=True, help="At work all the time: the board's power is a limit, too. Only for a GPU."
        ),
        click.option(
            "--price",
            metavar="PRICE",
            help=PRICE_HELP + (" By machine: l4=0.80,t4=spot. Several: on-demand,spot." if several else ""),
        ),
        click.option(
            "--utilization",
            type=click.FloatRange(min=0, max=1, min_open=True),
            help="Share of the paid time in which devices work; 1 if left out.",
        ),
        click.option(
            "--region",
            metavar="PLACE",
            help="Location of the machine, for the carbon of its grid: a country such as deu, or gcp/us-central1. By "
            "default the region of the price. Adds carbon_g.",
        ),
        click.option(
            "--transfer",
            metavar="TERMS",
            help="How inputs and results get to the machine and back; counts in the cost then: pinned or pageable, "
            "overlapped, network_gbit_per_s=10, network_rtt_s=0.01, egress=aws, response_bytes=2000, "
            "weights_from=network, with commas.",
        ),
    )

    def added(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return added


def deployment_of_options(options: Mapping[str, Any]) -> Deployment:
    """Return the deployment that the options of a command describe.

    Raises:
        click.UsageError: The options do not go together, or a name among them is unknown.
    """
    from ..deployment import Deployment, deployment_of

    on = None if options["on"] is None else _single(read_deployments(options["on"]))
    if options["hardware"] is None and (on is None or on.hardware is None):
        for name, message in _NEED_HARDWARE.items():
            if options[name]:
                raise click.UsageError(message)
    fields = {name: options[name] for name in DEPLOYMENT[1:]}
    with usage_errors():
        return deployment_of(on or Deployment(), **{**fields, "sustained": fields["sustained"] or None})


def read_deployments(path: str) -> list[Deployment]:
    """Return the deployments in a JSON file: one, or a list.

    Raises:
        click.UsageError: The file holds something else.
    """
    from ..deployment import Deployment

    document = json.loads(Path(path).read_text(encoding="utf-8"))
    documents = document if isinstance(document, list) else [document]
    if not documents or not all(isinstance(each, dict) for each in documents):
        raise click.UsageError(f"--on: {path} holds no deployment; expected what Deployment.to_dict() returns")
    with usage_errors("--on"):
        return [Deployment.from_dict(each) for each in documents]


@contextmanager
def usage_errors(option: str | None = None) -> Iterator[None]:
    """Turn errors about names and values into wrong usage; a file that is wrong itself fails.

    Args:
        option: The option that gave the value, if there is one.
    """
    from ..deployment import TransferError
    from ..hardware import HardwareFileError, MissingFactError

    try:
        yield
    except (HardwareFileError, MissingFactError):
        raise  # the name is right, the file is not
    except ValueError as error:
        option = option or ("--transfer" if isinstance(error, TransferError) else None)
        raise click.UsageError(f"{option}: {error}" if option else str(error)) from error


def _single(deployments: list[Deployment]) -> Deployment:
    if len(deployments) > 1:
        raise click.UsageError(f"--on: the file holds {len(deployments)} deployments; expected one")
    return deployments[0]
