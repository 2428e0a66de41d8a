"""Small graphs built by hand, for tests that need no torch."""

from __future__ import annotations

import pyinfercost as ic

WIDTH = 64
BLOCKS = 2


def blocks(*, custom_op: bool = False, model: str = "toy", fixed_batch: int | None = None) -> ic.Graph:
    """Blocks of linear, relu and a residual sum over vectors of `WIDTH`, a flattening view and a linear head.

    Args:
        custom_op: append an op that the core does not know, `mylib.mix`.
        model: the name of the graph.
        fixed_batch: the batch, instead of a size of that name.
    """
    builder = ic.GraphBuilder(model)
    batch = builder.size("batch", default=1, maximum=4096) if fixed_batch is None else fixed_batch

    def vectors() -> ic._core.TensorId:
        return builder.tensor("float32", (batch, WIDTH))

    def linear(x: ic._core.TensorId, module: str) -> ic._core.TensorId:
        weight = builder.tensor("float32", (WIDTH, WIDTH), role="parameter", name=f"{module}.weight")
        y = vectors()
        builder.node("aten.linear.default", {"input": x, "weight": weight}, [y], module=module)
        return y

    x = x_0 = builder.tensor("float32", (batch, WIDTH), role="input", name="x")
    for number in range(BLOCKS):
        hidden = linear(x, f"blocks.{number}.fc")
        activated, y = vectors(), vectors()
        builder.node("aten.relu.default", {"self": hidden}, [activated], module=f"blocks.{number}.act")
        builder.node("aten.add.Tensor", {"self": x, "other": activated}, [y], module=f"blocks.{number}")
        x = y
    flat = vectors()
    builder.node("aten.view.default", {"self": x, "size": [-1, WIDTH]}, [flat], module="flatten")
    x = linear(flat, "head")
    if custom_op:
        y = vectors()
        builder.node("mylib.mix.default", {"x": x}, [y], module="mix")
        x = y
    return builder.build([x_0], [x])
