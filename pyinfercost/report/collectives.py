"""Rows and table of estimates of collective operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..results.units import quantity, significant
from .derived import pairs_of, row_of
from .layout import GAP, Column, Pairs, Table

if TYPE_CHECKING:
    from ..results.collective import CollectiveEstimate
    from .layout import Layout


def collective_rows(estimate: CollectiveEstimate[Any, Any]) -> list[dict[str, Any]]:
    """Return one row per size; common fields are repeated in every row."""
    cells, sizes = row_of(estimate), np.size(estimate.size_bytes)
    columns = [value if isinstance(value, list) else [value] * sizes for value in cells.values()]
    return [dict(zip(cells, row, strict=True)) for row in zip(*columns, strict=True)]


def collective_layout(estimate: CollectiveEstimate[Any, Any]) -> Layout:
    """Return the common fields and a row per size; numbers span orders of magnitude and have four digits each."""
    rows = collective_rows(estimate)
    times = [
        Column(name, "us", [significant(row[key] * 1e6) for row in rows])
        for name, key in (("latency", "latency_s"), ("low", "latency_low_s"), ("high", "latency_high_s"))
    ]
    table = [
        Column("size", "", [quantity(row["size_bytes"], "B") for row in rows]),
        *times,
        Column("bus", "GB/s", [significant(row["bus_bandwidth_byte_per_s"] / 1e9) for row in rows]),
        *(Column(name, "", [row[name] for row in rows], numeric=False) for name in ("algorithm", "protocol", "bound")),
    ]
    return [Pairs(pairs_of(estimate, figures=False)), GAP, Table(table)]
