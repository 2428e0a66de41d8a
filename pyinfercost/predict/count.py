"""Counts: the work of a graph on any machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, SupportsIndex

from .. import _core
from ..sources.sizes import bind_sizes, call_sizes
from .models import captured_model
from .rules import Rules, work_overrides

if TYPE_CHECKING:
    from .._core import Counts
    from ..sources.capture import Capturable


def count(
    model: Capturable,
    inputs: Any = (),
    *,
    precision: str = "native",
    dynamic: Mapping[int | str, Mapping[int, str]] | None = None,
    rules: Rules | None = None,
    sizes: Mapping[str, SupportsIndex] | None = None,
    **named_sizes: SupportsIndex,
) -> Counts:
    """Count FLOPs, bytes, parameters and peak memory of a model, by layer and in total.

    Args:
        model: A `Graph`, or anything that `capture` accepts: a module, an exported program, a file, a spec.
        inputs: Inputs of a module, as in `capture`.
        precision: Dtype to run in (`"fp16"`, `"bf16"`, ...); `"native"` keeps the dtypes of the graph.
        dynamic: Dimensions of the inputs that are named sizes, as in `capture`.
        rules: Work of the caller's own ops: `{"mylib::op": function}`, where the function takes a `NodeInfo` and
            returns a `Work`, a dict of its arguments, or a number of contraction FLOPs.
        sizes: Values of named sizes, for names that options have too.
        **named_sizes: The same by keyword, such as `batch=32`. A size left out stays symbolic, and the quantities that
            depend on it are `Expr`. A spec is captured at its sizes.

    Returns:
        The counts.

    Raises:
        InputError: A size is unknown or out of range, or the precision is unknown.
        InputTypeError: Inputs or `dynamic` are given with a captured graph.

    Examples:
        >>> net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
        >>> total = ic.count(net, torch.empty(1, 784)).total
        >>> total.contraction_flops, total.parameters
        (203264, 101770)
    """
    with call_sizes(count, sizes, named_sizes) as named:
        captured = captured_model(model, inputs, dynamic, named)
        overrides = work_overrides(captured.graph, rules)
        given = bind_sizes(captured.graph, captured.sizes)
        return _core.count(captured.graph, given, precision=precision, overrides=overrides)
