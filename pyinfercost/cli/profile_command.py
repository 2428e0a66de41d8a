"""`pyinfercost profile`: the counts of a model, and what a machine makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .. import _core
from .arguments import named_settings, whole_number
from .machines import check_region, machine_of, paid_price, transfer_of_option
from .measure_command import check_measurable, write_both
from .options import (
    EPILOG,
    PRICE_HELP,
    changed,
    check_layout,
    format_option,
    layout_options,
    model_options,
    trace_option,
    utilisation_option,
    whatif_options,
)
from .output import check_writable, messages_for_people, progress, write_result, write_trace

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..measuring.result import Measurement

_DATA_FORMATS = ("json", "csv")


@click.command(epilog=EPILOG)
@click.option("--hardware", "-H", help="A catalogue id or a TOML file; without it, nothing is timed.")
@click.option("--batch", metavar="N", help="Short for --set batch=N.")
@click.option("--set", "settings", multiple=True, metavar="NAME=N", help="The value of a named size; repeatable.")
@click.option("--precision", type=click.Choice(_core.precisions()), default="native", show_default=True)
@click.option("--execution", type=click.Choice(_core.executions()), default="eager", show_default=True)
@layout_options
@click.option("--training", is_flag=True, help="A training step without its optimizer: the forward and its backward.")
@click.option("--price", metavar="PRICE", help=PRICE_HELP)
@utilisation_option
@whatif_options
@click.option("--measure", "measured", is_flag=True, help="Run the model here as well: as `measure` does.")
@trace_option
@format_option("table", "json", "csv", "md")
@model_options
def profile(
    *,
    model: str,
    hardware: str | None,
    batch: str | None,
    settings: tuple[str, ...],
    precision: str,
    execution: str,
    threads: int | None,
    sustained: bool,
    depth: int | None,
    sort: str | None,
    top: int | None,
    roofline: bool,
    training: bool,
    price: str | None,
    utilisation: float,
    region: str | None,
    transfer: str | None,
    quantize: str | None,
    kv_cache: str | None,
    measured: bool,
    trace: str | None,
    form: str,
    output: str | None,
) -> None:
    """Count a model and, with --hardware, predict its latency, its energy and, with --price, what it costs."""
    sizes: dict[str, Any] = {name: whole_number(name, value) for name, value in named_settings(settings, batch).items()}
    if threads is not None and hardware is None:
        raise click.UsageError("--threads needs --hardware")
    if sustained and hardware is None:
        raise click.UsageError("--sustained needs --hardware")
    if price is not None and hardware is None:
        raise click.UsageError("--price needs --hardware: what is paid is the time of a machine")
    if region is not None and hardware is None:
        raise click.UsageError("--region needs --hardware: it is the machine's energy that has a grid")
    if transfer is not None and hardware is None:
        raise click.UsageError("--transfer needs --hardware: it is a machine that data gets to")
    if trace is not None and hardware is None and not measured:
        raise click.UsageError("--trace needs --hardware, or --measure: without either nothing takes time")
    check_layout(form, hardware, sort, top, roofline=roofline)
    if measured and (quantize is not None or kv_cache is not None):
        raise click.UsageError("--measure runs the model as it is; --quantize and --kv-cache ask what if it were not")
    if measured:
        check_measurable(model, form, precision, training=training)
    with messages_for_people():
        from ..analysis.models import graph_at
        from ..analysis.profile import profile_on
        from ..analysis.terms import Terms, where_is

        # First: a capture may take long.
        if trace is not None:
            check_writable(trace)
        machine = None if hardware is None else machine_of(hardware, threads, sustained=sustained)
        paid = None if machine is None else paid_price(price, machine.id, threads)
        check_region(region)
        terms = Terms(paid, utilisation, where_is(paid, region), transfer_of_option(transfer))
        with progress(model, quiet=form in _DATA_FORMATS):
            captured = changed(graph_at(model, sizes, training=training), quantize, kv_cache)
        result = profile_on(
            machine,
            captured,
            precision=precision,
            execution=execution,
            rules=None,
            threads=threads,
            terms=terms,
        )
        ran: Measurement | None = None
        rows: dict[str, Any] = {"depth": depth, "sort": sort, "top": top}
        if measured:
            from ..measuring.measure import measure as run

            ran = run(model, hardware=machine, execution=execution, precision=precision, threads=threads, **sizes)
            write_both(result, ran, form, output, rows, roofline=roofline)
        else:

            def table() -> RenderableType:
                from ..report.table import profile_view

                return profile_view(result, **rows, roofline=roofline)

            write_result(result, form, output, rows, table)
        if trace is not None:
            write_trace(result.to_trace(measured=ran), trace)
