"""`pyinfercost sweep`: arguments are checked as far as possible before a model is captured."""

from __future__ import annotations

import dataclasses
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import _core
from ..deployment import deployment_of
from ..deployment.engines import TORCH
from ..report.summary import host_of
from ..results.units import quantity
from ..sources.captured import has_phases
from ..sources.registry import engine_of, is_graph
from ..sources.sizes import BATCH, batch_name, matched
from .arguments import axis_values, known_names, listed, named_settings, price_options, prices_by_id, scale_axes
from .choice import Choice
from .commands import OUTPUT, command, grouped
from .deployment_options import deployment_options, read_deployments, usage_errors
from .machines import ALL, deployments_of, layouts_of, priced
from .options import EPILOG, WhatIf, model_options, no_progress_option, whatif_options
from .output import capturing, check_writable, messages_for_people
from .profile_options import PHASE_SIZES, SIZES
from .sweep_output import FORMATS, Answer, show_answer
from .types import ColumnsType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._core import Graph
    from ..deployment import Deployment
    from ..inputs.price import Price
    from ..results.layouts import LayoutChoice
    from ..sources.captured import Captured

_ONE_LAYOUT = {"layout": ["tensor=1"], "devices": [1]}
_SUFFIXES = {".csv": "csv", ".json": "json", ".parquet": "parquet"}
_MOST_TO_EXPLAIN = 2**22
"""Grids up to this size are filtered after they are computed, so that an empty result can be explained."""


