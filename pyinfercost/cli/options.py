"""What several commands have in common: their last lines of help, and options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound="Callable[..., Any]")

EPILOG = (
    "MODEL is torchvision:NAME, timm:NAME, hf:FOLDER[#prefill|#decode], diffusers:CONFIG.json, a .pt2 file, a graph "
    ".json, or package.module:callable. Exit codes: 0 done, 1 the job failed, 2 it was asked for wrongly, 130 stopped."
)


PRICE_HELP = (
    "What an hour of one device costs: 2.49/h, an instance such as aws/g6.4xlarge or p5.48xlarge:spot, on-demand or "
    "spot (the cheapest offer that is known), or a .toml file. Adds cost_usd."
)


def utilisation_option(command: _Command) -> _Command:
    """How much of the paid time is used, where, and how data gets there."""
    command = click.option(
        "--transfer",
        metavar="TERMS",
        help="How inputs and results get to the machine and back; counts in the cost then: pinned or pageable, "
        "overlapped, network_gbit_per_s=10, network_rtt_s=0.01, egress=aws, response_bytes=2000, weights_from=network, "
        "with commas.",
    )(command)
    command = click.option(
        "--region",
        metavar="PLACE",
        help="Where the machine stands, for the carbon of its grid: a country such as deu, or gcp/us-central1. By "
        "default where the price is from. Adds carbon_g.",
    )(command)
    return click.option(
        "--utilisation",
        type=click.FloatRange(min=0, max=1, min_open=True),
        default=1.0,
        show_default=True,
        help="Share of the paid time in which devices work.",
    )(command)


def model_options(command: _Command) -> _Command:
    """The model, and where what is said of it goes."""
    for option in (
        click.option("--output", "-o", type=click.Path(dir_okay=False), help="Write to a file instead of stdout."),
        click.option("--threads", type=click.IntRange(min=1), help="Threads to run on; only for a CPU."),
        click.option(
            "--sustained", is_flag=True, help="At work all the time: the board's power is a limit, too. Only for a GPU."
        ),
        click.argument("model"),
    ):
        command = option(command)
    return command


def format_option(*formats: str) -> Callable[[_Command], _Command]:
    """How to show results."""
    return click.option(
        "--format", "form", type=click.Choice(formats), default="table", show_default=True, help="How to show it."
    )
