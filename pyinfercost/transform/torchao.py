"""Products as torchao's tensors run them, operator by operator, where nothing compiles them.

The operators are those that a capture of such a module records (torchao 0.18), so that both are the same to a machine.
Weights are widened whole before a product, or activations quantised by a dozen small kernels: without a compiler that
is slower than the kernels of a serving engine by far.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from .edit import GraphEdit, tensor
from .products import Product


class Chain:
    """Operators one after the other, each with a result of its own.

    Args:
        edit: the graph.
        product: in whose place they run.
        stored: the parameters of the quantised weight: `weight`, `weight_scale` and so on.
    """

    def __init__(self, edit: GraphEdit, product: Product, stored: Mapping[str, tuple[str, int]]) -> None:
        self.edit, self.product = edit, product
        self.weight, self.scale = stored["weight"][1], stored["weight_scale"][1]
        self.wide = edit.tensors[product.input]["dtype"]
        self.lead = list(edit.tensors[product.input]["shape"])[:-1]
        self.rows, self.columns = edit.tensors[self.weight]["shape"]
        self.flat = _product(self.lead)

    def call(
        self, op: str, given: int, to: str, lengths: list[Any], *, strides: list[Any] | None = None, **arguments: Any
    ) -> int:
        """An operator on a tensor; further tensors among the arguments are numbers of tensors.

        Returns:
            Its result.
        """
        result = self.edit.add_tensor(to, lengths)
        if strides is not None:
            self.edit.tensors[result]["strides"] = strides
        self.edit.insert(op, self.product.node, {"self": tensor(given), **arguments}, [result])
        return result

    def end(self, op: str, given: int, **arguments: Any) -> None:
        """The operator whose result is the product's own."""
        self.edit.replace(self.product.node, op, {"self": tensor(given), **arguments})


def _cast_arguments(dtype: str) -> dict[str, Any]:
    return {"dtype": ("str", dtype)}


def _product(lengths: list[Any]) -> Any:
    from .. import _core

    total: Any = 1
    for length in lengths:
        total = total * (length if isinstance(length, int) else _core.Expr(length))
    return total if isinstance(total, int) else int(total) if total.is_constant else str(total)


def _weight_only_int8(chain: Chain) -> None:
    rows, columns, flat, wide = chain.rows, chain.columns, chain.flat, chain.wide
    turned = chain.call("aten.t.default", chain.weight, "int8", [columns, rows], strides=[1, columns])
    x = chain.call("aten.reshape.default", chain.product.input, wide, [flat, columns], shape=("ints", [-1, columns]))
    widened = chain.call("aten.to.dtype", turned, wide, [columns, rows], strides=[1, columns], **_cast_arguments(wide))
    y = chain.call("aten.mm.default", x, wide, [flat, rows], mat2=tensor(widened))
    scale = chain.call("aten.to.dtype", chain.scale, wide, [rows, 1], **_cast_arguments(wide))
    scale = chain.call("aten.flatten.using_ints", scale, wide, [rows])
    y = chain.call("aten.mul.Tensor", y, wide, [flat, rows], other=tensor(scale))
    _finish(chain, y)


def _finish(chain: Chain, y: int) -> None:
    """Back into the shape of the result, and the bias in place."""
    bias = chain.product.bias
    shape = ("ints", [*chain.lead, chain.rows])
    if bias is None:
        chain.end("aten.reshape.default", y, shape=shape)
        return
    edit = chain.edit
    y = chain.call("aten.reshape.default", y, edit.tensors[y]["dtype"], [*chain.lead, chain.rows], shape=shape)
    edit.insert("aten.add_.Tensor", chain.product.node, {"self": tensor(y), "other": tensor(bias)}, [y])
    chain.end("aten.to.dtype", y, **_cast_arguments(chain.wide))


def _weight_only_fp8(chain: Chain) -> None:
    rows, columns, wide = chain.rows, chain.columns, chain.wide
    across = [1, columns]
    turned = chain.call("aten.t.default", chain.weight, "float8_e4m3fn", [columns, rows], strides=across)
    scale = chain.call("aten.t.default", chain.scale, "float32", [1, rows], strides=[1, 1])
    full = chain.call("aten.to.dtype", turned, "float32", [columns, rows], strides=across, **_cast_arguments("float32"))
    full = chain.call("aten.mul.Tensor", full, "float32", [columns, rows], strides=across, other=tensor(scale))
    widened = chain.call("aten.to.dtype", full, wide, [columns, rows], strides=across, **_cast_arguments(wide))
    if chain.product.bias is None:
        chain.end("aten.matmul.default", chain.product.input, other=tensor(widened))
        return
    y = chain.call("aten.matmul.default", chain.product.input, wide, [*chain.lead, rows], other=tensor(widened))
    chain.end("aten.add.Tensor", y, other=tensor(chain.product.bias))


