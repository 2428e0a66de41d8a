"""`pyinfercost profile`: the counts of a model, and their cost on a machine."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from .commands import command
from .options import EPILOG, check_layout, format_option, html_option, layout_options, model_options, trace_option
from .output import check_writable, messages_for_people, say, write_result, write_trace
from .profile_options import Profiler, phase_options, point_options
from .report_options import write_report

if TYPE_CHECKING:
    from ..results.measurement import Measurement
    from ..results.profile import Profile


@command(epilog=EPILOG)
@point_options
@phase_options
@layout_options
@click.option(
    "--view",
    type=click.Choice(["torchinfo", "ops"]),
    help="Other rows: torchinfo has each module with its input, output and kernel shapes, weights and multiply-adds; "
    "ops has totals by operator.",
)
@html_option()
@trace_option
@click.option("--measure", "measured", is_flag=True, help="Also run the model on this machine, like `measure`.")
@format_option("table", "json", "csv", "md")
@model_options
def profile(
    *,
    model: str,
    depth: int | None,
    sort: str | None,
    top: int | None,
    roofline: bool,
    view: str | None,
    html: str | None,
    trace: str | None,
    measured: bool,
    form: str,
    output: str | None,
    **options: Any,
) -> None:
    """Count a model; with --hardware, predict its latency and energy, and with --price, its cost."""
    with messages_for_people():
        profiler = Profiler.from_options(options, model)
        timed = profiler.on.hardware is not None
        if profiler.has_phases(model):
            of_one = {
                "view": view,
                "sort": sort,
                "top": top,
                "roofline": roofline,
                "trace": trace,
                "measure": measured,
            }
            _check_phases(model, {**of_one, "training": profiler.training})
            if html is not None:
                check_writable(html)
            both = profiler.phases(model, reported=html is not None and timed)
            if html is not None:
                write_report(both, html)
            write_result(both, form, output, layout={"depth": depth})
            return
        if trace is not None and not timed and not measured:
            raise click.UsageError("--trace needs --hardware or --measure; give one of them, such as --hardware l4")
        check_layout(form, sort, top, timed=timed, roofline=roofline)
        if view is not None:
            _check_view(view, {"sort": sort, "top": top, "roofline": roofline, "measure": measured})
        if measured:
            if profiler.what_if.words:
                raise click.UsageError(
                    "--measure runs the model in its own formats and widths; leave out --quantize, --prune, --kv-cache "
                    "and --width"
                )
            from .measure_command import check_measurable

            check_measurable(model, form, profiler.on.precision, training=profiler.training)
        for file in filter(None, (html, trace)):
            check_writable(file)
        result = profiler.profile(model, reported=html is not None and timed)
        hint = ""
        if html is not None or (form == "table" and output is None and sys.stderr.isatty()):
            from ..advice.hints import hint_for

            hint = hint_for(result)
        if html is not None:
            write_report(result, html, hint=hint)
        ran: Measurement | None = None
        rows: dict[str, Any] = {"depth": depth, "sort": sort, "top": top}
        if measured:
            from ..measuring.measure import measure as run
            from .measure_command import write_both

            ran = run(model, on=profiler.on, sizes=profiler.sizes)
            write_both(result, ran, form, output, rows, roofline=roofline)
        elif view is not None:
            _write_view(result, view, form, output, depth)
        else:
            write_result(result, form, output, layout=rows, table={"roofline": roofline})
            if hint and form == "table" and output is None and sys.stderr.isatty():
                say(f"Hint: {hint}; `pyinfercost advise {model} ...` tries all there is")
        if trace is not None:
            write_trace(result.to_trace(measured=ran), trace)


def _check_view(view: str, options: dict[str, Any]) -> None:
    """Reject options of the usual table.

    Raises:
        click.UsageError: The message names the option.
    """
    for name, value in options.items():
        if value:
            raise click.UsageError(f"--{name} is for the usual table; leave it out, or leave out --view {view}")


def _write_view(result: Profile, view: str, form: str, output: str | None, depth: int | None) -> None:
    """Write the table of modules with shapes, or of operators."""
    from ..predict.tables import module_table, operator_table

    if view == "ops":
        write_result(operator_table(result), form, output)
    else:
        write_result(module_table(result), form, output, layout={"depth": depth})


def _check_phases(model: str, options: dict[str, Any]) -> None:
    """Reject options that show, run or train one forward.

    Raises:
        click.UsageError: The message names the option, and the specs of one phase.
    """
    for name, value in options.items():
        if value:
            raise click.UsageError(
                f"--{name} is for one forward, and --prompt and --context ask for both phases; give {model}#prefill or "
                f"{model}#decode, or leave out --{name}"
            )
