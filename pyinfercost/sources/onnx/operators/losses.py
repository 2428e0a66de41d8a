"""Losses."""

from __future__ import annotations

from collections.abc import Sequence

from ..op import Op, Result, handles
from ..values import Shape, Value


@handles("NegativeLogLikelihoodLoss")
def negative_log_likelihood(op: Op) -> Result:
    return _of_classes(op, op[0])


@handles("SoftmaxCrossEntropyLoss")
def softmax_cross_entropy(op: Op) -> Sequence[Result]:
    x = op[0]
    logarithms = op.emit("aten.log_softmax.int", {"self": x, "dim": 1}, op.result(x.dtype, x.shape, place=1))
    results: list[Result] = [_of_classes(op, logarithms), logarithms]
    return results[: max(1, len(op.output_names))]


def _of_classes(op: Op, x: Value) -> Value:
    shape: Shape = op[1].shape if op.text("reduction", "mean") == "none" else ()
    arguments = {"self": x, "target": op[1]}
    weight = op.get(2)
    if weight is not None:
        arguments["weight"] = weight
    return op.new("aten.nll_loss_nd.default", arguments, x.dtype, shape)
