"""Renderers of estimates of collective operations: JSON, rows and a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..results.collective import COLUMNS as EACH
from ..results.units import quantity, significant
from .layout import GAP, Column, Pairs, Table

if TYPE_CHECKING:
    from ..results.collective import CollectiveEstimate
    from .layout import Layout

SCHEMA_VERSION = 1
_SHARED = ("op", "hardware", "devices", "nodes", "dtype", "kernel", "link")
COLUMNS = (*_SHARED, *EACH)


def collective_document(estimate: CollectiveEstimate[Any, Any]) -> dict[str, Any]:
    """Return the JSON object: common fields, and under `points` one object per size."""
    points = [{name: row[name] for name in EACH} for row in collective_rows(estimate)]
    return {"schema_version": SCHEMA_VERSION, **_shared(estimate), "points": points}


def collective_rows(estimate: CollectiveEstimate[Any, Any]) -> list[dict[str, Any]]:
    """Return one row per size; common fields are repeated in every row."""
    shared, columns = _shared(estimate), _columns(estimate)
    return [{**shared, **dict(zip(EACH, row, strict=True))} for row in zip(*columns.values(), strict=True)]


def collective_layout(estimate: CollectiveEstimate[Any, Any]) -> Layout:
    """Return the common fields and a row per size; numbers span orders of magnitude and have four digits each."""
    columns = _columns(estimate)
    times = [
        Column(name, "us", [significant(value * 1e6) for value in columns[key]])
        for name, key in (("latency", "latency_s"), ("low", "latency_low_s"), ("high", "latency_high_s"))
    ]
    table = [
        Column("size", "", [quantity(value, "B") for value in columns["size_bytes"]]),
        *times,
        Column("bus", "GB/s", [significant(value / 1e9) for value in columns["bus_bandwidth_byte_per_s"]]),
        *(Column(name, "", columns[name], numeric=False) for name in ("algorithm", "protocol", "bound")),
    ]
    return [Pairs([(name, str(value)) for name, value in _shared(estimate).items()]), GAP, Table(table)]


def _shared(estimate: CollectiveEstimate[Any, Any]) -> dict[str, Any]:
    return {name: getattr(estimate, name) for name in _SHARED}


def _columns(estimate: CollectiveEstimate[Any, Any]) -> dict[str, list[Any]]:
    return {name: np.atleast_1d(np.asarray(getattr(estimate, name))).tolist() for name in EACH}
