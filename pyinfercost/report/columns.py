"""Columns of the tables of profiles, of the hardware catalog and of prices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..results.units import percent, scale_for, significant
from .layout import Column
from .rows import effect_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .._core import Quantity
    from ..deployment.prices import Offer
    from ..results.profile import Profile
    from .rows import Row, Shown


def profile_columns(profile: Profile, shown: Shown) -> list[Column]:
    """Return the columns of a profile, with the totals as the last row.

    The sort key is never left out. In a list, effects are left out before paths become unreadable.
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
        columns.append(_scaled("held", "B", rows, lambda row: row.peak_activation_bytes, total.peak_activation_bytes))
    shares = ["" if row.share is None else percent(row.share) for row in rows]
    if estimate is None:
        return [*columns, Column("FLOPs", "%", [*shares, "100"])]
    binding = max(estimate.bound_shares, key=estimate.bound_shares.__getitem__)
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
    """Return the columns of the catalog from descriptions of machines: names, peaks and memory."""

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
        return "incomplete"  # data required by estimates is missing
    return "" if machine["verified"] else "unverified"


def price_columns(offers: Sequence[Offer]) -> list[Column]:
    """Return the columns of rental offers: provider, machine, and price per device-hour."""

    def per_device(terms: str) -> list[str]:
        return [significant(each.usd_per_h[terms] / each.devices) if terms in each.usd_per_h else "" for each in offers]

    return [
        Column("instance", "", [each.name for each in offers], numeric=False, flexible=True),
        Column("device", "", [each.device for each in offers], numeric=False),
        Column("devices", "", [f"{each.devices:g}" for each in offers]),
        Column("instance", "USD/h", [significant(each.usd_per_h["on-demand"]) for each in offers]),
        Column("device", "USD/h", per_device("on-demand")),
        Column("spot", "USD/h", per_device("spot")),
        Column("of", "", [each.dated for each in offers], numeric=False),
        Column("age", "months", [str(each.age_months()) if each.age_months() else "" for each in offers]),
    ]


def prices_document(offers: Sequence[Offer]) -> list[dict[str, Any]]:
    """Return rental offers as plain data, with sources and notes."""
    return [{"name": each.name, **asdict(each), "age_months": each.age_months()} for each in offers]
