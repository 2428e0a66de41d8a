"""Products that are written only when something other than a bias, an activation or a rounding reads their result.

Exporters write a linear layer as a product and an addition, and a quantized layer as a product between operators that
dequantize and quantize. Runtimes join them, and so does this reader: ONNX Runtime and TensorRT run a convolution whose
operands are dequantized and whose result is quantized in integers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from pyinfercost._core import TensorId

from .op import Op
from .values import Size, Value


@dataclass(frozen=True)
class Quantized:
    """How a tensor that is read as floats is stored.

    Attributes:
        stored: The integers, or narrow floats.
        scale: Its scales.
        zero: Its zero points.
        axis: Axis of the scales; None for one scale of the whole tensor.
        block: Elements along the axis that share a scale; 0 for scales of single positions.
    """

    stored: Value
    scale: Value
    zero: Value | None
    axis: int | None = None
    block: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether one scale applies to the whole tensor."""
        return self.axis is None

    def of(self, stored: Value) -> Quantized:
        """Return other integers with the same scale."""
        return replace(self, stored=stored)

    def parameters(self, op: Op) -> dict[str, Any]:
        """Return scales and zero points as arguments of a node: numbers, or tensors of the weight."""
        found: dict[str, Any] = {}
        for name, value in (("scale", self.scale), ("zero_point", self.zero)):
            if value is None:
                continue
            number = value.floats() if value.data is not None and value.data.size == 1 else None
            if number is not None:
                found[name] = number[0]
            elif value.is_weight:
                found[name] = op.walker.emitter.tensor(value, role="parameter", logical=0)
            else:
                found[name] = value
        return found

    def tensor(self, op: Op) -> TensorId:
        """Return the stored tensor; a weight is a parameter whatever its dtype."""
        return op.walker.emitter.tensor(self.stored, role="parameter" if self.stored.is_weight else None)

    def reading(self, op: Op, result: Value) -> Callable[[], TensorId]:
        """Return a function that emits the conversion to floats on demand."""
        emitter = op.walker.emitter
        place = emitter.place

        def make() -> TensorId:
            now, emitter.place = emitter.place, place
            form = "per_tensor" if self.is_whole else "per_channel_group" if self.block else "per_channel"
            name = f"quantized_decomposed.dequantize_{form}.default"
            emitter.node(name, {"input": self.tensor(op), **self.parameters(op)}, [result])
            emitter.place = now
            return emitter.tensor(result)

        return make


@dataclass
class Product:
    """A product that is not written yet.

    Attributes:
        name: Its operator for results in floats, such as `aten.linear`.
        arguments: Its arguments.
        outputs: Length of its bias; 0 if it takes none.
        place: Module and source of its operator.
        quantized: Whether its operands are integers: its result may be, too.
        bias: Whether it has a bias.
        relu: Whether an activation is joined.
    """

    name: str
    arguments: dict[str, Any]
    outputs: Size
    place: tuple[str, str]
    quantized: bool = False
    bias: bool = False
    relu: bool = False
    requantized: dict[str, Any] = field(default_factory=dict)

    def write(self, op: Op, result: Value) -> TensorId:
        """Add the node of the product."""
        emitter = op.walker.emitter
        now, emitter.place = emitter.place, self.place
        name = f"{self.name}{'_relu' if self.relu else ''}.default"
        emitter.node(name, {**self.arguments, **self.requantized}, [result])
        emitter.place = now
        return emitter.tensor(result)


@dataclass
class Sum(Product):
    """A sum of two dequantized tensors: of integers if its result is quantized, else of floats.

    Attributes:
        floats: The operands as floats.
    """

    floats: tuple[Value, ...] = ()

    def write(self, op: Op, result: Value) -> TensorId:
        """Add the node of the sum."""
        if self.requantized:
            return super().write(op, result)
        emitter = op.walker.emitter
        now, emitter.place = emitter.place, self.place
        a, b = self.floats
        added = Value(result.dtype, result.shape) if self.relu else result
        emitter.node("aten.add.Tensor", {"self": a, "other": b}, [added])
        if self.relu:
            emitter.node("aten.relu.default", {"self": added}, [result])
        emitter.place = now
        return emitter.tensor(result)


def summed(op: Op, a: Value, b: Value) -> Value | None:
    """Return the sum of two activations that are read from integers; None if it is no such sum."""
    if a.shape != b.shape or not all(_is_read_whole(x) for x in (a, b)):
        return None
    arguments = {"qa": a.source.stored, "qb": b.source.stored}
    made = Sum("quantized.add", arguments, 0, op.walker.emitter.place, quantized=True, floats=(a, b))
    return product(op, made, op.result(a.dtype, a.shape))


def _is_read_whole(x: Value) -> bool:
    source = x.source
    return source is not None and source.is_whole and source.stored.dtype in _BYTES and not source.stored.is_weight


_BYTES = ("int8", "uint8")


def product(op: Op, made: Product, result: Value) -> Value:
    """Return the result of a product, which is written later if only one operator reads it."""
    if not op.single_use():
        made.write(op, result)
        return result
    return _waiting(op, made, result)


def _waiting(op: Op, made: Product, result: Value) -> Value:
    result.make = lambda: made.write(op, result)
    result.product = made
    return result


def biased(op: Op, a: Value, b: Value) -> Value | None:
    """Return the sum of a product without bias and a stored vector; None if it is no such sum."""
    for x, bias in ((a, b), (b, a)):
        made = x.product
        if made is None or made.bias or made.relu or not made.outputs or not bias.is_weight:
            continue
        if bias.shape != (made.outputs,) or not x.shape or x.shape[-1] != made.outputs:
            continue
        x.product = x.make = None
        joined = replace(made, arguments={**made.arguments, "bias": bias}, bias=True)
        return product(op, joined, op.result(x.dtype, x.shape))
    return None


def rectified(op: Op, x: Value) -> Value | None:
    """Return the result of a product of integers with a ReLU; None if it is none, or has one."""
    made = x.product
    if made is None or not made.quantized or made.relu or made.name == "quantized.matmul":
        return None
    x.product = x.make = None
    return product(op, replace(made, relu=True), op.result(x.dtype, x.shape))


def requantized(op: Op, x: Value, dtype: str, parameters: dict[str, Any]) -> Value | None:
    """Return the result of a product of integers as integers; None if it is no such product."""
    made = x.product
    if made is None or not made.quantized:
        return None
    x.product = x.make = None
    named = {f"output_{name}": value for name, value in parameters.items()}
    result = op.result(dtype, x.shape)
    replace(made, requantized=named).write(op, result)
    return result