def _dynamic_int8(chain: Chain) -> None:
    rows, columns, flat, wide = chain.rows, chain.columns, chain.flat, chain.wide
    each, single = [*chain.lead, columns], [*chain.lead, 1]

    def on_rows(op: str, given: int, to: str = wide, **arguments: Any) -> int:
        return chain.call(op, given, to, single, **arguments)

    def of_inputs(op: str, given: int, to: str = "float32", **arguments: Any) -> int:
        return chain.call(op, given, to, each, **arguments)

    last: dict[str, Any] = {"dim": ("ints", [len(each) - 1]), "keepdim": ("bool", True)}
    x = of_inputs("aten.view.default", chain.product.input, wide, size=("ints", each))
    least, most = on_rows("aten.amin.default", x, **last), on_rows("aten.amax.default", x, **last)
    least = on_rows("aten.min.other", least, other=tensor(on_rows("aten.zeros_like.default", least)))
    most = on_rows("aten.max.other", most, other=tensor(on_rows("aten.zeros_like.default", most)))
    most = on_rows("aten.max.other", on_rows("aten.neg.default", least), other=tensor(most))
    scale = on_rows("aten.div.Tensor", most, other=("float", "127.5"))
    zero = on_rows("aten.full_like.default", scale, fill_value=("int", 0))
    scale = on_rows("aten.clamp.default", scale, min=("float", "1.1920928955078125e-07"))
    scale = on_rows("aten.to.dtype", scale, "float32", **_cast_arguments("float32"))
    zero = on_rows("aten.to.dtype", zero, "int8", **_cast_arguments("int8"))
    inverse = on_rows("aten.reciprocal.default", scale, "float32")
    inverse = on_rows("aten.mul.Tensor", inverse, "float32", other=("float", "1.0"))
    q = of_inputs("aten.mul.Tensor", x, other=tensor(inverse))
    q = of_inputs("aten.round.default", q)
    q = of_inputs("aten.add.Tensor", q, other=tensor(zero))
    q = of_inputs("aten.clamp.default", q, min=("int", -128), max=("int", 127))
    q = of_inputs("aten.to.dtype", q, "int8", **_cast_arguments("int8"))
    turned = chain.call("aten.t.default", chain.weight, "int8", [columns, rows], strides=[1, columns])
    q = chain.call("aten.reshape.default", q, "int8", [flat, columns], shape=("ints", [-1, columns]))
    scale = chain.call("aten.reshape.default", scale, "float32", [flat, 1], shape=("ints", [-1, 1]))
    wide_scale = chain.call(
        "aten.expand.default", scale, "float32", [flat, rows], strides=[1, 0], size=("ints", [flat, rows])
    )
    turned = chain.call("aten.contiguous.default", turned, "int8", [columns, rows])
    y = chain.call("aten._int_mm.default", q, "int32", [flat, rows], mat2=tensor(turned))
    y = chain.call("aten.mul.Tensor", y, "float32", [flat, rows], other=tensor(wide_scale))
    y = chain.call("aten.to.dtype", y, wide, [flat, rows], **_cast_arguments(wide))
    of_weight = chain.call("aten.flatten.using_ints", chain.scale, "float32", [rows])
    y = chain.call("aten.mul.Tensor", y, "float32", [flat, rows], other=tensor(of_weight))
    if chain.product.bias is None:
        shape = [*chain.lead, rows]
        y = chain.call("aten.reshape.default", y, "float32", shape, shape=("ints", shape))
        chain.end("aten.to.dtype", y, **_cast_arguments(wide))
        return
    _finish(chain, y)


CHAINS: Mapping[str, Callable[[Chain], None]] = MappingProxyType(
    {"int8_wo": _weight_only_int8, "fp8_wo": _weight_only_fp8, "int8_dynamic": _dynamic_int8}
)
"""What torchao runs for a format, by its name."""
