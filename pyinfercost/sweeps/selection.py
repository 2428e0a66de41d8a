"""Selection of rows: the best, the best of each group, and the trade-off along a curve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from ..errors import InputError, InputTypeError
from ..results import figures
from ..results.figures import MORE
from .condition_syntax import unknown_column
from .condition_values import is_text
from .conditions import Condition, row_count
from .knees import first_hits, knees, runs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "DIRECTIONS",
    "TRADEOFF_COLUMNS",
    "NothingFitsError",
    "ObjectiveError",
    "best_row",
    "best_rows",
    "direction",
    "group_codes",
    "knees",
    "numbers",
    "objectives",
    "several",
    "tradeoff_columns",
]

DIRECTIONS: Mapping[str, bool] = MappingProxyType(
    {
        **{f.key: f.better == MORE for f in figures.of_scope(figures.SWEEP) if f.better},
        "devices": False,
    }
)
"""Columns that are better in one direction: True if more is better, False if less is."""

TRADEOFF_COLUMNS = ("throughput_share", "latency_ratio", "knee")
"""Columns that `tradeoff_columns` adds."""

_FEW = 16
"""Curves of at most this many points are shown complete."""


class ObjectiveError(InputError):
    """A column that is no objective, or whose better direction is unknown."""


class NothingFitsError(InputError):
    """No row satisfies the condition; the message has the nearest value of each of its terms."""


def objectives(
    names: str | Iterable[str],
    *,
    maximize: str | Iterable[str] = (),
    minimize: str | Iterable[str] = (),
    known: Mapping[str, NDArray[Any]],
) -> list[tuple[str, bool]]:
    """Return the columns to choose by, and whether more of each is better.

    `maximize` and `minimize` override the usual direction of a column. Columns that only they name are objectives after
    the objectives of `names`.

    Args:
        names: One or several columns.
        maximize: Columns of which more is better.
        minimize: Columns of which less is better.
        known: All columns; only objectives are read.

    Returns:
        Pairs of a column and whether to maximize it.

    Raises:
        ObjectiveError: There is no objective, or one is named twice, is no column, is a column of text, or has no known
            direction.
    """
    named, most, least = several(names), several(maximize), several(minimize)
    for group in (named, [*most, *least]):
        for name in group:
            if group.count(name) > 1:
                raise ObjectiveError(f"objective {name!r} is named twice; name it once")
    said = {**dict.fromkeys(most, True), **dict.fromkeys(least, False)}
    chosen = list(dict.fromkeys([*named, *said]))
    if not chosen:
        raise ObjectiveError("no objective is given; expected names of columns, as in 'latency_s'")
    for name in chosen:
        numbers(known, name)
    directions = {**DIRECTIONS, **said}
    for name in chosen:
        if name not in directions:
            raise ObjectiveError(
                f"whether more or less of {name!r} is better is not known; "
                f"pass maximize=({name!r},) or minimize=({name!r},)"
            )
    return [(name, directions[name]) for name in chosen]


def best_row(
    columns: Mapping[str, NDArray[Any]],
    objective: str,
    maximize: bool,
    condition: Condition | None,
    ties: Literal["first", "last"] = "first",
) -> int:
    """Return the index of the best row that satisfies the condition.

    Args:
        columns: The columns by name.
        objective: The column to choose by; rows in which it is NaN are never chosen.
        maximize: Whether more of it is better.
        condition: The condition; None for all rows.
        ties: Which of equally good rows to take.

    Raises:
        NothingFitsError: There is no such row.
        ObjectiveError: The objective is no column, or a column of text.
        ConditionError: The condition does not suit the columns.
        InputError: `ties` is invalid.
    """
    import numpy as np

    if ties not in ("first", "last"):
        raise InputError(f"ties is {ties!r}; expected 'first' or 'last'")
    values = numbers(columns, objective)
    rows = _candidates(columns, values, condition)
    if not rows.size:
        raise NothingFitsError(_nothing_fits(columns, objective, len(values), condition))
    best = values[rows].max() if maximize else values[rows].min()
    hits = np.flatnonzero(values[rows] == best)
    return int(rows[hits[0 if ties == "first" else -1]])


def best_rows(
    columns: Mapping[str, NDArray[Any]],
    objective: str,
    maximize: bool,
    condition: Condition | None,
    per: Sequence[str],
) -> NDArray[np.int64]:
    """Return the best row of each distinct combination of some columns, the first on ties.

    Args:
        columns: The columns by name.
        objective: As in `best_row`.
        maximize: As in `best_row`.
        condition: As in `best_row`.
        per: The columns whose combinations are groups; without any, all rows are one group.

    Returns:
        Indices of rows, in the order in which their groups first appear. A group without a matching row is left out.

    Raises:
        ObjectiveError: The objective or a column of `per` is unknown, or the objective is a column of text.
        ConditionError: The condition does not suit the columns.
    """
    import numpy as np

    values = numbers(columns, objective)
    codes = group_codes(columns, per) if per else np.zeros(len(values), dtype=np.int64)
    rows = _candidates(columns, values, condition)
    rows = rows[np.argsort(codes[rows], kind="stable")]
    if not rows.size:
        return rows
    starts, lengths = runs(codes[rows])
    best = (np.maximum if maximize else np.minimum).reduceat(values[rows], starts)
    return rows[first_hits(values[rows] == np.repeat(best, lengths), starts, lengths)]


def group_codes(columns: Mapping[str, NDArray[Any]], names: Iterable[str]) -> NDArray[np.int64]:
    """Number the distinct combinations of some columns, in the order in which they first appear.

    Args:
        columns: The columns by name.
        names: The columns to combine; without any, all rows are one group.

    Returns:
        The number of each row's combination. NaNs count as equal.

    Raises:
        ObjectiveError: A name is no column.
    """
    import numpy as np

    codes: NDArray[np.int64] | None = None
    count = 1
    for name in several(names):
        if name not in columns:
            raise ObjectiveError(unknown_column(name, columns))
        kinds, inverse = _factorized(np.asarray(columns[name]))
        codes = inverse if codes is None else codes * kinds + inverse
        count *= kinds
        if count >= 2**31:  # the next product may exceed 64 bits
            distinct, inverse = np.unique(codes, return_inverse=True)
            codes, count = inverse.reshape(-1).astype(np.int64, copy=False), len(distinct)
    if codes is None:
        return np.zeros(row_count(columns), dtype=np.int64)
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    renumbered = np.empty(len(first), dtype=np.int64)
    renumbered[np.argsort(first)] = np.arange(len(first))
    return renumbered[inverse.reshape(-1)]


def tradeoff_columns(points: Mapping[str, NDArray[Any]], identity: Sequence[str], x: str) -> dict[str, NDArray[Any]]:
    """Return the columns of `Sweep.batch_tradeoff`, including the columns of the sweep.

    Args:
        points: The columns of a sweep.
        identity: The columns that identify a point.
        x: The column along a curve, such as the batch.
    """
    import numpy as np

    (x,) = several((x,))
    others = [name for name in identity if name != x]
    codes = group_codes(points, others)
    along, throughput, latency_s = (numbers(points, name) for name in (x, "throughput_per_s", "latency_s"))
    knee_rows = knees(along, throughput, codes)
    order = np.lexsort((along, codes))
    starts, lengths = runs(codes[order])
    wanted = np.zeros(len(order), dtype=np.bool_)
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        wanted[start + _rungs(along[order[start : start + length]])] = True
    wanted |= np.isin(order, knee_rows)
    rows = order[wanted]

    def of_curve(ends: NDArray[np.float64]) -> NDArray[np.float64]:
        whole: NDArray[np.float64] = np.repeat(ends, lengths)[wanted]
        return whole

    chosen = {name: points[name][rows] for name in points}
    if len(rows):
        most = of_curve(np.maximum.reduceat(throughput[order], starts))
        least = of_curve(np.minimum.reduceat(latency_s[order], starts))
        chosen["throughput_share"], chosen["latency_ratio"] = throughput[rows] / most, latency_s[rows] / least
    else:
        chosen["throughput_share"] = chosen["latency_ratio"] = np.empty(0)
    chosen["knee"] = np.isin(rows, knee_rows)
    return chosen


def _rungs(rising: NDArray[Any]) -> NDArray[np.int64]:
    """Return the positions on a curve to show: all of a short curve; the ends and each doubling of a long one."""
    import numpy as np

    if len(rising) <= _FEW:
        return np.arange(len(rising))
    doublings = np.arange(1, max(1, np.log2(rising[-1] / rising[0])))
    places = np.searchsorted(rising, rising[0] * 2.0**doublings)
    return np.unique(np.concatenate([[0], places, [len(rising) - 1]]))


def _factorized(values: NDArray[Any]) -> tuple[int, NDArray[np.int64]]:
    """Return the number of distinct values, and the number of each row's value."""
    import numpy as np

    if not values.size:
        return 1, np.zeros(0, dtype=np.int64)
    # The outer axes of a grid repeat values in consecutive rows, so that few remain to be sorted.
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    distinct, inverse = np.unique(values[starts], return_inverse=True)
    lengths = np.diff(starts, append=len(values))
    return len(distinct), np.repeat(inverse.reshape(-1).astype(np.int64, copy=False), lengths)


