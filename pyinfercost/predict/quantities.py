"""Sizes of graphs, and quantities of them at the rows of a grid."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .._core import Graph, Quantity


def length_of(graph: Graph) -> str:
    """Return the name of the size of a sequence: its context, or the tokens of its prompt; empty if there is none."""
    return graph.size_of_role("context") or graph.size_of_role("sequence") or ""


def column_of(graph: Graph, quantity: Quantity, rows: int, column: Callable[[str], Any]) -> Any:
    """Return a quantity at the rows of a grid, as a float64 array of shape (rows,).

    Args:
        graph: The graph.
        quantity: A quantity of the graph.
        rows: Number of rows.
        column: Returns the values of a size at the rows; a KeyError stands for the size's default.
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
