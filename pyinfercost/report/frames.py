"""Data frames of results: pandas, polars and Arrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..sweeps import frames
from ..sweeps.frames import library
from .render import render

if TYPE_CHECKING:
    from ..sweeps.result import Sweep


def to_pandas(result: object) -> Any:
    """Return the rows as a `pandas.DataFrame`; unknown numbers are NaN, unknown texts None."""
    return library("pandas", "to_pandas").DataFrame(_columns(result))


def to_arrow(result: object) -> Any:
    """Return the rows as a `pyarrow.Table`; unknown values are null."""
    return library("pyarrow", "to_arrow").table(_columns(result))


def to_polars(result: object) -> Any:
    """Return the rows as a `polars.DataFrame`; unknown values are null."""
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
