"""Rules: work of the caller's own ops."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from .._core import Expr, Graph, NodeInfo, Work
from ..errors import InputTypeError

if TYPE_CHECKING:
    from .._core import Quantity, TensorInfo

RuleResult: TypeAlias = "Work | Mapping[str, Any] | int | Expr"
Rules: TypeAlias = Mapping[str, Callable[[NodeInfo], RuleResult]]
"""Op name (`"mylib::op"`, `"mylib.op"` or `"mylib.op.overload"`) -> a function from a node to its work."""


def work_overrides(graph: Graph, rules: Rules | None) -> dict[int, Work] | None:
    """Return the work of the nodes whose ops have a rule, by index of the node; None without rules.

    Shapes of nodes are symbolic in the named sizes of the graph, and the result of a rule may be. A rule that returns
    FLOPs alone has the traffic of one pass: operands are read, results are written. A rule for an op that the graph
    lacks is reported as a `UserWarning`: it is a typing mistake, or a rule for another model.
    """
    if not rules:
        return None
    functions = {name.replace("::", "."): function for name, function in rules.items()}
    used = set()
    works = {}
    for node_index in range(graph.node_count):
        node = graph.node(node_index)
        for name in (f"{node.op}.{node.overload}", node.op):
            if name in functions:
                used.add(name)
                works[node_index] = _as_work(node, name, functions[name](node))
                break
    for name in functions.keys() - used:
        warnings.warn(f"the rule for {name!r} matches no op of this graph", UserWarning, stacklevel=3)
    return works


def _as_work(node: NodeInfo, name: str, result: object) -> Work:
    if isinstance(result, Work):
        return result
    dtype = node.outputs[0].dtype if node.outputs else "float32"
    traffic: dict[str, Any] = {"bytes_read": _streamed(node.inputs), "bytes_written": _streamed(node.outputs)}
    if isinstance(result, Mapping):
        try:
            return Work(**{"dtype": dtype, **traffic, **result})
        except TypeError as error:
            raise InputTypeError(f"the rule for {name!r} returned fields that Work does not take: {error}") from error
    if isinstance(result, (int, Expr)) and not isinstance(result, bool):
        return Work(contraction_flops=result, dtype=dtype, **traffic)
    raise InputTypeError(
        f"the rule for {name!r} returned {result!r}; expected a Work, a dict of its arguments, "
        "or a whole number of contraction FLOPs"
    )


def _streamed(tensors: Iterable[TensorInfo]) -> Quantity:
    total: Quantity = 0
    for tensor in tensors:
        total = total + tensor.nbytes
    return total
