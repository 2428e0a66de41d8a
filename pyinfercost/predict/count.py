"""Counts: the work of a graph on any machine."""

from collections.abc import Mapping
from typing import SupportsIndex

from .. import _core
from .._core import Counts, Graph
from ..sources.sizes import bind_sizes, call_sizes
from .plans import Rules, work_overrides


def count(
    graph: Graph,
    *,
    precision: str = "native",
    rules: Rules | None = None,
    sizes: Mapping[str, SupportsIndex] | None = None,
    **named_sizes: SupportsIndex,
) -> Counts:
    """Count FLOPs, bytes, parameters and peak memory of a graph, by layer and in total.

    Args:
        graph: The graph of the model, as `capture` returns it.
        precision: Dtype to run in (`"fp16"`, `"bf16"`, ...); `"native"` keeps the dtypes of the graph.
        rules: Work of the caller's own ops: `{"mylib::op": function}`, where the function takes a `NodeInfo` and
            returns a `Work`, a dict of its arguments, or a number of contraction FLOPs.
        sizes: Values of named sizes, for names that options have too.
        **named_sizes: The same by keyword, such as `batch=32`. A size left out stays symbolic, and the quantities that
            depend on it are `Expr`.

    Returns:
        The counts.

    Raises:
        ValueError: A size is unknown or out of range, or the precision is unknown.
    """
    with call_sizes(count, sizes, named_sizes) as named:
        overrides = work_overrides(graph, rules)
        return _core.count(graph, bind_sizes(graph, named), precision=precision, overrides=overrides)
