"""Renderers of servers under load: JSON, one row, and tables."""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite
from typing import TYPE_CHECKING, Any

from ..results.costs import paid_text
from ..results.serving_result import LATENCIES, STATISTICS
from ..results.units import amount, percent, significant
from .language_lines import started_by
from .layout import ALARM, GAP, WARNING, Column, Note, Pairs, Table

if TYPE_CHECKING:
    from ..results.serving_result import Latency, ServingResult
    from .layout import Layout, Part

SCHEMA_VERSION = 1

_SETTING = ("model", "hardware", "engine", "layout", "precision", "replicas", "devices")
_FIGURES = (
    "duration_s",
    "requests_per_s",
    "tokens_per_s",
    "tokens_per_s_per_device",
    "prompt_tokens_per_s",
    "utilization",
    "capacity_per_s",
    "kv_use_mean",
    "kv_use_peak",
    "running_mean",
    "waiting_mean",
    "preemptions",
    "cached_token_share",
    "slo",
    "slo_met",
    "slo_share",
    "goodput_per_s",
    "usd_per_h",
    "instances",
    "paid_devices",
    "usd_per_million_tokens",
    "usd_per_million_tokens_used",
    "joules_per_token",
    "bottleneck",
)
_ENDS = ("low", "high")
COLUMNS = (
    *_SETTING,
    "requests",
    "finished",
    *(f"{name.removesuffix('_s')}_{each}_s" for name in LATENCIES for each in STATISTICS),
    *(f"{name.removesuffix('_s')}_mean_{end}_s" for name in LATENCIES for end in _ENDS),
    *_FIGURES,
)


def serving_document(result: ServingResult) -> dict[str, Any]:
    """Return the JSON object."""
    served = {
        **{name: getattr(result, name) for name in _SETTING},
        "scheduler": dict(result.scheduler),
        "requests": result.requests,
        "finished": result.finished,
        "unfinished": [{"reason": reason, "requests": count} for reason, count in result.unfinished.items()],
        "interrupted": result.interrupted,
        **{name: _latency(result[name]) for name in LATENCIES},
        **{name: _known(getattr(result, name)) for name in _FIGURES},
        "slo_missed": list(result.slo_missed),
        "notes": list(result.notes),
        "timeline": {
            "interval_s": result.timeline.interval_s,
            **{name: list(getattr(result.timeline, name)) for name in ("running", "waiting", "kv_use")},
        },
        "rates": None if result.rates is None else asdict(result.rates),
        "engine_command": result.engine_command,
        "price": result.price or None,
    }
    return {"schema_version": SCHEMA_VERSION, "serve": served}


def serving_rows(result: ServingResult) -> list[dict[str, Any]]:
    """Return one row."""
    row = {name: getattr(result, name) for name in (*_SETTING, "requests", "finished")}
    for name in LATENCIES:
        for each in STATISTICS:
            row[f"{name.removesuffix('_s')}_{each}_s"] = _known(getattr(result[name], each))
        for end in _ENDS:
            row[f"{name.removesuffix('_s')}_mean_{end}_s"] = _known(getattr(result[name], end).get("mean"))
    row |= {name: _known(getattr(result, name)) for name in _FIGURES}
    return [{name: row[name] for name in COLUMNS}]


def serving_line(result: ServingResult) -> str:
    """Return the result in one line."""
    name = result.model or "model"
    return (
        f"{name} on {result.devices} x {result.hardware}, {result.engine}: {result.finished:,} of {result.requests:,} "
        f"requests, {_seconds(result['ttft_s'].p99)} to the first token (p99), {result.tokens_per_s:.0f} tokens/s"
    )


TITLES = {
    "ttft_s": "time to first token",
    "tpot_s": "time per output token",
    "e2e_s": "whole request",
    "queue_s": "wait before the first step",
}


def serving_layout(result: ServingResult) -> Layout:
    """Return the deployment, latencies with their bands, and the figures."""
    parts: list[Part] = [Pairs(setting_pairs(result)), GAP]
    parts += [Table(latency_columns(result)), GAP, Pairs(figure_pairs(result)), GAP]
    parts.append(Note(f"Bottleneck: {result.bottleneck}", ""))
    parts += [Note(f"Missed: {each}", ALARM) for each in result.slo_missed]
    parts += [Note(each, WARNING) for each in result.notes]
    return [*parts, *started_by(result.engine_command)]


