"""`pyinfercost fleet`: replicas that come and go under traffic, their bill, and the cheapest plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from .._checks import write_text
from .._interrupts import STOPPED
from ..fleets.fleet_run import FleetRun
from ..fleets.terms import Terms
from ..serving.scheduler import Scheduler
from .commands import command
from .configured import named_model
from .deployment_options import BILL, deployment_options, usage_errors
from .machines import ALL, layouts_of, listed_deployments
from .options import (
    EPILOG,
    WhatIf,
    format_option,
    html_option,
    no_cache_option,
    no_progress_option,
    out_option,
    whatif_options,
)
from .output import messages_for_people, say, write_result
from .progress import working
from .settings_options import given_of, options_of
from .types import ModelType
from .workload_options import OUTPUT, SCHEDULER

if TYPE_CHECKING:
    from ..deployment import Deployment
    from ..fleets.replicas import Model, Slots

_NOT_UNDER_LOAD = ("utilization",)
_FLAGS = {"output": OUTPUT, "varies_cold_starts": ("--varies-cold-starts",)}
_SCHEDULER = ("max_num_seqs", "max_num_batched_tokens", "num_gpu_blocks", "max_model_len")


@command(epilog=EPILOG)
@deployment_options(
    several=True,
    under_load=True,
    refused=_NOT_UNDER_LOAD,
    hardware="Catalog ids or TOML files of the machines of a replica, comma-separated, or all, cpu, gpu.",
)
@click.option(
    "--slots",
    multiple=True,
    metavar="N,service_s=S,...",
    help="A replica without a model, by its places and their time: 64,service_s=10,cold_start_s=30,usd_per_h=2,name=A. "
    "Several times for several.",
)
@click.option(
    "--traffic",
    required=True,
    metavar="TRAFFIC",
    help='When requests arrive: "diurnal:mean=20,peak=3", "poisson:20", trace.csv, or FORMAT:PATH.',
)
@click.option(
    "--autoscaler",
    "-a",
    multiple=True,
    metavar="KIND[:NAME=VALUE,...]",
    help="static:8, scheduled:0=2,8=10, kpa, hpa, ray, sagemaker, lambda, cloudrun, zero, seasonal, with their "
    "parameters, such as kpa:target=45,hpa; several times, or separated by commas.",
)
@click.option("--plan", is_flag=True, help="Search the cheapest mix within --slo, and verify it on the last day.")
@click.option("--verify", metavar="TRAFFIC", help="With --plan: traffic to verify it on.")
@options_of(FleetRun, "Service", flags=_FLAGS)
@options_of(Terms, BILL)
@options_of(Scheduler, SCHEDULER, only=_SCHEDULER)
@whatif_options
@no_progress_option
@html_option("Also write a report with plots.")
@format_option("table", "json", "csv", "md")
@out_option()
@click.argument("model", required=False, is_eager=True, callback=named_model, type=ModelType())
@no_cache_option
def fleet(
    *,
    model: str | None,
    traffic: str,
    autoscaler: tuple[str, ...],
    slots: tuple[str, ...],
    plan: bool,
    verify: str | None,
    no_progress: bool,
    form: str,
    output: str | None,
    html: str | None,
    **options: Any,
) -> None:
    """Predict the bill of a service under traffic, and what its users feel.

    MODEL is the config of a language model without a phase for a serving engine, such as hf:config.json, or any other
    model without an engine; none with --slots. Each machine, precision, engine and price is combined with each
    autoscaler. With --plan, the cheapest mix is searched.
    """
    with messages_for_people():
        for name in _NOT_UNDER_LOAD:
            if options[name] is not None:
                raise click.UsageError(f"--{name} has no effect on a fleet, which decides it; leave it out")
        if not plan and verify is not None:
            raise click.UsageError("--verify goes with --plan")
        places: list[Deployment | Slots] = [*map(_slots, slots), *_deployments(model, options)]
        if not places:
            raise click.UsageError("Missing option '--hardware' / '-H' with a MODEL, or '--slots'")
        policies = _policies(autoscaler)
        given = {**given_of(FleetRun, options, _FLAGS), **given_of(Scheduler, options)}
        with usage_errors():
            given["terms"] = Terms(**given_of(Terms, options))
        if policies:
            given["autoscaler"] = policies
        served = _model(model, places, options)
        with working(f"Simulating fleets of {model or 'slots'}", "fleets", silent=no_progress) as shown:
            if plan:
                from ..fleets.plan_fleet import plan_fleet

                result: Any = plan_fleet(
                    served, traffic=traffic, on=places, verify=verify, progress=shown,
                    **given,
                )  # fmt: skip
            else:
                from ..fleets.fleet import fleet as compare

                result = compare(served, traffic=traffic, on=places, progress=shown, **given)
        write_result(result, form, output)
        if html is not None:
            write_text(html, result.to_html())
            say(f"Report written to {html}")
        if result.interrupted:
            say("Stopped: not all fleets were simulated")
            raise click.exceptions.Exit(STOPPED)
        if plan and result.best is None:
            say(f"No fleet holds {result.slo}")
            raise click.exceptions.Exit(1)


def _model(model: str | None, places: list[Deployment | Slots], options: Mapping[str, Any]) -> Model | None:
    """Return the model in the formats of the options; an impossible format is a usage error."""
    what_if = WhatIf.from_options(options)
    if model is None:
        if what_if.words:
            raise click.UsageError(f"Missing argument 'MODEL' for {what_if.words[0]}; give one")
        return None
    from ..fleets.replicas import varied_model

    with what_if.errors():
        return varied_model(
            model, places, max_batch_size=options["max_batch_size"] or FleetRun.max_batch_size, **what_if.formats
        )


def _deployments(model: str | None, options: Mapping[str, Any]) -> list[Deployment]:
    if options["hardware"] is None and options["on"] is None:
        return []
    if model is None:
        raise click.UsageError("Missing argument 'MODEL' for the machines; give one, or --slots alone")
    layouts = layouts_of(options)
    if layouts == ALL:
        raise click.UsageError("--layout all is searched by serve --find; give the layouts of a replica")
    on = listed_deployments(options)
    if options["instances"] is not None:
        with usage_errors():
            on = [each.replace(instances=int(options["instances"])) for each in on]
    for name in ("region", "transfer", "startup"):
        if options[name] is not None:
            with usage_errors():
                on = [each.replace(**{name: options[name]}) for each in on]
    if not layouts:
        return on
    with usage_errors("--layout"):
        return [each.replace(layout=layout, devices=1) for each in on for layout in layouts]


def _policies(given: tuple[str, ...]) -> list[str]:
    """Return texts of autoscalers."""
    from ..inputs.autoscalers import parse_autoscaler, split_autoscalers

    found = [each for text in given for each in split_autoscalers(text)]
    with usage_errors("--autoscaler"):
        for each in found:
            parse_autoscaler(each)
    return found


def _slots(text: str) -> Slots:
    from ..fleets.replicas import Slots

    with usage_errors("--slots"):
        return Slots.parse(text)
