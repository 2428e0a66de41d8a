"""Rows of results as data frames of pandas, polars and Arrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..sweeps import frames
from ..sweeps.frames import library
from .render import render

if TYPE_CHECKING:
    from ..sweeps.result import Sweep


def to_pandas(result: object) -> Any:
    """Return the rows as a `pandas.DataFrame`; an unknown number is NaN there, an unknown text None."""
    return library("pandas", "to_pandas").DataFrame(_columns(result))


def to_arrow(result: object) -> Any:
    """Return the rows as a `pyarrow.Table`; what is not known is null."""
    return library("pyarrow", "to_arrow").table(_columns(result))


def to_polars(result: object) -> Any:
    """Return the rows as a `polars.DataFrame`; what is not known is null."""
    return library("polars", "to_polars").from_arrow(to_arrow(result))


def sweep_to_pandas(sweep: Sweep) -> Any:
    """Return the columns of a sweep as a `pandas.DataFrame`, texts as categories."""
    return frames.to_pandas(sweep.data)


def sweep_to_arrow(sweep: Sweep) -> Any:
    """Return the columns of a sweep as a `pyarrow.Table`, texts as dictionaries."""
    return frames.to_arrow(sweep.data)


def sweep_to_polars(sweep: Sweep) -> Any:
    """Return the columns of a sweep as a `polars.DataFrame`, texts as categories."""
    return frames.to_polars(sweep.data)


def _columns(result: object) -> dict[str, list[Any]]:
    rows = render(result, "rows")
    return {name: [row[name] for row in rows] for name in render(result, "columns")}
