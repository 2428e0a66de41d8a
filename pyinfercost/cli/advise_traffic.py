"""Options of `pyinfercost advise` about requests: of a server with a workload, or of a fleet with traffic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..fleets.fleet_run import FleetRun
from ..fleets.terms import Terms
from ..serving.scheduler import Scheduler
from .deployment_options import BILL
from .settings_options import options_of
from .workload_options import scheduler_options, workload_of_options, workload_options

_Command = TypeVar("_Command", bound="Callable[..., Any]")

_WORKLOAD = ("rate", "concurrency", "arrivals", "trace")
_SCHEDULER = tuple(each.name for each in Scheduler.fields if each.option)
_SERVED = ("replicas", "routing")
_RUN = ("duration_s", "scale", "start_s", "end_s", "cold_start_s", "timeout_s", "max_batch_size", "max_queue_delay_s")
_TERMS = ("commitment", "committed", "interruptions")
_FLEET = ("autoscaler", *_RUN, *_TERMS)


def traffic_options(command: _Command) -> _Command:
    """Add the options about requests."""
    options: tuple[Callable[[Any], Any], ...] = (
        click.option(
            "--traffic",
            metavar="TRAFFIC",
            help='Traffic of a service, as of fleet: "diurnal:mean=20,peak=3", trace.csv, or FORMAT:PATH.',
        ),
        workload_options,
        click.option("--slo", metavar="LIMITS", help='Limits of requests: "ttft_p99<0.5,tpot_p50<30ms".'),
        click.option("--replicas", type=click.IntRange(min=1), help="Replicas of a server now; default: as needed."),
        click.option("--routing", type=click.Choice(("least_loaded", "round_robin", "prefix_aware"))),
        click.option("--autoscaler", metavar="KIND", help="Autoscaler of a fleet now, as of fleet; default: static."),
        options_of(FleetRun, "Service", only=_RUN),
        options_of(Terms, BILL, only=_TERMS),
        click.option(
            "--acceptance",
            type=click.FloatRange(min=0, max=1),
            help="Share of drafts that are accepted, for speculation; without it one is assumed, and no plan uses it.",
        ),
        scheduler_options,
    )
    for option in reversed(options):
        command = option(command)
    return command


def load_of_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `advise` about requests; empty for a forward.

    Raises:
        click.UsageError: Options of a server and of a fleet are mixed, or one is missing.
    """
    asked = [name for name in _WORKLOAD if options[name] is not None]
    found: dict[str, Any] = {}
    if options["traffic"] is not None:
        if asked:
            raise click.UsageError(f"--{asked[0]} and --traffic are both given; give one of them")
        _refuse(options, _SERVED, "--traffic")
        found = {"traffic": options["traffic"], "prompt": options["prompt"], "output": options["output_tokens"]}
        found |= {name: options[name] for name in _FLEET}
        found["seed"] = options["seed"]
    elif asked:
        _refuse(options, _FLEET, "a workload")
        if options["trace"] is None and options["prompt"] is None and options["output_tokens"] is None:
            raise click.UsageError(
                f"--{asked[0]} is for requests that generate text; expected --prompt and --output-tokens, such as "
                "--prompt 256 --output-tokens 64; for a model that answers by one forward, expected --traffic, such as "
                "--traffic poisson:20"
            )
        found = {"workload": workload_of_options(options), **{name: options[name] for name in _SERVED}}
        found["words"] = _words(options)
    else:
        named = ("slo", "prompt", "output_tokens", "prefixes", "requests", "acceptance", *_SERVED, *_FLEET, *_SCHEDULER)
        _refuse(options, named, "a forward")
        return {}
    found |= {name: options[name] for name in ("slo", "acceptance", *_SCHEDULER)}
    return {name: value for name, value in found.items() if value is not None}


def _words(options: dict[str, Any]) -> tuple[str, ...]:
    """Return the options of `serve` that make the same workload, as they were given."""
    words: list[str] = []
    for name in (*_WORKLOAD, "prompt", "output_tokens", "prefixes", "requests", "seed"):
        value = options[name]
        if value is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return tuple(words)


def _refuse(options: dict[str, Any], names: tuple[str, ...], what: str) -> None:
    for name in names:
        if options[name] is not None:
            word = name.replace("_", "-")
            need = "give --rate or --traffic" if what == "a forward" else "leave it out"
            raise click.UsageError(f"--{word} has no effect on {what}; {need}")
