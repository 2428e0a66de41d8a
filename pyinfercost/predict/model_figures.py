"""Figures of a model without a machine: those of its counts, and those that its graph gives.

A figure that the graph gives is a function here with the figure's key as its name, under `@of_graph`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..results import figures
from .boundary import value_of
from .graph_cache import kept_with

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .._core import Counts, Graph, Quantity

OF_GRAPH: dict[str, Callable[[Graph, str], Quantity | None]] = {}
"""Key of a figure -> its quantity for a graph and a precision, in all sizes of the graph; None if it has none."""


def of_graph(function: Callable[[Graph, str], Quantity | None]) -> Callable[[Graph, str], Quantity | None]:
    """Register the computation of the figure that a function is named after."""
    OF_GRAPH[function.__name__] = function
    return function


def graph_figure(key: str, graph: Graph, precision: str) -> Quantity | None:
    """Return a figure that a graph gives, computed once for each precision."""
    kept = kept_with(graph)
    if (key, precision) not in kept:
        kept[key, precision] = OF_GRAPH[key](graph, precision)
    found: Quantity | None = kept[key, precision]
    return found


def model_figures(graph: Graph, counts: Counts, precision: str, sizes: Mapping[str, int]) -> dict[str, Quantity | None]:
    """Return all figures of a model that need no machine, by key.

    Args:
        graph: the model.
        counts: its counts at these sizes.
        precision: the dtype to run in.
        sizes: values of all sizes of the graph.
    """
    return {key: _value(key, graph, counts, precision, sizes) for key in figures.MODEL_KEYS}


def _value(key: str, graph: Graph, counts: Counts, precision: str, sizes: Mapping[str, int]) -> Quantity | None:
    if key == "traffic_bytes":
        return counts.total.bytes_read + counts.total.bytes_written
    if key in OF_GRAPH:
        quantity = graph_figure(key, graph, precision)
        return None if quantity is None else value_of(quantity, sizes)
    found: Quantity = getattr(counts.total, key)
    return found