@command(epilog=EPILOG)
@deployment_options(
    several=True, hardware="Catalog ids or TOML files, comma-separated; or all, cpu, gpu, systolic, priced."
)
@grouped(
    SIZES,
    click.option("--batch", metavar="AXIS", help="Short for --set batch=AXIS."),
    click.option("--set", "settings", multiple=True, metavar="NAME=AXIS", help="Axis of a named size; repeatable."),
    click.option("--prompt", metavar="AXIS", help="Tokens of a prompt, of a language model's prefill."),
    click.option("--context", metavar="AXIS", help="Tokens in the cache before a decode step."),
)
@click.option(
    "--scale",
    "scales",
    multiple=True,
    metavar="NAME=FACTORS",
    help="Hypothetical machines: bandwidth, compute or cores times 1,2,4 or 1:4:0.5; repeatable.",
)
@whatif_options
@grouped(
    "Points",
    click.option(
        "--where",
        "conditions",
        multiple=True,
        metavar="CONDITION",
        help='Keep points that satisfy it: "fits_in_memory and latency < 20ms"; repeatable, all must hold.',
    ),
    click.option(
        "--pareto",
        multiple=True,
        type=ColumnsType(),
        metavar="COLUMNS",
        help="Select the Pareto front of these columns.",
    ),
    click.option("--maximize", multiple=True, type=ColumnsType(), metavar="COLUMNS", help="Columns to maximize."),
    click.option("--minimize", multiple=True, type=ColumnsType(), metavar="COLUMNS", help="Columns to minimize."),
    click.option(
        "--best", type=ColumnsType(several=False), metavar="COLUMN", help="Select the best point by this column."
    ),
    click.option(
        "--per",
        multiple=True,
        type=ColumnsType(),
        metavar="COLUMNS",
        help="With --best: one point per combination of these.",
    ),
    click.option("--knee", is_flag=True, help="Select the batch beyond which throughput grows little."),
    click.option("--batch-tradeoff", is_flag=True, help="Show throughput against latency by batch, as a table."),
)
@grouped(
    OUTPUT,
    click.option(
        "--top", "limit", type=click.IntRange(min=1), metavar="N", help="Show at most N points; default: 40 in a table."
    ),
    click.option(
        "--format",
        "form",
        type=click.Choice(FORMATS),
        help="Output format; by default from the suffix of --output (.csv, .json, .parquet), else a table.",
    ),
    click.option(
        "--store",
        "folder",
        type=click.Path(),
        help="Store all points as Parquet files in a folder; resumes a stopped sweep.",
    ),
    click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Number of threads; default: all cores."),
)
@no_progress_option
@model_options
def sweep(
    *,
    model: str,
    batch: str | None,
    settings: tuple[str, ...],
    scales: tuple[str, ...],
    conditions: tuple[str, ...],
    pareto: tuple[str, ...],
    maximize: tuple[str, ...],
    minimize: tuple[str, ...],
    best: str | None,
    per: tuple[str, ...],
    knee: bool,
    batch_tradeoff: bool,
    limit: int | None,
    form: str | None,
    output: str | None,
    folder: str | None,
    workers: int | None,
    no_progress: bool,
    **options: Any,
) -> None:
    """Predict latency, memory and cost at every point of a grid, and pick points.

    An AXIS is a list (1,8,64) or an inclusive range (1:64, or 8:64:8 in steps of 8). COLUMNS: see --format csv.
    --pareto, --best and --knee select from the points that satisfy --where.
    """
    with messages_for_people():
        of_phase = [f"{name}={options[name]}" for name in PHASE_SIZES if options[name] is not None]
        named = named_settings((*settings, *of_phase), batch)
        sizes = {name: axis_values(name, value) for name, value in named.items()}
        if of_phase and has_phases(model, sizes):
            raise click.UsageError(
                f"--prompt and --context are sizes of a phase; give the phase: {model}#prefill or {model}#decode"
            )
        scale = scale_axes(scales, ("bandwidth", "compute", "cores"))
        if options["engine"] is None and options["on"] is None:
            options["engine"] = engine_of(model)
        on, fields, prices = _deployments(options)
        _check_devices(on, fields, model, sizes)
        choice = _choice(conditions, pareto, maximize, minimize, best, per, knee=knee, batch_tradeoff=batch_tradeoff)
        if fields["layout"] == ALL and choice.chooses:
            choice = choice.narrowed("fits_in_memory")
        form = form or _SUFFIXES.get(Path(output or "").suffix.lower(), "table")
        _check_places(choice, form, output, folder)
        if (knee or batch_tradeoff) and not is_graph(model):
            _check_curve(choice, sizes)
        from ..results import figures
        from ..sweeps.arguments import computes_masks, shared_sizes
        from ..sweeps.axes import deployment_axes
        from ..sweeps.columns import OF_GRAPHS, quantities
        from ..sweeps.layouts import with_all_layouts

        with usage_errors():
            # Which layouts are legal depends on the graph, and the names of the columns do not.
            axes = deployment_axes(on, {**fields, **_ONE_LAYOUT} if fields["layout"] == ALL else fields, scale)
        columns = [name for names, _ in axes for name in names]
        placed = any(each.region for each in on) or any(price.region for price in prices.values())
        given = ((figures.PRICE, bool(prices)), (figures.PLACE, placed))
        needs = [need for need, met in given if met]
        _check_columns(choice, model, [*columns, *quantities(*needs, *OF_GRAPHS)], sizes)

        from ..predict.plans import boundary_of
        from ..sources.captured import graph_over
        from ..sweeps.execute import SweepInterrupted
        from ..sweeps.sweep import sweep_over

        with capturing(model, silent=no_progress):
            shared = shared_sizes(on, fields["devices"], fields["layout"])
            masks = computes_masks(on, fields["engine"])
            opened = graph_over(model, sizes, shared=shared, computes_masks=masks)
            captured = WhatIf.from_options(options).changed(opened)
        out: tuple[LayoutChoice, ...] = ()
        is_found = fields["layout"] == ALL
        if is_found:
            on, fields, found = with_all_layouts(captured.graph, on, fields)
            axes, out = deployment_axes(on, fields, scale), found.out
            prices = _layout_prices(on, fields["price"])
        size_axes = _size_axes(captured)
        boundary = boundary_of(captured.graph, "native")
        of_graph = ((figures.TOKENS, boundary.tokens), (figures.CACHE, boundary.kv_cache_bytes))
        needs += [*(need for need, quantity in of_graph if quantity is not None), boundary.phase]
        choice = dataclasses.replace(choice, along=batch_name(captured.graph))
        if knee or batch_tradeoff:
            _check_curve(choice, size_axes)
        choice.check([*columns, *size_axes, *quantities(*needs)])
        points = prod([*(length for _, length in axes), *map(len, size_axes.values())])
        explain = folder is None and points <= _MOST_TO_EXPLAIN
        stopped = ""
        try:
            result = sweep_over(
                captured,
                on=on,
                **fields,
                scale=scale,
                where=None if explain else choice.where,
                out=folder,
                workers=workers,
                progress=False if no_progress else None,
            )
        except SweepInterrupted as interrupt:
            result, stopped = interrupt.partial, str(interrupt).partition(";")[0]
        except MemoryError as error:
            told = str(error).replace("out=FOLDER", "--store FOLDER").replace("where=", "--where")
            raise click.ClickException(told or "not enough memory; reduce the grid, or use --store FOLDER") from error
        loaded = dict.fromkeys(each.machine.id for each in on if each.for_throughput().machine.sustained)
        answer = Answer(
            choice, result, points, filtered=not explain, prices=prices, folder=folder, stopped=stopped,
            loaded=tuple(loaded), out=out, ranked=is_found, experts=_loads_of_experts(captured.graph, on, fields),
            hosts=_assumed_hosts(on, fields),
        )  # fmt: skip
        show_answer(answer, form, output, limit)


