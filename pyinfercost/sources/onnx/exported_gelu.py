"""GELU that exporters write as an error function, joined to the one operator that the module calls.

Operator sets below 20 have no GELU. Its parts are `x / sqrt(2)`, `erf`, `+ 1`, and products with `x` and with 0.5 in
any order: the older exporter of torch writes `x * (1 + erf) * 0.5` (symbolic_opset9.py), the newer one
`x * (0.5 * (1 + erf))` (onnxscript/function_libs/torch_lib/ops/nn.py). Models that ONNX Runtime 1.32 optimized for its
CPU provider show that a session joins the first and keeps the operators of the second, and that its transformer
optimizer (onnxruntime/transformers/fusion_gelu.py) joins both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pyinfercost._core import GraphRewriter, NodeInfo

from .makers import Search

_TOLERANCE = 1e-3  # of constants in float16


def join_gelu(search: Search, rewriter: GraphRewriter) -> int:
    """Run one operator where an exporter has written GELU out.

    Args:
        search: Makers and readers of the tensors of an ONNX file's graph.
        rewriter: Of the same graph.

    Returns:
        How many there are.
    """
    found = [_around(search, node) for node in search.nodes if node.op == "aten.erf"]
    gelus = [gelu for gelu in found if gelu is not None]
    for x, written in gelus:
        rewriter.replace(written[-1].index, "aten.gelu.default", {"self": search.tensors[x]})
        for part in written[:-1]:
            rewriter.remove(part.index)
    return len(gelus)


def _around(search: Search, erf: NodeInfo) -> tuple[int, Sequence[NodeInfo]] | None:
    """Return the operand of a GELU and the nodes that compute it; None for another error function."""
    scaled = search.maker(erf.operand("self"), "aten.div", "aten.mul")
    plus_one = search.reader(erf)
    if scaled is None or plus_one is None or search.reader(scaled) is None:
        return None
    if not _is_number(scaled, math.sqrt(2.0) if scaled.op == "aten.div" else math.sqrt(0.5)):
        return None
    if plus_one.op != "aten.add" or not _is_number(plus_one, 1.0):
        return None
    x = scaled.operand("self")
    first = search.reader(plus_one)
    if x is None or first is None or first.op != "aten.mul":
        return None
    begun = [scaled, erf, plus_one]
    if _is_number(first, 0.5):
        last = search.reader(first)
        if last is not None and last.op == "aten.mul" and _other(last, first.results[0]) == x:
            return x, [*begun, first, last]
        return None
    other = _other(first, plus_one.results[0])
    if other == x:
        last = search.reader(first)
        if last is not None and last.op == "aten.mul" and _is_number(last, 0.5):
            return x, [*begun, first, last]
        return None
    halved = search.maker(other, "aten.mul")
    if halved is None or not _is_number(halved, 0.5) or halved.operand("self") != x or search.reader(halved) is None:
        return None
    return x, [*begun, halved, first]


def _is_number(node: NodeInfo, number: float) -> bool:
    found = node.argument("other")
    return node.operand("other") is None and isinstance(found, (int, float)) and abs(found - number) < _TOLERANCE


def _other(node: NodeInfo, tensor: int) -> int | None:
    """Return the other operand of a product."""
    operands = [node.operand("self"), node.operand("other")]
    if tensor not in operands:
        return None
    return operands[1 - operands.index(tensor)]
