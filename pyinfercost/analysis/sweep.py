"""Sweeps: a graph over a grid of sizes, machines, precisions and executions, as columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from itertools import product
from math import prod
from os import PathLike
from typing import TYPE_CHECKING, Any, SupportsIndex

from .. import _core
from .arguments import Rules, bind_axis, matched, work_overrides
from .models import Captured

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .._core import Graph, Hardware, Plan

QUANTITIES = (
    "latency_s",
    "latency_low_s",
    "latency_high_s",
    "throughput_per_s",
    "compute_s",
    "dram_s",
    "cache_s",
    "launch_s",
    "peak_memory_bytes",
    "fits_in_memory",
)
"""The columns of a sweep behind those that say which point a row is."""


@dataclass(frozen=True, repr=False)
class Sweep:
    """The estimates of a grid of points: `sweep["latency_s"]` is a numpy column with one value per point.

    The columns are `hardware`, `precision`, `execution`, each size of the graph, and `QUANTITIES`. Rows are in the
    order of a nested loop: hardware outermost, then precision, execution, and the sizes in the order given. As with
    a data frame, iterating gives the names of the columns and `len` the number of points.
    """

    model: str
    sizes: tuple[str, ...]
    _data: Mapping[str, NDArray[Any]] = field(compare=False)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(self._data)

    def __getitem__(self, column: str) -> NDArray[Any]:
        try:
            return self._data[column]
        except KeyError:
            raise KeyError(f"no column {column!r}; this sweep has {', '.join(self._data)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data["latency_s"])

    def __repr__(self) -> str:
        return f"<Sweep {self.model or 'graph'}: {len(self)} points, columns {', '.join(self._data)}>"

    def rows(self) -> list[dict[str, Any]]:
        """The points as plain dicts of str, int, float and bool, in the order of the columns."""
        return [dict(zip(self._data, row, strict=True)) for row in zip(*self._lists(), strict=True)]

    def _lists(self) -> list[list[Any]]:
        return [column.tolist() for column in self._data.values()]

    def to_dict(self) -> dict[str, Any]:
        """A JSON object: `schema_version`, `model`, and `points`, one object per row."""
        from ..report.document import sweep_document

        return sweep_document(self)

    def to_json(self, *, indent: int | None = 2) -> str:
        """`to_dict` as text."""
        from ..report.document import as_json

        return as_json(self.to_dict(), indent=indent)

    def to_csv(self) -> str:
        """One line per point, with a line of column names before them."""
        from ..report.delimited import sweep_csv

        return sweep_csv(self)

    def to_pandas(self) -> Any:
        """The columns as a `pandas.DataFrame`; pandas comes with the extra `pyinfercost[dataframes]`."""
        try:
            pandas = import_module("pandas")
        except ImportError as error:
            raise ImportError(
                "to_pandas needs pandas, which is not installed: pip install 'pyinfercost[dataframes]'", name="pandas"
            ) from error
        return pandas.DataFrame(dict(self._data))


def sweep(
    graph: Graph,
    *,
    hardware: str | PathLike[str] | Hardware | Iterable[str | PathLike[str] | Hardware],
    precision: str | Iterable[str] = "native",
    execution: str | Iterable[str] = "eager",
    rules: Rules | None = None,
    threads: int | None = None,
    **sizes: SupportsIndex | Iterable[SupportsIndex],
) -> Sweep:
    """Predicts the latency at every point of a grid: the product of all axes.

    A point costs what `estimate` says of it: both go through the same evaluator.

    Args:
        graph: what `capture` returned, with named sizes for what is to be swept over.
        hardware: one or several machines: ids, paths of TOML files, or `Hardware`.
        precision: one or several precisions.
        execution: one or several of `"eager"`, `"compiled"`, `"replayed"`.
        rules: work of the caller's own ops, as in `count`.
        threads: threads to run on; only if every machine is a CPU.
        **sizes: one value or several for each named size; a size left out takes the graph's default.

    Raises:
        ValueError: for an axis without values, or an unknown size, hardware, precision or execution.
    """
    captured = Captured(graph, sizes, {}, graph.model)
    return sweep_over(
        captured, hardware=hardware, precision=precision, execution=execution, rules=rules, threads=threads
    )


def sweep_over(
    captured: Captured, *, hardware: Any, precision: Any, execution: Any, rules: Rules | None, threads: int | None
) -> Sweep:
    """`sweep` of what may have been captured at fixed sizes, which get columns, too."""
    import numpy as np

    from ..hardware import load

    graph, sizes, fixed, called = captured
    machines = [load(machine, threads=threads) for machine in _axis("hardware", hardware)]
    ways = list(product(_axis("precision", precision), _axis("execution", execution)))
    axes = {name: bind_axis(graph, name, values) for name, values in matched(graph.sizes, sizes).items()}
    # A size that depends on data and has no axis is at its default, which may differ from point to point.
    axes.update(
        (name, [limits["default"]])
        for name, limits in graph.sizes.items()
        if name not in axes and not _core.depends_on_data(name)
    )
    points = prod(len(values) for values in axes.values())
    grids = np.meshgrid(*(np.asarray(values, dtype=np.int64) for values in axes.values()), indexing="ij")
    columns = {name: np.ascontiguousarray(grid).reshape(points) for name, grid in zip(axes, grids, strict=True)}

    overrides = work_overrides(graph, rules)
    plans = [_plans(graph, columns, points, precision=way[0], execution=way[1], overrides=overrides) for way in ways]
    blocks = [_evaluated(plan, columns, machine, points) for machine, plan in product(machines, plans)]
    labels = [(machine.id, *way) for machine, way in product(machines, ways)]
    data: dict[str, NDArray[Any]] = {}
    for position, name in enumerate(("hardware", "precision", "execution")):
        data[name] = np.repeat(np.asarray([label[position] for label in labels]), points)
    for name, value in fixed.items():
        data[name] = np.full(points * len(blocks), value)
    for name, column in columns.items():
        data[name] = np.tile(column, len(blocks))
    items = data.get("batch", np.ones(points * len(blocks)))
    for name in QUANTITIES:
        if name == "throughput_per_s":
            with np.errstate(divide="ignore"):
                data[name] = items / data["latency_s"]
        else:
            data[name] = np.concatenate([block[name] for block in blocks])
    data["fits_in_memory"] = data["fits_in_memory"].astype(bool)
    data["peak_memory_bytes"] = data["peak_memory_bytes"].astype(np.int64)
    for column in data.values():
        column.flags.writeable = False
    return Sweep(model=called, sizes=(*fixed, *axes), _data=data)


def _plans(
    graph: Graph, columns: dict[str, NDArray[np.int64]], points: int, **options: Any
) -> list[tuple[NDArray[np.intp], Plan]]:
    """A plan for each set of sizes that are 1 somewhere, with the points that it is for.

    At a length of 1 torch makes views where it else makes copies, so such a size is bound before planning, as
    `estimate` binds it; so is a size that depends on data. The others stay open.
    """
    import numpy as np

    if not columns:
        return [(np.arange(points), _core.plan(graph, {}, **options))]
    keys = np.stack(
        [column if _core.depends_on_data(name) else np.where(column == 1, 1, -1) for name, column in columns.items()]
    )
    plans = []
    for key in np.unique(keys, axis=1).T:
        bound = {name: int(value) for name, value in zip(columns, key, strict=True) if value >= 0}
        where = np.flatnonzero((keys == key[:, None]).all(axis=0))
        plans.append((where, _core.plan(graph, bound, **options)))
    return plans


def _evaluated(
    plans: list[tuple[NDArray[np.intp], Plan]], columns: dict[str, NDArray[np.int64]], machine: Hardware, points: int
) -> dict[str, NDArray[Any]]:
    import numpy as np

    whole: dict[str, NDArray[Any]] = {}
    for where, plan in plans:
        part = {name: column[where] for name, column in columns.items()}
        for name, values in _core.evaluate(plan, part, machine, points=len(where)).items():
            whole.setdefault(name, np.empty(points))[where] = values
    return whole


def _axis(name: str, values: Any) -> list[Any]:
    if isinstance(values, (str, PathLike, _core.Hardware)):
        return [values]
    if not isinstance(values, Iterable):
        raise TypeError(f"{name} must be one or several names, got {values!r}")
    axis = list(values)
    if not axis:
        raise ValueError(f"{name} has no values to sweep over")
    return axis
