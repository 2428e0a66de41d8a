"""`pyinfercost serve`: a serving engine under load."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import click

from .._checks import write_text
from .._interrupts import STOPPED
from ..results.serving_search import GOALS
from ..serving.scheduler import Scheduler
from .arguments import whole_number
from .commands import command
from .configured import named_model
from .deployment_options import deployment_of_options, deployment_options, usage_errors
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
from .settings_options import given_of
from .types import ModelType
from .workload_options import scheduler_options, workload_of_options, workload_options

if TYPE_CHECKING:
    from ..deployment import Deployment
    from ..results.serving_result import ServingResult
    from ..serving.serve import Phases
    from ..serving.step_cost_factors import StepCostFactors
    from ..serving.workload import Workload

_MEAN = re.compile(r"(ttft|tpot|e2e)=([0-9]+(?:\.[0-9]*)?)(ms|s)?")
_DEVICES = 8  # most of a replica in a search
_NOT_UNDER_LOAD = ("utilization", "region", "transfer", "startup", "instances")


@command(epilog=EPILOG)
@deployment_options(
    several=True,
    under_load=True,
    refused=_NOT_UNDER_LOAD,
    hardware="A catalog id or a TOML file; with --find several, comma-separated, or all, cpu, gpu.",
)
@click.option(
    "--find",
    "goal",
    type=click.Choice(GOALS),
    help="Search within --slo: the fewest replicas, the highest rate, the layout of the fewest devices, or the "
    "cheapest deployment, among lists of machines, precisions, engines and layouts (all by default for the last two, "
    "on up to --devices).",
)
@workload_options
@click.option("--slo", metavar="LIMITS", help='Objective: "ttft_p99<0.5,tpot_p50<30ms".')
@click.option("--replicas", type=click.IntRange(min=1), default=1, show_default=True, help="Copies of the deployment.")
@click.option(
    "--routing",
    type=click.Choice(("least_loaded", "round_robin", "prefix_aware")),
    default="least_loaded",
    show_default=True,
    help="How requests are shared by replicas.",
)
@click.option(
    "--calibrate-from",
    "measured",
    metavar="MEANS|FILE",
    help="What one's own server did under this load, ttft=120ms,tpot=13ms, by which step costs are corrected; or the "
    "JSON file of vllm bench serve, a file of monitor export or another CSV or Parquet file with stamps of requests, "
    "or pages of /metrics: BEFORE.txt,AFTER.txt.",
)
@click.option(
    "--correction",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Correction of step costs: read; with --calibrate-from it is written.",
)
@scheduler_options
@whatif_options
@no_progress_option
@html_option("Also write a report with plots; of --find for the best deployment.")
@format_option("table", "json", "csv", "md")
@out_option()
@click.argument("model", is_eager=True, callback=named_model, type=ModelType())
@no_cache_option
def serve(
    *,
    model: str,
    goal: str | None,
    slo: str | None,
    replicas: int,
    routing: str,
    no_progress: bool,
    form: str,
    output: str | None,
    html: str | None,
    measured: str | None,
    correction: str | None,
    **options: Any,
) -> None:
    """Predict latencies, throughput and cost of a serving engine under load.

    MODEL is the config of a language model without a phase, such as hf:config.json. Each step of the engine's scheduler
    is simulated. After Ctrl-C, the figures are of the requests that were answered. With --find, deployments are
    searched for the best one within --slo.
    """
    with messages_for_people():
        if options["hardware"] is None and options["on"] is None:
            raise click.UsageError("Missing option '--hardware' / '-H'.")
        for name in _NOT_UNDER_LOAD:
            if options[name] is not None:
                raise click.UsageError(f"--{name} has no effect on a server under load; leave it out")
        from ..serving.objectives import parse_slo

        with usage_errors("--slo"):
            objective = parse_slo(slo)
        if goal is not None and not objective:
            raise click.UsageError('--find needs --slo; give limits, such as --slo "ttft_p99<0.5,tpot_p50<30ms"')
        settings = given_of(Scheduler, options)
        given = {"slo": slo, "replicas": replicas, "routing": routing, **settings}
        if goal is not None and (measured is not None or correction is not None):
            raise click.UsageError("--calibrate-from and --correction are of one deployment; leave --find out")
        if goal is not None:
            on, layouts = _deployments(goal, options)
            if goal == "rate" and not any(options[name] for name in ("rate", "concurrency", "arrivals", "trace")):
                options["rate"] = "1/s"  # the search begins elsewhere
            workload = workload_of_options(options)
            from ..serving.deployment_search import find_serving

            served = _served(model, options)
            with working(f"Searching deployments of {model}", "deployments", silent=no_progress) as shown:
                search = find_serving(
                    goal, served, on=on, workload=workload, progress=shown,
                    layouts=layouts, devices=_most_devices(options), **given,
                )  # fmt: skip
            write_result(search, form, output)
            if search.result is not None:
                _write_report(search.result, html)
            if search.interrupted:
                say("Stopped: not all deployments were simulated")
                raise click.exceptions.Exit(STOPPED)
            if search.best is None:
                say(f"No deployment meets {search.slo}")
                raise click.exceptions.Exit(1)
            return
        deployment = deployment_of_options(_single(options))
        if deployment.engine == "torch":
            raise click.UsageError("Missing option '--engine'; expected vllm, sglang or trtllm")
        workload = workload_of_options(options)
        from ..serving.serve import serve as serve_model

        served = _served(model, options)
        given["correction"] = _correction(served, deployment, workload, settings, measured, correction)
        with working(f"Serving {model}", "requests", silent=no_progress) as shown:
            result = serve_model(served, on=deployment, workload=workload, progress=shown, **given)
        write_result(result, form, output)
        _write_report(result, html)
        if result.interrupted:
            say(f"Stopped: {result.finished} of {result.requests} requests were answered")
            raise click.exceptions.Exit(STOPPED)


def _served(model: str, options: dict[str, Any]) -> str | Phases:
    """Return the model in the formats of the options; an impossible format is a usage error."""
    what_if = WhatIf.from_options(options)
    if not what_if.words:
        return model
    from ..serving.serve import phases_of

    with what_if.errors():
        return phases_of(model).varied(**what_if.formats)


def _correction(
    model: str | Phases,
    on: Deployment,
    workload: Workload,
    settings: dict[str, Any],
    measured: str | None,
    path: str | None,
) -> StepCostFactors | None:
    """Return the correction of step costs, read from a file or fitted to a measurement; say what moved."""
    from ..serving.step_cost_factors import StepCostFactors

    if measured is None:
        with usage_errors("--correction"):
            return None if path is None else StepCostFactors.read(path)
    from ..serving.calibration import calibrate_serving
    from ..serving.runs import facts_of
    from ..serving.serve import phases_of, tables_of

    phases = phases_of(model)
    costs = tables_of(phases, on, facts_of(workload), settings)
    longest = min((tokens for tokens in (phases.context, costs.most_sequence_tokens) if tokens), default=0)
    with usage_errors("--calibrate-from"):
        found = calibrate_serving(costs, _means(measured), workload=workload, **{"max_model_len": longest, **settings})
    say(found.to_text())
    if path is not None:
        write_text(path, json.dumps(found.correction.to_dict(), indent=1) + "\n")
        say(f"Correction written to {path}")
    return found.correction


def _means(text: str) -> str | dict[str, float] | tuple[str, str]:
    """Return measured means in seconds by name; the path of a file as it is, or means between two pages of metrics."""
    if "=" not in text:
        before, comma, after = text.partition(",")
        return (before, after) if comma else text
    found = {}
    for part in text.split(","):
        match = _MEAN.fullmatch(part.strip())
        if match is None:
            raise click.UsageError(
                f"--calibrate-from takes a file, or means such as ttft=120ms,tpot=13ms of ttft, tpot and e2e; got "
                f"{part!r}"
            )
        found[f"{match[1]}_s"] = float(match[2]) * (1e-3 if match[3] == "ms" else 1.0)
    return found


def _write_report(result: ServingResult, path: str | None) -> None:
    """Write a report, if it was asked for, and print its path on stderr."""
    if path is not None:
        write_text(path, result.to_html())
        say(f"Report written to {path}")


_LISTS = ("hardware", "precision", "engine", "execution")


def _single(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of one deployment.

    Raises:
        click.UsageError: An option has several values.
    """
    for name in _LISTS:
        if options[name] is not None and "," in options[name]:
            raise click.UsageError(f"--{name} has several values; give one, or a goal to --find among them")
    layouts = layouts_of(options)
    if layouts == ALL or len(layouts or ()) > 1:
        raise click.UsageError("--layout has several values; give one, or a goal to --find among them")
    devices = options["devices"]
    return {
        **options,
        "layout": layouts[0] if layouts else None,
        "devices": None if devices is None else whole_number("--devices", devices),
    }


def _most_devices(options: dict[str, Any]) -> int:
    """Return the most devices of a replica in a search."""
    return _DEVICES if options["devices"] is None else whole_number("--devices", options["devices"])


def _deployments(goal: str, options: dict[str, Any]) -> tuple[list[Deployment], Any]:
    """Return the deployments of a search, each without its layouts, and these.

    Raises:
        click.UsageError: An option has a wrong value, or no price is given for the cheapest.
    """
    if options["engine"] is None and options["on"] is None:
        raise click.UsageError("Missing option '--engine'; expected some of vllm, sglang, trtllm")
    on = listed_deployments(options)
    if options["price"] is None and goal == "cheapest" and any(each.device_price is None for each in on):
        raise click.UsageError("--find cheapest needs --price; give one, such as --price on-demand")
    return on, layouts_of(options)
