"""`pyinfercost profile`: the counts of a model, and what a machine makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .measure_command import check_measurable, write_both
from .options import EPILOG, check_layout, format_option, layout_options, model_options, trace_option
from .output import check_writable, messages_for_people, write_result, write_trace
from .profiling import Point, point_options
from .report_options import varied_axes, vary_option, write_report

if TYPE_CHECKING:
    from ..results.measurement import Measurement

_DATA_FORMATS = ("json", "csv")


@click.command(epilog=EPILOG)
@point_options
@layout_options
@click.option("--html", type=click.Path(dir_okay=False), metavar="FILE", help="Write a report as one HTML page, too.")
@vary_option
@trace_option
@click.option("--measure", "measured", is_flag=True, help="Run the model here as well: as `measure` does.")
@format_option("table", "json", "csv", "md")
@model_options
def profile(
    *,
    model: str,
    depth: int | None,
    sort: str | None,
    top: int | None,
    roofline: bool,
    html: str | None,
    vary: tuple[str, ...],
    trace: str | None,
    measured: bool,
    form: str,
    output: str | None,
    **options: Any,
) -> None:
    """Count a model and, with --hardware, predict its latency, its energy and, with --price, what it costs."""
    point = Point(**options)
    if trace is not None and point.hardware is None and not measured:
        raise click.UsageError("--trace needs --hardware, or --measure: without either nothing takes time")
    check_layout(form, point.hardware, sort, top, roofline=roofline)
    if measured and (point.quantize is not None or point.kv_cache is not None):
        raise click.UsageError("--measure runs the model as it is; --quantize and --kv-cache ask what if it were not")
    if measured:
        check_measurable(model, form, point.precision, training=point.training)
    varied = varied_axes(vary, html=html, hardware=point.hardware)
    with messages_for_people():
        for file in filter(None, (html, trace)):
            check_writable(file)
        profiler = point.looked_up()
        result = profiler.profile(model, quiet=form in _DATA_FORMATS, varied=varied)
        if html is not None:
            write_report(result, varied, html)
        ran: Measurement | None = None
        rows: dict[str, Any] = {"depth": depth, "sort": sort, "top": top}
        if measured:
            from ..measuring.measure import measure as run

            ran = run(
                model,
                hardware=profiler.machine,
                execution=point.execution,
                precision=point.precision,
                threads=point.threads,
                **point.sizes(),
            )
            write_both(result, ran, form, output, rows, roofline=roofline)
        else:
            write_result(result, form, output, layout=rows, table={"roofline": roofline})
        if trace is not None:
            write_trace(result.to_trace(measured=ran), trace)
