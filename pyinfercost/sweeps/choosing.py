"""Choosing among rows of columns: the best, and the best of each group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from ..results import figures
from .condition_syntax import unknown_column
from .condition_values import is_text
from .conditions import Condition, row_count
from .knees import first_hits, knees, runs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "DIRECTIONS",
    "NothingFitsError",
    "ObjectiveError",
    "best_row",
    "best_rows",
    "group_codes",
    "knees",
    "objectives",
]

DIRECTIONS: Mapping[str, bool] = MappingProxyType(
    {
        **{f.key: f.better == figures.MORE for f in figures.of_scope(figures.SWEEP) if f.better},
        "devices": False,
    }
)
"""Columns that are better in one direction: True if more is better, False if less is."""


class ObjectiveError(ValueError):
    """A column that cannot be an objective, or one whose better direction nobody said."""


class NothingFitsError(ValueError):
    """No row satisfies the condition; the message says what each of its terms comes to."""


def objectives(
    names: str | Iterable[str],
    *,
    maximize: str | Iterable[str] = (),
    minimize: str | Iterable[str] = (),
    known: Mapping[str, NDArray[Any]],
) -> list[tuple[str, bool]]:
    """Which columns to choose by, and whether more of each is better.

    A column in `maximize` or `minimize` has the direction said there, whatever its usual one; one that is not in
    `names` is an objective, too, after those that are.

    Args:
        names: one or several columns.
        maximize: columns of which more is better.
        minimize: columns of which less is better.
        known: the columns that there are; only those that are objectives are asked for.

    Returns:
        Pairs of a column and whether to maximise it.

    Raises:
        ObjectiveError: for no objective, one named twice, one that is no column or holds text, and one whose
            direction is neither known nor said.
    """
    named, most, least = _several(names), _several(maximize), _several(minimize)
    for group in (named, [*most, *least]):
        for name in group:
            if group.count(name) > 1:
                raise ObjectiveError(f"objective {name!r} is named twice")
    said = {**dict.fromkeys(most, True), **dict.fromkeys(least, False)}
    chosen = list(dict.fromkeys([*named, *said]))
    if not chosen:
        raise ObjectiveError("no objective is given; expected names of columns, as in 'latency_s'")
    for name in chosen:
        _numbers(known, name)
    directions = {**DIRECTIONS, **said}
    for name in chosen:
        if name not in directions:
            raise ObjectiveError(
                f"whether more or less of {name!r} is better is not known; "
                f"say maximize=({name!r},) or minimize=({name!r},)"
            )
    return [(name, directions[name]) for name in chosen]


def best_row(
    columns: Mapping[str, NDArray[Any]],
    objective: str,
    maximise: bool,
    condition: Condition | None,
    ties: Literal["first", "last"] = "first",
) -> int:
    """The index of the best row among those that satisfy the condition.

    Args:
        columns: the columns by name.
        objective: the column to choose by; a row where it is nan is never chosen.
        maximise: whether more of it is better.
        condition: what must hold; None for all rows.
        ties: which of equally good rows to take.

    Raises:
        NothingFitsError: if there is no row to choose.
        ObjectiveError: for an objective that is no column or holds text.
        ConditionError: for a condition that does not suit the columns.
        ValueError: for another word for `ties`.
    """
    import numpy as np

    if ties not in ("first", "last"):
        raise ValueError(f"ties is 'first' or 'last', got {ties!r}")
    values = _numbers(columns, objective)
    rows = _candidates(columns, values, condition)
    if not rows.size:
        raise NothingFitsError(_nothing_fits(columns, objective, len(values), condition))
    best = values[rows].max() if maximise else values[rows].min()
    hits = np.flatnonzero(values[rows] == best)
    return int(rows[hits[0 if ties == "first" else -1]])


def best_rows(
    columns: Mapping[str, NDArray[Any]],
    objective: str,
    maximise: bool,
    condition: Condition | None,
    per: Sequence[str],
) -> NDArray[np.int64]:
    """The best row of each distinct combination of some columns, the first on ties.

    Args:
        columns: the columns by name.
        objective: as in `best_row`.
        maximise: as in `best_row`.
        condition: as in `best_row`.
        per: the columns whose combinations make groups; none makes one group of all rows.

    Returns:
        Indices of rows, in the order in which their groups first appear. A group in which nothing fits is left out.

    Raises:
        ObjectiveError: for an objective or a column of `per` that is none, and an objective that holds text.
        ConditionError: for a condition that does not suit the columns.
    """
    import numpy as np

    values = _numbers(columns, objective)
    codes = group_codes(columns, per) if per else np.zeros(len(values), dtype=np.int64)
    rows = _candidates(columns, values, condition)
    rows = rows[np.argsort(codes[rows], kind="stable")]
    if not rows.size:
        return rows
    starts, lengths = runs(codes[rows])
    best = (np.maximum if maximise else np.minimum).reduceat(values[rows], starts)
    return rows[first_hits(values[rows] == np.repeat(best, lengths), starts, lengths)]


def group_codes(columns: Mapping[str, NDArray[Any]], names: Iterable[str]) -> NDArray[np.int64]:
    """Numbers the distinct combinations of some columns 0, 1, 2 and so on, as they first appear.

    Args:
        columns: the columns by name.
        names: those to combine; with none, all rows are of one group.

    Returns:
        The number of each row's combination. Nans are equal here.

    Raises:
        ObjectiveError: for a name that is no column.
    """
    import numpy as np

    codes: NDArray[np.int64] | None = None
    count = 1
    for name in _several(names):
        if name not in columns:
            raise ObjectiveError(unknown_column(name, columns))
        kinds, inverse = _factorised(np.asarray(columns[name]))
        codes = inverse if codes is None else codes * kinds + inverse
        count *= kinds
        if count >= 2**31:  # the next product might not fit 64 bits
            distinct, inverse = np.unique(codes, return_inverse=True)
            codes, count = inverse.reshape(-1).astype(np.int64, copy=False), len(distinct)
    if codes is None:
        return np.zeros(row_count(columns), dtype=np.int64)
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    renumbered = np.empty(len(first), dtype=np.int64)
    renumbered[np.argsort(first)] = np.arange(len(first))
    return renumbered[inverse.reshape(-1)]


def _factorised(values: NDArray[Any]) -> tuple[int, NDArray[np.int64]]:
    """How many distinct values there are, and which of them each row has."""
    import numpy as np

    if not values.size:
        return 1, np.zeros(0, dtype=np.int64)
    # The outer axes of a grid repeat each value in a row, so that there is little left to sort.
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


def _numbers(columns: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
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


def _several(names: str | Iterable[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)
