"""Declaration of tensors and nodes of the Graph that an ONNX model becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyinfercost._core import Expr, GraphBuilder, TensorId

from .stored import OnnxError, StoredTensor
from .values import Value

_FLOATS = ("float", "bfloat", "complex")


class Emitter:
    """Writes nodes; a tensor is declared when the first node reads it.

    Args:
        builder: The graph under construction.
        open_ended: Whether tensors that no node has written are inputs, for a part of a model.
    """

    def __init__(self, builder: GraphBuilder, *, open_ended: bool = False) -> None:
        self.builder = builder
        self._ids: dict[int, TensorId] = {}
        self._stored: dict[int, TensorId] = {}
        self._turned: dict[int, TensorId] = {}  # weights of linear layers, as [outputs, inputs]
        self._kept: list[Value] = []  # an id is unique as long as its object lives
        self._open_ended = open_ended
        self.given: list[TensorId] = []
        self.place: tuple[str, str] = ("", "")  # module and source of the operator that is being read

    def input(self, value: Value, role: str) -> TensorId:
        """Declare an input of the graph."""
        return self._declare(value, role=role, name=value.name)

    def tensor(self, value: Value, *, role: str | None = None, logical: int | None = None) -> TensorId:
        """Return the tensor of a value.

        Args:
            value: The value.
            role: Role of a weight; None for the one that follows from its dtype.
            logical: Number of elements of the user's weight that it stores, if that is not its own number.
        """
        known = self._ids.get(id(value))
        if known is not None:
            return known
        if value.make is not None and not self._open_ended:
            make, value.make, value.product = value.make, None, None
            return make()
        if value.stored is not None:
            return self._weight(value, value.stored, role, logical)
        data = value.data
        if data is not None:
            if data.dtype != object:
                return self._declare(value, role="constant")
            shape = [int(length) for length in data.shape]
            declared = self._declare(value)
            self.builder.node("aten.full.default", {"size": shape}, [declared], module=self.place[0])
            return declared
        if not self._open_ended:
            raise OnnxError("a value is read before an operator writes it")
        declared = self._declare(value, role="input")
        self.given.append(declared)
        return declared

    def linear_weight(self, value: Value, *, role: str = "parameter", logical: int | None = None) -> TensorId:
        """Return a stored matrix [inputs, outputs] as the weight of a linear layer, [outputs, inputs].

        The matrix itself is declared with its dimensions exchanged, unless something else reads it as it lies.

        Args:
            value: The matrix.
            role: As for `tensor`.
            logical: As for `tensor`.
        """
        stored = value.stored
        if stored is None:
            raise OnnxError("multiplies by a matrix that is not stored")
        known = self._stored.get(id(stored))
        rows, columns = value.shape
        turned = Value(value.dtype, (columns, rows), strides=(1, columns))
        if known is None:
            known = self._declare(turned, role=role, name=stored.name, logical=logical)
            self._stored[id(stored)] = known
            self._turned[id(stored)] = known
        elif id(stored) not in self._turned:
            # Read as it lies elsewhere: the layer reads a view.
            self.node("aten.t.default", {"self": known}, [turned])
            self._turned[id(stored)] = self._ids[id(turned)]
        return self._turned[id(stored)]

    def declare_stored(self, value: Value) -> None:
        """Declare an initializer unless a node reads it."""
        if value.stored is not None and id(value.stored) not in self._stored:
            self.tensor(value)

    def _weight(self, value: Value, stored: StoredTensor, role: str | None, logical: int | None) -> TensorId:
        known = self._stored.get(id(stored))
        if known is None:
            role = role_of(stored) if role is None else role
            known = self._declare(value, role=role, name=stored.name, logical=logical)
            self._stored[id(stored)] = known
        elif self._turned.get(id(stored)) == known:
            plain = Value(value.dtype, value.shape)
            self.node("aten.t.default", {"self": known}, [plain])
            known = self._ids[id(plain)]
        self._keep(value, known)
        return known

    def _declare(
        self, value: Value, *, role: str = "activation", name: str = "", logical: int | None = None
    ) -> TensorId:
        strides = value.strides
        declared = self.builder.tensor(
            value.dtype, value.shape, strides=strides, role=role, name=name, logical_numel=logical
        )
        self._keep(value, declared)
        return declared

    def _keep(self, value: Value, declared: TensorId) -> None:
        self._ids[id(value)] = declared
        self._kept.append(value)

    def node(self, op: str, arguments: Mapping[str, Any], results: Sequence[Value]) -> None:
        """Add a node; values among the arguments become tensors, and results are declared."""
        converted = {name: self._argument(value) for name, value in arguments.items()}
        outputs = [self._declare(value, name=value.name) for value in results]
        module, source = self.place
        self.builder.node(op, converted, outputs, module=module, source=source)

    def _argument(self, value: Any) -> Any:
        if isinstance(value, Value):
            return self.tensor(value)
        if isinstance(value, (list, tuple)):
            return [self._argument(item) for item in value]
        return value


def role_of(stored: StoredTensor) -> str:
    """Return the role of an initializer.

    Torch's exporter stores it. Elsewhere tensors of floats that have dimensions are parameters, and other ones are
    constants.
    """
    kind = stored.kind
    if kind == "PARAMETER":
        return "parameter"
    if kind == "BUFFER":
        return "buffer"
    if kind:
        return "constant"
    return "parameter" if stored.shape and stored.dtype.startswith(_FLOATS) else "constant"


def is_symbolic(value: object) -> bool:
    """Return whether a size has named sizes."""
    return isinstance(value, Expr) and not value.is_constant
