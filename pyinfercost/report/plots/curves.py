"""Curves of a sweep: one measure against another along the batch, their knees, and the Pareto front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ...results import figures
from ...sweeps.choosing import group_codes, knees
from ...sweeps.choosing import objectives as directed
from ...sweeps.condition_syntax import unknown_column
from ...sweeps.result import front_rows
from ..sweeps import sweep_axes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ...sweeps.result import Sweep
    from ..layout import Column

MOST_CURVES = 12
"""More curves than colours can tell apart are drawn as clouds of points."""

MOST_POINTS = 4000
"""At most so many points, shared out among the curves; the front is never left out, knees only where there are more."""

MEASURES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        figure.key: (figure.title, figure.shown_unit if figure.items > 1 else figure.unit)
        for figure in figures.of_scope(figures.SWEEP)
        if figure.better
    }
)
"""Titles and units of columns of results; `/1M` is for a million items, while a column has the figure of one."""


@dataclass(frozen=True)
class Mark:
    """A point that stands out.

    Attributes:
        row: its row in the sweep.
        x: where it is drawn.
        y: where it is drawn.
        along: its value along its curve; None where there is no such column.
        name: the other axes of the sweep, as far as they differ: `"l4, fp16"`.
    """

    row: int
    x: float
    y: float
    along: float | None
    name: str


@dataclass(frozen=True)
class Curve:
    """Points of one combination of the other axes, or, where there are too many, of one value of one of them.

    Attributes:
        name: the values of the axes that differ between curves: `"l4, fp16"`; empty where there is one curve.
        rows: the rows of the sweep that are drawn, along the curve.
        along: their values along it; empty where there is no such column.
        x: where they are drawn.
        y: where they are drawn.
        fits: whether they fit into the memory of their machine.
        joined: whether the points are one curve; a cloud holds points of many.
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
    """What a plot of a sweep shows.

    Attributes:
        model: what the model is called.
        x: the column across.
        y: the column upwards.
        along: the column along the curves; None for points alone.
        curves: in the order of the rows.
        knees: the rows that `Sweep.knee` calls knees, one for each curve, and for each curve in a cloud.
        front: the rows of the Pareto front, ordered by x.
        objectives: the columns of the front; empty for none.
        points: how many points the sweep has.
        drawn: how many of them are in `curves`.
        unknown: how many have no finite x and y, and are nowhere.
        shared: names and values of the axes that all points share.
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


def sweep_curves(
    sweep: Sweep,
    *,
    x: str = "latency_s",
    y: str = "throughput_per_s",
    along: str | None = "batch",
    knee: bool = True,
    pareto: bool | str | Sequence[str] = (),
) -> SweepCurves:
    """The curves of a sweep.

    Args:
        sweep: what `sweep` returned.
        x: a column of numbers.
        y: another.
        along: the size along each curve; None for points that no line joins.
        knee: whether to look for knees: where more of `along` buys little more throughput.
        pareto: columns of the Pareto front, `("latency_s", "cost_usd")`; True for x and y.

    Raises:
        ValueError: for an empty sweep; a column that is not there, holds text or is known at no point; an `along` that
            is no axis of the sweep; a front whose directions are not known. The message says what there is.
    """
    import numpy as np

    if not len(sweep):
        raise ValueError("this sweep has no points to draw; a condition may have left out all of them")
    points = _Points(sweep, _numbers(sweep, x), _numbers(sweep, y), along)
    known = np.isfinite(points.x) & np.isfinite(points.y)
    if not known.any():
        name = y if np.isfinite(points.x).any() else x
        raise ValueError(f"{name} is not known at any of {len(sweep):,} points{_remedy(name)}")
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
    )


class _Points:
    """All points of a sweep: where they are drawn, and what says which point a row is."""

    def __init__(self, sweep: Sweep, x: NDArray[np.float64], y: NDArray[np.float64], along: str | None) -> None:
        import numpy as np

        axes = sweep.identity()
        if along is not None and along not in axes:
            sizes = ", ".join(f"along={name!r}" for name in sweep.sizes)
            raise ValueError(
                f"this sweep has no axis {along!r} to draw curves along; its axes are {', '.join(axes)}: "
                f"say {sizes or 'another of them'}, or along=None for points alone"
            )
        self.sweep, self.x, self.y = sweep, x, y
        self.along: NDArray[Any] = np.empty(0) if along is None else np.asarray(sweep[along])
        if along is not None and self.along.dtype.kind not in "iuf":
            raise ValueError(f"along={along!r} is a column of text; expected a size, such as 'batch'")
        self._along = along

    def names(self, rows: NDArray[np.int64]) -> list[str]:
        """What the axes that differ say of each row, but for the one along a curve."""
        differing = [column for column in self._axes(rows)[1] if column.name != self._along]
        columns = [
            [f"{column.name} {cell}" for cell in column.cells] if column.numeric else column.cells
            for column in differing
        ]
        return [", ".join(cells) for cells in zip(*columns, strict=True)] if columns else [""] * len(rows)

    def marks(self, rows: NDArray[np.int64]) -> tuple[Mark, ...]:
        """Rows that stand out."""
        along = self.along[rows].tolist() if self._along is not None else [None] * len(rows)
        listed = zip(rows.tolist(), self.x[rows].tolist(), self.y[rows].tolist(), along, self.names(rows), strict=True)
        return tuple(Mark(*mark) for mark in listed)

    def curve(self, name: str, rows: NDArray[np.int64], *, joined: bool) -> Curve:
        """Rows as a curve."""
        import numpy as np

        along = self.along[rows] if self._along is not None else self.along
        fits = np.asarray(self.sweep["fits_in_memory"], dtype=np.bool_)[rows]
        return Curve(name, rows, along, self.x[rows], self.y[rows], fits, joined)

    def shared(self) -> tuple[tuple[str, str], ...]:
        """The axes that all points share."""
        import numpy as np

        return tuple(self._axes(np.zeros(1, dtype=np.int64))[0])

    def _axes(self, rows: NDArray[np.int64]) -> tuple[list[tuple[str, str]], list[Column]]:
        return sweep_axes(self.sweep, self.sweep.take(rows))


def _curves(
    points: _Points, codes: NDArray[np.int64], known: NDArray[np.bool_], knee_rows: NDArray[np.int64]
) -> tuple[Curve, ...]:
    """A curve of each combination of the other axes; where these are too many, a cloud of each value of one axis."""
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
    """The first axis of a few values, which colours can tell apart."""
    import numpy as np

    for name in sweep.identity():
        if 1 < len(np.unique(sweep[name])) <= MOST_CURVES:
            return name
    return None


def _value_text(axis: str, value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if axis in ("hardware", "precision", "execution", "price") else f"{axis.removesuffix('_scale')} {text}"


def _front(points: _Points, objectives: tuple[str, ...], known: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The rows of the front that can be drawn, ordered by x."""
    import numpy as np

    if not objectives:
        return np.zeros(0, dtype=np.int64)
    for name in objectives:
        if not np.isfinite(_numbers(points.sweep, name)).any():
            raise ValueError(f"{name} is not known at any of {len(points.sweep):,} points{_remedy(name)}")
    rows = front_rows(points.sweep.data, directed(objectives, known=points.sweep.data))
    rows = rows[known[rows]]
    return rows[np.lexsort((points.y[rows], points.x[rows]))]


def _numbers(sweep: Sweep, name: str) -> NDArray[np.float64]:
    """A column of numbers."""
    import numpy as np

    if name not in sweep.data:
        raise ValueError(unknown_column(name, sweep.data) + _remedy(name))
    column = np.asarray(sweep[name])
    if column.dtype.kind not in "iufb":
        raise ValueError(f"{name!r} is a column of text; expected one of numbers, such as 'latency_s'")
    return column.astype(np.float64)


def _remedy(name: str) -> str:
    """What makes a column known, where that takes more than a machine."""
    needs = figures.FIGURES[name].needs if name in figures.FIGURES else frozenset()
    if figures.PRICE in needs:
        return ": give sweep() a price="
    return ": give sweep() a region=" if figures.PLACE in needs else ""


def _evenly(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many of the rows, the first and the last among them."""
    import numpy as np

    if len(rows) <= most:
        return rows
    return rows[np.unique(np.linspace(0, len(rows) - 1, most).astype(np.int64))]
