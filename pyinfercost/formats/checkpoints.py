"""Weights in the formats of a checkpoint: a graph whose parameters are those that the checkpoint stores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from .. import _core
from .kernels import EngineKernels, arguments_of
from .products import find_products
from .stored_weights import Metadata, StoredWeights

if TYPE_CHECKING:
    from .._core import Graph
    from .table import Format


@dataclass(frozen=True)
class Checkpoint:
    """Storage of the weights of a model.

    Attributes:
        method: Name of the method that quantized them.
        formats: Name of a parameter -> its format; parameters without one are stored in their dtype.
        metadata: Name of a parameter -> the stored scales and zero points, which replace those that its format defines.
        dtypes: Name of a parameter without a format -> the dtype that the files store it in. Operators read it as it
            is, without a conversion.
    """

    method: str
    formats: Mapping[str, Format]
    metadata: Mapping[str, tuple[Metadata, ...]] = field(default_factory=dict)
    dtypes: Mapping[str, str] = field(default_factory=dict)


def with_formats(graph: Graph, checkpoint: Checkpoint) -> Graph:
    """Return the graph of the same model with weights in the formats of a checkpoint.

    Products get the kernels of serving engines for the format of their weight, as in `whatif`, and embeddings widen the
    rows that they look up. For any other operator that reads a narrow weight, a kernel widens the whole weight first.

    Args:
        graph: The graph with the weights of the model.
        checkpoint: Their storage. Names that the graph does not have are ignored: a part of a model has a part of its
            weights.

    Returns:
        A new graph.

    Raises:
        FormatError: A format has no kernel for a product, or does not fit the shape of a weight.
    """
    forms = checkpoint.formats
    narrow = {t.index: forms[t.name] for t in graph.tensors if t.role == "parameter" and t.name in forms}
    others = {
        t.index: checkpoint.dtypes[t.name]
        for t in graph.tensors
        if t.role == "parameter" and t.index not in narrow and checkpoint.dtypes.get(t.name, t.dtype) != t.dtype
    }
    if not narrow and not others:
        return graph
    rewriter = _core.GraphRewriter(graph)
    plain = {t: _with_dtype(graph, rewriter, t, dtype) for t, dtype in others.items()}
    weights = StoredWeights(graph, rewriter, checkpoint.metadata)
    kernels = EngineKernels(graph, rewriter, weights)
    found = (product for product in find_products(graph) if product.weight in narrow and not product.spatial_dims)
    products = {product.node.index: product for product in found}
    views = {product.view for product in products.values()}
    for node in graph.nodes:
        if changed := {t: plain[t] for t in plain.keys() & set(node.operands)}:
            rewriter.replace_operands(node.index, changed)
        if node.index in products:
            product = products[node.index]
            if product.bias in plain:
                product = replace(product, bias=plain[product.bias].index)
            kernels.replace(product, narrow[product.weight])
            if product.view is not None:
                rewriter.drop_if_unread(product.view)
            continue
        if not views.isdisjoint(node.results):  # a transposed weight, which only products read
            continue
        table = node.operand("weight") if node.op == "aten.embedding" else None
        if table is not None and table in narrow and narrow[table].group is not None:
            form, stored = narrow[table], weights.parameters(table, narrow[table])
            args = {name: value for name, value in node.args.items() if name != "weight"}
            rewriter.replace(node.index, f"{node.op}.{node.overload}", {**stored, **args, **arguments_of(form)})
            continue
        widened = {}
        for t in narrow.keys() & set(node.operands):
            stored = weights.parameters(t, narrow[t])
            widened[t] = rewriter.tensor(graph.tensor(t).dtype, graph.tensor(t).shape)
            op = "quantized_decomposed.dequantize_per_channel_group.default"
            rewriter.insert_before(node.index, op, {"input": stored["weight"], **_metadata(stored)}, [widened[t]])
        if widened:
            rewriter.replace_operands(node.index, widened)
    for t in (*narrow, *plain):
        rewriter.drop_if_unread(t)
    return rewriter.build()


def _with_dtype(graph: Graph, rewriter: _core.GraphRewriter, parameter: int, dtype: str) -> _core.TensorId:
    """Return a parameter of the same name and shape in another dtype."""
    old = graph.tensor(parameter)
    return rewriter.tensor(
        dtype, old.shape, role="parameter", name=old.name or "weight", logical_numel=old.logical_numel
    )


def _metadata(stored: Mapping[str, _core.TensorId]) -> dict[str, _core.TensorId]:
    return {name: part for name, part in stored.items() if name != "weight"}