def _assumed_hosts(on: Sequence[Deployment], fields: Mapping[str, Any]) -> dict[str, str]:
    """Return machine -> time in which its host issues an operator, where torch runs and it is an assumption."""
    if TORCH not in (fields["engine"] or [each.engine for each in on]):
        return {}
    hosts = {each.machine.id: host_of(each.machine, TORCH) for each in on}
    return {name: quantity(host["operator_s"], "s") for name, host in hosts.items() if host and host["is_assumed"]}


def _loads_of_experts(graph: Graph, on: Sequence[Deployment], fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the loads of experts that times are for; empty for a model without experts."""
    if not _core.expert_layers(graph):
        return ()
    from ..deployment import Layout
    from ..inputs.layout import BALANCED
    from ..predict.plans import with_expert_loads

    engines = fields["engine"] or [each.engine for each in on]
    layouts = [Layout.parse(each) for each in fields["layout"] or [each.rank_layout for each in on]]
    found = [with_expert_loads(layout, engine, graph) for engine in engines for layout in layouts]
    return tuple(dict.fromkeys(str(each.expert_load or BALANCED) for each in found))


def _deployments(options: Mapping[str, Any]) -> tuple[list[Deployment], dict[str, Any], dict[str, Price]]:
    """Return the deployments of a sweep, further axes, and prices by machine (and by option if there are several).

    Raises:
        click.UsageError: No hardware is given, or the value of an option is unknown.
    """
    shared: list[Deployment] = [] if options["on"] is None else read_deployments(options["on"])
    wanted = ("threads", "instances", "sustained", "host", "utilization", "region", "transfer", "startup")
    common = {name: options[name] for name in wanted}
    if options["hardware"] is None:
        if not shared or any(each.hardware is None for each in shared):
            raise click.UsageError("Missing option '--hardware' / '-H'.")
        with usage_errors():
            on = [deployment_of(each, common) for each in shared]
    elif len(shared) > 1:
        raise click.UsageError("--on has several deployments with their own hardware; leave --hardware out")
    else:
        on = deployments_of(options["hardware"], shared[0] if shared else None, **common)
    fields: dict[str, Any] = dict.fromkeys(
        ("precision", "engine", "serving", "execution", "devices", "layout", "price")
    )
    fields["serving"] = options["serving"]
    named = (("precision", _core.precisions()), ("engine", _core.engines()), ("execution", _core.executions()))
    for name, known in named:
        if options[name] is not None:
            fields[name] = known_names(name, options[name], known)
    if options["devices"] is not None:
        fields["devices"] = axis_values("--devices", options["devices"])
    fields["layout"] = layouts_of(options)
    if fields["layout"] == ALL and fields["devices"] is None:
        raise click.UsageError("--layout all needs --devices; give numbers of devices, such as --devices 8,16")
    if options["price"] is None:
        return on, fields, {each.machine.id: each.device_price for each in on if each.device_price is not None}
    names = price_options(options["price"])
    by_option: dict[str, dict[str, Price]] = {}
    on = priced(on, names)
    for name in names:
        by_id = prices_by_id(name, [each.machine.id for each in on])
        with usage_errors():
            paid = {each.machine.id: each.replace(price=by_id).device_price for each in on}
        by_option[name] = {machine: price for machine, price in paid.items() if price is not None}
    if len(names) == 1:
        # Whole instances are paid for with a layout, so that its price is looked up with it.
        fields["price"] = by_option[names[0]] if fields["layout"] is None else by_id
        return on, fields, by_option[names[0]]
    fields["price"] = names
    return on, fields, {f"{machine} {name}": price for name in names for machine, price in by_option[name].items()}


def _layout_prices(on: Sequence[Deployment], price: Any) -> dict[str, Price]:
    """Return the prices of the instances of all layouts, by number of devices and machine."""
    found: dict[str, Price] = {}
    for each in on:
        priced = each if price is None or isinstance(price, list) else each.replace(price=price)
        if priced.device_price is None:
            continue
        name = f"{each.devices} x {each.machine.id}"
        if str(found.get(name, priced.device_price)) != str(priced.device_price):
            name = f"{each.devices} x {each.machine.id} as {each.layout}"
        found[name] = priced.device_price
    return found


def _check_curve(choice: Choice, sizes: Mapping[str, Sequence[int]]) -> None:
    if len(sizes.get(choice.along, ())) < 3:  # noqa: PLR2004 - a knee needs three points
        curve = "--knee" if choice.knee else "--batch-tradeoff"
        raise click.UsageError(f"{curve} needs at least 3 values of {choice.along}; give, for example, --batch 1:256")


def _check_devices(
    on: Sequence[Deployment], fields: Mapping[str, Any], model: str, sizes: Mapping[str, Sequence[int]]
) -> None:
    from ..sources.sizes import minimum
    from ..sweeps.arguments import shares_batch

    if fields["devices"] is not None and minimum(fields["devices"]) < 1:
        raise click.UsageError(f"--devices must be at least 1, got {minimum(fields['devices'])}")
    if shares_batch(on, fields["devices"], fields["layout"]) and BATCH not in sizes and not is_graph(model):
        raise click.UsageError("--devices split the batch, which is not given; give it, such as --batch 1,8,64")


def _choice(
    conditions: tuple[str, ...],
    pareto: tuple[str, ...],
    maximize: tuple[str, ...],
    minimize: tuple[str, ...],
    best: str | None,
    per: tuple[str, ...],
    *,
    knee: bool,
    batch_tradeoff: bool,
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
        batch_tradeoff=batch_tradeoff,
    )


def _check_places(choice: Choice, form: str, output: str | None, folder: str | None) -> None:
    """Reject output that cannot be written, before any computation."""
    if form == "parquet" and output is None:
        raise click.UsageError("--format parquet needs --output FILE")
    if output is not None:
        check_writable(output)
    if folder is None and form != "parquet":
        return
    from ..sweeps.frames import library

    library("pyarrow.parquet", "--format parquet" if folder is None else "--store")
    if folder is None:
        return
    if choice.knee or choice.batch_tradeoff:
        curve = "--knee" if choice.knee else "--batch-tradeoff"
        raise click.UsageError(
            f"{curve} needs whole curves in memory, but --store is for sweeps larger than memory; leave one out"
        )
    if form == "parquet" and not choice.chooses:
        raise click.UsageError("--store already writes Parquet; leave --format parquet out, or select points")
    from ..sweeps.manifest import check_folder

    check_folder(Path(folder))


def _check_columns(choice: Choice, model: str, columns: Sequence[str], sizes: Mapping[str, Sequence[int]]) -> None:
    """Reject unknown columns of a spec before its capture. The sizes of a file are checked after it is read."""
    from ..sources.data_names import is_data_name

    if not is_graph(model):
        of_data = [name for name in choice.names() if is_data_name(name)]
        choice.check([*columns, *sizes, *of_data])


def _size_axes(captured: Captured) -> dict[str, Sequence[int]]:
    """Return the sizes that will be columns, with their values; an omitted size has its default."""
    sizes = captured.graph.sizes
    axes: dict[str, Sequence[int]] = {name: (value,) for name, value in captured.fixed.items()}
    axes.update(matched(captured.graph, captured.sizes))
    axes.update((name, (0,)) for name in sizes if name not in axes and not captured.graph.depends_on_data(name))
    return axes
