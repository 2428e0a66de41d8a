"""Options of the command line that make a workload, and settings of a scheduler; the values that they denote."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .._checks import MOST
from .deployment_options import usage_errors

if TYPE_CHECKING:
    from ..serving.workload import Workload

_Command = TypeVar("_Command", bound="Callable[..., Any]")
_REQUESTS = 10_000

SCHEDULER = ("max_num_seqs", "max_num_batched_tokens", "num_gpu_blocks", "max_model_len", "enable_prefix_caching")
"""Names of the settings of a scheduler."""


def workload_options() -> Callable[[_Command], _Command]:
    """Return a decorator that adds the options of a workload."""
    options = (
        click.option("--rate", metavar="RATE", help="Requests per second, minute or hour, such as 4/s or 90/min."),
        click.option(
            "--concurrency", type=click.IntRange(min=1, max=MOST), metavar="N", help="Clients, instead of a rate."
        ),
        click.option(
            "--arrivals",
            metavar="KIND",
            help="poisson (default), gamma:cv=4, bursts:size=8, diurnal:peak=3, mmpp:burst=5,share=0.1,length_s=60, "
            "at-once; with the rate in it instead of --rate: poisson:20, diurnal:mean=20,peak=3.",
        ),
        click.option(
            "--prompt", metavar="TOKENS", help="Tokens of prompts: 1024, uniform:100-2000, lognormal:mean=512,cv=1.2."
        ),
        click.option(
            "--output-tokens", "--output", "output_tokens", metavar="TOKENS", help="Tokens of answers, likewise."
        ),
        click.option(
            "--prefixes",
            metavar="TOKENS[,NAME=VALUE...]",
            help="Prefixes that prompts share, before the tokens of --prompt: 1000,groups=8,share=0.5,skew=1.",
        ),
        click.option(
            "--trace",
            metavar="[FORMAT:]FILE",
            help="Requests of a request trace, in the place of --prompt and --output; with --rate its times are "
            "scaled. FILE#12 is one of Azure's functions.",
        ),
        click.option(
            "--requests", type=click.IntRange(min=1), metavar="N", help=f"Number of requests.  [default: {_REQUESTS}]"
        ),
        click.option(
            "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Decides the random numbers."
        ),
    )

    def added(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return added


def scheduler_options(command: _Command) -> _Command:
    """Add the settings of a scheduler."""
    command = click.option(
        "--enable-prefix-caching/--no-enable-prefix-caching",
        default=None,
        help="Keep blocks of prompts for later ones that begin alike (default), or not.",
    )(command)
    for name, words in (
        ("max_model_len", "Longest prompt with its answer, in tokens; default: the context of the model."),
        ("num_gpu_blocks", "Blocks of the cache; default: those that the memory holds."),
        ("max_num_batched_tokens", "Most tokens of a step."),
        ("max_num_seqs", "Most sequences that run in a server."),
    ):
        option = click.option(f"--{name.replace('_', '-')}", type=click.IntRange(min=1), metavar="N", help=words)
        command = option(command)
    return command


def workload_of_options(options: dict[str, Any]) -> Workload:
    """Return the workload of the options.

    Raises:
        click.UsageError: An option is missing, contradicts another one, or has a wrong value.
    """
    from ..serving.workload import Workload

    rate = None if options["rate"] is None else _rate(options["rate"])
    given = {"arrivals": options["arrivals"], "clients": options["concurrency"], "seed": options["seed"]}
    given |= {"prompt": options["prompt"], "output": options["output_tokens"]}
    if options["prefixes"] is not None:
        from ..serving.workload import parse_prefixes

        with usage_errors("--prefixes"):
            given["prefixes"] = parse_prefixes(options["prefixes"])
    if options["trace"] is not None:
        trace = _trace(options["trace"])
        if rate is not None and trace.timed:
            trace, rate = trace.at_rate(rate), None
        with usage_errors():
            return Workload(trace=trace, rate_per_s=rate, requests=options["requests"], **given)
    if rate is None and options["concurrency"] is None and options["arrivals"] is None:
        raise click.UsageError(
            "Missing option '--rate', '--concurrency' or '--trace'; expected one, such as --rate 4/s"
        )
    for name, option in (("prompt", "--prompt"), ("output", "--output")):
        if given[name] is None:
            raise click.UsageError(f"Missing option '{option}'; expected tokens, such as {option} 256")
    with usage_errors():
        return Workload(rate_per_s=rate, requests=options["requests"] or _REQUESTS, **given)


def _rate(text: str) -> float:
    from ..serving.arrivals import parse_rate

    with usage_errors():
        return parse_rate(text, "--rate")


def _trace(text: str) -> Any:
    from ..serving.traffic import open_trace

    return open_trace(text)
