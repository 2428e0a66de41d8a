"""Search for the products of activations with weights in a graph."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .._core import Graph, NodeInfo
    from ..results.sparsity import WeightSparsity

METADATA_COLUMNS = 16
"""Columns of a 2:4 weight per int16 of metadata: four groups of four, two bits per kept element."""

_CONVOLUTIONS = {"aten.conv1d": 1, "aten.conv2d": 2, "aten.conv3d": 3}
_MATRIX_OPERANDS = {"aten.addmm": ("mat1", "mat2"), "aten.mm": ("self", "mat2"), "aten.matmul": ("self", "other")}
_TRANSPOSES = frozenset(("aten.t", "aten.transpose", "aten.permute", "aten.numpy_T", "aten.mT"))
# Products with a stack of matrices, [experts, inputs, outputs], one for each group of rows.
_STACKED_OPERANDS = {
    "aten._grouped_mm": ("self", "mat2"),
    "transformers.grouped_mm_fallback": ("input", "weight"),
    "aten.bmm": ("self", "mat2"),
}
_STACK = 3  # dimensions


@dataclass(frozen=True)
class Product:
    """A product of activations with a weight.

    Attributes:
        node: The call.
        input: Number of the activation tensor.
        weight: Number of the parameter.
        bias: Number of the bias; None without one.
        name: Name of the parameter.
        transposed: Whether the weight is stored as [inputs, outputs].
        spatial_dims: Dimensions of a convolution's window; 0 for a matrix product.
        view: Number of the transposed view of the weight that the node reads; None if it reads the weight itself.
        stacked: Whether the weight is a stack of matrices, such as the experts of a layer.
    """

    node: NodeInfo
    input: int
    weight: int
    bias: int | None
    name: str = ""
    transposed: bool = False
    spatial_dims: int = 0
    view: int | None = None
    stacked: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names that patterns match: the module, and for experts, which share a module, also the parameter."""
        return (self.node.module, self.name) if self.stacked else (self.node.module,)


def find_products(graph: Graph) -> Iterable[Product]:
    """Yield the products with a parameter, in execution order.

    These are convolutions, linear layers, matrix products, and products with stacks of matrices, such as the experts of
    a mixture.
    """
    tensors, nodes = graph.tensors, graph.nodes
    maker = {t: node for node in nodes for t in node.results}

    def is_parameter(t: int | None) -> bool:
        return t is not None and tensors[t].role == "parameter"

    for node in nodes:
        op = node.op
        if op == "aten.linear" or op in _CONVOLUTIONS:
            activation, weight = node.operand("input"), node.operand("weight")
            if activation is not None and weight is not None and is_parameter(weight):
                name = tensors[weight].name
                spatial_dims = _CONVOLUTIONS.get(op, 0)
                yield Product(node, activation, weight, node.operand("bias"), name, spatial_dims=spatial_dims)
            continue
        operands = _MATRIX_OPERANDS.get(op) or _STACKED_OPERANDS.get(op)
        if operands is None:
            continue
        activation, matrix = (node.operand(operand) for operand in operands)
        stacked = op in _STACKED_OPERANDS
        if activation is None or matrix is None or len(tensors[matrix].shape) != (_STACK if stacked else _STACK - 1):
            continue
        made = maker.get(matrix)
        if stacked and made is not None and not _turns_matrices(made):
            continue
        weight = matrix if made is None else made.operand("self")
        if weight is None or not is_parameter(weight) or len(tensors[weight].shape) != len(tensors[matrix].shape):
            continue  # such as a vector of frequencies that is multiplied as a row
        bias = node.operand("self") if op == "aten.addmm" else node.operand("bias") if stacked else None
        view = matrix if made is not None and made.op in _TRANSPOSES else None
        name = tensors[weight].name
        yield Product(node, activation, weight, bias, name, transposed=view is None, view=view, stacked=stacked)


def _turns_matrices(node: NodeInfo) -> bool:
    """Return whether a node transposes each matrix of a stack."""
    if node.op == "aten.mT":
        return True
    dims = {node.args.get("dim0"), node.args.get("dim1")} if node.op == "aten.transpose" else set()
    turned = node.args.get("dims") if node.op == "aten.permute" else None
    return dims in ({-2, -1}, {1, 2}, {1, -1}, {-2, 2}) or (turned is not None and [*turned] == [0, 2, 1])


def has_2_4_kernel(weight: WeightSparsity) -> bool:
    """Return whether 2:4 kernels run a weight: a 2:4 matrix with rows that fill whole words of metadata."""
    is_matrix = len(weight.shape) == 2  # noqa: PLR2004
    return weight.holds_2_4 and is_matrix and weight.shape[1] % METADATA_COLUMNS == 0
