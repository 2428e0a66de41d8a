"""Which node of a graph makes a tensor, and which nodes read it."""

from __future__ import annotations

from pyinfercost._core import Graph, NodeInfo


class Search:
    """Makers and readers of the tensors of a graph.

    Args:
        graph: The graph.

    Attributes:
        nodes: Its nodes.
        tensors: Its tensors.
        returned: Numbers of those that the forward returns.
    """

    def __init__(self, graph: Graph) -> None:
        self.nodes = graph.nodes
        self.tensors = graph.tensors
        self.returned = {tensor.index for tensor in graph.outputs}
        self._makers = {tensor: node for node in self.nodes for tensor in node.results}
        self._readers: dict[int, list[NodeInfo]] = {}
        for node in self.nodes:
            for tensor in set(node.operands):
                self._readers.setdefault(tensor, []).append(node)

    def maker(self, tensor: int | None, *ops: str) -> NodeInfo | None:
        """Return the node that makes a tensor, if it runs one of these operators."""
        node = None if tensor is None else self._makers.get(tensor)
        return node if node is not None and node.op in ops else None

    def readers(self, node: NodeInfo) -> list[NodeInfo]:
        """Return the readers of the result of a node; nothing for one that the forward returns."""
        result = node.results[0]
        return [] if result in self.returned else self._readers.get(result, [])

    def reader(self, node: NodeInfo) -> NodeInfo | None:
        """Return the only node that reads the result of a node."""
        readers = self.readers(node)
        return readers[0] if len(readers) == 1 else None