def setting_pairs(result: ServingResult) -> list[tuple[str, str]]:
    """Return the deployment, the scheduler and the requests."""
    settings = ", ".join(f"{name} {value}" for name, value in result.scheduler.items())
    shown = [(name, str(getattr(result, name))) for name in _SETTING if getattr(result, name) != ""]
    return [*shown, ("scheduler", settings), ("requests", _requests(result))]


def latency_columns(result: ServingResult) -> list[Column]:
    """Return the times of requests, with the bands of their means and p99."""
    columns = [Column("", "", [TITLES[name] for name in LATENCIES], numeric=False)]
    for each in STATISTICS:
        columns.append(Column(each, "ms", [_milliseconds(getattr(result[name], each)) for name in LATENCIES]))
        if each in ("mean", "p99") and result["ttft_s"].low:
            bands = [f"{_milliseconds(result[n].low[each])} - {_milliseconds(result[n].high[each])}" for n in LATENCIES]
            columns.append(Column(f"{each}, band", "ms", bands))
    return columns


def figure_pairs(result: ServingResult) -> list[tuple[str, str]]:
    """Return rates, use of the server, and costs."""
    rate = f"{significant(result.requests_per_s)} per s"
    if result.capacity_per_s is not None:
        rate += f"; capacity {significant(result.capacity_per_s)} per s"
    found = [
        ("requests finished", rate),
        (
            "tokens generated",
            f"{significant(result.tokens_per_s)} per s, {significant(result.tokens_per_s_per_device)} per device",
        ),
        ("utilization", f"{percent(result.utilization)} % of the time in steps"),
        ("running", f"{result.running_mean:.1f} on average, {result.waiting_mean:.1f} waiting"),
        ("KV cache", f"{percent(result.kv_use_mean)} % on average, {percent(result.kv_use_peak)} % at the peak"),
        ("preemptions", f"{result.preemptions:,}"),
    ]
    if result.cached_token_share:
        found.append(("prefix cache", f"{percent(result.cached_token_share)} % of the tokens of prompts"))
    if result.slo:
        met = "holds" if result.slo_met else "does not hold"
        found.append(("objective", f"{result.slo}: {met}; {percent(result.slo_share or 0)} % of requests within it"))
        found.append(("goodput", f"{significant(result.goodput_per_s or 0)} per s"))
    if result.usd_per_h is not None and result.paid_devices is not None:
        paid = []
        if result.instances is not None:
            each = result.paid_devices // result.instances
            paid = [paid_text(result.usd_per_h, result.instances, each, result.devices)]
        elif result.price:
            paid = [f"{result.usd_per_h:.4g} USD/h" + (f" for {result.devices} devices" if result.devices > 1 else "")]
        if paid:
            found.append(("paid", "; ".join([*paid, *filter(None, [result.price])])))
    if result.usd_per_million_tokens is not None and result.usd_per_million_tokens_used is not None:
        used = amount(result.usd_per_million_tokens_used, "USD")
        found.append(("per 10^6 tokens", f"{amount(result.usd_per_million_tokens, 'USD')} reserved, {used} used"))
    if result.joules_per_token is not None:
        found.append(("energy of a token", f"{significant(result.joules_per_token)} J"))
    return found


def _requests(result: ServingResult) -> str:
    others = "".join(f"; {count:,} {reason}" for reason, count in result.unfinished.items())
    return f"{result.finished:,} of {result.requests:,} finished in {_seconds(result.duration_s)}{others}"


def _latency(latency: Latency) -> dict[str, Any]:
    found = {each: _known(getattr(latency, each)) for each in STATISTICS}
    found |= {end: _known(getattr(latency, end).get("mean")) for end in _ENDS}
    for each in STATISTICS[1:]:
        found |= {f"{each}_{end}": _known(getattr(latency, end).get(each)) for end in _ENDS}
    return found


def _known(value: Any) -> Any:
    """Return a value, and None for a number that is unknown."""
    return None if isinstance(value, float) and not isfinite(value) else value


def _milliseconds(seconds: float) -> str:
    return significant(seconds * 1e3) if isfinite(seconds) else ""


def _seconds(seconds: float) -> str:
    return f"{significant(seconds)} s"
