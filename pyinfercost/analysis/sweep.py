"""Sweeps: a graph over a grid of sizes, machines, precisions and executions, as columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeAlias

from .arguments import Rules, work_overrides
from .choosing import best_row, best_rows, group_codes, knees, objectives
from .condition_syntax import unknown_column
from .conditions import Condition
from .models import Captured
from .sweep_axes import make_spec
from .sweep_columns import QUANTITIES as QUANTITIES
from .sweep_columns import GridColumns

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .._core import Graph, Hardware
    from .sweep_run import ProgressCallback
    from .sweep_store import StoredSweep

Where: TypeAlias = "str | Condition | Iterable[str | Condition] | None"


class Sweep:
    """The estimates of a grid of points: `sweep["latency_s"]` is a numpy column with one value per point.

    The columns are `hardware`, `precision`, `execution`, `devices` and scales where they were given, each size of the
    graph, `QUANTITIES`, and `cost_usd` where prices were given: USD for one item of the batch at full load. Rows are
    in the order of a nested loop: a list of points outermost, then hardware, scales, precision, execution, devices,
    and the sizes in the order given. As with a data frame, iterating gives the names of the columns and `len` the
    number of points.

    Columns that follow from others (throughput, bands, what says which point a row is) are worked out when asked for.

    Attributes:
        model: what the model is called.
        sizes: the columns that are sizes.
        complete: whether all points of the grid were computed, those included that a filter left out.
    """

    def __init__(
        self, model: str, sizes: tuple[str, ...], data: Mapping[str, NDArray[Any]], *, complete: bool = True
    ) -> None:
        self.model = model
        self.sizes = sizes
        self.complete = complete
        self._data = data

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(self._data)

    def __getitem__(self, column: str) -> NDArray[Any]:
        if column not in self._data:
            raise KeyError(unknown_column(column, self._data).replace("unknown column", "no column"))
        return self._data[column]

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return self._data.rows if isinstance(self._data, GridColumns) else len(self._data["latency_s"])

    def __repr__(self) -> str:
        partial = "" if self.complete else ", not complete"
        return f"<Sweep {self.model or 'graph'}: {len(self)} points{partial}, columns {', '.join(self._data)}>"

    # ---- choosing ----

    def take(self, rows: NDArray[Any]) -> Sweep:
        """Some of the points: row numbers in any order, or a mask of booleans."""
        data: Mapping[str, NDArray[Any]]
        if isinstance(self._data, GridColumns):
            data = self._data.take(rows)
        else:
            data = {name: column[rows] for name, column in self._data.items()}
        return Sweep(self.model, self.sizes, data, complete=self.complete)

    def where(self, condition: Where) -> Sweep:
        """The points that satisfy a condition: `"fits_in_memory and latency_s <= 0.05"`.

        Args:
            condition: a comparison of columns, numbers and texts in Python's syntax, or several that must all hold.

        Raises:
            ConditionError: for what is no condition, or names a column that is not there.
        """
        parsed = Condition.all_of(condition)
        return self if parsed is None else self.take(parsed.mask(self._data, rows=len(self)))

    def pareto(self, *names: str, maximize: str | Iterable[str] = (), minimize: str | Iterable[str] = ()) -> Sweep:
        """The points that no other point beats in every one of these columns, ordered by the first of them.

        Args:
            *names: columns with a known direction: less time, memory and money is better, more throughput is.
            maximize: columns of which more is better.
            minimize: columns of which less is better.

        Raises:
            ObjectiveError: for a column whose direction is neither known nor given.
        """
        import numpy as np

        chosen = objectives(names, maximize=maximize, minimize=minimize, known=self._data)
        front = self.take(_front(self._data, chosen))
        first, most = chosen[0]
        values = np.asarray(front[first], dtype=np.float64)
        return front.take(np.argsort(-values if most else values, kind="stable"))

    def best(
        self,
        objective: str,
        *,
        where: Where = None,
        per: str | Iterable[str] = (),
        maximize: bool | None = None,
    ) -> Any:
        """The best point, or the best of each group: `grid.best("cost_usd", where="latency_s <= 0.05")`.

        Args:
            objective: a column with a known direction, or with `maximize`.
            where: a condition that the point has to satisfy.
            per: columns; with these the result is a Sweep with the best point of each of their combinations.
            maximize: whether more is better; None where the direction of the column is known.

        Returns:
            The point as a dict, or a Sweep where `per` is given. The first in order among equals.

        Raises:
            NothingFitsError: where no point satisfies the condition; the message says how near they come.
        """
        given = {} if maximize is None else {"maximize" if maximize else "minimize": (objective,)}
        ((name, most),) = objectives((objective,), known=self._data, **given)
        condition = Condition.all_of(where)
        per = (per,) if isinstance(per, str) else tuple(per)
        if per:
            return self.take(best_rows(self._data, name, most, condition, per))
        return self.row(best_row(self._data, name, most, condition))

    def knee(self, x: str = "batch", y: str = "throughput_per_s", *, where: Where = None) -> Sweep:
        """The knee of each curve of y against x: beyond it, more batch buys little throughput.

        There is a curve for each combination of the other columns that say which point a row is. The knee is where
        the curve is furthest above the straight line between its ends, both axes scaled to 0..1 (Satopaa et al.,
        "Finding a Kneedle in a Haystack", 2011), on the running maximum, since waves make throughput a sawtooth.

        Args:
            x: the column along a curve.
            y: the column that saturates.
            where: a condition on the points that make up the curves.
        """
        points = self.where(where)
        others = [name for name in points.columns if name in points._identity() and name != x]
        codes = group_codes(points._data, others)
        return points.take(knees(points[x], points[y], codes))

    def _identity(self) -> tuple[str, ...]:
        """The columns that say which point a row is."""
        return tuple(name for name in self._data if name not in (*QUANTITIES, "cost_usd"))

    # ---- as something else ----

    def row(self, number: int) -> dict[str, Any]:
        """One point as a plain dict of str, int, float and bool."""
        import numpy as np

        point = self.take(np.asarray([range(len(self))[number]], dtype=np.int64))
        return {name: point[name].tolist()[0] for name in point.columns}

    def rows(self) -> list[dict[str, Any]]:
        """The points as plain dicts of str, int, float and bool, in the order of the columns."""
        lists = [self._data[name].tolist() for name in self._data]
        return [dict(zip(self._data, row, strict=True)) for row in zip(*lists, strict=True)]

    def to_dict(self) -> dict[str, Any]:
        """A JSON object: `schema_version`, `model`, and `points`, one object per row."""
        from ..report.document import sweep_document

        return sweep_document(self)

    def to_json(self, *, indent: int | None = 2) -> str:
        """`to_dict` as text."""
        from ..report.document import as_json

        return as_json(self.to_dict(), indent=indent)

    def to_csv(self, path: str | PathLike[str] | None = None) -> str | None:
        """One line per point, with a line of column names before them: as text, or into a file."""
        from ..report.delimited import sweep_csv, sweep_csv_lines

        if path is None:
            return sweep_csv(self)
        with Path(path).open("w", encoding="utf-8", newline="") as file:
            file.writelines(sweep_csv_lines(self))
        return None

    def to_pandas(self) -> Any:
        """The columns as a `pandas.DataFrame`, texts as categories."""
        from .sweep_frames import to_pandas

        return to_pandas(self)

    def to_arrow(self) -> Any:
        """The columns as a `pyarrow.Table`, texts as dictionaries."""
        from .sweep_frames import to_arrow

        return to_arrow(self)

    def to_polars(self) -> Any:
        """The columns as a `polars.DataFrame`."""
        from .sweep_frames import to_polars

        return to_polars(self)

    def to_parquet(self, path: str | PathLike[str]) -> None:
        """The columns as one Parquet file."""
        from .sweep_frames import write_parquet

        write_parquet(self, Path(path))


def _front(data: Mapping[str, NDArray[Any]], chosen: list[tuple[str, bool]]) -> NDArray[np.int64]:
    """The rows of the Pareto front."""
    import numpy as np

    from .._core import pareto_front

    columns = [np.ascontiguousarray(data[name], dtype=np.float64) for name, _ in chosen]
    return pareto_front(columns, [most for _, most in chosen])


def sweep(
    graph: Graph,
    *,
    hardware: str | PathLike[str] | Hardware | Iterable[str | PathLike[str] | Hardware] | None = None,
    precision: str | Iterable[str] | None = None,
    execution: str | Iterable[str] | None = None,
    devices: SupportsIndex | Iterable[SupportsIndex] | None = None,
    scale: Mapping[str, float | Iterable[float]] | None = None,
    points: Any = None,
    where: Where = None,
    usd_per_h: float | Mapping[str, float] | None = None,
    rules: Rules | None = None,
    threads: int | None = None,
    out: str | PathLike[str] | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: bool | ProgressCallback | None = None,
    **sizes: SupportsIndex | Iterable[SupportsIndex],
) -> Any:
    """Predicts the latency at every point of a grid: the product of all axes.

    A point costs what `estimate` says of it: both go through the same evaluator.

    Args:
        graph: what `capture` returned, with named sizes for what is to be swept over.
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
        usd_per_h: price of one device in USD an hour, for all machines or by id; adds the column `cost_usd`.
        rules: work of the caller's own ops, as in `count`.
        threads: threads of the machines that are swept over; only if every machine is a CPU.
        out: a folder for a grid that is larger than memory: it is written as Parquet files, part by part, and a
            `StoredSweep` comes back. The same call goes on where an earlier one was stopped.
        executor: any `concurrent.futures.Executor`; parts of the grid are computed there. What travels is the graph
            as data, never the module.
        workers: threads of this process to compute with, where no executor is given; all cores if left out.
        progress: whether to show how far it is on stderr; a function that is called with points done and points in
            all; None shows it on a terminal, after a second.
        **sizes: one value or several for each named size; a size left out takes the graph's default.

    Returns:
        A `Sweep`, or a `StoredSweep` where `out` is given.

    Raises:
        ValueError: for an axis without values, or an unknown size, hardware, precision or execution. Where it is
            found on the way, the exception has what was computed before as `partial`.
        SweepInterrupted: a `KeyboardInterrupt` that has what was computed as `partial`.
    """
    return sweep_over(
        Captured(graph, sizes, {}, graph.model),
        hardware=hardware,
        precision=precision,
        execution=execution,
        devices=devices,
        scale=scale,
        points=points,
        where=where,
        usd_per_h=usd_per_h,
        rules=rules,
        threads=threads,
        out=out,
        executor=executor,
        workers=workers,
        progress=progress,
    )


def sweep_over(
    captured: Captured,
    *,
    where: Where = None,
    out: str | PathLike[str] | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: bool | ProgressCallback | None = None,
    rules: Rules | None = None,
    hardware: Any = None,
    precision: Any = None,
    execution: Any = None,
    devices: Any = None,
    scale: Mapping[str, Any] | None = None,
    points: Any = None,
    usd_per_h: Any = None,
    threads: int | None = None,
) -> Sweep | StoredSweep:
    """`sweep` of what may have been captured at fixed sizes, which get columns, too."""
    from .sweep_run import Run, run_in_memory

    spec = make_spec(
        captured,
        hardware=hardware,
        precision=precision,
        execution=execution,
        devices=devices,
        scale=scale,
        points=points,
        usd_per_h=usd_per_h,
        overrides=work_overrides(captured.graph, rules),
        threads=threads,
    )
    run = Run(spec, Condition.all_of(where), executor=executor, workers=workers, progress=progress)
    if out is None:
        return run_in_memory(run)
    from .sweep_store import run_to_folder

    return run_to_folder(run, Path(out))


