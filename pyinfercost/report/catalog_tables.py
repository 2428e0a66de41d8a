"""Tables of the hardware catalog and of prices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..results.units import significant
from .layout import Column

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..deployment.prices import Offer


_LEAST_NAME = 16
_UNITS = ("matrix_tflop_per_s", "vector_tflop_per_s")


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

    # The id says most of what the name and the kind say, so narrow pages have figures in their place.
    return [
        Column("id", "", texts("id"), numeric=False),
        Column("kind", "", texts("kind"), numeric=False, spare=4),
        Column("name", "", texts("name"), numeric=False, flexible=True, spare=5, least=_LEAST_NAME),
        Column("fp32", "TFLOP/s", figures("compute", "vector_tflop_per_s", "fp32"), spare=3),
        Column("16-bit", "TFLOP/s", _fastest(machines, "fp16", "bf16")),
        Column("int8", "TOP/s", _fastest(machines, "int8"), spare=1),
        Column("memory", "GiB", figures("memory", "dram", "capacity_gib")),
        Column("bandwidth", "GB/s", figures("memory", "dram", "bandwidth_gb_per_s")),
        Column("state", "", [_state(machine) for machine in machines], numeric=False, spare=2),
    ]


def _fastest(machines: Sequence[Mapping[str, Any]], *dtypes: str) -> list[str]:
    """Return the fastest known peak of one of the dtypes, of matrix units and of vector units."""
    found = []
    for machine in machines:
        peaks = [machine.get("compute", {}).get(unit, {}).get(dtype, 0.0) for unit in _UNITS for dtype in dtypes]
        found.append(significant(max(peaks)) if any(peaks) else "")
    return found


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
        Column("host", "", ["" if each.host else "extra" for each in offers], numeric=False),
        Column("of", "", [each.dated for each in offers], numeric=False),
        Column("age", "months", [str(each.age_months()) if each.age_months() else "" for each in offers]),
    ]


def prices_document(offers: Sequence[Offer]) -> list[dict[str, Any]]:
    """Return rental offers as plain data, with sources and notes."""
    return [{"name": each.name, **asdict(each), "age_months": each.age_months()} for each in offers]
