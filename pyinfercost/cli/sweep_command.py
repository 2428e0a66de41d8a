"""`pyinfercost sweep`: what is asked for is checked as far as it can be before a model is captured."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import _core
from .arguments import axis_values, known_names, listed, named_settings, price_options, prices_by_id, scale_axes
from .choice import KNEE, Choice
from .machines import check_region, machines_of, paid_price, transfer_of_option
from .options import EPILOG, PRICE_HELP, changed, model_options, utilisation_option, whatif_options
from .output import check_writable, messages_for_people, progress
from .sweep_output import FORMATS, Answer, show_answer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._core import Hardware
    from ..results.costs import Price
    from ..sources.captured import Captured

_SUFFIXES = {".csv": "csv", ".json": "json", ".parquet": "parquet"}
_MOST_TO_EXPLAIN = 2**22
"""Grids up to this size are filtered after they are computed, so that a filter that nothing passes can be explained."""


@click.command(epilog=EPILOG)
@click.option(
    "--hardware", "-H", required=True, help="Catalogue ids or TOML files, with commas; or all, cpu, gpu, systolic."
)
@click.option("--batch", metavar="AXIS", help="Short for --set batch=AXIS.")
@click.option("--set", "settings", multiple=True, metavar="NAME=AXIS", help="The axis of a named size; repeatable.")
@click.option("--precision", default="native", show_default=True, help="One or several, with commas between.")
@click.option("--execution", default="eager", show_default=True, help="One or several, with commas between.")
@click.option("--devices", metavar="AXIS", help="Numbers of devices that share out the batch.")
@click.option(
    "--scale",
    "scales",
    multiple=True,
    metavar="NAME=FACTORS",
    help="Hypothetical machines: bandwidth, compute or cores times 1,2,4 or 1:4:0.5; repeatable.",
)
@click.option("--price", metavar="PRICE", help=PRICE_HELP + " By machine: l4=0.80,t4=spot. Several: on-demand,spot.")
@utilisation_option
@whatif_options
@click.option(
    "--where",
    "conditions",
    multiple=True,
    metavar="CONDITION",
    help='Keep the points that satisfy it: "fits_in_memory and latency_s < 0.02"; repeatable, all must hold.',
)
@click.option("--pareto", multiple=True, metavar="COLUMNS", help="The points that no other beats in all of these.")
@click.option("--maximize", multiple=True, metavar="COLUMNS", help="Columns of which more is better.")
@click.option("--minimize", multiple=True, metavar="COLUMNS", help="Columns of which less is better.")
@click.option("--best", metavar="COLUMN", help="The one best point.")
@click.option("--per", multiple=True, metavar="COLUMNS", help="With --best: one for each combination of these.")
@click.option("--knee", is_flag=True, help="Where more batch begins to buy little throughput.")
@click.option("--tradeoff", is_flag=True, help="What more batch buys in throughput and costs in latency, as a table.")
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Show N points at most; a table has 40 if left out."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="How to show it; if left out, as --output ends (.csv, .json, .parquet), else as a table.",
)
@click.option(
    "--out", "folder", type=click.Path(), help="Keep all points in a folder of Parquet files; goes on if stopped."
)
@click.option(
    "--workers", type=click.IntRange(min=1), metavar="N", help="Threads to compute with; all cores if left out."
)
@click.option("--no-progress", is_flag=True, help="Do not show how far it is.")
@model_options
def sweep(
    *,
    model: str,
    hardware: str,
    batch: str | None,
    settings: tuple[str, ...],
    precision: str,
    execution: str,
    devices: str | None,
    scales: tuple[str, ...],
    price: str | None,
    utilisation: float,
    region: str | None,
    transfer: str | None,
    quantize: str | None,
    kv_cache: str | None,
    conditions: tuple[str, ...],
    pareto: tuple[str, ...],
    maximize: tuple[str, ...],
    minimize: tuple[str, ...],
    best: str | None,
    per: tuple[str, ...],
    knee: bool,
    tradeoff: bool,
    limit: int | None,
    form: str | None,
    output: str | None,
    folder: str | None,
    workers: int | None,
    no_progress: bool,
    threads: int | None,
    sustained: bool,
) -> None:
    """Predict latency, memory and cost at every point of a grid, and pick points.

    An AXIS is a list (1,8,64) or a range that includes its end (1:64, or 8:64:8 in steps of 8). COLUMNS are those of
    --format csv. With --pareto, --best and --knee, points are picked from those that satisfy --where.
    """
    with messages_for_people():
        sizes = {name: axis_values(name, value) for name, value in named_settings(settings, batch).items()}
        machines = machines_of(hardware, threads, sustained=sustained)
        ways: dict[str, Any] = {
            "hardware": machines,
            "precision": known_names("precision", precision, _core.precisions()),
            "execution": known_names("execution", execution, _core.executions()),
        }
        if devices is not None:
            ways["devices"] = _devices(model, devices, sizes)
        scale = scale_axes(scales, ("bandwidth", "compute", "cores"))
        options = [] if price is None else price_options(price)
        paid = {option: _prices(option, machines, threads) for option in options}
        check_region(region)
        ways_there = transfer_of_option(transfer)
        choice = _choice(conditions, pareto, maximize, minimize, best, per, knee=knee, tradeoff=tradeoff)
        form = form or _SUFFIXES.get(Path(output or "").suffix.lower(), "table")
        _check_places(choice, form, output, folder)
        if (knee or tradeoff) and len(sizes.get(KNEE[0], ())) < 3:  # noqa: PLR2004 - a bend takes three points
            curve = "--knee" if knee else "--tradeoff"
            raise click.UsageError(f"{curve} needs several values of batch, such as --batch 1:256")
        columns = [*ways, *(f"{name}_scale" for name in scale)]
        if len(options) > 1:
            columns.append("price")
        _check_columns(choice, model, [*columns, *_quantities(paid, region)], sizes)

        from ..predict.boundary import boundary_of
        from ..sources.captured import graph_over
        from ..sweeps.execute import SweepInterrupted
        from ..sweeps.sweep import sweep_over

        with progress(model, quiet=form != "table", silent=no_progress):
            captured = changed(graph_over(model, sizes), quantize, kv_cache)
        size_axes = _size_axes(captured)
        boundary = boundary_of(captured.graph, ways["precision"][0])
        known = {"tokens": boundary.tokens is not None, "cache": boundary.kv_cache_bytes is not None}
        choice.check([*columns, *size_axes, *_quantities(paid, region, **known)])
        points = prod(map(len, [options or [""], *ways.values(), *scale.values(), *size_axes.values()]))
        explain = folder is None and points <= _MOST_TO_EXPLAIN
        stopped = ""
        try:
            result = sweep_over(
                captured,
                **ways,
                scale=scale,
                price=(options if len(options) > 1 else paid[options[0]]) if options else None,
                utilisation=utilisation,
                region=region,
                transfer=ways_there,
                where=None if explain else choice.where,
                out=folder,
                workers=workers,
                progress=False if no_progress else None,
            )
        except SweepInterrupted as interrupt:
            result, stopped = interrupt.partial, str(interrupt).partition(";")[0]
        except MemoryError as error:
            told = str(error).replace("out=FOLDER", "--out FOLDER").replace("where=", "--where")
            raise click.ClickException(told or "there is not enough memory") from error
        answer = Answer(
            choice, result, points, filtered=not explain, prices=_named(paid), folder=folder, stopped=stopped
        )
        show_answer(answer, form, output, limit)


def _prices(text: str, machines: Sequence[Hardware], threads: int | None) -> dict[str, Price]:
    """What an hour of each machine costs."""
    by_id = prices_by_id(text, [machine.id for machine in machines])
    found = {name: paid_price(price, name, threads) for name, price in by_id.items()}
    return {name: price for name, price in found.items() if price is not None}


def _named(paid: Mapping[str, Mapping[str, Price]]) -> dict[str, Price]:
    """Prices by machine, and where there are several, by machine and what the price is called."""
    several = len(paid) > 1
    return {
        f"{machine} {option}" if several else machine: price
        for option, by_machine in paid.items()
        for machine, price in by_machine.items()
    }


def _devices(model: str, text: str, sizes: Mapping[str, Sequence[int]]) -> Sequence[int]:
    from ..sources.registry import is_graph

    values = axis_values("--devices", text)
    if min(values) < 1:
        raise click.UsageError(f"--devices must be at least 1, got {min(values)}")
    if max(values) > 1 and "batch" not in sizes and not is_graph(model):
        raise click.UsageError("--devices share out the batch: give --batch, such as --batch 1,8,64")
    return values


def _choice(
    conditions: tuple[str, ...],
    pareto: tuple[str, ...],
    maximize: tuple[str, ...],
    minimize: tuple[str, ...],
    best: str | None,
    per: tuple[str, ...],
    *,
    knee: bool,
    tradeoff: bool,
) -> Choice:
    from ..sweeps.conditions import Condition, ConditionError

    try:
        where = Condition.all_of(conditions)
    except ConditionError as error:
        raise click.UsageError(f"--where: {error}") from error
    return Choice(
        where,
        pareto=listed("--pareto", pareto),
        maximize=listed("--maximize", maximize),
        minimize=listed("--minimize", minimize),
        best=best,
        per=listed("--per", per),
        knee=knee,
        tradeoff=tradeoff,
    )


def _check_places(choice: Choice, form: str, output: str | None, folder: str | None) -> None:
    """Refuses what could not be written in the end."""
    if form == "parquet" and output is None:
        raise click.UsageError("--format parquet needs --output FILE")
    if output is not None:
        check_writable(output)
    if folder is None and form != "parquet":
        return
    from ..sweeps.frames import library

    library("pyarrow.parquet", "--format parquet" if folder is None else "--out")
    if folder is None:
        return
    if choice.knee or choice.tradeoff:
        curve = "--knee" if choice.knee else "--tradeoff"
        raise click.UsageError(f"{curve} needs whole curves in memory, and --out is for what is larger; leave one out")
    if form == "parquet" and not choice.chooses:
        raise click.UsageError("--out writes Parquet already; leave --format parquet out, or pick points")
    from ..sweeps.storage import check_folder

    check_folder(Path(folder))


def _check_columns(choice: Choice, model: str, columns: Sequence[str], sizes: Mapping[str, Sequence[int]]) -> None:
    """Refuses names that no column will have. What sizes a file has is seen when it is read, which is soon."""
    from ..sources.registry import is_graph

    if not is_graph(model):
        of_data = [name for name in choice.names() if _core.depends_on_data(name)]
        choice.check([*columns, *sizes, *of_data])


def _quantities(
    paid: Mapping[str, Mapping[str, Price]], region: str | None, *, tokens: bool = True, cache: bool = True
) -> tuple[str, ...]:
    """The columns of results; whether there are tokens and a KV cache is seen when the model is captured."""
    from ..results import figures
    from ..sweeps.facts import quantities

    placed = region is not None or any(price.region for price in _named(paid).values())
    needs = ((figures.PRICE, bool(paid)), (figures.PLACE, placed), (figures.TOKENS, tokens), (figures.CACHE, cache))
    return quantities(*(need for need, met in needs if met))


def _size_axes(captured: Captured) -> dict[str, Sequence[int]]:
    """The sizes that will be columns, with their values; one that is left out is at its default."""
    from ..predict.arguments import matched

    sizes = captured.graph.sizes
    axes: dict[str, Sequence[int]] = {name: (value,) for name, value in captured.fixed.items()}
    axes.update(matched(sizes, captured.sizes))
    axes.update((name, (0,)) for name in sizes if name not in axes and not _core.depends_on_data(name))
    return axes
