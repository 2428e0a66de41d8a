"""`pyinfercost advise`: what would make a model cheaper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .._checks import ANY_AMOUNT, Range, number_in
from ..results.advice import OBJECTIVES, RISKS
from ..results.given_units import full_name, given, unit_of
from .advise_traffic import load_of_options, traffic_options
from .commands import command
from .deployment_options import deployment_of_options, deployment_options, usage_errors
from .options import EPILOG, format_option, html_option, model_options
from .output import check_writable, messages_for_people, write, write_result
from .profile_options import size_options, sizes_of_options
from .progress import working

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction

_PERCENTS = 100


@command(epilog=EPILOG)
@deployment_options()
@size_options
@click.option("--latency", metavar="TIME", help="Most seconds of a forward in a plan: 20ms, 0.02.")
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="FIGURE=N",
    help="Greatest value of another figure in a plan, such as batch=8 or peak_memory_bytes=8e9; repeatable.",
)
@click.option(
    "--objective",
    type=click.Choice(OBJECTIVES),
    help="What to minimize; default: cost_usd where a price is known, else latency_s.",
)
@click.option(
    "--saving",
    metavar="SHARE",
    help="Saving that is enough, such as 50%: the plan then reaches it with as little effort as possible.",
)
@click.option(
    "--risk",
    type=click.Choice(RISKS),
    default="rounding",
    show_default=True,
    help="How far results may change in a plan: not at all, by rounding to 16 bits, by formats of 8 and 4 bits, or by "
    "training again.",
)
@click.option(
    "--among",
    multiple=True,
    metavar="NAMES",
    help="Names of tactics to try, and ids of machines to consider, separated by commas; default: all.",
)
@click.option("--all", "compare", is_flag=True, help="Also compare the tactics over batches and machines, with ranges.")
@traffic_options
@html_option()
@format_option("table", "json", "csv", "md")
@model_options
def advise(
    *,
    model: str,
    latency: str | None,
    limits: tuple[str, ...],
    objective: str | None,
    saving: str | None,
    risk: str,
    among: tuple[str, ...],
    compare: bool,
    html: str | None,
    form: str,
    output: str | None,
    **options: Any,
) -> None:
    """Say what would make a model cheaper: each tactic with its saving, and the best plan.

    --hardware and the other options describe how the model runs now. Every row comes with the command that predicts it.
    With requests (--rate, --concurrency, --arrivals or --trace), the question is what serves them cheaper; with
    --traffic, what a month of a fleet costs.
    """
    with messages_for_people():
        load = load_of_options(options)
        sizes = {} if load else sizes_of_options(options)
        if load and (options["batch"] is not None or options["settings"] or compare):
            raise click.UsageError("--batch, --set and --all are of a forward; leave them out with requests")
        on = deployment_of_options(options)
        if on.hardware is None:
            raise click.UsageError("Missing option '--hardware' / '-H'.")
        wanted = _limits(latency, limits)
        enough = None if saving is None else _share(saving)
        if html is not None:
            check_writable(html)
        from ..advice.advise import AdviceError
        from ..advice.advise import advise as advised

        names = [name.strip() for text in among for name in text.split(",") if name.strip()]
        try:
            things = "setups" if load else "steps"
            with working(f"Looking for what makes {model} cheaper or faster", things) as moved:
                found = advised(
                    model,
                    on=on,
                    limits=wanted,
                    objective=objective,
                    saving=enough,
                    risk=risk,
                    among=names or None,
                    all=compare,
                    progress=moved,
                    **(load if load else {"sizes": sizes}),
                )
        except AdviceError as error:
            raise click.UsageError(str(error)) from error
        if html is not None:
            write(found.to_html(), html)
        write_result(found, form, output)


def _share(text: str) -> float:
    percents = text.strip().endswith("%")
    whole = _PERCENTS if percents else 1
    unit = "percent of the cost now, such as 50%" if percents else "of the cost now, such as 0.5, or 50%"
    with usage_errors():
        return number_in(text.strip().removesuffix("%"), "--saving", Range(0, whole, unit)) / whole


def _limits(latency: str | None, limits: tuple[str, ...]) -> Mapping[str, float]:
    found: dict[str, float] = {}
    if latency is not None:
        number = given(latency)
        if number is None or number[1] not in ("", "s"):
            raise click.UsageError(f"--latency is {latency!r}; expected a time such as 20ms or 0.02")
        _check_unit("--latency", latency, "", number)
        found["latency_s"] = float(number[0])
    for text in limits:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError(f"--limit is {text!r}; expected FIGURE=N, such as batch=8")
        with usage_errors("--limit"):
            figure = full_name(name.strip())
            amount = given(value)
            if amount is not None and amount[1] and amount[1] != unit_of(figure):
                raise click.UsageError(f"--limit {text} is in {amount[1]}; expected the unit of {figure}")
            if unit_of(name.strip()) is None and unit_of(figure) == "s" and amount is not None:
                _check_unit("--limit", value, f"{name}=", amount)
            found[figure] = number_in(value if amount is None else float(amount[0]), figure, ANY_AMOUNT)
    return found


def _check_unit(option: str, text: str, name: str, number: tuple[Fraction, str]) -> None:
    """Reject a time of a second and more without a unit: seconds would be taken where milliseconds are usual."""
    amount, unit = number
    if not unit and amount >= 1:
        plain = text.strip()
        raise click.UsageError(
            f"{option} {name}{plain} has no unit; expected {name}{plain}ms for milliseconds, or {name}{plain}s for "
            "seconds"
        )
