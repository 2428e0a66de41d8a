"""Products of activations with weights: search in a graph, and storage of their weights in other formats."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from .._core import TensorId
from .formats import Format, WhatIfError

if TYPE_CHECKING:
    from .._core import Graph, GraphRewriter, NodeInfo, Quantity
    from ..results.sparsity import WeightSparsity

METADATA_COLUMNS = 16
"""Columns of a 2:4 weight per int16 of metadata: four groups of four, two bits per kept element."""

_CONVOLUTIONS = {"aten.conv1d": 1, "aten.conv2d": 2, "aten.conv3d": 3}
_MATRIX_OPERANDS = {"aten.addmm": ("mat1", "mat2"), "aten.mm": ("self", "mat2"), "aten.matmul": ("self", "other")}
_TRANSPOSES = frozenset(("aten.t", "aten.transpose", "aten.permute", "aten.numpy_T", "aten.mT"))


@dataclass(frozen=True)
class Product:
    """A product of activations with a weight.

    Attributes:
        node: The call.
        input: Number of the activation tensor.
        weight: Number of the parameter.
        bias: Number of the bias; None without one.
        transposed: Whether the weight is stored as [inputs, outputs].
        spatial_dims: Dimensions of a convolution's window; 0 for a matrix product.
        view: Number of the transposed view of the weight that the node reads; None if it reads the weight itself.
    """

    node: NodeInfo
    input: int
    weight: int
    bias: int | None
    transposed: bool = False
    spatial_dims: int = 0
    view: int | None = None


def find_products(graph: Graph) -> Iterable[Product]:
    """Yield the products with a parameter, in execution order: convolutions, linear layers and matrix products."""
    tensors, nodes = graph.tensors, graph.nodes
    maker = {t: node for node in nodes for t in node.results}

    def is_parameter(t: int | None) -> bool:
        return t is not None and tensors[t].role == "parameter"

    for node in nodes:
        op = node.op
        if op == "aten.linear" or op in _CONVOLUTIONS:
            activation, weight = node.operand("input"), node.operand("weight")
            if activation is not None and weight is not None and is_parameter(weight):
                yield Product(node, activation, weight, node.operand("bias"), spatial_dims=_CONVOLUTIONS.get(op, 0))
            continue
        if op not in _MATRIX_OPERANDS:
            continue
        activation, matrix = (node.operand(name) for name in _MATRIX_OPERANDS[op])
        if activation is None or matrix is None or len(tensors[matrix].shape) != 2:  # noqa: PLR2004 - a matrix
            continue
        made = maker.get(matrix)
        weight = matrix if made is None else made.operand("self")
        if weight is None or not is_parameter(weight):
            continue
        bias = node.operand("self") if op == "aten.addmm" else None
        view = matrix if made is not None and made.op in _TRANSPOSES else None
        yield Product(node, activation, weight, bias, transposed=view is None, view=view)


def has_2_4_kernel(weight: WeightSparsity) -> bool:
    """Return whether 2:4 kernels run a weight: a 2:4 matrix with rows that fill whole words of metadata."""
    is_matrix = len(weight.shape) == 2  # noqa: PLR2004
    return weight.holds_2_4 and is_matrix and weight.shape[1] % METADATA_COLUMNS == 0


class StoredWeights:
    """Store weights in other formats. A weight that several products share is stored once.

    Args:
        graph: The captured graph.
        rewriter: Its rewriter.
    """

    def __init__(self, graph: Graph, rewriter: GraphRewriter) -> None:
        self._graph, self._rewriter = graph, rewriter
        self._known: dict[tuple[int, Format], dict[str, TensorId]] = {}

    def arguments(self, product: Product, form: Format) -> dict[str, TensorId]:
        """Return the arguments that replace `weight` and `bias` of a product: `weight`, `weight_scale` and so on.

        Raises:
            WhatIfError: The length of the weight's rows is no multiple of the elements that the format packs together.
        """
        key = (product.weight, form)
        if key not in self._known:
            self._known[key] = self._cast(product, form) if form.is_cast else self._store(product, form)
        args = dict(self._known[key])
        if product.bias is not None:
            args["bias"] = TensorId(product.bias)
        return args

    def _cast(self, product: Product, form: Format) -> dict[str, TensorId]:
        old = self._graph.tensor(product.weight)
        name = f"{old.name or 'weight'}.{form.name}"
        cast = self._rewriter.tensor(
            form.dtype, old.shape, role="parameter", name=name, logical_numel=old.logical_numel
        )
        return {"weight": cast}

    def _store(self, product: Product, form: Format) -> dict[str, TensorId]:
        old = self._graph.tensor(product.weight)
        lengths = [length for length in old.shape if isinstance(length, int)]
        if len(lengths) < len(old.shape):
            raise WhatIfError(
                f"{old.name!r} has shape ({', '.join(map(str, old.shape))}) in named sizes; pass a graph whose weights "
                "have fixed shapes, such as `ChannelGroups.at()` returns"
            )
        logical_numel = prod(lengths) if old.logical_numel is None else old.logical_numel
        rows, *columns = reversed(lengths) if product.transposed else lengths
        if form.semi_structured:
            return self._store_kept(product, rows, columns[0], logical_numel)
        if columns[-1] % form.values:
            raise WhatIfError(
                f"{old.name!r} has rows of {columns[-1]}; {form.name} needs a multiple of {form.values}, the number of "
                "weights in a byte"
            )
        name = old.name or "weight"
        narrow = [rows, *columns[:-1], columns[-1] // form.values]
        args = {
            "weight": self._rewriter.tensor(
                form.dtype, narrow, role="parameter", name=f"{name}.{form.name}", logical_numel=logical_numel
            )
        }
        scales = [rows, 1 if form.group is None else -(-prod(columns) // form.group)]
        for kind, dtype in (("scale", form.scale), ("zero_point", form.zero)):
            if dtype is not None:
                args[f"weight_{kind}"] = self._rewriter.tensor(
                    dtype, scales, role="parameter", name=f"{name}.{kind}", logical_numel=0
                )
        return args

    def _store_kept(self, product: Product, rows: int, columns: int, logical_numel: int) -> dict[str, TensorId]:
        """Store the two kept weights of each group of four, and two bits of metadata for each."""
        old = self._graph.tensor(product.weight)
        name = old.name or "weight"
        if columns % METADATA_COLUMNS:
            raise WhatIfError(f"{name!r} has rows of {columns}; 2:4 kernels need a multiple of {METADATA_COLUMNS}")
        kept = self._rewriter.tensor(
            old.dtype, [rows, columns // 2], role="parameter", name=f"{name}.kept", logical_numel=logical_numel
        )
        places = self._rewriter.tensor(
            "int16", [rows, columns // METADATA_COLUMNS], role="parameter", name=f"{name}.places", logical_numel=0
        )
        return {"weight": kept, "places": places}


def ceil_div(length: Quantity, divisor: int) -> Quantity:
    """Return `length / divisor`, rounded up."""
    return (length + (divisor - 1)) // divisor
