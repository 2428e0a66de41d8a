"""`pyinfercost measure`: measured latency of a model on this machine, next to the prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .commands import command
from .deployment_options import deployment_of_options, deployment_options
from .options import EPILOG, format_option, model_options, trace_option
from .output import check_writable, messages_for_people, show, write, write_result, write_trace
from .profile_options import size_options, sizes_of_options
from .progress import working
from .types import InUnits

if TYPE_CHECKING:
    from ..results.measurement import Measurement
    from ..results.profile import Profile

_MOST_LAYERS = 30
_PRECISIONS = ("native", "fp32", "bf16", "fp16")


@command(epilog=EPILOG)
@deployment_options(
    precisions=_PRECISIONS, hardware="Predict with this id or TOML file, such as the output of `calibrate`."
)
@size_options
@click.option("--device", default="cpu", show_default=True, help="Device to run on, in torch's notation.")
@click.option(
    "--seconds", type=InUnits("s", minimum=0.0), default=2.0, show_default=True, help="Duration of timed runs."
)
@click.option(
    "--energy/--no-energy", default=True, show_default=True,
    help="Measure joules per forward, if the machine has counters (RAPL on Linux, NVML on NVIDIA).",
)  # fmt: skip
@click.option(
    "--top", "limit", type=click.IntRange(min=0), default=_MOST_LAYERS, show_default=True, help="Layers in the table."
)
@trace_option
@format_option("table", "json", "csv", "md")
@model_options
def measure(
    *,
    model: str,
    device: str,
    seconds: float,
    energy: bool,
    limit: int,
    trace: str | None,
    form: str,
    output: str | None,
    **options: Any,
) -> None:
    """Run a model on this machine and compare with predictions; layers with the largest errors come first.

    Weights are random; none are downloaded. With --hardware, each layer shows its predicted and its measured time.
    Joules are of the whole processor or board, including other processes: use an otherwise idle machine.
    """
    with messages_for_people():
        from ..measuring.measure import measure as run

        sizes = sizes_of_options(options)
        if trace is not None:
            check_writable(trace)
        threads = options["threads"]
        if options["hardware"] is None and options["on"] is None:
            options["threads"] = None  # these apply to the run only
        on = deployment_of_options(options)
        with working(f"Running {model}"):
            result = run(model, on=on, threads=threads, device=device, seconds=seconds, energy=energy, sizes=sizes)
        show_measurement(result, form, output, limit)
        if trace is not None:
            write_trace(result.to_trace(), trace)


def show_measurement(result: Measurement, form: str, output: str | None, limit: int = _MOST_LAYERS) -> None:
    """Write a measurement in one of the four formats."""
    write_result(result, form, output, table={"limit": limit})


def check_measurable(model: str, form: str, precision: str, *, training: bool) -> None:
    """Reject models and formats that `profile --measure` cannot run or show.

    Raises:
        click.UsageError: The message states the reason.
    """
    if training:
        raise click.UsageError("--measure runs a forward only; leave out --training")
    from ..sources.registry import is_graph

    if is_graph(model):
        raise click.UsageError(f"--measure runs a module, but {model} is a captured graph; give the model's spec")
    if precision not in _PRECISIONS:
        raise click.UsageError(f"--measure supports {', '.join(_PRECISIONS)}; got --precision {precision}")
    if form == "csv":
        raise click.UsageError("csv has one table, but --measure adds another; use `pyinfercost measure --format csv`")


def write_both(
    profile: Profile, ran: Measurement, form: str, output: str | None, rows: dict[str, Any], *, roofline: bool
) -> None:
    """Write a profile followed by the measurement; in JSON the measurement is under `measured`."""
    if form == "json":
        from ..report.documents import as_json

        write(as_json({**profile.to_dict(), "measured": ran.to_dict()["measured"]}) + "\n", output)
    elif form == "md":
        write(profile.to_markdown(**rows) + "\n" + ran.to_markdown(), output)
    else:
        from ..report.pages import Lines, Page
        from ..report.render import render

        view = render(profile, "view", **rows, roofline=roofline)
        show(Page([view, Lines(), render(ran, "view", limit=_MOST_LAYERS)]), output)
