"""Figures of a model that need no machine: its counts, and figures that follow from its graph.

A figure that follows from the graph is a function here with the figure's key as its name, under `@of_graph`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core import Expr
from ..results import figures
from .plans import caches_of, graph_cache, value_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .._core import Cache, Counts, Graph, Quantity

OF_GRAPH: dict[str, Callable[[Graph, str], Quantity | None]] = {}
"""Key of a figure -> its quantity for a graph and a precision, in all sizes of the graph; None if it has none."""


def of_graph(function: Callable[[Graph, str], Quantity | None]) -> Callable[[Graph, str], Quantity | None]:
    """Register the computation of the figure that a function is named after."""
    OF_GRAPH[function.__name__] = function
    return function


def graph_figure(key: str, graph: Graph, precision: str) -> Quantity | None:
    """Return a figure that follows from a graph, computed once for each precision."""
    kept = graph_cache(graph)
    if (key, precision) not in kept:
        quantity = OF_GRAPH[key](graph, precision)
        constant = isinstance(quantity, Expr) and quantity.is_constant
        kept[key, precision] = int(quantity) if quantity is not None and constant else quantity
    found: Quantity | None = kept[key, precision]
    return found


def model_figures(
    graph: Graph, counts: Counts, precision: str, sizes: Mapping[str, int]
) -> dict[str, Quantity | float | None]:
    """Return all figures of a model that need no machine, by key.

    Args:
        graph: The model.
        counts: Its counts at these sizes.
        precision: Dtype to run in.
        sizes: Values of all sizes of the graph.
    """
    return {key: _value(key, graph, counts, precision, sizes) for key in figures.MODEL_KEYS}


def _value(key: str, graph: Graph, counts: Counts, precision: str, sizes: Mapping[str, int]) -> Quantity | float | None:
    if key == "traffic_bytes":
        return counts.total.bytes_read + counts.total.bytes_written
    if key == "bits_per_parameter":
        parameters = int(counts.total.parameters)
        return 8 * int(counts.total.parameter_bytes) / parameters if parameters else None
    if key in OF_GRAPH:
        quantity = graph_figure(key, graph, precision)
        return None if quantity is None else value_of(quantity, sizes)
    found: Quantity = getattr(counts.total, key)
    return found


@of_graph
def kv_cache_bytes(graph: Graph, precision: str) -> Quantity | None:
    """Return the bytes of keys, values and states that are held after the forward."""
    return _sum_over_caches(graph, precision, lambda cache: cache.bytes)


@of_graph
def kv_cache_bytes_per_token(graph: Graph, precision: str) -> Quantity | None:
    """Return the bytes that the next token of a sequence adds to the keys and values.

    2 * layers * key and value heads * head width * bytes of the dtype in a decoder with full attention; states and full
    sliding windows add nothing.
    """
    return _sum_over_caches(graph, precision, lambda cache: cache.token_bytes * cache.added)


@of_graph
def kv_cache_bytes_per_sequence(graph: Graph, precision: str) -> Quantity | None:
    """Return the bytes of keys, values and states of one sequence after the forward."""
    return _sum_over_caches(graph, precision, lambda cache: cache.sequence_bytes)


def _sum_over_caches(graph: Graph, precision: str, of: Callable[[Cache], Quantity]) -> Quantity | None:
    caches = caches_of(graph, precision)
    if not caches:
        return None
    total: Quantity = 0
    for cache in caches:
        total = total + of(cache)
    return total
