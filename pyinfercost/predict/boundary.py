"""What passes the boundary of a forward: bytes of inputs, results and weights, and tokens, at sizes that vary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import _core
from .graph_cache import kept_with

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .._core import Graph, Quantity


@dataclass(frozen=True)
class Boundary:
    """What passes the boundary of a forward, in all sizes of its graph.

    Attributes:
        input_tensors: how many inputs there are; caches stay where they are and do not count.
        input_bytes: their bytes, at the width that the precision stores.
        output_tensors: how many results are handed out, without keys and values that the next forward needs.
        output_bytes: their bytes.
        weight_bytes: bytes of weights and buffers.
        tokens: ids that are looked up in the largest table of embeddings; None where a forward takes none.
        kv_cache_bytes: bytes of keys and values that are held after the forward: those that it returns, or, if it
            returns none, the caches that it is given; None if there are neither.
        kv_cache_growth_bytes: bytes that the forward adds to them: by how much the returned ones are larger than the
            given ones, and what it writes into caches in place.
    """

    input_tensors: int
    input_bytes: Quantity
    output_tensors: int
    output_bytes: Quantity
    weight_bytes: Quantity
    tokens: Quantity | None
    kv_cache_bytes: Quantity | None
    kv_cache_growth_bytes: Quantity


def boundary_of(graph: Graph, precision: str) -> Boundary:
    """The boundary of a graph, found once for each precision."""
    kept = kept_with(graph)
    key = ("boundary", precision)
    if key not in kept:
        kept[key] = Boundary(**_core.boundary(graph, precision=precision))
    found: Boundary = kept[key]
    return found


def value_of(quantity: Quantity, sizes: Mapping[str, int]) -> int:
    """A quantity where all sizes have values."""
    return quantity if isinstance(quantity, int) else quantity.evaluate(sizes)


def column_of(graph: Graph, quantity: Quantity, rows: int, column: Callable[[str], Any]) -> Any:
    """A quantity at rows of a grid, as a column of float64.

    Args:
        graph: whose sizes they are.
        quantity: of the graph.
        rows: how many.
        column: gives a size's values, a KeyError where the grid has none: then it is at its default.
    """
    import numpy as np

    if isinstance(quantity, int):
        return np.full(rows, float(quantity))
    columns = {}
    for name in quantity.names:
        try:
            columns[name] = np.ascontiguousarray(column(name), dtype=np.int64)
        except KeyError:
            default = column_of(graph, graph.sizes[name]["default"], rows, column)
            columns[name] = default.astype(np.int64)
    return quantity.evaluate_columns(columns).astype(np.float64)
