"""The results of a sweep, as columns, and choosing among them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from .choosing import best_row, best_rows, group_codes, knees, objectives
from .condition_syntax import unknown_column
from .conditions import Condition
from .columns import GridColumns
from .facts import IF_KNOWN, QUANTITIES
from .batch_tradeoff import COLUMNS as TRADEOFF_COLUMNS
from .batch_tradeoff import tradeoff_columns

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

Where: TypeAlias = "str | Condition | Iterable[str | Condition] | None"
"""A condition on columns, or several that must all hold."""


class Sweep:
    """The estimates of a grid of points: `sweep["latency_s"]` is a numpy column with one value per point.

    The columns are `hardware`, `precision`, `execution`, `devices` and scales where they were given, each size of the
    graph, `facts.QUANTITIES`, and where they are known those of `facts.IF_KNOWN`: cost, tokens, carbon. Rows are
    in the order of a nested loop: a list of points outermost, then hardware, scales, precision, execution, devices,
    and the sizes in the order given. As with a data frame, iterating gives the names of the columns and `len` the
    number of points.

    Columns that follow from others (throughput, bands, what says which point a row is) are worked out when asked for.

    Attributes:
        model: what the model is called.
        sizes: the columns that are sizes.
        data: the columns by name, worked out when asked for.
        complete: whether all points of the grid were computed, those included that a filter left out.
    """

    def __init__(
        self, model: str, sizes: tuple[str, ...], data: Mapping[str, NDArray[Any]], *, complete: bool = True
    ) -> None:
        self.model = model
        self.sizes = sizes
        self.complete = complete
        self.data = data

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(self.data)

    def __getitem__(self, column: str) -> NDArray[Any]:
        if column not in self.data:
            raise KeyError(unknown_column(column, self.data).replace("unknown column", "no column"))
        return self.data[column]

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return self.data.rows if isinstance(self.data, GridColumns) else len(self.data["latency_s"])

    def __repr__(self) -> str:
        partial = "" if self.complete else ", not complete"
        return f"<Sweep {self.model or 'graph'}: {len(self)} points{partial}, columns {', '.join(self.data)}>"

    def _repr_html_(self) -> str:
        from ..report.html.snippet import sweep_snippet

        return sweep_snippet(self)

    # ---- choosing ----

    def take(self, rows: NDArray[Any]) -> Sweep:
        """Some of the points: row numbers in any order, or a mask of booleans."""
        data: Mapping[str, NDArray[Any]]
        if isinstance(self.data, GridColumns):
            data = self.data.take(rows)
        else:
            data = {name: column[rows] for name, column in self.data.items()}
        return Sweep(self.model, self.sizes, data, complete=self.complete)

    def where(self, condition: Where) -> Sweep:
        """The points that satisfy a condition: `"fits_in_memory and latency_s <= 0.05"`.

        Args:
            condition: a comparison of columns, numbers and texts in Python's syntax, or several that must all hold.

        Raises:
            ConditionError: for what is no condition, or names a column that is not there.
        """
        parsed = Condition.all_of(condition)
        return self if parsed is None else self.take(parsed.mask(self.data, rows=len(self)))

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

        chosen = objectives(names, maximize=maximize, minimize=minimize, known=self.data)
        front = self.take(front_rows(self.data, chosen))
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
        ((name, most),) = objectives((objective,), known=self.data, **given)
        condition = Condition.all_of(where)
        per = (per,) if isinstance(per, str) else tuple(per)
        if per:
            return self.take(best_rows(self.data, name, most, condition, per))
        return self.row(best_row(self.data, name, most, condition))

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
        others = [name for name in points.columns if name in points.identity() and name != x]
        codes = group_codes(points.data, others)
        return points.take(knees(points[x], points[y], codes))

    def tradeoff(self, x: str = "batch", *, where: Where = None) -> Sweep:
        """What more batch buys and costs, as a table: each curve at every doubling of x, its ends and its knee.

        Three columns come on top: `throughput_share`, of the greatest throughput of the curve; `latency_ratio`, over
        its least latency; and `knee`, true where `knee()` finds it. Curves of up to 16 points are there whole.

        Args:
            x: the column along a curve.
            where: a condition on the points that make up the curves.
        """
        points = self.where(where)
        return Sweep(self.model, self.sizes, tradeoff_columns(points, x), complete=self.complete)

    def identity(self) -> tuple[str, ...]:
        """The columns that say which point a row is."""
        return tuple(name for name in self.data if name not in (*QUANTITIES, *IF_KNOWN, *TRADEOFF_COLUMNS))

    # ---- as something else ----

    def row(self, number: int) -> dict[str, Any]:
        """One point as a plain dict of str, int, float and bool."""
        import numpy as np

        point = self.take(np.asarray([range(len(self))[number]], dtype=np.int64))
        return {name: point[name].tolist()[0] for name in point.columns}

    def rows(self) -> list[dict[str, Any]]:
        """The points as plain dicts of str, int, float and bool, in the order of the columns."""
        lists = [self.data[name].tolist() for name in self.data]
        return [dict(zip(self.data, row, strict=True)) for row in zip(*lists, strict=True)]

    def to_dict(self) -> dict[str, Any]:
        """A JSON object: `schema_version`, `model`, and `points`, one object per row."""
        from ..report.document import sweep_document

        return sweep_document(self)

    def to_json(self, *, indent: int | None = 2) -> str:
        """`to_dict` as text."""
        from ..report.document import as_json

        return as_json(self.to_dict(), indent=indent)

    @overload
    def to_csv(self, path: None = None) -> str: ...
    @overload
    def to_csv(self, path: str | PathLike[str]) -> None: ...
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
        from .frames import to_pandas

        return to_pandas(self)

    def to_arrow(self) -> Any:
        """The columns as a `pyarrow.Table`, texts as dictionaries."""
        from .frames import to_arrow

        return to_arrow(self)

    def to_polars(self) -> Any:
        """The columns as a `polars.DataFrame`."""
        from .frames import to_polars

        return to_polars(self)

    def to_parquet(self, path: str | PathLike[str]) -> None:
        """The columns as one Parquet file."""
        from .frames import write_parquet

        write_parquet(self, Path(path))

    def plot(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Throughput against latency, a curve for each machine and way of running; options as in `plots.plot_sweep`."""
        from ..report.plots.draw_sweep import plot_sweep

        return plot_sweep(self, ax, **options)

    def to_vega(self, **options: Any) -> dict[str, Any]:
        """The same as a Vega-Lite specification with its data inside: options `x`, `y`, `along`, `knee`, `pareto`."""
        from ..report.plots.vega_sweep import sweep_vega

        return sweep_vega(self, **options)


def front_rows(data: Mapping[str, NDArray[Any]], chosen: list[tuple[str, bool]]) -> NDArray[np.int64]:
    """The rows of the Pareto front."""
    import numpy as np

    from .._core import pareto_front

    columns = [np.ascontiguousarray(data[name], dtype=np.float64) for name, _ in chosen]
    return pareto_front(columns, [most for _, most in chosen])
