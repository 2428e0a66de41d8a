"""Curves of a sweep: one column against another along the batch, their knees, and the Pareto front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ...results import figures
from ...sources.sizes import BATCH
from ...sweeps.condition_syntax import unknown_column
from ...sweeps.result import front_rows
from ...sweeps.selection import group_codes, knees
from ...sweeps.selection import objectives as directed
from ..sweeps import sweep_axes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ...sweeps.result import Sweep
    from ..layout import Column

MOST_CURVES = 12
"""Maximum number of curves, as colors distinguish no more; further ones become clouds of points."""

MOST_POINTS = 4000
"""Maximum number of points over all curves; the front is always complete, knees only up to this number."""

MEASURES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        figure.key: (figure.title, figure.shown_unit if figure.items > 1 else figure.unit)
        for figure in figures.of_scope(figures.SWEEP)
        if figure.better
    }
)
"""Titles and units of result columns; `/1M` is for a million items, while the column is per item."""


@dataclass(frozen=True)
class Mark:
    """A highlighted point.

    Attributes:
        row: Its row in the sweep.
        x: Its position.
        y: Its position.
        along: Its value along its curve; None without such a column.
        name: Values of the other axes, if they differ within the sweep: `"l4, fp16"`.
    """

    row: int
    x: float
    y: float
    along: float | None
    name: str


@dataclass(frozen=True)
class Curve:
    """Points of one combination of the other axes or, if there are too many, of one value of one axis.

    Attributes:
        name: Values of the axes that differ between curves: `"l4, fp16"`; empty for a single curve.
        rows: The drawn rows of the sweep, along the curve.
        along: Their values along the curve; empty without such a column.
        x: Their positions.
        y: Their positions.
        fits: Whether each fits into the memory of its machine.
        joined: Whether the points form one curve; a cloud has points of many.
    """

    name: str
    rows: NDArray[np.int64]
    along: NDArray[Any]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    fits: NDArray[np.bool_]
    joined: bool


@dataclass(frozen=True)
class SweepCurves:
    """Data of a sweep plot.

    Attributes:
        model: Name of the model.
        x: Column on x.
        y: Column on y.
        along: Column along the curves; None for unconnected points.
        curves: Curves in the order of the rows.
        knees: Rows of knees (`Sweep.knee`), one for each curve, including those within a cloud.
        front: Rows of the Pareto front, ordered by x.
        objectives: Columns of the front; empty without one.
        points: Number of points of the sweep.
        drawn: Number of points in `curves`.
        unknown: Number of points without finite x and y, which are not drawn.
        shared: Names and values of the axes that all points share.
        limits_x: Numbers that x is compared with in the condition by which the points were selected.
        limits_y: The same of y.
    """

    model: str
    x: str
    y: str
    along: str | None
    curves: tuple[Curve, ...]
    knees: tuple[Mark, ...]
    front: tuple[Mark, ...]
    objectives: tuple[str, ...]
    points: int
    drawn: int
    unknown: int
    shared: tuple[tuple[str, str], ...]
    limits_x: tuple[float, ...]
    limits_y: tuple[float, ...]


def default_x(sweep: Sweep, along: str | None, pareto: bool | str | Sequence[str]) -> str:
    """Return the column on x if none is given: the size along the curves, if it has several values.

    Against the latency, small batches would form a vertical line: they take equally long. A Pareto front of latency is
    drawn against it nevertheless, as are points without curves.
    """
    import numpy as np

    if along is None or pareto or along not in sweep.data:
        return "latency_s"
    values = np.asarray(sweep[along])
    return along if values.dtype.kind in "iuf" and len(np.unique(values)) > 1 else "latency_s"


def sweep_curves(
    sweep: Sweep,
    *,
    x: str | None = None,
    y: str = "throughput_per_s",
    along: str | None = BATCH,
    knee: bool = True,
    pareto: bool | str | Sequence[str] = (),
) -> SweepCurves:
    """Compute the curves of a sweep.

    Args:
        sweep: The result of `sweep`.
        x: A numeric column; by default `default_x`.
        y: A numeric column.
        along: The size along each curve; None for unconnected points.
        knee: Whether to find knees, beyond which a larger `along` adds little throughput.
        pareto: Columns of the Pareto front, such as `("latency_s", "cost_usd")`; True for x and y.

    Returns:
        The curves.

    Raises:
        InputError: The sweep is empty; a column is missing, not numeric or unknown at all points; `along` is not an
            axis of the sweep; or the direction of a front's column is unknown.
    """
    import numpy as np

    if not len(sweep):
        raise InputError("this sweep has no points to draw; a condition may have removed all of them")
    if x is None:
        x = default_x(sweep, along, pareto)
    points = _Points(sweep, _numbers(sweep, x), _numbers(sweep, y), along)
    known = np.isfinite(points.x) & np.isfinite(points.y)
    if not known.any():
        name = y if np.isfinite(points.x).any() else x
        raise InputError(f"{name} is unknown at all of {len(sweep):,} points{_remedy(name)}")
    codes = group_codes(sweep.data, [name for name in sweep.identity() if name != along])
    knee_rows = np.zeros(0, dtype=np.int64)
    if knee and along is not None:
        knee_rows = knees(points.along, sweep["throughput_per_s"], codes)
        knee_rows = _evenly(knee_rows[known[knee_rows]], MOST_POINTS)
    objectives = (x, y) if pareto is True else (pareto,) if isinstance(pareto, str) else tuple(pareto or ())
    curves = _curves(points, codes, known, knee_rows)
    return SweepCurves(
        model=sweep.model,
        x=x,
        y=y,
        along=along,
        curves=curves,
        knees=points.marks(knee_rows),
        front=points.marks(_front(points, objectives, known)),
        objectives=objectives,
        points=len(sweep),
        drawn=sum(len(curve.rows) for curve in curves),
        unknown=int((~known).sum()),
        shared=points.shared(),
        limits_x=() if sweep.condition is None else sweep.condition.bounds_of(x),
        limits_y=() if sweep.condition is None else sweep.condition.bounds_of(y),
    )


def title_of(column: str) -> str:
    """Return the name of a column in words."""
    return "batch size" if column == BATCH else MEASURES.get(column, (column, ""))[0]


class _Points:
    """All points of a sweep, with their positions and their names."""

    def __init__(self, sweep: Sweep, x: NDArray[np.float64], y: NDArray[np.float64], along: str | None) -> None:
        import numpy as np

        axes = sweep.identity()
        if along is not None and along not in axes:
            sizes = ", ".join(f"along={name!r}" for name in sweep.sizes)
            raise InputError(
                f"this sweep has no axis {along!r} to draw curves along; its axes are {', '.join(axes)}; "
                f"pass {sizes or 'another of them'}, or along=None for unconnected points"
            )
        self.sweep, self.x, self.y = sweep, x, y
        self.along: NDArray[Any] = np.empty(0) if along is None else np.asarray(sweep[along])
        if along is not None and self.along.dtype.kind not in "iuf":
            raise InputError(f"along={along!r} is a text column; expected a size, such as {BATCH!r}")
        self._along = along

    def names(self, rows: NDArray[np.int64]) -> list[str]:
        """Return the values of the differing axes for each row, except the axis along the curve."""
        differing = [column for column in self._axes(rows)[1] if column.name != self._along]
        columns = [
            [f"{column.name} {cell}" for cell in column.cells] if column.numeric else column.cells
            for column in differing
        ]
        return [", ".join(cells) for cells in zip(*columns, strict=True)] if columns else [""] * len(rows)

    def marks(self, rows: NDArray[np.int64]) -> tuple[Mark, ...]:
        """Return rows as highlighted points."""
        along = self.along[rows].tolist() if self._along is not None else [None] * len(rows)
        listed = zip(rows.tolist(), self.x[rows].tolist(), self.y[rows].tolist(), along, self.names(rows), strict=True)
        return tuple(Mark(*mark) for mark in listed)

    def curve(self, name: str, rows: NDArray[np.int64], *, joined: bool) -> Curve:
        """Return rows as a curve."""
        import numpy as np

        along = self.along[rows] if self._along is not None else self.along
        fits = np.asarray(self.sweep["fits_in_memory"], dtype=np.bool_)[rows]
        return Curve(name, rows, along, self.x[rows], self.y[rows], fits, joined)

    def shared(self) -> tuple[tuple[str, str], ...]:
        """Return names and values of the axes that all points share."""
        import numpy as np

        return tuple(self._axes(np.zeros(1, dtype=np.int64))[0])

    def _axes(self, rows: NDArray[np.int64]) -> tuple[list[tuple[str, str]], list[Column]]:
        return sweep_axes(self.sweep, self.sweep.take(rows))


def _curves(
    points: _Points, codes: NDArray[np.int64], known: NDArray[np.bool_], knee_rows: NDArray[np.int64]
) -> tuple[Curve, ...]:
    """Return one curve per combination of the other axes or, if there are too many, one cloud per value of one axis."""
    import numpy as np

    count, axis = int(codes.max()) + 1, None
    cloudy = count > MOST_CURVES
    if cloudy:
        axis = _telling_axis(points.sweep)
        codes = group_codes(points.sweep.data, () if axis is None else (axis,))
        count = int(codes.max()) + 1
    joined = bool(points.along.size) and not cloudy
    chosen = []
    for code in range(count):
        rows = np.flatnonzero((codes == code) & known)
        if joined:
            rows = rows[np.argsort(points.along[rows], kind="stable")]
        kept = _evenly(rows, max(2, MOST_POINTS // count))
        if joined and len(kept) < len(rows):
            kept = rows[np.isin(rows, np.concatenate([kept, knee_rows]))]
        if kept.size:
            chosen.append(kept)
    firsts = np.asarray([rows[0] for rows in chosen])
    if cloudy:
        names = [""] * len(chosen) if axis is None else [_value_text(axis, v) for v in points.sweep[axis][firsts]]
    else:
        names = points.names(firsts)
    return tuple(points.curve(name, rows, joined=joined) for name, rows in zip(names, chosen, strict=True))


def _telling_axis(sweep: Sweep) -> str | None:
    """Return the first axis with few enough values for colors."""
    import numpy as np

    for name in sweep.identity():
        if 1 < len(np.unique(sweep[name])) <= MOST_CURVES:
            return name
    return None


def _value_text(axis: str, value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if axis in ("hardware", "precision", "execution", "price") else f"{axis.removesuffix('_scale')} {text}"


def _front(points: _Points, objectives: tuple[str, ...], known: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the drawable rows of the front, ordered by x."""
    import numpy as np

    if not objectives:
        return np.zeros(0, dtype=np.int64)
    for name in objectives:
        if not np.isfinite(_numbers(points.sweep, name)).any():
            raise InputError(f"{name} is unknown at all of {len(points.sweep):,} points{_remedy(name)}")
    rows = front_rows(points.sweep.data, directed(objectives, known=points.sweep.data))
    rows = rows[known[rows]]
    return rows[np.lexsort((points.y[rows], points.x[rows]))]


def _numbers(sweep: Sweep, name: str) -> NDArray[np.float64]:
    """Return a numeric column."""
    import numpy as np

    if name not in sweep.data:
        raise InputError(unknown_column(name, sweep.data) + _remedy(name))
    column = np.asarray(sweep[name])
    if column.dtype.kind not in "iufb":
        raise InputError(f"{name!r} is a text column; expected a numeric one, such as 'latency_s'")
    return column.astype(np.float64)


def _remedy(name: str) -> str:
    """Return the argument of `sweep` that provides a column, if it needs one."""
    needs = figures.FIGURES[name].needs if name in figures.FIGURES else frozenset()
    if figures.PRICE in needs:
        return "; pass price= to sweep()"
    return "; pass region= to sweep()" if figures.PLACE in needs else ""


def _evenly(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return at most `most` of the rows, evenly chosen, including the first and the last."""
    import numpy as np

    if len(rows) <= most:
        return rows
    return rows[np.unique(np.linspace(0, len(rows) - 1, most).astype(np.int64))]
