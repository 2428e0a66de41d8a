"""Results as columns of text, for any kind of table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .text import percent, scale_for, significant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .._core import Quantity
    from ..analysis.profile import Profile
    from ..analysis.sweeps.result import Sweep
    from .rows import Row


@dataclass(frozen=True)
class Column:
    """A column: its name, the unit of its numbers, and its cells, the last of them the total where there is one.

    A flexible column gives way where the table is wider than the page.
    """

    name: str
    unit: str
    cells: list[str]
    numeric: bool = True
    flexible: bool = False


def profile_columns(profile: Profile, rows: Sequence[Row]) -> list[Column]:
    """The columns of a profile, closed by the row of the totals."""
    total, estimate = profile.counts.total, profile.estimate
    columns = [
        Column(
            "module", "", [*("  " * (row.level - 1) + row.label for row in rows), "total"], numeric=False, flexible=True
        ),
        Column("op", "", [*(row.op for row in rows), f"{profile.counts.nodes} nodes"], numeric=False, flexible=True),
        _scaled("contract", "FLOP", rows, lambda row: row.contraction_flops, total.contraction_flops),
        _scaled("pointwise", "FLOP", rows, lambda row: row.pointwise_flops, total.pointwise_flops),
        _scaled("traffic", "B", rows, lambda row: row.traffic_bytes, total.bytes_read + total.bytes_written),
        _scaled("params", "", rows, lambda row: row.parameters, total.parameters),
    ]
    shares = ["" if row.share is None else percent(row.share) for row in rows]
    if estimate is None:
        return [*columns, Column("FLOPs", "%", [*shares, "100"])]
    binding = max(estimate.bound, key=estimate.bound.__getitem__)
    return [
        *columns,
        _scaled("latency", "s", rows, lambda row: row.latency_s, estimate.latency_s),
        Column("share", "%", [*shares, "100"]),
        Column("bound", "", [*(row.bound for row in rows), binding], numeric=False),
    ]


def sweep_axes(sweep: Sweep) -> tuple[list[tuple[str, str]], list[Column]]:
    """What says which point a row is: names and values that all points share, and columns for those that differ."""
    shared, columns = [], []
    for name in ("hardware", "precision", "execution", *sweep.sizes):
        cells = [str(value) for value in sweep[name].tolist()]
        if len(set(cells)) == 1:
            shared.append((name, cells[0]))
        else:
            columns.append(Column(name, "", cells, numeric=name in sweep.sizes))
    return shared, columns


def sweep_columns(sweep: Sweep) -> list[Column]:
    """The results of a sweep that people compare: how fast, within which band, bound by what, whether it fits."""
    points = sweep.rows()
    columns = []
    for name, title, unit in (
        ("latency_s", "latency", "s"),
        ("latency_low_s", "low", "s"),
        ("latency_high_s", "high", "s"),
        ("peak_memory_bytes", "memory", "B"),
    ):
        scale = scale_for(max(point[name] for point in points), unit)
        columns.append(Column(title, scale.unit, [significant(point[name] / scale.factor) for point in points]))
    rates = [significant(point["throughput_per_s"]) for point in points]
    columns.insert(-1, Column("throughput", "per s", rates))
    bounds = [max(("compute", "dram", "cache", "launch"), key=lambda name: point[f"{name}_s"]) for point in points]
    columns.append(Column("bound", "", bounds, numeric=False))
    columns.append(Column("fits", "", ["yes" if point["fits_in_memory"] else "NO" for point in points], numeric=False))
    return columns


def _scaled(
    name: str, unit: str, rows: Sequence[Row], value: Callable[[Row], Quantity | float | None], total: Quantity | float
) -> Column:
    scale = scale_for(total, unit, decimals=2)
    cells = [scale.show(value(row)) if row.known else "?" for row in rows]
    return Column(name, scale.unit, [*cells, scale.show(total)])


def hardware_columns(machines: Sequence[Mapping[str, Any]]) -> list[Column]:
    """The columns of the catalogue, from the descriptions of its machines: who, how fast, how much memory."""

    def figures(*keys: str) -> list[str]:
        found = []
        for machine in machines:
            value: Any = machine
            for key in keys:
                value = value.get(key, {})
            found.append(f"{value:g}" if isinstance(value, (int, float)) else "")
        return found

    def texts(key: str) -> list[str]:
        return [str(machine[key]) for machine in machines]

    return [
        Column("id", "", texts("id"), numeric=False),
        Column("kind", "", texts("kind"), numeric=False),
        Column("name", "", texts("name"), numeric=False, flexible=True),
        Column("fp32", "TFLOP/s", figures("compute", "vector_tflop_per_s", "fp32")),
        Column("fp16 mat", "TFLOP/s", figures("compute", "matrix_tflop_per_s", "fp16")),
        Column("memory", "GB", figures("memory", "dram", "capacity_gb")),
        Column("bandwidth", "GB/s", figures("memory", "dram", "bandwidth_gb_per_s")),
        Column("state", "", [_state(machine) for machine in machines], numeric=False),
    ]


def _state(machine: Mapping[str, Any]) -> str:
    if machine["missing"]:
        return "incomplete"  # a fact that an estimate needs is not known
    return "" if machine["verified"] else "unverified"
