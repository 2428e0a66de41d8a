"""Kernels of serving engines for products in narrow formats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._core import TensorId, TensorInfo
from .products import Product
from .stored_weights import StoredWeights, ceil_div
from .table import Format, FormatError

if TYPE_CHECKING:
    from .._core import Graph, GraphRewriter


_ROUTING = ("offs", "groups_used")
"""Arguments of a grouped product that assign rows to matrices."""


class EngineKernels:
    """Replaces products by a serving engine's kernels for a format.

    Weight-only formats become one kernel that dequantizes the weight as it is read. Formats with narrow activations
    become a kernel that quantizes the activation and a product of narrow operands. Casts become a cast before the
    product and one after it.

    Args:
        graph: The captured graph.
        rewriter: Rewriter of the graph.
        weights: The weights in other formats.
    """

    def __init__(self, graph: Graph, rewriter: GraphRewriter, weights: StoredWeights) -> None:
        self._graph, self._rewriter, self._weights = graph, rewriter, weights

    def replace(self, product: Product, form: Format) -> None:
        """Replace one product.

        Raises:
            FormatError: The format has no kernel for this product.
        """
        node = product.node.index
        if form.is_cast:
            self._cast(product, form)
        elif form.semi_structured:
            args = {"input": TensorId(product.input), **self._weights.arguments(product, form)}
            self._rewriter.replace(node, "pyinfercost.linear_semi_structured.default", args)
        elif product.stacked:
            self._grouped(product, form)
        elif product.spatial_dims:
            self._convolution(product, form)
        elif form.activation is None:
            args = {"input": TensorId(product.input), **self._weights.arguments(product, form)}
            self._rewriter.replace(node, "pyinfercost.linear_weight_only.default", {**args, **arguments_of(form)})
        else:
            args = {"input": self._activation(product, form), **self._weights.arguments(product, form)}
            self._rewriter.replace(node, "pyinfercost.linear_quantized.default", {**args, **arguments_of(form)})

    def _grouped(self, product: Product, form: Format) -> None:
        """Replace a product with a stack of matrices; rows are assigned to matrices as before."""
        args = self._weights.arguments(product, form)
        routing = {name: value for name, value in product.node.args.items() if name in _ROUTING}
        if form.activation is None:
            given = {"input": TensorId(product.input), **args, **routing, **arguments_of(form)}
            self._rewriter.replace(product.node.index, "pyinfercost.grouped_weight_only.default", given)
        else:
            given = {"input": self._activation(product, form), **args, **routing, **arguments_of(form)}
            self._rewriter.replace(product.node.index, "pyinfercost.grouped_quantized.default", given)

    def _activation(self, product: Product, form: Format) -> TensorId:
        """Quantize the activation before the product, row by row or with a known scale."""
        *lead, length = self._rewriter.shape(product.input)
        narrow = self._rewriter.tensor(form.dtype, [*lead, length // form.values])
        given = TensorId(product.input)
        node = product.node.index
        if form.activation == "static":
            self._rewriter.insert_before(node, "aten.quantize_per_tensor.default", {"self": given}, [narrow])
            return narrow
        scales = 1 if form.group is None else ceil_div(length, form.group)
        scale = self._rewriter.tensor(form.scale or "float32", [*lead, scales])
        self._rewriter.insert_before(node, "pyinfercost.quantize_rows.default", {"input": given}, [narrow, scale])
        return narrow

    def _convolution(self, product: Product, form: Format) -> None:
        if form.dtype != "int8" or form.activation is None:
            raise FormatError(
                f"{form.name} applies to matrix products; convolutions support int8_dynamic and int8_static"
            )
        node = product.node
        args = {name: value for name, value in node.args.items() if name not in ("input", "weight", "bias")}
        op = f"quantized.conv{product.spatial_dims}d"
        args["qx"] = TensorId(product.input)
        if form.activation == "static":
            shape, strides = self._rewriter.shape(product.input), self._rewriter.strides(product.input)
            narrow = self._rewriter.tensor(form.dtype, shape, strides=strides)
            given = {"self": TensorId(product.input)}
            self._rewriter.insert_before(node.index, "aten.quantize_per_tensor.default", given, [narrow])
            args["qx"] = narrow
        else:
            op += "_dynamic"
        self._rewriter.replace(node.index, f"{op}.default", {**args, **self._weights.arguments(product, form)})

    def _cast(self, product: Product, form: Format) -> None:
        """Store the weight in a narrower float, and cast the activation before the product and the result after it."""
        node, rewriter = product.node, self._rewriter
        stored = self._weights.arguments(product, form)
        narrow = rewriter.tensor(form.dtype, rewriter.shape(product.input))
        rewriter.insert_before(node.index, "aten._to_copy.default", {"self": TensorId(product.input)}, [narrow])
        result = rewriter.tensor(form.dtype, rewriter.shape(node.results[0]))
        args: dict[str, Any] = {"input": narrow, **stored}
        op = "aten.linear.default"
        if product.spatial_dims:
            op, args = f"{node.op}.{node.overload}", {**node.args, **args}
        elif product.stacked:
            op, args = f"{node.op}.{node.overload}", self._cast_stack(product, narrow, stored["weight"])
        elif product.transposed:
            op, args = "aten.matmul.default", {"self": narrow, "other": stored["weight"]}
        rewriter.insert_before(node.index, op, args, [result])
        rewriter.replace(node.index, "aten._to_copy.default", {"self": result})

    def _cast_stack(self, product: Product, narrow: TensorId, weight: TensorId) -> dict[str, Any]:
        """Return the arguments of a product with a stack of matrices in a narrower float."""
        node, rewriter = product.node, self._rewriter
        matrices = weight
        if product.view is not None:
            shape, strides = rewriter.shape(product.view), rewriter.strides(product.view)
            matrices = rewriter.tensor(rewriter.dtype(weight), shape, strides=strides)
            turn = {"self": weight, "dim0": -2, "dim1": -1}
            rewriter.insert_before(node.index, "aten.transpose.int", turn, [matrices])
        read = product.weight if product.view is None else product.view
        moved = {product.input: narrow, read: matrices}
        return {
            name: moved.get(value.index, value) if isinstance(value, TensorInfo) else value
            for name, value in node.args.items()
        }


def arguments_of(form: Format) -> dict[str, int]:
    """Return the arguments for the group size of scales and for the bits of a weight."""
    group = {} if form.group is None else {"group_size": form.group}
    return {**group, "weight_bits": form.bits} if form.bits else group
