"""Forwards that were captured from modules in training mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .plans import trains

if TYPE_CHECKING:
    from .._core import Graph

_DROPOUTS = frozenset({"aten.dropout", "aten.dropout_", "aten.feature_dropout", "aten.native_dropout"})


def in_training_mode(graph: Graph) -> bool:
    """Return whether a forward was captured from a module in training mode.

    Its dropouts are active, or its batch norms compute statistics and update the running ones.
    """
    if trains(graph) or not any("batch_norm" in op or "dropout" in op for op in graph.op_counts()):
        return False
    return any(
        (
            node.op == "aten.batch_norm"
            and node.argument("training") is True
            and node.operand("running_mean") is not None
        )
        or (node.op in _DROPOUTS and node.argument("train") is True)
        for node in graph.nodes
    )
