"""Options of the command line that make a workload, and settings of a scheduler; the values that they denote."""

from __future__ import annotations

from typing import Any

import click

from ..serving.arrivals import parse_rate
from ..serving.scheduler import Scheduler
from ..serving.traffic import open_trace
from ..serving.workload import MANY_REQUESTS, Workload
from .deployment_options import usage_errors
from .settings_options import given_of, options_of

OUTPUT = ("--output-tokens",)
"""The option of the tokens of answers; `--output` is the file to write in all commands."""

SCHEDULER = "Scheduler"
"""Title of the settings of a scheduler in the help."""

_FLAGS = {"rate_per_s": ("--rate",), "clients": ("--concurrency",), "output": OUTPUT}

workload_options = options_of(Workload, "Traffic", flags=_FLAGS)
"""Adds the options of a workload."""

scheduler_options = options_of(Scheduler, SCHEDULER)
"""Adds the settings of a scheduler."""


def workload_of_options(options: dict[str, Any]) -> Workload:
    """Return the workload of the options.

    Raises:
        click.UsageError: An option is missing, contradicts another one, or has a wrong value.
    """
    from ..serving.workload import Workload

    fields = given_of(Workload, options, _FLAGS)
    if "rate_per_s" in fields:
        with usage_errors():
            fields["rate_per_s"] = parse_rate(fields["rate_per_s"], "--rate")
    if options["trace"] is not None:
        fields["trace"] = trace = open_trace(options["trace"])
        if "rate_per_s" in fields and trace.timed:
            fields["trace"] = trace.at_rate(fields.pop("rate_per_s"))
    else:
        if not any(name in fields for name in ("rate_per_s", "clients", "arrivals")):
            raise click.UsageError(
                "Missing option '--rate', '--concurrency' or '--trace'; expected one, such as --rate 4/s"
            )
        for name, option in (("prompt", "--prompt"), ("output", "--output-tokens")):
            if name not in fields:
                raise click.UsageError(f"Missing option '{option}'; expected tokens, such as {option} 256")
        fields.setdefault("requests", MANY_REQUESTS)
    with usage_errors():
        return Workload(**fields)
