"""Early exits: the graph of a forward that ends at one of the classifiers that a model has before its last one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InputError
from .subgraphs import reduced

if TYPE_CHECKING:
    from .._core import Graph, NodeInfo

_HEADS = frozenset({"linear", "addmm", "mm", "matmul", "convolution", "conv2d", "conv1d", "conv3d"})
"""Operators that end a classifier."""

_KEPT = frozenset(
    {
        "view", "reshape", "squeeze", "flatten", "softmax", "_softmax", "log_softmax", "_log_softmax", "sigmoid", "to",
        "upsample_bilinear2d", "upsample_nearest2d", "interpolate", "add", "contiguous",
    }
)  # fmt: skip
"""Operators that may follow it."""


class ExitsError(InputError):
    """The graph has no early exit, or none of that number."""


def exits(graph: Graph) -> list[int]:
    """Return the tensors of the early exits of a forward, in its order.

    An early exit is a result of the same shape as another one that is computed later; both are results of a linear
    layer or a convolution, so that hidden states and caches are none.

    Args:
        graph: A graph from `capture`.
    """
    nodes = graph.nodes
    maker = {tensor: node for node in nodes for tensor in node.results}
    heads: dict[int, int] = {}
    for each in graph.outputs:
        head = _head(each.index, maker)
        if head is not None:
            heads[each.index] = head.index
    if not heads:
        return []
    last = max(heads, key=lambda tensor: heads[tensor])
    shape = _shape(graph, last)
    early = [tensor for tensor in heads if heads[tensor] != heads[last] and _shape(graph, tensor) == shape]
    return sorted(early, key=lambda tensor: heads[tensor])


def leaving_at(graph: Graph, number: int) -> Graph:
    """Return the graph of a forward that ends at an early exit: nothing that only later results need is computed.

    Args:
        graph: A graph from `capture`.
        number: The exit, from 1.

    Raises:
        ExitsError: There is no such exit.
    """
    found = exits(graph)
    if not found:
        raise ExitsError("the graph has no early exit: no two results of one shape, each of a classifier of its own")
    if not 1 <= number <= len(found):
        raise ExitsError(
            f"exit {number} is not one of the {len(found)} early exits of the graph; pass 1 to {len(found)}"
        )
    return reduced(graph, outputs=[found[number - 1]])


def _shape(graph: Graph, tensor: int) -> tuple[str, ...]:
    return tuple(map(str, graph.tensor(tensor).shape))


def _head(tensor: int, maker: dict[int, NodeInfo]) -> NodeInfo | None:
    """Return the last product before a result; None if there is none."""
    node = maker.get(tensor)
    while node is not None:
        name = node.op.rpartition(".")[2]
        if name in _HEADS:
            return node
        if name not in _KEPT or not node.operands:
            return None
        node = maker.get(node.operands[0])
    return None
