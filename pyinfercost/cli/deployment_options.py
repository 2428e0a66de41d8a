"""Command-line options of a deployment, shared by all commands, and the `Deployment` that they build."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .. import _core
from .._checks import MOST, read_json
from .configured import named_machines
from .output import in_options
from .types import ExecutionType, HardwareType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..deployment import Deployment

_Command = TypeVar("_Command", bound="Callable[..., Any]")

DEPLOYMENT = (
    "on",
    "hardware",
    "devices",
    "layout",
    "precision",
    "engine",
    "serving",
    "execution",
    "threads",
    "instances",
    "sustained",
    "host",
    "price",
    "utilization",
    "region",
    "transfer",
    "startup",
)
"""Names of the options."""

NEED_HARDWARE = {
    "devices": "--devices needs --hardware; give a machine, such as --hardware l4",
    "layout": "--layout needs --hardware; give a machine, such as --hardware h100-sxm-80gb",
    "threads": "--threads needs --hardware; give a machine, such as --hardware l4",
    "instances": "--instances needs --hardware; give a machine, such as --hardware xeon-8480+",
    "sustained": "--sustained needs --hardware; give a machine, such as --hardware l4",
    "host": "--host needs --hardware; give a GPU, such as --hardware l4",
    "price": "--price needs --hardware; give the machine that the price is for, such as --hardware l4",
    "region": "--region needs --hardware; give the machine in that region, such as --hardware l4",
    "transfer": "--transfer needs --hardware; give the machine that receives the data, such as --hardware l4",
    "startup": "--startup needs --hardware; give the machine that starts, such as --hardware l4",
}
"""Options that need a machine -> message without one."""

PRICE_HELP = (
    "Price of a device-hour: 2.49/h, an instance such as aws/g6.4xlarge or p5.48xlarge:spot, on-demand or spot (the "
    "cheapest known offer), or a .toml file. Adds cost_usd."
)
_LAST = ("serving", "transfer", "startup")
"""Options with many settings, which stand after all others in the help."""
_ON_HELP = "A JSON file with a deployment, as written by Deployment.to_dict(); other options override it."


_TENSOR = click.option(
    "--tensor", metavar="AXIS", help="Numbers of devices that share each product, in the place of --layout."
)


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
    helps = "One or several, separated by commas; " if several else ""
    known = None if several else click.Choice(precisions or _core.precisions(), case_sensitive=False)
    ways = None if several else ExecutionType()
    engines = None if several else click.Choice(_core.engines(), case_sensitive=False)
    of_prompts = "" if under_load else "prefix_hit=0.5, chunk_tokens=2048, "
    options = {
        "hardware": click.option(
            "--hardware",
            "-H",
            type=HardwareType(several=several),
            help=hardware
            or "A machine of the catalog (l4, 'A100 SXM 80GB'), a TOML file, or this: the processor at hand; without "
            "it, times are not predicted.",
            callback=named_machines,
        ),
        "on": click.option("--on", type=click.Path(dir_okay=False), metavar="FILE", help=_ON_HELP),
        "precision": click.option(
            "--precision", type=known, help=f"{helps}default: native, torch's own defaults; fp32 never uses TF32."
        ),
        "engine": click.option(
            "--engine",
            type=engines,
            help=f"{helps}default: torch, as captured; serving engines run language models in kernels of their own.",
        ),
        "execution": click.option(
            "--execution",
            type=ways,
            help=f"{helps}default: eager, and cuda_graph in serving engines; cuda_graph replays eager kernels, "
            "reduce-overhead compiled ones.",
        ),
        "devices": click.option(
            "--devices",
            type=None if several else click.IntRange(min=1, max=MOST),
            metavar="AXIS" if several else "N",
            help="Numbers of devices." if several else "Number of devices; default: those of --layout.",
        ),
        "layout": click.option(
            "--layout",
            metavar="LAYOUT",
            multiple=several,
            help="How the model lies on the devices, such as tensor=4 or tensor=8,expert=8; by default each holds all "
            "of it, and they share the batch."
            + (
                " Several: give it again; all: all that are legal on each number of --devices; those that do not fit "
                "the memory are not chosen."
                if several
                else ""
            ),
        ),
        **({"tensor": _TENSOR} if several else {}),
        "threads": click.option(
            "--threads", type=click.IntRange(min=1, max=MOST), help="Number of threads; CPUs only."
        ),
        "instances": click.option(
            "--instances",
            type=click.IntRange(min=1, max=MOST),
            help="Number of copies of the model side by side; CPUs only.",
        ),
        "sustained": click.option(
            "--sustained/--short",
            default=None,
            help="Continuous load, at the power limit of the board (GPUs only), or a short forward; default: a short "
            "forward, and continuous load in sweeps.",
        ),
        "host": click.option(
            "--host",
            metavar="HOST",
            help="Host of a GPU: microseconds to issue an operator, desktop (16.8) or cloud (37.3); default: between "
            "them. It bounds small batches.",
        ),
        "price": click.option(
            "--price",
            metavar="PRICE",
            help=PRICE_HELP + (" By machine: l4=0.80,t4=spot. Several: on-demand,spot." if several else ""),
        ),
        "utilization": click.option(
            "--utilization",
            type=click.FloatRange(min=1e-6, max=1),
            help="Fraction of the paid time in which devices are busy, 1e-6 to 1; default: 1.",
        ),
        "region": click.option(
            "--region",
            metavar="PLACE",
            help="Location of the machine, for the carbon intensity of its grid: a country such as deu, or "
            "gcp/us-central1. Default: the region of the price. Adds carbon_g.",
        ),
        "serving": click.option(
            "--serving",
            metavar="SETTINGS",
            help="How a serving engine forms its steps. Comma-separated: draft_tokens=4, acceptance=0.8, "
            f"draft_layers=1, {of_prompts}async_scheduling, graph_batches=1:2:4:8.",
        ),
        "transfer": click.option(
            "--transfer",
            metavar="TERMS",
            help="How inputs and results are transferred; adds the transfer to the cost. Comma-separated: pinned or "
            "pageable, overlapped, network_gbit_per_s=10, network_rtt_s=0.01, egress=aws, response_bytes=2000.",
        ),
        "startup": click.option(
            "--startup",
            metavar="TERMS",
            help="How a replica starts, for cold_start_s. Comma-separated: machine=cloud (or running, pool, seconds), "
            "image_gb=8, weights_from=network (or nvme, memory, pinned, GB/s), loader=safetensors (or sllm), "
            "warmup=engine (or seconds).",
        ),
    }

    def added(command: _Command) -> _Command:
        for name, option in reversed(options.items()):
            if name in only or name == "tensor":
                command = option(command)
                command.__click_params__[-1].hidden = name in refused  # type: ignore[attr-defined]
            if name in _LAST and name in only:  # click shows what was added first at the end
                made = command.__click_params__  # type: ignore[attr-defined]
                made.insert(_LAST[::-1].index(name), made.pop())
        return command

    return added


def deployment_of_options(options: Mapping[str, Any]) -> Deployment:
    """Return the deployment that the options of a command describe.

    Args:
        options: Values of the options by name.

    Raises:
        click.UsageError: The options exclude each other, or a value is unknown.
    """
    from ..deployment import Deployment, deployment_of

    on = None if options["on"] is None else _single(read_deployments(options["on"]))
    if options["hardware"] is None and (on is None or on.hardware is None):
        for name, message in NEED_HARDWARE.items():
            if options.get(name):
                raise click.UsageError(message)
    fields = {name: options.get(name) for name in DEPLOYMENT[1:]}
    with usage_errors():
        return deployment_of(on or Deployment(), **fields)


def read_deployments(path: str) -> list[Deployment]:
    """Return the deployments in a JSON file that holds one or a list.

    Raises:
        click.UsageError: The file holds anything else.
    """
    from ..deployment import Deployment

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
        option: The option that holds the value, named in the message.
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
        raise click.UsageError(f"--on: the file holds {len(deployments)} deployments; expected one")
    return deployments[0]
