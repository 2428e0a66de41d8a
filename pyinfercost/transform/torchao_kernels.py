"""Products as torchao's tensor subclasses run them without a compiler, operator by operator.

The operators are from torchao 0.18. On GPUs a capture of such a module records the same ones, so both graphs cost the
same. Without a compiler, a weight is dequantized entirely before each product, or an activation is quantized by a dozen
small kernels, which is much slower than the kernels of serving engines.

On CPUs `int8_dynamic` depends on the instructions (`_int_scaled_matmul_cpu` of torchao/kernel/intmm.py): VNNI without
AMX multiplies unsigned by signed bytes, so that activations are shifted by 128 and sums over each row of the weights,
computed in every call, are subtracted; others multiply signed bytes. Python code of the subclasses takes the host as
long as many operators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .._core import TensorId
from ..formats.products import Product
from ..formats.stored_weights import StoredWeights
from ..formats.table import Format, FormatError

if TYPE_CHECKING:
    from .._core import GraphRewriter, Hardware, Quantity


TORCHAO = ("torchao", "torchao-u8s8", "torchao-s8s8")
"""Kernels of torchao: on GPUs, on CPUs with VNNI and without AMX, on other CPUs."""


def torchao_kernels(machine: Hardware) -> str:
    """Return which of the kernels of torchao a machine runs.

    Args:
        machine: The machine.
    """
    if machine.kind != "cpu":
        return "torchao"
    on_vectors = "int8" in machine.vector_flop_per_s and "int8" not in machine.matrix_flop_per_s
    return "torchao-u8s8" if machine.family.startswith("x86") and on_vectors else "torchao-s8s8"


def has_one_kernel(form: Format) -> bool:
    """Return whether torchao runs each product of a format in one kernel, as serving engines do."""
    return form.is_cast or form.semi_structured or form.name in _ONE_KERNEL


def is_convertible(product: Product) -> bool:
    """Return whether torchao converts a product: the weight of a linear layer, and not one that another module has."""
    plain = not (product.spatial_dims or product.transposed or product.stacked)
    return plain and product.name.rpartition(".")[2] == "weight"


class TorchaoKernels:
    """Replaces products by the operators that torchao runs for a format.

    Args:
        rewriter: Rewriter of the captured graph.
        weights: The weights in other formats.
        kernels: One of `TORCHAO`.
    """

    def __init__(self, rewriter: GraphRewriter, weights: StoredWeights, kernels: str) -> None:
        self._rewriter, self._weights, self._kernels = rewriter, weights, kernels

    def replace(self, product: Product, form: Format) -> None:
        """Replace one product.

        Raises:
            FormatError: The product is not a linear layer, or torchao has no such format.
        """
        if not is_convertible(product) or form.name not in _CHAINS:
            raise FormatError(
                f"kernels={self._kernels!r} supports {', '.join(_CHAINS)} of linear layers; got {form.name}"
            )
        _CHAINS[form.name](_Chain(self._rewriter, product, self._weights.arguments(product, form), self._kernels))


class _Chain:
    """A sequence of operators, each with its own result.

    Args:
        rewriter: Rewriter of the captured graph.
        product: The product to replace.
        stored: Parameters of the quantized weight: `weight`, `weight_scale` and so on.
        kernels: One of `TORCHAO`.
    """

    def __init__(self, rewriter: GraphRewriter, product: Product, stored: Mapping[str, TensorId], kernels: str) -> None:
        self._rewriter, self._node = rewriter, product.node.index
        self.on_cpu, self.unsigned = kernels != "torchao", kernels == "torchao-u8s8"
        self.input, self.weight, self.scale = TensorId(product.input), stored["weight"], stored["weight_scale"]
        self.bias = stored.get("bias")
        self.wide = rewriter.dtype(product.input)
        self.lead: list[Quantity] = list(rewriter.shape(product.input))[:-1]
        self.rows, self.columns = rewriter.shape(self.weight)
        self.flat: Quantity = prod(self.lead)

    def dtype(self, t: TensorId) -> str:
        """Return the dtype of a result."""
        return self._rewriter.dtype(t)

    def call(
        self,
        op: str,
        given: TensorId,
        to: str,
        lengths: Sequence[Quantity],
        *,
        strides: Sequence[Quantity] | None = None,
        **arguments: Any,
    ) -> TensorId:
        """Insert an operator whose first argument is `given`; return its result, of dtype `to`."""
        result = self._rewriter.tensor(to, lengths, strides=strides)
        self._rewriter.insert_before(self._node, op, {"self": given, **arguments}, [result])
        return result

    def call_in_place(self, op: str, given: TensorId, **arguments: Any) -> None:
        """Insert an operator that writes its first argument."""
        self._rewriter.insert_before(self._node, op, {"self": given, **arguments}, [given])

    def after_python(self, given: TensorId, operators: int) -> TensorId:
        """Insert Python code that takes the host as long as so many operators; return its argument."""
        if not self.on_cpu:  # times of GPUs do not include it
            return given
        shape = self._rewriter.shape(given)
        return self.call("pyinfercost.python_call", given, self.dtype(given), shape, operators=operators)

    def end(self, op: str, given: TensorId, **arguments: Any) -> None:
        """Replace the product itself: the operator gets its result."""
        self._rewriter.replace(self._node, op, {"self": given, **arguments})


def _weight_only_int8(chain: _Chain) -> None:
    rows, columns, flat, wide = chain.rows, chain.columns, chain.flat, chain.wide
    turned = chain.call("aten.t.default", chain.weight, "int8", [columns, rows], strides=[1, columns])
    given = chain.after_python(chain.input, _SUBCLASS)
    x = chain.call("aten.reshape.default", given, wide, [flat, columns], shape=[-1, columns])
    widened = chain.call("aten.to.dtype", turned, wide, [columns, rows], strides=[1, columns], dtype=wide)
    y = chain.call("aten.mm.default", x, wide, [flat, rows], mat2=widened)
    scale = chain.call("aten.to.dtype", chain.scale, wide, [rows, 1], dtype=wide)
    scale = chain.call("aten.flatten.using_ints", scale, wide, [rows])
    y = chain.call("aten.mul.Tensor", y, wide, [flat, rows], other=scale)
    _finish(chain, y)


def _finish(chain: _Chain, y: TensorId) -> None:
    """Reshape to the result of the product, and add the bias in place."""
    shape = [*chain.lead, chain.rows]
    if chain.bias is None:
        chain.end("aten.reshape.default", y, shape=shape)
        return
    y = chain.call("aten.reshape.default", y, chain.dtype(y), shape, shape=shape)
    chain.call_in_place("aten.add_.Tensor", y, other=chain.bias)
    chain.end("aten.to.dtype", y, dtype=chain.wide)


def _weight_only_fp8(chain: _Chain) -> None:
    rows, columns, wide = chain.rows, chain.columns, chain.wide
    across: list[Quantity] = [1, columns]
    turned = chain.call("aten.t.default", chain.weight, "float8_e4m3fn", [columns, rows], strides=across)
    scale = chain.call("aten.t.default", chain.scale, "float32", [1, rows], strides=[1, 1])
    full = chain.call("aten.to.dtype", turned, "float32", [columns, rows], strides=across, dtype="float32")
    full = chain.call("aten.mul.Tensor", full, "float32", [columns, rows], strides=across, other=scale)
    widened = chain.call("aten.to.dtype", full, wide, [columns, rows], strides=across, dtype=wide)
    if chain.bias is None:
        chain.end("aten.matmul.default", chain.input, other=widened)
        return
    y = chain.call("aten.matmul.default", chain.input, wide, [*chain.lead, rows], other=widened)
    chain.end("aten.add.Tensor", y, other=chain.bias)


def _dynamic_int8(chain: _Chain) -> None:
    rows, columns, flat, wide = chain.rows, chain.columns, chain.flat, chain.wide
    each, single = [*chain.lead, columns], [*chain.lead, 1]

    def on_rows(op: str, given: TensorId, to: str = wide, **arguments: Any) -> TensorId:
        return chain.call(op, given, to, single, **arguments)

    def of_inputs(op: str, given: TensorId, to: str = "float32", **arguments: Any) -> TensorId:
        return chain.call(op, given, to, each, **arguments)

    last: dict[str, Any] = {"dim": [len(each) - 1], "keepdim": True}
    given = chain.after_python(chain.input, _DYNAMIC)
    x = of_inputs("aten.view.default", given, wide, size=each)
    least, most = on_rows("aten.amin.default", x, **last), on_rows("aten.amax.default", x, **last)
    least = on_rows("aten.min.other", least, other=on_rows("aten.zeros_like.default", least))
    most = on_rows("aten.max.other", most, other=on_rows("aten.zeros_like.default", most))
    most = on_rows("aten.max.other", on_rows("aten.neg.default", least), other=most)
    scale = on_rows("aten.div.Tensor", most, other=127.5)
    zero = on_rows("aten.full_like.default", scale, fill_value=0)
    scale = on_rows("aten.clamp.default", scale, min=1.1920928955078125e-07)
    scale = on_rows("aten.to.dtype", scale, "float32", dtype="float32")
    zero = on_rows("aten.to.dtype", zero, "int8", dtype="int8")
    inverse = on_rows("aten.reciprocal.default", scale, "float32")
    inverse = on_rows("aten.mul.Tensor", inverse, "float32", other=1.0)
    q = of_inputs("aten.mul.Tensor", x, other=inverse)
    q = of_inputs("aten.round.default", q)
    q = of_inputs("aten.add.Tensor", q, other=zero)
    q = of_inputs("aten.clamp.default", q, min=-128, max=127)
    q = of_inputs("aten.to.dtype", q, "int8", dtype="int8")
    turned = chain.call("aten.t.default", chain.weight, "int8", [columns, rows], strides=[1, columns])
    q = chain.call("aten.reshape.default", q, "int8", [flat, columns], shape=[-1, columns])
    scale = chain.call("aten.reshape.default", scale, "float32", [flat, 1], shape=[-1, 1])
    y = _product_on_cpu(chain, q, turned, scale) if chain.on_cpu else _product_on_gpu(chain, q, turned, scale)
    y = chain.call("aten.to.dtype", y, wide, [flat, rows], dtype=wide)
    of_weight = chain.call("aten.flatten.using_ints", chain.scale, "float32", [rows])
    y = chain.call("aten.mul.Tensor", y, "float32", [flat, rows], other=of_weight)
    if chain.bias is None:
        shape = [*chain.lead, rows]
        y = chain.call("aten.reshape.default", y, "float32", shape, shape=shape)
        chain.end("aten.to.dtype", y, dtype=wide)
        return
    _finish(chain, y)


def _product_on_gpu(chain: _Chain, q: TensorId, turned: TensorId, scale: TensorId) -> TensorId:
    rows, columns, flat = chain.rows, chain.columns, chain.flat
    wide_scale = chain.call("aten.expand.default", scale, "float32", [flat, rows], strides=[1, 0], size=[flat, rows])
    turned = chain.call("aten.contiguous.default", turned, "int8", [columns, rows])
    y = chain.call("aten._int_mm.default", q, "int32", [flat, rows], mat2=turned)
    return chain.call("aten.mul.Tensor", y, "float32", [flat, rows], other=wide_scale)


def _product_on_cpu(chain: _Chain, q: TensorId, turned: TensorId, scale: TensorId) -> TensorId:
    rows, columns, flat = chain.rows, chain.columns, chain.flat
    if chain.unsigned:
        q = chain.call("aten.to.dtype", q, "int32", [flat, columns], dtype="int32")
        q = chain.call("aten.add.Tensor", q, "int32", [flat, columns], other=128)
        q = chain.call("aten.to.dtype", q, "uint8", [flat, columns], dtype="uint8")
    y = chain.call("aten._int_mm.default", q, "int32", [flat, rows], mat2=turned)
    if chain.unsigned:
        # A sum in another dtype first converts its operand, all of it.
        widened = chain.call("aten.to.dtype", turned, "int32", [columns, rows], strides=[1, columns], dtype="int32")
        sums = chain.call("aten.sum.dim_IntList", widened, "int32", [1, rows], dim=[0], keepdim=True)
        sums = chain.call("aten.mul.Tensor", sums, "int32", [1, rows], other=128)
        chain.call_in_place("aten.sub_.Tensor", y, other=sums)
    y = chain.call("aten.to.dtype", y, "float32", [flat, rows], dtype="float32")
    return chain.call("aten.mul.Tensor", y, "float32", [flat, rows], other=scale)


# Host time of the Python code of one linear layer, in calls of operators: the dispatch to a tensor subclass; for
# dynamic activations also the making of one, and two operators that are Python functions registered with torch. With
# tiny operands (torch 2.13, torchao 0.18, EPYC, 0.97 us per operator), an `int8_wo` layer takes 20 us and an
# `int8_dynamic` layer 213 us, where the operators alone are predicted to take 12 and 43.
_SUBCLASS = 8
_DYNAMIC = 175

_ONE_KERNEL = ("int4_wo", "fp8_dynamic")
_CHAINS: Mapping[str, Callable[[_Chain], None]] = MappingProxyType(
    {"int8_wo": _weight_only_int8, "fp8_wo": _weight_only_fp8, "int8_dynamic": _dynamic_int8}
)
