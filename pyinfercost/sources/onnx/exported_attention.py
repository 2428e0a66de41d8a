"""Attention that torch's exporters write as products and a softmax, joined to the one operator that the module calls.

Operator sets below 23 have no attention, so `torch.onnx.export` writes `scaled_dot_product_attention` as

    softmax(mul(query, sqrt(scale)) @ mul(transpose(key), sqrt(scale)) + mask) @ value

(onnxscript/function_libs/torch_lib/ops/nn.py; the older exporter in symbolic_opset14.py of torch.onnx). Both operands
have the root of the scale, which models that write their attention out do not do: their products stay as they are, in
the file as in the module. The module runs one kernel. For ONNX Runtime it is assumed: 1.32 keeps the products
(docs/compilers.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pyinfercost._core import GraphRewriter, NodeInfo, TensorId, TensorInfo

from .makers import Search
from .shapes import plain

_FEWEST_DIMENSIONS = 3
_HEADS_APART = 4
_MASKS_OF_POSITIONS = ("aten.eq", "aten.tril", "aten.expand", "aten.ones", "aten.full")
_VIEWS = ("aten.reshape", "aten.permute")


class _Found(NamedTuple):
    """An attention in the form of the exporters.

    Attributes:
        query: Its queries, without the scale.
        turned: Its keys with the last two dimensions exchanged, without the scale.
        value: Its values.
        mask: Addend of the scores; None for nothing.
        written: Nodes whose results nothing else reads, from the first to the product with the values.
    """

    query: TensorInfo
    turned: TensorInfo
    value: TensorInfo
    mask: TensorInfo | None
    written: Sequence[NodeInfo]


def join_attention(search: Search, rewriter: GraphRewriter) -> int:
    """Run one operator where an exporter has written attention out.

    Args:
        search: Makers and readers of the tensors of an ONNX file's graph.
        rewriter: Of the same graph.

    Returns:
        How many there are.
    """
    found = [_around(search, node) for node in search.nodes if node.op == "aten.softmax"]
    attentions = [attention for attention in found if attention is not None]
    for attention in attentions:
        _join(search, rewriter, attention)
    return len(attentions)


def _around(search: Search, softmax: NodeInfo) -> _Found | None:
    """Return the attention that a softmax is part of; None for any other."""
    scores = softmax.operand("self")
    if scores is None or softmax.argument("dim") != len(search.tensors[scores].shape) - 1:
        return None
    mask: TensorInfo | None = None
    total = search.maker(scores, "aten.add")
    product = search.maker(scores, "aten.matmul")
    if total is not None:
        for one, other in (("self", "other"), ("other", "self")):
            product = search.maker(total.operand(one), "aten.matmul")
            added = total.operand(other)
            if product is not None and added is not None:
                mask = search.tensors[added]
                break
    if product is None or (total is not None and mask is None):
        return None
    scaled = [search.maker(product.operand(name), "aten.mul") for name in ("self", "other")]
    query, turned = (None if node is None else node.operand("self") for node in scaled)
    if scaled[0] is None or scaled[1] is None or query is None or turned is None:
        return None
    root = scaled[0].argument("other")
    if not isinstance(root, float) or root != scaled[1].argument("other"):
        return None
    before = [node for node in (*scaled, product, total) if node is not None]
    after, weighted = _weighted(search, softmax)
    value = None if weighted is None else weighted.operand("other")
    if weighted is None or value is None or any(search.reader(node) is None for node in before):
        return None
    if len(search.tensors[query].shape) < _FEWEST_DIMENSIONS or len(search.tensors[value].shape) < _FEWEST_DIMENSIONS:
        return None
    written = [*before, softmax, *after, weighted]
    return _Found(search.tensors[query], search.tensors[turned], search.tensors[value], mask, written)


def _weighted(search: Search, softmax: NodeInfo) -> tuple[list[NodeInfo], NodeInfo | None]:
    """Return the product of a softmax with the values, and the node between them: zeros for rows without keys."""
    between: list[NodeInfo] = []
    last = softmax
    readers = {node.op: node for node in search.readers(softmax)}
    if set(readers) == {"aten.isnan", "aten.where"}:
        if search.reader(readers["aten.isnan"]) is None:
            return [], None
        between = [readers["aten.isnan"], readers["aten.where"]]
        last = between[1]
    product = search.reader(last)
    if product is None or product.op != "aten.matmul":
        return [], None
    if (product.operand("self") == last.results[0]) == (product.operand("other") == last.results[0]):
        return [], None
    return between, product


def _is_causal(search: Search, mask: TensorInfo) -> bool:
    """Return whether a mask is the triangle that the exporters make for `is_causal`."""
    node = search.maker(mask.index, "aten.where")
    tensor = None if node is None else node.operand("condition")
    triangle = False
    while (made := search.maker(tensor, *_MASKS_OF_POSITIONS)) is not None:
        triangle |= made.op == "aten.tril"
        tensor = made.operand("self")
    return triangle and (tensor is None or search.tensors[tensor].role in ("constant", "parameter"))


def _condition(search: Search, mask: TensorInfo) -> TensorInfo:
    """Return the mask of truth values that a mask of numbers is made of, or that itself."""
    node = search.maker(mask.index, "aten.where")
    if node is None:
        return mask
    chosen = [node.operand("self"), node.operand("other")]
    tensor = node.operand("condition")
    if tensor is None or any(t is None or search.tensors[t].shape not in ((), (1,)) for t in chosen):
        return mask
    return search.tensors[tensor]


def _join(search: Search, rewriter: GraphRewriter, found: _Found) -> None:
    arguments: dict[str, Any] = {
        "query": found.query,
        "key": _upright(search, rewriter, found),
        "value": found.value,
    }
    if found.mask is not None and _is_causal(search, found.mask):
        arguments["is_causal"] = True
    elif found.mask is not None:
        arguments["attn_mask"] = _condition(search, found.mask)
    rewriter.replace(found.written[-1].index, "aten.scaled_dot_product_attention.default", arguments)
    _lay_out(search, rewriter, found)
    for node in found.written[:-1]:
        rewriter.remove(node.index)
    _drop(search, rewriter, [found.turned.index, *([] if found.mask is None else [found.mask.index])])


def _lay_out(search: Search, rewriter: GraphRewriter, found: _Found) -> None:
    """Give the result of [batch, heads, length, width] the strides of the queries, as torch's kernels do.

    Its transpose to [batch, length, heads, width] is then a view that is joined without a copy.
    """
    last = found.written[-1]
    result, query = search.tensors[last.results[0]], found.query
    turned = search.reader(last)
    joined = None if turned is None else search.reader(turned)
    if turned is None or joined is None or turned.op != "aten.permute" or joined.op != "aten.reshape":
        return
    _, heads, length, width = query.shape if len(query.shape) == _HEADS_APART else (0, 0, 0, 0)
    if turned.argument("dims") != [0, 2, 1, 3] or query.strides[1:] != (width, plain(heads * width), 1):
        return
    wide = result.shape[-1]
    row = plain(heads * wide)
    batch = plain(length * row)
    rewriter.set_shape(result, result.shape, strides=(batch, wide, row, 1))
    rewriter.set_shape(turned.results[0], search.tensors[turned.results[0]].shape, strides=(batch, row, wide, 1))


def _drop(search: Search, rewriter: GraphRewriter, tensors: Sequence[int]) -> None:
    """Remove nodes that only the attention has read, such as the transposed keys."""
    ops = ("aten.where", *_MASKS_OF_POSITIONS, *_VIEWS)
    for tensor in tensors:
        node = search.maker(tensor, *ops)
        if node is not None and tensor not in search.returned:
            rewriter.drop_if_unread(TensorId(tensor))
            _drop(search, rewriter, node.operands)


def _upright(search: Search, rewriter: GraphRewriter, found: _Found) -> TensorInfo | TensorId:
    """Return the keys [..., length, width] that an exporter has transposed."""
    turned = found.turned
    rank = len(turned.shape)
    shape = (*turned.shape[:-2], turned.shape[-1], turned.shape[-2])
    node = search.maker(turned.index, *_VIEWS)
    if node is not None and node.op == "aten.reshape":
        # The newer exporter joins all dimensions before the last two for its transpose.
        exchanged = search.maker(node.operand("self"), "aten.permute")
        flat = None if exchanged is None else search.maker(exchanged.operand("self"), "aten.reshape")
        keys = None if flat is None else flat.operand("self")
        is_transpose = exchanged is not None and exchanged.argument("dims") == [0, 2, 1]
        if is_transpose and keys is not None and search.tensors[keys].shape == shape:
            return search.tensors[keys]
    dims = [*range(rank - 2), rank - 1, rank - 2]
    source = turned
    if node is not None and node.op == "aten.permute":
        operand = node.operand("self")
        if operand is not None:
            made = node.argument("dims")
            source, dims = search.tensors[operand], [made[place] for place in dims]
    if dims == list(range(rank)):
        return source
    strides = [source.strides[place] for place in dims]
    upright = rewriter.tensor(source.dtype, shape, strides=strides)
    last = found.written[-1]
    rewriter.insert_before(last.index, "aten.permute.default", {"self": source, "dims": dims}, [upright])
    return upright
