"""KV caches of graphs, by kind of layer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..results.kv_cache import KINDS, CacheLayers, KVCache
from .plans import caches_of, value_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._core import Cache, Graph

_LAYER = re.compile(r"(.*?_\d+)_")
_PAIR = 2  # keys and values
_NARROW = {"fp8": "float8", "int8": "int8"}


def kv_cache_of(graph: Graph, precision: str, sizes: Mapping[str, int]) -> KVCache | None:
    """Return the KV cache of a graph after its forward.

    Args:
        graph: The graph of a forward.
        precision: Dtype to run in.
        sizes: Values of all its sizes.

    Returns:
        The cache, with its layers by kind; None if the forward leaves no cache.
    """
    caches = caches_of(graph, precision)
    if not caches:
        return None
    groups: dict[tuple[str, int], list[Cache]] = {}
    for cache in caches:
        groups.setdefault((cache.kind, value_of(cache.positions, sizes)), []).append(cache)
    ordered = sorted(groups.items(), key=lambda item: KINDS.index(item[0][0]))
    layers = tuple(_layers(kind, positions, group, sizes) for (kind, positions), group in ordered)
    held = [each.positions for each in layers if each.positions is not None and each.kind != "cross"]
    return KVCache(
        layers=layers,
        bytes=sum(value_of(cache.bytes, sizes) for cache in caches),
        bytes_per_token=sum(each.bytes_per_token for each in layers if each.grows),
        bytes_per_sequence=sum(each.bytes_per_sequence for each in layers),
        tokens=max(held, default=None),
    )


def cache_format(graph: Graph, precision: str) -> str:
    """Return the narrow format in which a graph keeps keys and values, `"fp8"` or `"int8"`; empty for its own dtype."""
    dtypes = {cache.dtype for cache in caches_of(graph, precision) if cache.grows}
    return next((form for form, dtype in _NARROW.items() if any(each.startswith(dtype) for each in dtypes)), "")


def _layers(kind: str, positions: int, caches: Sequence[Cache], sizes: Mapping[str, int]) -> CacheLayers:
    named = {match[1] for cache in caches if (match := _LAYER.match(cache.name))}
    unnamed = sum(_LAYER.match(cache.name) is None for cache in caches)
    return CacheLayers(
        kind=kind,
        layers=len(named) + (unnamed if kind == "state" else -(-unnamed // _PAIR)),
        dtype=", ".join(dict.fromkeys(cache.dtype for cache in caches)),
        positions=None if kind == "state" else positions,
        bytes_per_token=sum(value_of(cache.token_bytes, sizes) for cache in caches),
        bytes_per_sequence=sum(value_of(cache.sequence_bytes, sizes) for cache in caches),
        grows=any(value_of(cache.added, sizes) > 0 for cache in caches),
    )
