"""Estimates of collective operations, rendered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .delimited import csv_text
from .document import SCHEMA_VERSION
from .tabular import Column
from .text import quantity, significant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..results.collective import CollectiveEstimate

_SHARED = ("op", "hardware", "devices", "dtype", "link")


def collective_document(estimate: CollectiveEstimate[Any, Any]) -> dict[str, Any]:
    """The JSON object: what all sizes share, and under `points` one object per size."""
    shared = {name: getattr(estimate, name) for name in _SHARED}
    columns = estimate.columns()
    points = [dict(zip(columns, row, strict=True)) for row in _rows(estimate)]
    return {"schema_version": SCHEMA_VERSION, **shared, "points": points}


def collective_csv(estimate: CollectiveEstimate[Any, Any]) -> str:
    """One line per size; what all of them share stands in every line."""
    shared = [getattr(estimate, name) for name in _SHARED]
    return csv_text((*_SHARED, *estimate.columns()), ([*shared, *row] for row in _rows(estimate)))


def collective_heading(estimate: CollectiveEstimate[Any, Any]) -> list[tuple[str, str]]:
    """Names and values of what all sizes share."""
    return [(name, str(getattr(estimate, name))) for name in _SHARED]


def collective_columns(estimate: CollectiveEstimate[Any, Any]) -> list[Column]:
    """The columns of a table with a row per size; numbers span orders of magnitude and keep four digits each."""
    columns = {name: column.tolist() for name, column in estimate.columns().items()}
    times = [
        Column(name, "us", [significant(value * 1e6) for value in columns[key]])
        for name, key in (("latency", "latency_s"), ("low", "latency_low_s"), ("high", "latency_high_s"))
    ]
    return [
        Column("size", "", [quantity(value, "B") for value in columns["size_bytes"]]),
        *times,
        Column("bus", "GB/s", [significant(value / 1e9) for value in columns["bus_bandwidth_byte_per_s"]]),
        *(Column(name, "", columns[name], numeric=False) for name in ("algorithm", "protocol", "bound")),
    ]


def _rows(estimate: CollectiveEstimate[Any, Any]) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.tolist() for column in estimate.columns().values()), strict=True)
