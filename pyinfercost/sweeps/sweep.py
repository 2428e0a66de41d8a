"""Sweeps: a graph over a grid of sizes and deployments, as columns."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Executor
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from .. import _core
from ..deployment import OPTIONS, Deployment
from ..deployment.keywords import shows, split_options
from ..deployment.options import DeploymentAxes
from ..errors import InputTypeError
from ..predict.rules import Rules
from ..sources.captured import Captured, graph_over
from ..sources.sizes import as_axis, call_sizes
from .arguments import ON, columns_of, computes_masks, is_all, shared_sizes, with_tensor
from .axes import make_spec
from .columns import GridColumns
from .conditions import Condition

if TYPE_CHECKING:
    from .._core import Graph
    from .execute import ProgressCallback
    from .result import Sweep, Where
    from .storage import StoredSweep


@overload
def sweep(model: Graph | str | PathLike[str], *, out: None = None, **options: Any) -> Sweep: ...
@overload
def sweep(model: Graph | str | PathLike[str], *, out: str | PathLike[str], **options: Any) -> StoredSweep: ...
@shows(DeploymentAxes)
def sweep(
    model: Graph | str | PathLike[str],
    *,
    on: Deployment | Iterable[Deployment] | None = None,
    tensor: SupportsIndex | Iterable[SupportsIndex] | None = None,
    scale: Mapping[str, float | Iterable[float]] | None = None,
    points: Any = None,
    where: Where = None,
    rules: Rules | None = None,
    out: str | PathLike[str] | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: bool | ProgressCallback | None = None,
    sizes: Mapping[str, SupportsIndex | Iterable[SupportsIndex]] | None = None,
    **options: Any,
) -> Sweep | StoredSweep:
    """Predict the cost of a forward at every point of a grid: the product of all axes.

    A point has the figures that `estimate` returns there: both use the same evaluator and the same formulas.

    Args:
        model: A graph with the swept sizes open; or a file or spec as `capture` accepts it (`"torchvision:resnet50"`),
            which is captured with those sizes open that have several values.
        on: The deployment, or several as one axis; keywords override its fields.
        tensor: Numbers of devices that share each product, in the place of `layout`.
        scale: Hypothetical machines: factors on `"bandwidth"` (of DRAM), `"compute"` or `"cores"` of each machine, as
            in `{"bandwidth": [1, 2, 4]}`. They become columns such as `bandwidth_scale`.
        points: A list of points instead of, or in addition to, a product: mappings of names to values, or columns by
            name. A name is a size, a field of `Deployment`, or `on`. Each point is combined with all values of the
            other axes.
        where: A condition on the columns (`"fits_in_memory and latency_s < 0.05"`); only points that satisfy it are
            kept.
        rules: Work of the caller's own ops, as in `count`.
        out: A folder for a grid that is larger than memory. It is written part by part as Parquet files, and a
            `StoredSweep` is returned. The same call resumes a stopped sweep.
        executor: Any `concurrent.futures.Executor` (of dask, `client.get_executor()`) to compute parts of the grid on.
            The graph is sent as data, never the module. Parts that fail there, for example because workers died, are
            computed in this process, with one warning.
        workers: Threads of this process; all cores by default, and at most four per core. Results depend neither on
            `workers` nor on `executor`.
        progress: Whether to show progress on stderr, with rate and time left; a function is called with the points done
            and all points. None shows it after a second if stderr is a terminal.
        sizes: Values of named sizes, one or several each, for names that options have too.
        **options: Fields of `Deployment`, such as `hardware`, and sizes by name, such as `batch=range(1, 65)`. Several
            values of one are an axis with a column of its own. A layout of `"all"` stands for all legal layouts of each
            number of `devices`, see `layouts`; those whose weights exceed the memory are left out, and
            `where="fits_in_memory"` leaves out those with too large caches and activations. A mapping of prices gives
            them by machine. A price adds the column `cost_usd`, USD of one item of the batch, and a region `carbon_g`,
            grams of CO2 equivalent of one item. By default machines run without pause where their power under load is
            known. A size left out takes the graph's default.

    Returns:
        A `Sweep`, or a `StoredSweep` if `out` is given.

    Raises:
        InputError: An axis has no values, or a size, machine, precision, execution, price or place is unknown. An
            exception during the computation has the points before it as `partial`.
        CountOverflowError: The greatest sizes give totals that do not fit 64 bits.
        SweepInterrupted: A `KeyboardInterrupt` that has the computed points as `partial`.
        ExistingFileError: `out` has another sweep, or other files.
        FileAccessError: `out` cannot be written; the finished parts are kept.
        TooLargeError: The points do not fit into memory, and `out` is left out.

    Examples:
        >>> net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
        >>> graph = ic.capture(net, torch.empty(1, 784), dynamic={0: {0: "batch"}})
        >>> grid = ic.sweep(graph, hardware=["l4", "t4"], precision="fp16", batch=[1, 64, 4096])
        >>> best = grid.best("throughput_per_s")
        >>> len(grid), best["hardware"], best["batch"]
        (6, 'l4', 4096)
    """
    several_on = on if on is None or isinstance(on, Deployment) else as_axis(ON, on)
    fields, named_sizes = split_options(options)
    axes: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
    for name in ("devices", "engine"):
        if name in axes:
            axes[name] = as_axis(name, axes[name])
    columns = {} if points is None else columns_of(points)
    with call_sizes(sweep, sizes, named_sizes) as named:
        if tensor is not None:
            axes["layout"] = with_tensor(axes.get("layout"), tensor)
        is_captured = isinstance(model, _core.Graph)
        shared = () if is_captured else shared_sizes(several_on, axes.get("devices"), axes.get("layout"), columns)
        masks = is_captured or computes_masks(several_on, axes.get("engine"), columns)
        return sweep_over(
            _captured(model, named, shared=shared, computes_masks=masks),
            on=several_on,
            **axes,
            scale=scale,
            points=points if points is None else columns,
            where=where,
            rules=rules,
            out=out,
            executor=executor,
            workers=workers,
            progress=progress,
        )


def _of_deployments(axes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in axes.items() if name in OPTIONS}


def _captured(model: Any, sizes: Mapping[str, Any], *, shared: Collection[str], computes_masks: bool) -> Captured:
    if isinstance(model, _core.Graph):
        return Captured(model, sizes, {}, model.model)
    if not isinstance(model, (str, PathLike)):
        raise InputTypeError(
            f"model is of type {type(model).__name__}; expected a Graph, a file or a model spec. Make a graph with "
            "capture(model, inputs, dynamic={0: {0: 'batch'}})"
        )
    axes = {name: as_axis(name, value) for name, value in sizes.items()}
    return graph_over(fspath(model), axes, shared=shared, computes_masks=computes_masks)


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
    """Sweep over a captured graph, whose fixed sizes are columns, too; `axes` are arguments of `make_spec`."""
    from .execute import Run, run_in_memory

    if isinstance(axes.get("layout"), str) and is_all(axes["layout"]):
        from .layouts import with_all_layouts

        on, fields, _ = with_all_layouts(captured.graph, axes.get("on"), _of_deployments(axes))
        axes = {**{name: value for name, value in axes.items() if name not in OPTIONS}, **fields, "on": on}
    spec = make_spec(captured, rules=rules, **axes)
    condition = None if where is None else Condition.all_of(where)
    if condition is not None:
        condition.mask(GridColumns.empty(spec.grid, spec.facts), rows=0)  # an unknown column fails before the work
    run = Run(spec, condition, executor=executor, workers=workers, progress=progress)
    if out is None:
        return run_in_memory(run)
    from .files import as_path
    from .storage import run_to_folder

    return run_to_folder(run, as_path("out", out))
