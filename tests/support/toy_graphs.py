"""Small hand-built graphs, for tests that need no torch."""

from __future__ import annotations

from typing import Any

import pyinfercost as ic

WIDTH = 64
BLOCKS = 2


def blocks(*, custom_op: bool = False, model: str = "toy", fixed_batch: int | None = None) -> ic.Graph:
    """Return blocks of linear, relu and a residual sum over vectors of `WIDTH`, a flattening view and a linear head.

    Args:
        custom_op: Whether to append an operator that the core does not know, `mylib.mix`.
        model: Name of the graph.
        fixed_batch: The batch, instead of a named size.
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


def chain(layers: int = 40) -> ic.Graph:
    """Return linear layers alone, of which a compiler fuses nothing."""
    builder = ic.GraphBuilder("chain")
    batch = builder.size("batch", default=1)
    x = x_0 = builder.tensor("float32", (batch, WIDTH), role="input", name="x")
    for number in range(layers):
        y = builder.tensor("float32", (batch, WIDTH))
        weight = builder.tensor("float32", (WIDTH, WIDTH), role="parameter", name=f"{number}.weight")
        builder.node("aten.linear.default", {"input": x, "weight": weight}, [y], module=str(number))
        x = y
    return builder.build([x_0], [x])


def transformer(layers: int = 2, width: int = 64, heads: int = 4) -> ic.Graph:
    """Return blocks of attention and a feed-forward part, with norms, residuals, casts, views and a convolution."""
    builder = ic.GraphBuilder("transformer")
    batch, sequence = builder.size("batch", default=2), builder.size("sequence", default=16)

    def run(op: str, arguments: dict[str, Any], *shape: Any, module: str = "") -> ic._core.TensorId:
        y = builder.tensor("float32", shape)
        builder.node(f"aten.{op}", arguments, [y], module=module)
        return y

    def linear(x: ic._core.TensorId, k: int, n: int, module: str) -> ic._core.TensorId:
        weight = builder.tensor("float32", (n, k), role="parameter", name=f"{module}.weight")
        bias = builder.tensor("float32", (n,), role="parameter", name=f"{module}.bias")
        return run("linear", {"input": x, "weight": weight, "bias": bias}, batch, sequence, n, module=module)

    def norm(x: ic._core.TensorId, module: str) -> ic._core.TensorId:
        weight = builder.tensor("float32", (width,), role="parameter", name=f"{module}.weight")
        return run(
            "layer_norm",
            {"input": x, "normalized_shape": [width], "weight": weight, "eps": 1e-5},
            batch,
            sequence,
            width,
            module=module,
        )

    pixels = builder.tensor("float32", (batch, 3, sequence, 8), role="input", name="x")
    patch = builder.tensor("float32", (width, 3, 1, 8), role="parameter", name="patch.weight")
    x = run("conv2d", {"input": pixels, "weight": patch}, batch, width, sequence, 1, module="patch")
    x = run("relu_", {"self": x}, batch, width, sequence, 1, module="patch")
    x = run("reshape", {"self": x, "shape": [-1]}, batch, sequence, width)
    for i in range(layers):
        split = []
        for name in "qkv":
            rows = linear(norm(x, f"{i}.norm"), width, width, f"{i}.{name}")
            parts = run("view", {"self": rows}, batch, sequence, heads, width // heads)
            swapped = {"self": parts, "dim0": 1, "dim1": 2}
            split.append(run("transpose", swapped, batch, heads, sequence, width // heads))
        mixed = run(
            "scaled_dot_product_attention",
            dict(zip(("query", "key", "value"), split, strict=True)),
            batch,
            heads,
            sequence,
            width // heads,
        )
        swapped = {"self": mixed, "dim0": 1, "dim1": 2}
        rows = run("transpose", swapped, batch, sequence, heads, width // heads)
        joined = run("reshape", {"self": rows}, batch, sequence, width)
        x = run(
            "add",
            {"self": x, "other": linear(joined, width, width, f"{i}.o")},
            batch,
            sequence,
            width,
        )
        wide = run(
            "gelu", {"self": linear(norm(x, f"{i}.norm2"), width, 4 * width, f"{i}.up")}, batch, sequence, 4 * width
        )
        x = run("add", {"self": x, "other": linear(wide, 4 * width, width, f"{i}.down")}, batch, sequence, width)
    y = run(
        "softmax",
        {"self": run("mul", {"self": x, "other": 0.5}, batch, sequence, width), "dim": -1},
        batch,
        sequence,
        width,
    )
    return builder.build([pixels], [y])
