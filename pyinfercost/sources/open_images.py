"""Graphs of convolutional networks with images of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._core import GraphRewriter
from ..errors import InputError
from .captured import Captured
from .sizes import BATCH, IMAGE
from .spec_graphs import spec_graph

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._core import Graph

_IMAGE_RANK = 4
_CONVOLUTIONS = ("aten.conv2d", "aten.convolution")
_BETWEEN_TOKENS = frozenset(
    {
        "aten.scaled_dot_product_attention",
        "aten.matmul",
        "aten.bmm",
        "aten.baddbmm",
        "aten.softmax",
        "aten._softmax",
        "aten.roll",
    }
)
"""Operators of models that relate patches of an image to each other.

Most of these have a table of positions of one size. In windows, as of swin, a capture with an open size compares
products of quotients of it for minutes.
"""
_CONTENTS = ("nodes", "tensors", "inputs", "outputs", "held_until")


def with_open_image(spec: str, found: Captured, sizes: Mapping[str, int]) -> Captured:
    """Return the graph of a convolutional network with a named image size, if it is the same graph at its own size.

    Args:
        spec: The spec.
        found: Its graph at one image size.
        sizes: Sizes that the graph was captured at.

    Returns:
        The open graph at the image size of `found`; `found` for other models, and where the graphs differ.
    """
    side = _side(found.graph)
    if side is None or not _is_convolutional(found.graph):
        return found
    try:
        graph = spec_graph(spec, {**sizes, IMAGE: side}, named=(*found.graph.sizes, IMAGE)).graph
        if IMAGE not in graph.sizes or not _is_same(graph, side, found.graph):
            return found
    except InputError:  # such as for a layer with as many weights as pixels
        return found
    fixed = {name: value for name, value in found.fixed.items() if name != IMAGE}
    return found._replace(graph=graph, sizes={**found.sizes, IMAGE: side}, fixed=fixed)


def _side(graph: Graph) -> int | None:
    """Return the side of the square images that are the only input; None for other inputs."""
    shapes = [tensor.shape for tensor in graph.inputs]
    if len(shapes) != 1 or len(shapes[0]) != _IMAGE_RANK or BATCH not in graph.sizes:
        return None
    height, width = shapes[0][2:]
    return height if isinstance(height, int) and height == width else None


def _is_convolutional(graph: Graph) -> bool:
    operators = graph.op_counts().keys()
    return not operators.isdisjoint(_CONVOLUTIONS) and operators.isdisjoint(_BETWEEN_TOKENS)


def _is_same(opened: Graph, side: int, fixed: Graph) -> bool:
    rewriter = GraphRewriter(opened)
    rewriter.bind({IMAGE: side})
    documents: list[dict[str, Any]] = [rewriter.build().to_dict(), fixed.to_dict()]
    return all(documents[0].get(part) == documents[1].get(part) for part in _CONTENTS)
