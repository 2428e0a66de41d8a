"""Sweeps: a graph over a grid of sizes, machines, precisions and executions, as columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from .. import _core
from ..predict.arguments import Rules, work_overrides
from ..sources.captured import Captured, graph_over
from .axes import make_spec
from .columns import GridColumns
from .conditions import Condition
from .result import Sweep

if TYPE_CHECKING:
    from .._core import Graph, Hardware
    from .execute import ProgressCallback
    from .result import Where
    from .storage import StoredSweep


@overload
def sweep(graph: Graph | str | PathLike[str], *, out: None = None, **options: Any) -> Sweep: ...
@overload
def sweep(graph: Graph | str | PathLike[str], *, out: str | PathLike[str], **options: Any) -> StoredSweep: ...
def sweep(
    graph: Graph | str | PathLike[str],
    *,
    hardware: str | PathLike[str] | Hardware | Iterable[str | PathLike[str] | Hardware] | None = None,
    precision: str | Iterable[str] | None = None,
    execution: str | Iterable[str] | None = None,
    devices: SupportsIndex | Iterable[SupportsIndex] | None = None,
    scale: Mapping[str, float | Iterable[float]] | None = None,
    points: Any = None,
    where: Where = None,
    price: Any = None,
    usd_per_h: float | Mapping[str, float] | None = None,
    utilisation: float = 1.0,
    region: str | None = None,
    transfer: Any = None,
    rules: Rules | None = None,
    threads: int | None = None,
    out: str | PathLike[str] | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: bool | ProgressCallback | None = None,
    **sizes: SupportsIndex | Iterable[SupportsIndex],
) -> Sweep | StoredSweep:
    """Predicts the latency at every point of a grid: the product of all axes.

    A point costs what `estimate` says of it: both go through the same evaluator.

    Args:
        graph: what `capture` returned, with named sizes for what is to be swept over; or a file or spec as `capture`
            takes it (`"torchvision:resnet50"`), which is captured with those sizes open that are given several values.
        hardware: one or several machines: ids, paths of TOML files, or `Hardware`.
        precision: one or several precisions; `"native"` if left out.
        execution: one or several of `"eager"`, `"compiled"`, `"replayed"`; `"eager"` if left out.
        devices: one or several numbers of devices that share out the batch. Each holds the whole model; the largest
            share, ceil(batch / devices), sets latency and memory. Nothing passes between them.
        scale: hypothetical machines: factors on `"bandwidth"` (of DRAM), `"compute"` or `"cores"` of each machine, as
            in `{"bandwidth": [1, 2, 4]}`. They become columns such as `bandwidth_scale`.
        points: a list of points instead of, or beside, a product: mappings of names to values, or columns by name.
            Each is combined with all values of the other axes.
        where: a condition on the columns (`"fits_in_memory and latency_s < 0.05"`); only points that satisfy it are
            kept.
        price: what an hour of one device costs, as in `estimate`, for all machines or by id; adds the column
            `cost_usd`: USD for one item of the batch. Several in a list (`["on-demand", "spot"]`) are an axis, `price`.
        usd_per_h: the same as plain numbers.
        utilisation: share of the paid time in which devices work.
        region: where all machines stand, as in `estimate`; by default where each price is from. Adds the column
            `carbon_g`: grams of CO2 equivalent for one item of the batch.
        transfer: how inputs get to the devices and results back, as in `estimate`: then it counts in `cost_usd`. By
            default copies from and to pageable memory are what `transfer_s` has.
        rules: work of the caller's own ops, as in `count`.
        threads: threads of the machines that are swept over; only if every machine is a CPU.
        out: a folder for a grid that is larger than memory: it is written as Parquet files, part by part, and a
            `StoredSweep` comes back. The same call goes on where an earlier one was stopped.
        executor: any `concurrent.futures.Executor` (of dask, `client.get_executor()`); parts of the grid are computed
            there. What travels is the graph as data, never the module. What its workers cannot do, because they died
            say, is done in this process, with one warning.
        workers: threads of this process to compute with; all cores if left out, and at most four for each core.
            Results depend on neither.
        progress: whether to show how far it is on stderr, with rate and time left; a function that is called with
            points done and points in all; None shows it on a terminal, after a second.
        **sizes: one value or several for each named size; a size left out takes the graph's default.

    Returns:
        A `Sweep`, or a `StoredSweep` where `out` is given.

    Raises:
        ValueError: for an axis without values, or an unknown size, hardware, precision or execution. Where it is
            found on the way, the exception has what was computed before as `partial`.
        SweepInterrupted: a `KeyboardInterrupt` that has what was computed as `partial`.
        FileExistsError: where `out` holds another sweep, or something else.
        MemoryError: for more points than fit this machine's memory, where `out` is left out.
    """
    return sweep_over(
        _captured(graph, sizes),
        hardware=hardware,
        precision=precision,
        execution=execution,
        devices=devices,
        scale=scale,
        points=points,
        where=where,
        price=price,
        usd_per_h=usd_per_h,
        utilisation=utilisation,
        region=region,
        transfer=transfer,
        rules=rules,
        threads=threads,
        out=out,
        executor=executor,
        workers=workers,
        progress=progress,
    )


def _captured(graph: Any, sizes: Mapping[str, Any]) -> Captured:
    if isinstance(graph, _core.Graph):
        return Captured(graph, sizes, {}, graph.model)
    if not isinstance(graph, (str, PathLike)):
        raise TypeError(
            f"sweep takes a Graph, a file or a model spec, got {type(graph).__name__}; make a graph with "
            "capture(model, inputs, dynamic={0: {0: 'batch'}})"
        )
    several: dict[str, Any] = {
        name: [value] if isinstance(value, SupportsIndex) and not hasattr(value, "__len__") else list(value)
        for name, value in sizes.items()
    }
    return graph_over(fspath(graph), several)


@overload
def sweep_over(captured: Captured, *, out: None = None, **options: Any) -> Sweep: ...
@overload
def sweep_over(captured: Captured, *, out: str | PathLike[str], **options: Any) -> StoredSweep: ...
@overload
def sweep_over(captured: Captured, *, out: str | PathLike[str] | None, **options: Any) -> Sweep | StoredSweep: ...
def sweep_over(
    captured: Captured,
    *,
    where: Where = None,
    out: str | PathLike[str] | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: bool | ProgressCallback | None = None,
    rules: Rules | None = None,
    **axes: Any,
) -> Sweep | StoredSweep:
    """`sweep` of what may have been captured at fixed sizes, which get columns, too; `axes` as in `make_spec`."""
    from .execute import Run, run_in_memory

    spec = make_spec(captured, overrides=work_overrides(captured.graph, rules), **axes)
    condition = Condition.all_of(where)
    if condition is not None:
        condition.mask(GridColumns.empty(spec.grid, spec.facts), rows=0)  # a wrong one is refused before the work
    run = Run(spec, condition, executor=executor, workers=workers, progress=progress)
    if out is None:
        return run_in_memory(run)
    from .storage import run_to_folder

    return run_to_folder(run, Path(out))
