"""Tables of servers under load."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from ..results.latency import STATISTICS, TITLES
from ..results.serving_result import LATENCIES
from ..results.units import significant
from .derived import pairs_of
from .language_lines import instances_text, started_by
from .layout import ALARM, GAP, WARNING, Column, Note, Pairs, Table

if TYPE_CHECKING:
    from ..results.serving_result import ServingResult
    from .layout import Layout, Part


def serving_line(result: ServingResult) -> str:
    """Return the result in one line."""
    name = result.model or "model"
    return (
        f"{name} on {result.devices} x {result.hardware}, {result.engine}: {result.finished:,} of {result.requests:,} "
        f"requests, {_seconds(result['ttft_s'].p99)} to the first token (p99), {result.tokens_per_s:.0f} tokens/s"
    )


def serving_layout(result: ServingResult) -> Layout:
    """Return the deployment, latencies with their bands, and the figures."""
    parts: list[Part] = [Pairs(pairs_of(result, figures=False)), GAP]
    parts += [Table(latency_columns(result)), GAP, Pairs(figure_pairs(result)), GAP]
    parts.append(Note(f"Bottleneck: {result.bottleneck}", ""))
    parts += [Note(f"Missed: {each}", ALARM) for each in result.slo_missed]
    parts += [Note(each, WARNING) for each in result.notes]
    return [*parts, *started_by(result.engine_command)]


def figure_pairs(result: ServingResult) -> list[tuple[str, str]]:
    """Return the figures, and the price of an hour with its source, unless it is a given price of each device."""
    pairs = pairs_of(result, figures=True)
    if result.usd_per_h is None or result.paid_devices is None or not (result.instances or result.price):
        return pairs
    if result.instances:
        each = result.paid_devices // result.instances
        paid = instances_text(result.usd_per_h, result.instances, each, result.devices)
    else:
        paid = f"{result.usd_per_h:.4g} USD/h" + (f" for {result.devices} devices" if result.devices > 1 else "")
    return [*pairs, ("paid", "; ".join(filter(None, [paid, result.price])))]


def latency_columns(result: ServingResult) -> list[Column]:
    """Return the times of requests, with the bands of their means and p99."""
    columns = [Column("", "", [TITLES[name] for name in LATENCIES], numeric=False)]
    for each in STATISTICS:
        columns.append(Column(each, "ms", [_milliseconds(getattr(result[name], each)) for name in LATENCIES]))
        if each in ("mean", "p99") and result["ttft_s"].low:
            bands = [f"{_milliseconds(result[n].low[each])} - {_milliseconds(result[n].high[each])}" for n in LATENCIES]
            columns.append(Column(f"{each}, band", "ms", bands))
    return columns


def _milliseconds(seconds: float) -> str:
    return significant(seconds * 1e3) if isfinite(seconds) else ""


def _seconds(seconds: float) -> str:
    return f"{significant(seconds)} s"
