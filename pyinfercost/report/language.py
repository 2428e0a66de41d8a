"""Renderers of language profiles: both phases of a model in one table."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .._checks import Range, whole
from .._escapes import visible
from ..results.figures import OF_TOKENS
from ..results.latency import TITLES
from ..results.units import amount, percent, quantity, scale_for, significant
from .language_lines import memory_lines, rate, started_by
from .layout import ALARM, GAP, Column, Note, Pairs, Table
from .summary import heading, ledger, sizes_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..results.estimate import Estimate
    from ..results.kv_cache import KVCache
    from ..results.language_profile import LanguageProfile
    from ..results.profile import Profile
    from .layout import Layout, Part

_DEPTH = 4
_DEPTHS = Range(1, 1000)
_LEAST_SHARE = 0.005
_TIMES = (("TTFT", "ttft_s"), ("TPOT", "tpot_s"))
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)")

COLUMNS = (
    "phase",
    "batch",
    "prompt",
    "context",
    "tokens",
    "flops",
    "traffic_bytes",
    "kv_cache_bytes",
    "peak_memory_bytes",
    "latency_s",
    "latency_low_s",
    "latency_high_s",
    "tokens_per_s",
    "tokens_per_s_per_sequence",
    "energy_j",
    OF_TOKENS["cost_usd"],
    "max_sequences",
    "memory_left_bytes",
)
"""Columns of the rows of phases."""


def language_line(result: LanguageProfile) -> str:
    """Return a language profile in one line, for `repr`."""
    parts = [result.model, sizes_text(result.sizes)]
    estimate = result.decode.estimate
    if estimate is not None:
        times = [f"{name} {quantity(result.figures[key] or 0.0, 's')}" for name, key in _TIMES]
        parts.append(f"{', '.join(times)} on {estimate.hardware}")
    return visible(", ".join(parts))


def language_rows(result: LanguageProfile) -> list[dict[str, Any]]:
    """Return one row for each phase."""
    rows = []
    for name, phase in (("prefill", result.prefill), ("decode", result.decode)):
        known: dict[str, Any] = {"phase": name, **phase.figures}
        known |= {size: result.sizes.get(size) for size in ("batch", "prompt", "context")}
        if phase.estimate is not None:
            known |= {key: getattr(phase.estimate, key) for key in COLUMNS if hasattr(phase.estimate, key)}
        rows.append({key: known.get(key) for key in COLUMNS})
    if result.memory is not None:
        rows[-1]["max_sequences"] = result.memory.max_sequences
    return rows


def language_layout(result: LanguageProfile, *, depth: int | None = None) -> Layout:
    """Return the sizes, the figures of both phases, the KV cache, the memory, and the modules of both phases."""
    parts = phases_layout(result)
    depth = _DEPTH if depth is None else whole(depth, "depth", _DEPTHS)
    parts += [GAP, Table(_module_columns(result, depth), total=True)]
    for name, phase in (("prefill", result.prefill), ("decode", result.decode)):
        parts.append(Note(f"{name}: {ledger(phase.counts)}", ALARM if phase.counts.unmodelled else "dim"))
    return [*parts, *started_by(result.engine_command)]


def phases_layout(result: LanguageProfile) -> list[Part]:
    """Return the sizes, the figures of both phases, the KV cache and the memory."""
    known = heading(result.decode)
    sizes = ", ".join(f"{name} {value:,}" for name, value in result.sizes.items())
    pairs = [("model", result.model), ("sizes", sizes), *(pair for pair in known if pair[0] not in ("model", "sizes"))]
    parts: list[Part] = [Pairs(pairs), GAP, Table(_phase_columns(result))]
    if result.kv_cache is not None:
        parts += [GAP, Table(_cache_columns(result.kv_cache), total=True)]
    if result.memory is not None:
        parts += [GAP, Pairs(memory_lines(result.memory))]
    return parts


# ---- figures of both phases ------------------------------------------------------------------------------------------


def _phase_columns(result: LanguageProfile) -> list[Column]:
    """Return one line for each figure, with a column for each phase."""
    rows = [
        ("FLOPs", *_both(result, lambda phase: quantity(phase.counts.total.flops, "FLOP"))),
        ("traffic", *_both(result, lambda phase: quantity(phase.figures["traffic_bytes"] or 0, "B"))),
        ("peak memory", *_both(result, lambda phase: quantity(phase.counts.total.peak_memory_bytes, "B"))),
    ]
    reads, generates = result.prefill.estimate, result.decode.estimate
    if reads is not None and generates is not None:
        rows = [*_timed(reads, generates), *rows, *_spent(reads, generates)]
    names, prefill, decode = zip(*rows, strict=True)
    return [
        Column("", "", list(names), numeric=False),
        Column("prefill", "", list(prefill)),
        Column("decode", "", list(decode)),
    ]


def _both(result: LanguageProfile, text: Callable[[Profile], str]) -> tuple[str, str]:
    return text(result.prefill), text(result.decode)


def _timed(reads: Estimate, generates: Estimate) -> list[tuple[str, str, str]]:
    """Return latencies and tokens per second: what users of a server see, first."""

    def each(text: Callable[[Estimate], str]) -> tuple[str, str]:
        return text(reads), text(generates)

    drafts = _tpot_s(generates) < generates.latency_s
    return [
        (TITLES["ttft_s"], quantity(reads.latency_s, "s"), ""),
        (TITLES["tpot_s"], "", quantity(_tpot_s(generates), "s")),
        *([("latency", *each(lambda at: quantity(at.latency_s, "s")))] if drafts else []),
        ("latency, low end", *each(lambda at: quantity(at.latency_low_s, "s"))),
        ("latency, high end", *each(lambda at: quantity(at.latency_high_s, "s"))),
        ("tokens in the forward", *each(lambda at: "" if at.tokens is None else f"{at.tokens:,}")),
        ("all sequences", *each(lambda at: rate(at.tokens_per_s))),
        ("one sequence", *each(lambda at: rate(at.tokens_per_s_per_sequence))),
    ]


def _spent(reads: Estimate, generates: Estimate) -> list[tuple[str, str, str]]:
    """Return energy and money of tokens, as far as they are known, and what bounds the phases."""
    rows = []
    if reads.energy_j is not None and generates.energy_j is not None and reads.tokens and generates.tokens:
        yielded = (reads.tokens, generates.tokens * generates.latency_s / _tpot_s(generates))
        each = [
            amount(joules / tokens, "J")
            for joules, tokens in zip((reads.energy_j, generates.energy_j), yielded, strict=True)
        ]
        rows.append(("energy of a token", each[0], each[1]))
    prices = [getattr(at, OF_TOKENS["cost_usd"]) for at in (reads, generates)]
    if prices[0] is not None and prices[1] is not None:
        rows.append(("cost of 1M tokens", f"{significant(prices[0])} USD", f"{significant(prices[1])} USD"))
    rows.append(("bound by", _bounds(reads), _bounds(generates)))
    return rows


def _bounds(estimate: Estimate) -> str:
    shares = sorted(estimate.bound_shares.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {percent(share)} %" for name, share in shares if share >= _LEAST_SHARE) or "nothing"


# ---- the KV cache ----------------------------------------------------------------------------------------------------


def _cache_columns(cache: KVCache) -> list[Column]:
    """Return one line for each kind of layers, and the total."""
    layers = cache.layers
    added = [quantity(each.bytes_per_token if each.grows else 0, "B") for each in layers]
    sizes = [quantity(each.bytes_per_sequence, "B") for each in layers]
    return [
        Column("KV cache", "", [*(each.kind for each in layers), "total"], numeric=False),
        Column("layers", "", [*(str(each.layers) for each in layers), str(sum(each.layers for each in layers))]),
        Column("dtype", "", [*(each.dtype for each in layers), ""], numeric=False, spare=1),
        Column("tokens held", "", [*("" if each.positions is None else f"{each.positions:,}" for each in layers), ""]),
        Column("next token", "", [*added, quantity(cache.bytes_per_token, "B")]),
        Column("sequence", "", [*sizes, quantity(cache.bytes_per_sequence, "B")]),
        Column("all sequences", "", [*([""] * len(layers)), quantity(cache.bytes, "B")]),
    ]


# ---- modules ---------------------------------------------------------------------------------------------------------


@dataclass
class _Module:
    """Modules that differ in the numbers of their layers only.

    Attributes:
        paths: Their paths.
        spent: For each phase, seconds or FLOPs.
        bounds: For each phase, seconds by bound.
    """

    paths: set[str] = field(default_factory=set)
    spent: list[float] = field(default_factory=lambda: [0.0, 0.0])
    bounds: list[dict[str, float]] = field(default_factory=lambda: [{}, {}])


def _module_columns(result: LanguageProfile, depth: int) -> list[Column]:
    """Return the modules of both phases, layers of a stack together, with their time or, without hardware, FLOPs."""
    modules: dict[str, _Module] = {}
    timed = result.decode.estimate is not None
    for number, phase in enumerate((result.prefill, result.decode)):
        rows: Any = phase.counts.layers if phase.estimate is None else phase.estimate.layers
        for row in rows:
            path = ".".join(row.module.split(".")[:depth])
            module = modules.setdefault(_NUMBER.sub("*", path) or "(itself)", _Module())
            module.paths.add(path)
            spent = row.row.contraction_flops + row.row.pointwise_flops if phase.estimate is None else row.latency_s
            module.spent[number] += spent
            if timed:
                binds = module.bounds[number]
                binds[row.bound] = binds.get(row.bound, 0.0) + row.latency_s
    shown = [(name, module) for name, module in modules.items() if any(module.spent)]
    columns = [
        Column("module", "", [*(name for name, _ in shown), "total"], numeric=False, flexible=True),
        Column("number", "", [*(str(len(module.paths)) for _, module in shown), ""]),
    ]
    for number, name in enumerate(("prefill", "decode")):
        spent = [module.spent[number] for _, module in shown]
        columns += _phase_of_modules(name, spent, "s" if timed else "FLOP")
        if timed:
            bounds = [module.bounds[number] for _, module in shown]
            words = [max(each, key=each.__getitem__, default="") for each in bounds]
            columns.append(Column("bound", "", [*words, ""], numeric=False, spare=1))
    return columns


def _phase_of_modules(name: str, spent: list[float], unit: str) -> list[Column]:
    total = sum(spent)
    scale = scale_for(max(spent, default=0.0), unit, decimals=2)
    shares = [percent(value / total) if total else "" for value in spent]
    return [
        Column(name, scale.unit, [scale.show(value) for value in (*spent, total)]),
        Column("share", "%", [*shares, "100" if total else ""]),
    ]


def _tpot_s(generates: Estimate) -> float:
    """Return the seconds between tokens; a step with drafts yields several."""
    return generates.latency_s if generates.tpot_s is None else float(generates.tpot_s)
