"""Keys and values of attention in another dtype: caches, what is appended to them, and what reads them."""

from __future__ import annotations

from .edit import GraphEdit, Node, operands, tensor, with_operands

# What hands on the elements that it is given, as they are: views, copies, and joining old and new.
_HANDS_ON = (
    "aten.cat",
    "aten.view",
    "aten.reshape",
    "aten.transpose",
    "aten.permute",
    "aten.expand",
    "aten.unsqueeze",
    "aten.squeeze",
    "aten.slice",
    "aten.select",
    "aten.clone",
    "aten.contiguous",
    "aten.index_copy",
    "aten.index_put",
    "aten.repeat_interleave",
    "aten.narrow",
)
_READS_NARROW = ("aten.scaled_dot_product_attention", "aten._scaled_dot_product")


class CacheFormat:
    """Keeps keys and values in a dtype.

    Fused attention reads them as they lie in memory and widens them on the way; what else reads them gets them widened
    by a kernel before it.

    Args:
        edit: the graph.
        dtype: of the cache.
    """

    def __init__(self, edit: GraphEdit, dtype: str) -> None:
        self._edit = edit
        self._dtype = dtype
        self._wide: dict[int, str] = {}
        for t, made in enumerate(edit.tensors):
            if made["role"] == "kv_cache":
                self._wide[t] = made["dtype"]
                made["dtype"] = dtype
        self.found = len(self._wide)

    def visit(self, node: Node) -> Node:
        """A node with operands as they are now; kernels that it needs before it are inserted."""
        narrow = [t for t in operands(node) if t in self._wide]
        name = node["op"].rpartition(".")[0]
        if not narrow or name.startswith(_READS_NARROW):
            return node
        if name.rstrip("_") in _HANDS_ON:
            swapped = {t: self._quantised(node, t) for t in operands(node) if self._is_new(t)}
            for t in node["outputs"]:
                self._wide[t] = self._edit.tensors[t]["dtype"]
                self._edit.tensors[t]["dtype"] = self._dtype
            return with_operands(node, swapped)
        return with_operands(node, {t: self._widened(node, t) for t in narrow})

    def _is_new(self, t: int) -> bool:
        """Whether elements are put into a cache that are still wide."""
        made = self._edit.tensors[t]
        return t not in self._wide and made["dtype"] in ("float32", "float16", "bfloat16") and 0 not in made["shape"]

    def _quantised(self, node: Node, t: int) -> int:
        edit = self._edit
        shape = list(edit.tensors[t]["shape"])
        narrow = edit.add_tensor(self._dtype, shape)
        if self._dtype in ("float16", "bfloat16"):
            edit.insert("aten._to_copy.default", node, {"self": tensor(t)}, [narrow])
            return narrow
        scale = edit.add_tensor("float32", [*shape[:-1], 1])
        edit.insert("pyinfercost.quantize_rows.default", node, {"input": tensor(t)}, [narrow, scale])
        return narrow

    def _widened(self, node: Node, t: int) -> int:
        wide = self._edit.add_tensor(self._wide[t], list(self._edit.tensors[t]["shape"]))
        op = "quantized_decomposed.dequantize_per_token.default"
        self._edit.insert(op, node, {"input": tensor(t)}, [wide])
        return wide
