"""`Sweep`: the results of a sweep as columns, and selection of points."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias

from .._checks import ROWS, Range, whole
from ..errors import InputIndexError, InputTypeError, UnknownNameError
from ..report.render import render
from ..results.result import Result
from .columns import IF_KNOWN, OF_KERNELS, QUANTITIES, GridColumns
from .condition_syntax import unknown_column
from .conditions import Condition
from .files import as_path, file_errors
from .frames import ROWS_PER_GROUP, known_values, write_parquet
from .selection import (
    TRADEOFF_COLUMNS,
    best_row,
    best_rows,
    direction,
    group_codes,
    knees,
    numbers,
    objectives,
    several,
    tradeoff_columns,
)

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

ROWS_OF_A_TABLE = 40
"""Default number of points with a row in text."""

Where: TypeAlias = "str | Condition | Iterable[str | Condition] | None"
"""A condition on columns, or several that must all hold."""


class Sweep(Result):
    """The estimates of a grid of points: `sweep["latency_s"]` is a numpy column with one value per point.

    The columns are `hardware`, `precision`, `execution`, the other fields of deployments and the scales that were
    given, each size of the graph, and the results; cost, carbon, tokens and KV cache are columns if they are known.
    Rows are in the order of a nested loop: a list of points outermost, then hardware, scales, precision, execution,
    devices, and the sizes in the given order. As with a data frame, iterating yields the names of the columns, and
    `len` is the number of points.

    `fits_in_memory` is also true on machines whose owner chooses the size of the memory; `machine_memory_bytes` is nan
    there. `emulated_by` marks points whose precision the machine has no engine for: it is the dtype that computes
    their products. Columns that follow from others, such as throughput and bands, are computed when they are requested.

    Attributes:
        model: Name of the model.
        sizes: The columns that are sizes.
        data: The columns by name.
        complete: Whether all points of the grid were computed, including those that a filter left out.
        condition: Selection of its points, whose limits plots draw; None for all points.
    """

    def __init__(
        self,
        model: str,
        sizes: tuple[str, ...],
        data: Mapping[str, NDArray[Any]],
        *,
        complete: bool = True,
        condition: Condition | None = None,
    ) -> None:
        self.model = model
        self.sizes = sizes
        self.complete = complete
        self.condition = condition
        self.data = data

    def _of(self, data: Mapping[str, NDArray[Any]]) -> Sweep:
        """Return other points of this sweep."""
        return Sweep(self.model, self.sizes, data, complete=self.complete, condition=self.condition)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(self.data)

    def __getitem__(self, column: str) -> NDArray[Any]:
        if not isinstance(column, str):
            raise InputTypeError(f"a column is named {column!r}; expected a text such as 'latency_s'")
        if column not in self.data:
            raise UnknownNameError(unknown_column(column, self.data).replace("unknown column", "no column"))
        return self.data[column]

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return self.data.rows if isinstance(self.data, GridColumns) else len(self.data["latency_s"])

    def __repr__(self) -> str:
        partial = "" if self.complete else ", not complete"
        return f"<Sweep {self.model or 'graph'}: {len(self)} points{partial}, columns {', '.join(self.data)}>"

    # ---- choosing ----

    def take(self, rows: NDArray[Any]) -> Sweep:
        """Return some of the points.

        Args:
            rows: Row numbers in any order, or a mask of booleans.
        """
        rows = self._rows(rows)
        data: Mapping[str, NDArray[Any]]
        if isinstance(self.data, GridColumns):
            data = self.data.take(rows)
        else:
            data = {name: column[rows] for name, column in self.data.items()}
        return self._of(data)

    def _rows(self, rows: Any) -> NDArray[Any]:
        """Return row numbers from 0 on, or a mask."""
        import numpy as np

        chosen = np.asarray(rows)
        kind, count = chosen.dtype.kind, len(self)
        if chosen.ndim != 1 or kind not in "biu" or (kind == "b" and len(chosen) != count):
            raise InputTypeError(
                f"rows is {type(rows).__name__} of {chosen.dtype} and shape {chosen.shape}; expected row numbers, or a "
                f"mask of shape ({count},)"
            )
        if kind == "b" or not len(chosen):
            return chosen
        if not (-count <= chosen.min() and chosen.max() < count):
            raise InputIndexError(f"rows has {chosen.min()} to {chosen.max()}; there are {count:,} points")
        return chosen % count if chosen.min() < 0 else chosen

    def stretch(self, first: int, last: int) -> Sweep:
        """Return the points from `first` up to and without `last`, without copying columns."""
        import numpy as np

        if not (isinstance(self.data, GridColumns) and isinstance(self.data.points, slice)):
            return self.take(np.arange(first, last))
        return self._of(self.data.stretch(first, last))

    def in_stretches(self, rows: int) -> Iterator[Sweep]:
        """Yield the points in pieces of so many rows; one piece without rows if there are none."""
        for first in range(0, len(self) or 1, rows):
            yield self.stretch(first, min(first + rows, len(self)))

    def where(self, condition: Where) -> Sweep:
        """Return the points that satisfy a condition: `"fits_in_memory and latency_s <= 0.05"`.

        Args:
            condition: A comparison of columns, numbers and texts in Python's syntax, or several that must all hold.

        Raises:
            ConditionError: It is no condition, or names an unknown column.
        """
        parsed = Condition.all_of(condition)
        if parsed is None:
            return self
        found = self.take(parsed.mask(self.data, rows=len(self)))
        found.condition = Condition.all_of([each for each in (self.condition, parsed) if each is not None])
        return found

    def pareto(self, *names: str, maximize: str | Iterable[str] = (), minimize: str | Iterable[str] = ()) -> Sweep:
        """Return the Pareto front of these columns, ordered by the first of them: points that no other point dominates.

        Args:
            *names: Columns with a known direction: less time, memory and money is better, more throughput is.
            maximize: Columns of which more is better.
            minimize: Columns of which less is better.

        Raises:
            ObjectiveError: The direction of a column is neither known nor given.
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
        """Return the best point, or the best of each group: `grid.best("cost_usd", where="latency_s <= 0.05")`.

        Args:
            objective: A column with a known direction, or any with `maximize`.
            where: A condition on the point.
            per: Columns, for the best point of each combination of their values.
            maximize: Whether more is better; None for the known direction of the column.

        Returns:
            The point as a dict, or a Sweep if `per` is given. Of equal points, the first.

        Raises:
            NothingFitsError: No point satisfies the condition; the message has the nearest values.
        """
        ((name, most),) = objectives((objective,), known=self.data, **direction(objective, maximize))
        condition = Condition.all_of(where)
        per = several(per)
        if per:
            return self.take(best_rows(self.data, name, most, condition, per))
        return self.row(best_row(self.data, name, most, condition))

    def knee(self, x: str = "batch", y: str = "throughput_per_s", *, where: Where = None) -> Sweep:
        """Return the knee of each curve of y against x: beyond it, more batch adds little throughput.

        There is a curve for each combination of the other columns that identify a point. At the knee, the curve is
        furthest above the straight line between its ends, both axes scaled to 0..1 (Satopaa et al., "Finding a Kneedle
        in a Haystack", 2011). The curve is the running maximum, since waves make throughput a sawtooth.

        Args:
            x: The column along a curve.
            y: The column that saturates.
            where: A condition on the points of the curves.
        """
        x, y = several((x, y))
        points = self.where(where)
        others = [name for name in points.columns if name in points.identity() and name != x]
        codes = group_codes(points.data, others)
        return points.take(knees(numbers(points.data, x), numbers(points.data, y), codes))

    def batch_tradeoff(self, x: str = "batch", *, where: Where = None) -> Sweep:
        """Return throughput against latency along the batch: each curve at every doubling of x, its ends and its knee.

        Three columns are added: `throughput_share`, of the greatest throughput of the curve; `latency_ratio`, over its
        least latency; and `knee`, true at the point that `knee()` returns. Curves of up to 16 points are complete.

        Args:
            x: The column along a curve.
            where: A condition on the points of the curves.
        """
        points = self.where(where)
        return points._of(tradeoff_columns(points.data, points.identity(), x))

    def identity(self) -> tuple[str, ...]:
        """Return the columns that identify a point."""
        results = (*QUANTITIES, *IF_KNOWN, *TRADEOFF_COLUMNS, *OF_KERNELS)
        return tuple(name for name in self.data if name not in results)

    # ---- as something else ----

    def row(self, number: int) -> dict[str, Any]:
        """Return one point as a dict of str, int, float, bool and None."""
        import numpy as np

        point = self.take(np.asarray([whole(number, "row", Range(-(2**63), 2**63 - 1))]))
        return {name: known_values(point[name])[0] for name in point.columns}

    def to_text(self, *, limit: int | None = ROWS_OF_A_TABLE, width: int = 100) -> str:
        """Return the shared settings and the first points, as plain text.

        Args:
            limit: Number of points in rows; None for all.
            width: Width of a line in characters.
        """
        limit = None if limit is None else whole(limit, "limit", ROWS)
        text: str = render(self, "text", limit=limit, width=width)
        return text

    def to_parquet(self, path: str | PathLike[str]) -> None:
        """Write the columns into one Parquet file."""
        file = as_path("path", path)
        with file_errors(file, "it is incomplete if it is there: make room or access, or pass another file"):
            write_parquet((part.data for part in self.in_stretches(ROWS_PER_GROUP)), file)

    def plot(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw throughput and latency against the batch, a curve per deployment; options as in `plots.plot_sweep`."""
        return render(self, "plot", ax=ax, **options)  # type: ignore[no-any-return]


def front_rows(data: Mapping[str, NDArray[Any]], chosen: list[tuple[str, bool]]) -> NDArray[np.int64]:
    """Return the rows of the Pareto front."""
    import numpy as np

    from .._core import pareto_front

    columns = [np.ascontiguousarray(data[name], dtype=np.float64) for name, _ in chosen]
    return pareto_front(columns, [most for _, most in chosen])


def joined(parts: Sequence[Sweep]) -> Sweep:
    """Return the points of several sweeps with the same columns as one.

    Args:
        parts: At least one sweep.
    """
    import numpy as np

    first = parts[0]
    data = {name: np.concatenate([part[name] for part in parts]) for name in first.columns}
    return Sweep(first.model, first.sizes, data, complete=first.complete, condition=first.condition)