def _candidates(
    columns: Mapping[str, NDArray[Any]], values: NDArray[Any], condition: Condition | None
) -> NDArray[np.int64]:
    import numpy as np

    fits = ~np.isnan(values)
    if condition is not None:
        fits &= condition.mask(columns, rows=len(values))
    return np.flatnonzero(fits)


def numbers(columns: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    """Return a column of numbers.

    Raises:
        ObjectiveError: There is no such column, or it has texts.
    """
    import numpy as np

    if name not in columns:
        raise ObjectiveError(unknown_column(name, columns))
    values = np.asarray(columns[name])
    if is_text(values):
        raise ObjectiveError(f"objective {name!r} is a column of text; expected one of numbers, as 'latency_s'")
    return values


def _nothing_fits(columns: Mapping[str, NDArray[Any]], objective: str, rows: int, condition: Condition | None) -> str:
    if not rows:
        return "there are no points to choose from"
    if condition is None:
        return f"{objective} is nan at each of {rows:,} points"
    fit = int(condition.mask(columns, rows=rows).sum())
    if fit:
        return f"{objective} is nan at each of {fit:,} points with {condition}"
    return f"none of {rows:,} points satisfies {condition}\n{condition.shortfall(columns, rows=rows)}"


def several(names: str | Iterable[str]) -> list[str]:
    """Return one or several names of columns as a list.

    Raises:
        InputTypeError: They are no texts.
    """
    if isinstance(names, str):
        return [names]
    try:
        found = list(names)
    except TypeError:
        found = [names]  # type: ignore[list-item]
    for name in found:
        if not isinstance(name, str):
            raise InputTypeError(f"a column is named {name!r}; expected a text such as 'latency_s'")
    return found


def direction(objective: str, maximize: bool | None) -> dict[str, tuple[str, ...]]:
    """Return the keywords of `objectives` for one column and whether more of it is better.

    Raises:
        InputTypeError: `maximize` is neither a bool nor None.
    """
    if maximize is None:
        return {}
    if not isinstance(maximize, bool):
        raise InputTypeError(f"maximize is {maximize!r}; expected True, False or None")
    return {"maximize" if maximize else "minimize": (objective,)}
