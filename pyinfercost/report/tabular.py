"""Results as columns of text, for any kind of table."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from .effects import effect_text
from .summary import BOUNDS, ITEMS_OF_A_PRICE
from .text import Scale, percent, scale_for, significant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .._core import Quantity
    from ..results.profile import Profile
    from ..sweeps.result import Sweep
    from .rows import Row, Shown

_SCALE = "_scale"
_UNITS = (("latency_s", "s"), ("peak_memory_bytes", "B"))  # a band has the unit of its time


@dataclass(frozen=True)
class Column:
    """A column: its name, the unit of its numbers, and its cells, the last of them the total where there is one.

    A flexible column gives way where the table is wider than the page; what is cut is the end of a cell, or its start
    where ends tell cells apart (`keep_end`). Where that is not enough, columns to spare are left out, those of the
    greatest `spare` first; those of a `spare` below 0 go when names are as short as they get.
    """

    name: str
    unit: str
    cells: list[str]
    numeric: bool = True
    flexible: bool = False
    spare: int = 0
    keep_end: bool = False


def profile_columns(profile: Profile, shown: Shown) -> list[Column]:
    """The columns of a profile, closed by the row of the totals.

    What rows are sorted by is never left out, and paths of a list rather stay readable than its effects stay.
    """
    total, estimate, rows = profile.counts.total, profile.estimate, shown.rows
    sort = "" if shown.ranking is None else shown.ranking.name
    names = [*("  " * (row.level - 1) + row.label for row in rows), "total"]
    columns = [
        Column("module", "", names, numeric=False, flexible=True, keep_end=shown.flat),
        Column("op", "", [*(row.op for row in rows), f"{profile.counts.nodes} nodes"], numeric=False, flexible=True),
        _scaled("contract", "FLOP", rows, lambda row: row.contraction_flops, total.contraction_flops),
        _scaled("pointwise", "FLOP", rows, lambda row: row.pointwise_flops, total.pointwise_flops, spare=3),
        _scaled("traffic", "B", rows, lambda row: row.traffic_bytes, total.bytes_read + total.bytes_written),
        _scaled("params", "", rows, lambda row: row.parameters, total.parameters, spare=0 if sort == "params" else 2),
    ]
    if sort == "memory":
        columns.append(_scaled("held", "B", rows, lambda row: row.memory_bytes, total.peak_activation_bytes))
    shares = ["" if row.share is None else percent(row.share) for row in rows]
    if estimate is None:
        return [*columns, Column("FLOPs", "%", [*shares, "100"])]
    binding = max(estimate.bound, key=estimate.bound.__getitem__)
    if sort == "energy" and estimate.energy_j is not None:
        columns.append(_scaled("energy", "J", rows, lambda row: row.energy_j, estimate.energy_j))
    return [
        *columns,
        _scaled("latency", "s", rows, lambda row: row.latency_s, estimate.latency_s),
        Column("share", "%", [*shares, "100"]),
        Column("bound", "", [*(row.bound for row in rows), binding], numeric=False, spare=1),
        Column(
            "effect",
            "",
            [*(row.effect for row in rows), effect_text(estimate.layers)],
            numeric=False,
            spare=1 if shown.flat else -1,
        ),
    ]


def sweep_axes(sweep: Sweep, shown: Sweep) -> tuple[list[tuple[str, str]], list[Column]]:
    """What says which point a row is: names and values that all points share, and columns for those that differ.

    Args:
        sweep: all points.
        shown: those that get rows.
    """
    from ..sweeps.facts import TEXTS

    shared, columns = [], []
    for name in sweep.identity():
        cells = [f"{value:g}" if isinstance(value, float) else str(value) for value in shown[name].tolist()]
        scale = name.endswith(_SCALE)
        title = name.removesuffix(_SCALE)
        if _varies(sweep, name, cells):
            text = name in TEXTS
            columns.append(Column(title, "x" if scale else "", cells, numeric=not text))
        elif cells:
            shared.append((title, f"x {cells[0]}" if scale else cells[0]))
    return shared, columns


def _varies(sweep: Sweep, name: str, cells: Sequence[str]) -> bool:
    """Whether the points differ in a column, without making the column where the grid knows."""
    import numpy as np

    from ..sweeps.columns import GridColumns

    if not cells or len(set(cells)) > 1 or len(cells) == len(sweep):
        return len(set(cells)) > 1
    if not isinstance(sweep.data, GridColumns):
        column = sweep[name]
        return bool((column != column[0]).any())
    if len(sweep.data.grid.values(name)) == 1:
        return False
    codes, values = sweep.data.labels(name)
    return len({values[code] for code in np.flatnonzero(np.bincount(codes, minlength=len(values)))}) > 1


def sweep_columns(shown: Sweep) -> list[Column]:
    """The results of a sweep that people compare: how fast, within which band, bound by what, whether it fits."""
    time, memory = (_usual_scale(shown[name].tolist(), unit) for name, unit in _UNITS)
    columns = []
    for name, title, scale, spare in (
        ("latency_s", "latency", time, 0),
        ("latency_low_s", "low", time, 4),
        ("latency_high_s", "high", time, 4),
        ("throughput_per_s", "throughput", Scale(1.0, "per s", 0), 1),
        ("peak_memory_bytes", "memory", memory, 2),
    ):
        cells = [significant(value / scale.factor) for value in shown[name].tolist()]
        columns.append(Column(title, scale.unit, cells, spare=spare))
    joules = shown["energy_per_item_j"].tolist()
    known = [value for value in joules if isfinite(value)]
    if known:
        scale = _usual_scale(known, "J")
        cells = [significant(value / scale.factor) if isfinite(value) else "" for value in joules]
        columns.append(Column("energy/item", scale.unit, cells, spare=5))
    moved = [value for value in shown["transfer_s"].tolist() if isfinite(value)]
    if any(moved):
        scale = _usual_scale(moved, "s")
        cells = [significant(value / scale.factor) if isfinite(value) else "" for value in shown["transfer_s"].tolist()]
        columns.append(Column("transfer", scale.unit, cells, spare=6))
    for name, title, factor, unit, spare in (
        ("cost_usd", "cost", ITEMS_OF_A_PRICE, "USD/1M", 0),
        ("usd_per_million_tokens", "tokens", 1, "USD/1M", 0),
        ("carbon_g", "carbon", ITEMS_OF_A_PRICE, "g/1M", 7),
    ):
        if name in shown:
            cells = [significant(value * factor) if isfinite(value) else "" for value in shown[name].tolist()]
            columns.append(Column(title, unit, cells, spare=spare))
    if "knee" in shown:
        columns.append(Column("of most", "%", [percent(value) for value in shown["throughput_share"].tolist()]))
        columns.append(Column("of least", "x", [significant(value) for value in shown["latency_ratio"].tolist()]))
        columns.append(Column("knee", "", ["knee" if knee else "" for knee in shown["knee"].tolist()], numeric=False))
    times = [shown[f"{bound}_s"].tolist() for bound in BOUNDS]
    bounds = [BOUNDS[point.index(max(point))] for point in zip(*times, strict=True)]
    columns.append(Column("bound", "", bounds, numeric=False, spare=3))
    fits = ["yes" if fits else "NO" for fits in shown["fits_in_memory"].tolist()]
    columns.append(Column("fits", "", fits, numeric=False))
    return columns


def _usual_scale(values: Sequence[float], unit: str) -> Scale:
    """The unit of the value in the middle: points may be orders of magnitude apart, and one slow machine is one."""
    return scale_for(sorted(values)[(len(values) - 1) // 2] if values else 0.0, unit)


def _scaled(
    name: str,
    unit: str,
    rows: Sequence[Row],
    value: Callable[[Row], Quantity | float | None],
    total: Quantity | float,
    spare: int = 0,
) -> Column:
    scale = scale_for(total, unit, decimals=2)
    cells = [scale.show(value(row)) if row.known else "?" for row in rows]
    return Column(name, scale.unit, [*cells, scale.show(total)], spare=spare)


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
