"""Counts: what a graph asks of any machine."""

from typing import SupportsIndex

from .. import _core
from .._core import Counts, Graph
from ..sources.sizes import bind_sizes
from .rules import Rules, work_overrides


def count(graph: Graph, *, precision: str = "native", rules: Rules | None = None, **sizes: SupportsIndex) -> Counts:
    """Counts FLOPs, bytes, parameters and peak memory of a graph, by layer and in total.

    Args:
        graph: what `capture` returned.
        precision: the dtype to run in (`"fp16"`, `"bf16"`, ...); `"native"` takes the graph's own dtypes.
        rules: work of the caller's own ops: `{"mylib::op": function}`, where the function takes a `NodeInfo` and
            returns a `Work`, a dict of its arguments, or a number of contraction FLOPs.
        **sizes: values of the graph's named sizes, such as `batch=32`. A size left out stays symbolic, and the
            quantities that depend on it are `Expr`.

    Raises:
        ValueError: for a size that the graph does not have or a value outside its range, or an unknown precision.
    """
    bound_sizes = bind_sizes(graph, sizes)
    overrides = work_overrides(graph, rules)
    return _core.count(graph, bound_sizes, precision=precision, overrides=overrides)
