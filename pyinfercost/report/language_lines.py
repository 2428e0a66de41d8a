"""Lines about generating text: tokens per second, layers of a KV cache, and the memory that a machine has left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..results.units import quantity, significant
from .layout import GAP, Command, Note

if TYPE_CHECKING:
    from ..results.estimate import Estimate
    from ..results.kv_cache import CacheLayers, KVCache
    from ..results.memory_use import MemoryUse
    from .layout import Part


def rate(per_s: float | None, of: str = "tokens") -> str:
    """Return `123,456 tokens/s`."""
    if per_s is None:
        return f"unknown {of}/s"
    return f"{per_s:,.0f} {of}/s" if per_s >= 1000 else f"{significant(per_s)} {of}/s"  # noqa: PLR2004


def phase_lines(estimate: Estimate) -> list[tuple[str, str]]:
    """Return the users' name of the latency of a phase, and its tokens per second."""
    if estimate.ttft_s is not None:
        return [("TTFT", f"{quantity(estimate.ttft_s, 's')} on an idle server, {rate(estimate.tokens_per_s)} read")]
    if estimate.tpot_s is not None:
        each = rate(estimate.tokens_per_s_per_sequence)
        whole = rate(estimate.tokens_per_s)
        return [("TPOT", f"{quantity(estimate.tpot_s, 's')}, {each} per sequence, {whole} in total")]
    if estimate.tokens_per_s is not None:
        return [("token rate", rate(estimate.tokens_per_s))]
    return []


def cache_lines(cache: KVCache) -> list[tuple[str, str]]:
    """Return the layers of a KV cache by kind."""
    return [("cache layers", "; ".join(map(_layers, cache.layers)))]


def _layers(layers: CacheLayers) -> str:
    size = quantity(layers.bytes_per_sequence, "B")
    if layers.positions is None:
        return f"{layers.layers} with states of {size} a sequence ({layers.dtype})"
    full = "" if layers.grows or layers.kind == "cross" else ", a full window"
    return f"{layers.layers} {layers.kind} with {layers.positions:,} tokens{full} in {size} a sequence ({layers.dtype})"


def memory_lines(use: MemoryUse) -> list[tuple[str, str]]:
    """Return the parts of the memory, the rest, and the sequences that fit."""
    parts = [
        f"weights {quantity(use.weight_bytes, 'B')}",
        f"KV cache {quantity(use.kv_cache_bytes, 'B')}",
        f"activations {quantity(use.activation_bytes, 'B')}",
    ]
    if use.machine_memory_bytes is None or use.left_bytes is None:
        return [("memory", f"{', '.join(parts)}; the machine's memory size is configurable")]
    peak = quantity(use.weight_bytes + use.kv_cache_bytes + use.activation_bytes, "B")
    of = quantity(use.machine_memory_bytes, "B")
    if use.fits:
        left = f"; {quantity(use.left_bytes, 'B')} left" if use.left_bytes >= 0 else ""
        lines = [("memory", f"fits: {peak} of {of}: {', '.join(parts)}{left}")]
    elif use.left_bytes >= 0:
        pool = quantity(use.pool_bytes or 0, "B")
        lines = [("memory", f"DOES NOT FIT: {peak} of {of}: {', '.join(parts)}; the engine has {pool} for caches")]
    else:
        lack = quantity(-use.left_bytes, "B")
        lines = [("memory", f"DOES NOT FIT: {peak} of {of}: {', '.join(parts)}; {lack} too much")]
    if use.max_sequences is not None and use.pool_bytes is not None and use.reserved_bytes is not None:
        lines.append(("sequences", _sequences(use.max_sequences, use.pool_bytes, use.reserved_bytes, use.tokens)))
    return lines


def instances_text(usd_per_h: float, instances: int, each: int, used: int) -> str:
    """Return the price of instances and the number of their unused devices, in words."""
    unused = instances * each - used
    said = f"{usd_per_h:.4g} USD/h for {instances:,} instance{'' if instances == 1 else 's'} of {each} devices"
    return said + (f", {unused:,} of them unused" if unused else "")


def started_by(command: str) -> list[Part]:
    """Return the command line of an engine; nothing for an empty one."""
    if not command:
        return []
    line, _, comment = command.partition("  # ")
    parts: list[Part] = [GAP, Note("Command line of the engine:", ""), Command(line)]
    return [*parts, Note(f"# {comment}", "")] if comment else parts


def _sequences(most: int, pool_bytes: int, reserved_bytes: int, tokens: int | None) -> str:
    length = "" if tokens is None else f" of {tokens:,} tokens"
    pool, kept = quantity(pool_bytes, "B"), quantity(reserved_bytes, "B")
    return f"{most:,}{length} fit: {pool} for caches, {kept} for activations and reserve"
