"""`pyinfercost fleet`: replicas that come and go under traffic, their bill, and the cheapest plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from .._checks import write_text
from .._interrupts import STOPPED
from .configured import named_model
from .deployment_options import deployment_options, usage_errors
from .machines import ALL, layouts_of, listed_deployments
from .options import EPILOG, WhatIf, format_option, no_cache_option, out_option, whatif_options
from .output import messages_for_people, say, write_result
from .types import InUnits, ModelType
from .waiting import working

if TYPE_CHECKING:
    from ..deployment import Deployment
    from ..fleets.replicas import Model, Slots

_NOT_UNDER_LOAD = ("utilization",)
_SCHEDULER = ("max_num_seqs", "max_num_batched_tokens", "num_gpu_blocks", "max_model_len")
_TERMS = (
    "committed",
    "commitment",
    "fixed",
    "egress",
    "response_bytes",
    "serverless",
    "memory_gb",
    "interruptions",
    "start_hour",
)
_SHARED = (
    "slo", "prompt", "output", "duration_s", "scale", "start_s", "end_s", "cold_start_s", "varies_cold_starts",
    "timeout_s", "max_batch_size", "max_queue_delay_s", "detail", "routing", "seed",
)  # fmt: skip


@click.command(epilog=EPILOG)
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
@click.option("--prompt", metavar="TOKENS", help="Tokens of prompts, where the traffic has none.")
@click.option("--output-tokens", "--output", "output", metavar="TOKENS", help="Tokens of answers, likewise.")
@click.option(
    "--duration-s",
    type=float,
    metavar="S",
    help="Time after which no request arrives; by default a day for generated traffic, and two with --plan.",
)
@click.option("--scale", type=float, default=1.0, show_default=True, help="So many times the requests.")
@click.option("--start-s", type=InUnits("s"), default=0.0, help="Time of the traffic at which it begins.")
@click.option("--end-s", type=InUnits("s"), metavar="S", help="Time of the traffic at which it ends.")
@click.option(
    "--autoscaler",
    "-a",
    multiple=True,
    metavar="KIND[:NAME=VALUE,...]",
    help="static:8, scheduled:0=2,8=10, kpa, hpa, ray, sagemaker, lambda, cloudrun, zero, seasonal, with their "
    "parameters, such as kpa:target=45,hpa; several times, or separated by commas.",
)
@click.option("--slo", metavar="LIMITS", help='Objective: "ttft_p95<2,tpot_p95<50ms"; queue is the wait for service.')
@click.option("--plan", is_flag=True, help="Search the cheapest mix within --slo, and verify it on the last day.")
@click.option("--verify", metavar="TRAFFIC", help="With --plan: traffic to verify it on.")
@click.option("--committed", type=click.IntRange(min=0), metavar="N", help="Replicas that are paid all the time.")
@click.option(
    "--commitment",
    metavar="TERMS",
    help="Their price: discount=0.4,term_years=1 or usd_per_h=1.2,term_years=3; with --plan their number is found.",
)
@click.option(
    "--fixed",
    metavar="COSTS",
    help="Costs of a month: staff_usd_per_month=4000,storage_gb=500,storage_usd_per_gb_month=0.023.",
)
@click.option("--egress", metavar="PRICE", help="Price of responses: aws, azure, gcp, USD per GB, or tiers.")
@click.option("--response-bytes", type=InUnits("B"), metavar="BYTES", help="Bytes of a response that leave the cloud.")
@click.option(
    "--serverless", metavar="PRICE", help="Price by request and memory, such as aws-lambda; with --memory-gb."
)
@click.option("--memory-gb", type=float, metavar="GB", help="Memory of a replica that is billed by --serverless.")
@click.option(
    "--interruptions",
    metavar="RATES",
    help="What takes replicas away: cloud=aws,interruptions_per_h=0.05,failures_per_h=0.",
)
@click.option("--start-hour", type=float, metavar="H", help="Hour of the day at which the traffic begins.")
@click.option("--cold-start-s", type=InUnits("s"), metavar="S", help="Seconds until a replica is ready.")
@click.option("--varies-cold-starts", is_flag=True, help="Let cold starts vary within their bands.")
@click.option(
    "--timeout-s", type=InUnits("s"), metavar="S", help="Time after which a request without a replica gives up."
)
@click.option(
    "--max-batch-size", type=click.IntRange(min=1), default=8, show_default=True, help="Of a model without an engine."
)
@click.option(
    "--max-queue-delay-s", type=InUnits("s"), default=0.0, help="Time that an item waits for others of its batch."
)
@click.option("--detail", type=click.Choice(("fast", "full")), default="fast", show_default=True, help="Of engines.")
@click.option(
    "--routing",
    type=click.Choice(("least_loaded", "first")),
    help="How requests are shared by replicas; by default first for slots and for platforms that scale with requests, "
    "and least_loaded for others.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Decides the random numbers.")
@click.option("--max-model-len", type=click.IntRange(min=1), metavar="N", help="Longest prompt with its answer.")
@click.option("--num-gpu-blocks", type=click.IntRange(min=1), metavar="N", help="Blocks of the cache.")
@click.option("--max-num-batched-tokens", type=click.IntRange(min=1), metavar="N", help="Most tokens of a step.")
@click.option("--max-num-seqs", type=click.IntRange(min=1), metavar="N", help="Most sequences that run in a replica.")
@whatif_options
@click.option("--no-progress", is_flag=True, help="Do not show progress.")
@click.option("--html", type=click.Path(dir_okay=False), metavar="FILE", help="Also write a report with plots.")
@format_option("table", "json", "csv", "md")
@out_option("out")
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
    out: str | None,
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
        given = {name: options[name] for name in _SHARED}
        given |= {name: options[name] for name in _SCHEDULER if options[name] is not None}
        with usage_errors():
            given["terms"] = _terms(options)
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
        write_result(result, form, out)
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
        return varied_model(model, places, max_batch_size=options["max_batch_size"], **what_if.formats)


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

    given: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        if not equals:
            name, value = "slots", name
        if name not in Slots.__dataclass_fields__:
            known = ", ".join(Slots.__dataclass_fields__)
            raise click.UsageError(f"--slots has no {name!r}; expected a number of slots, and some of {known}")
        try:
            given[name] = value if name == "name" else int(value) if name == "slots" else float(value)
        except ValueError:
            raise click.UsageError(f"--slots: {name} is {value!r}; expected a number") from None
    with usage_errors("--slots"):
        return Slots(**given)


def _terms(options: Mapping[str, Any]) -> Any:
    from ..fleets.terms import Terms

    return Terms(**{name: options[name] for name in _TERMS if options[name] is not None})
