"""What every analysis takes: sizes by name, and work for ops of the caller's own."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from operator import index
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeAlias, TypeVar

from .._core import Expr, Graph, NodeInfo, Work, depends_on_data

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .._core import Quantity, TensorInfo

_Value = TypeVar("_Value")

RuleResult: TypeAlias = "Work | Mapping[str, Any] | int | Expr"
Rules: TypeAlias = Mapping[str, Callable[[NodeInfo], RuleResult]]
"""Op name (`"mylib::op"`, `"mylib.op"` or `"mylib.op.overload"`) to a function from a node to what it asks for."""


class SizeError(ValueError):
    """A size that the graph does not have, or a value that it does not take."""


def bind_sizes(graph: Graph, sizes: Mapping[str, SupportsIndex]) -> dict[str, int]:
    """The given sizes as ints. A name with `*` stands for all sizes of such names that are not given themselves.

    Raises:
        SizeError: for a name that the graph does not have, or a value outside the range that it allows.
    """
    known = graph.sizes
    bound = {name: _checked(known, name, value) for name, value in matched(known, sizes).items()}
    if any(isinstance(known[name]["maximum"], Expr) for name in bound):
        try:
            graph.size_values(bound)
        except ValueError as error:
            raise SizeError(str(error)) from None
    return bound


def matched(known: Iterable[str], sizes: Mapping[str, _Value]) -> dict[str, _Value]:
    """The sizes with each pattern (`*.experts.nonzero*`) replaced by the names of sizes that depend on data.

    Raises:
        SizeError: for a pattern that no name matches.
    """
    found: dict[str, _Value] = {}
    for name, value in sizes.items():
        if "*" not in name:
            found[name] = value
            continue
        names = [other for other in known if depends_on_data(other) and fnmatchcase(other, name)]
        if not names:
            raise SizeError(f"no size that depends on data matches {name!r}")
        for other in names:
            if other not in sizes:
                found[other] = value
    return found


def bind_axis(graph: Graph, name: str, values: SupportsIndex | Iterable[SupportsIndex]) -> "NDArray[np.int64]":
    """The values of one axis of a sweep; a single number is an axis of one.

    Raises:
        SizeError: as `bind_sizes`, and for an axis without values.
    """
    import numpy as np

    known = graph.sizes
    if isinstance(values, SupportsIndex) and not hasattr(values, "__len__"):
        return np.asarray([_checked(known, name, values)], dtype=np.int64)
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise SizeError(f"size {name!r} must be a whole number or several of them, got {values!r}")
    # Long axes are ranges and arrays: their ends say whether all of them are in range.
    if isinstance(values, range) and values:
        axis = np.arange(values.start, values.stop, values.step, dtype=np.int64)
    elif isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "iu" and values.size:
        axis = np.array(values, dtype=np.int64)
    else:
        axis = np.asarray([_checked(known, name, value) for value in values], dtype=np.int64)
        if not axis.size:
            raise SizeError(f"size {name!r} has no values to sweep over")
    for end in (axis.min(), axis.max()):
        _checked(known, name, end)
    axis.flags.writeable = False
    return axis


def work_overrides(graph: Graph, rules: Rules | None) -> dict[int, Work] | None:
    """Evaluates the caller's rules: the Work of each node whose op one of them names, by node index.

    A rule that names no op of this graph has no effect; it is reported as a `UserWarning`, since it may be a typing
    mistake or merely a rule for another model. Nodes have symbolic shapes where the graph has named sizes, so a rule
    may answer in these. A rule that gives FLOPs alone gets the traffic of one pass: operands read, results written.
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
            raise TypeError(f"the rule for {name!r} returned fields that Work does not take: {error}") from error
    if isinstance(result, (int, Expr)) and not isinstance(result, bool):
        return Work(contraction_flops=result, dtype=dtype, **traffic)
    raise TypeError(
        f"the rule for {name!r} returned {result!r}; expected a Work, a dict of its arguments, "
        "or a whole number of contraction FLOPs"
    )


def _streamed(tensors: "Iterable[TensorInfo]") -> "Quantity":
    total: Quantity = 0
    for tensor in tensors:
        total = total + tensor.nbytes
    return total


def _checked(known: Mapping[str, Mapping[str, Any]], name: str, value: SupportsIndex) -> int:
    if name not in known:
        names = ", ".join(repr(size) for size in known)
        raise SizeError(
            f"unknown size {name!r}; this graph has "
            + (
                f"the sizes {names}"
                if known
                else "fixed sizes only; capture it with dynamic={0: {0: 'batch'}} and its like"
            )
        )
    try:
        number = index(value)
    except TypeError:
        raise SizeError(f"size {name!r} must be a whole number, got {value!r}") from None
    low, high = known[name]["minimum"], known[name]["maximum"]
    if isinstance(high, Expr):  # its value depends on other sizes
        high = None
    if (low is not None and number < low) or (high is not None and number > high):
        limits = f"at least {low}" if high is None else f"from {low} to {high}"
        if low == high:
            limits = f"{low}, which it was captured at (give another value when capturing),"
        raise SizeError(f"size {name!r} must be {limits} in this graph, got {number}")
    return number
