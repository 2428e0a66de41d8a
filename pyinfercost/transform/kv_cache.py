"""Keys and values of attention in another dtype: caches, values appended to them, and their consumers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from .. import _core
from .._core import TensorId

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._core import Graph, GraphRewriter, NodeInfo

# Operators whose results hold elements of their operands unchanged: views, copies, and concatenations.
_PASSES_ON = frozenset(
    f"aten.{name}"
    for name in (
        "cat",
        "view",
        "reshape",
        "transpose",
        "permute",
        "expand",
        "unsqueeze",
        "squeeze",
        "slice",
        "select",
        "clone",
        "contiguous",
        "index_copy",
        "index_put",
        "repeat_interleave",
        "narrow",
    )
)
_FLOATS = ("float32", "float16", "bfloat16")
_FUSED_ATTENTION = ("aten.scaled_dot_product_attention", "aten._scaled_dot_product")


class CacheFormat:
    """Stores keys and values in another dtype.

    Fused attention reads narrow keys and values and dequantizes them itself. For any other consumer, a kernel
    dequantizes them first. New keys and values are quantized before they are appended to the cache. A prefill, which
    has no cache to append to, quantizes those that it returns and attends to its own. States stay as they are.

    Args:
        graph: The captured graph.
        rewriter: Rewriter of the graph.
        dtype: Dtype of the cache.

    Attributes:
        found: Number of cache tensors in the graph.
    """

    def __init__(self, graph: Graph, rewriter: GraphRewriter, dtype: str) -> None:
        self._rewriter = rewriter
        self._dtype = dtype
        held = _core.boundary(graph).caches
        states = {cache.name for cache in held if cache.kind == "state"} - {""}
        self._wide = {
            t.index: t.dtype
            for t in graph.tensors
            if t.role == "kv_cache" and t.dtype in _FLOATS and t.name not in states
        }
        for t in self._wide:
            rewriter.set_dtype(t, dtype)
        self.found = len(self._wide)
        if not self.found:
            self.found = self._store(graph, {cache.tensor for cache in held if cache.kind != "state"})

    def visit(self, node: NodeInfo) -> None:
        """Change the operands of a node. Nodes must be visited in execution order."""
        operands = node.operands
        narrow = [t for t in operands if t in self._wide]
        if not narrow or node.op.startswith(_FUSED_ATTENTION):
            return
        if _converts_nothing(node):
            return
        if node.op.rstrip("_") not in _PASSES_ON:
            self._rewriter.replace_operands(node.index, {t: self._widened(node, t) for t in narrow})
            return
        insert = partial(self._rewriter.insert_before, node.index)
        self._rewriter.replace_operands(
            node.index, {t: self._quantized(t, insert) for t in operands if self._is_appended(t)}
        )
        for t in node.results:
            self._wide[t] = self._rewriter.dtype(t)
            self._rewriter.set_dtype(t, self._dtype)

    def _is_appended(self, t: int) -> bool:
        """Return whether elements of a wide tensor are appended to a cache."""
        is_wide = t not in self._wide and self._rewriter.dtype(t) in _FLOATS
        return is_wide and 0 not in self._rewriter.shape(t)

    def _store(self, graph: Graph, returned: set[int]) -> int:
        """Quantize keys and values that a prefill returns; return their number."""
        last: dict[int, int] = {}
        made = set[int]()
        for node in graph.nodes:
            made.update(returned.intersection(node.results))
            # After its attention, since an engine's kernels may make keys and values together.
            last |= dict.fromkeys(returned.intersection((*node.results, *node.operands)), node.index)
        stored = [t for t in sorted(made) if graph.tensor(t).dtype in _FLOATS]
        for t in stored:
            insert = partial(self._rewriter.insert_after, last[t])
            self._rewriter.return_instead(t, self._quantized(t, insert, name=graph.tensor(t).name))
        return len(stored)

    def _quantized(self, t: int, insert: Callable[..., None], *, name: str = "") -> TensorId:
        rewriter = self._rewriter
        shape = rewriter.shape(t)
        narrow = rewriter.tensor(self._dtype, shape, name=name)
        if self._dtype in ("float16", "bfloat16"):
            insert("aten._to_copy.default", {"self": TensorId(t)}, [narrow])
            return narrow
        scale = rewriter.tensor("float32", [*shape[:-1], 1])
        insert("pyinfercost.quantize_rows.default", {"input": TensorId(t)}, [narrow, scale])
        return narrow

    def _widened(self, node: NodeInfo, t: int) -> TensorId:
        wide = self._rewriter.tensor(self._wide[t], self._rewriter.shape(t))
        op = "quantized_decomposed.dequantize_per_token.default"
        self._rewriter.insert_before(node.index, op, {"input": TensorId(t)}, [wide])
        return wide


def _converts_nothing(node: NodeInfo) -> bool:
    """Return whether a tensor is converted to the dtype that it had when it was captured: the result is the tensor."""
    return node.op == "aten.to" and set(node.results) <= set(node.operands)
