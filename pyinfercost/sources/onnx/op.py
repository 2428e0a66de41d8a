"""One operator call of an ONNX model, as its handler sees it; and the table of handlers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from .names import cache_name
from .shapes import Guard, axis_of
from .stored import OnnxError, StoredTensor, dtype_of
from .values import Sequenced, Shape, Size, Value

if TYPE_CHECKING:
    from pathlib import Path

    from .declared_types import DeclaredTypes
    from .graph_writer import Emitter
    from .names import Sizes

Result: TypeAlias = "Value | Sequenced | None"
Handler: TypeAlias = "Callable[[Op], Result | Sequence[Result]]"

CONTRIB = "com.microsoft"
"""Domain of the operators of ONNX Runtime."""

_MOST_DIMENSIONS = 64

HANDLERS: dict[tuple[str, str], Handler] = {}
"""Domain and operator -> function that emits its nodes and returns its results."""


def handles(*names: str, domain: str = "") -> Callable[[Handler], Handler]:
    """Register a function as the handler of operators."""

    def register(handler: Handler) -> Handler:
        for name in names:
            if (domain, name) in HANDLERS:
                raise OnnxError(f"operator {domain}.{name} has two handlers")
            HANDLERS[domain, name] = handler
        return handler

    return register


class Walk(Protocol):
    """Interface of the walk through a graph for handlers; `walk.Walker` describes its parts."""

    folder: Path | None
    emitter: Emitter
    sizes: Sizes
    versions: Mapping[str, int]
    uses: dict[str, int]
    declared: DeclaredTypes

    def subgraph(self, graph: Any, given: Sequence[Result], *, module: str, times: int = 1) -> list[Result]: ...
    def unrolled(self, graph: Any, steps: int) -> int: ...
    def dearer(self, graphs: Sequence[Any], *, module: str) -> int: ...
    def settle(self, graphs: Iterable[Any]) -> None: ...


class NotKnownError(Exception):
    """The shape of a result depends on content that is not known; the walker then asks the declared shapes."""


class Op:
    """An operator call.

    Attributes:
        type: Operator.
        domain: Its domain; empty for ONNX itself.
        version: Version of that domain's operators.
        inputs: Operands; None for absent optional ones.
        output_names: Names of the results; empty for absent optional ones.
        module: Path of the calling module.
        proto: The `NodeProto`.
        walker: Reader of the graph that it is in.
    """

    __slots__ = (
        "_attributes",
        "domain",
        "inputs",
        "module",
        "outer",
        "output_names",
        "proto",
        "type",
        "version",
        "walker",
    )

    def __init__(
        self,
        walker: Walk,
        proto: Any,
        *,
        domain: str,
        version: int,
        inputs: Sequence[Result],
        module: str,
        outer: Mapping[str, Any],
    ) -> None:
        self.walker = walker
        self.proto = proto
        self.type: str = proto.op_type
        self.domain = domain
        self.version = version
        self.inputs: list[Any] = list(inputs)
        self.output_names: list[str] = list(proto.output)
        self.module = module
        self.outer = outer
        self._attributes: dict[str, Any] | None = None

    # ---- operands

    def __getitem__(self, place: int) -> Value:
        value = self.get(place)
        if value is None:
            raise OnnxError(f"has no operand {place}; expected at least {place + 1}")
        return value

    def get(self, place: int) -> Value | None:
        """Return an operand that is a tensor; None for an absent one."""
        value = self.inputs[place] if place < len(self.inputs) else None
        if value is not None and not isinstance(value, Value):
            raise OnnxError(f"has a sequence as operand {place}; expected a tensor")
        return value

    def all(self) -> list[Value]:
        """Return all operands, which are tensors."""
        return [self[place] for place in range(len(self.inputs))]

    def sequence(self, place: int) -> Sequenced:
        """Return an operand that is a sequence."""
        value = self.inputs[place] if place < len(self.inputs) else None
        if not isinstance(value, Sequenced):
            raise OnnxError(f"has no sequence as operand {place}")
        return value

    def sizes(self, place: int) -> list[Size]:
        """Return the content of an operand as sizes.

        Raises:
            NotKnownError: The content is not known.
        """
        sizes = self[place].sizes()
        if sizes is None:
            raise NotKnownError
        return sizes

    def whole(self, place: int) -> list[int]:
        """Return the content of an operand as numbers.

        Raises:
            NotKnownError: The content is not known.
        """
        numbers = self[place].numbers()
        if numbers is None:
            raise NotKnownError
        return numbers

    def axes(self, place: int, rank: int) -> list[int] | None:
        """Return axes that are an operand of newer versions, and an attribute of older ones; None for absent ones."""
        axes = self.whole(place) if self.get(place) is not None else self.integers("axes")
        return None if axes is None else [axis_of(axis, rank) for axis in axes]

    def axis(self, default: int, rank: int) -> int:
        """Return the attribute `axis`, counted from the first dimension."""
        return axis_of(self.integer("axis", default), rank)

    @property
    def guard(self) -> Guard:
        """Takes conditions on sizes."""
        return self.walker.sizes.guard

    # ---- attributes

    def _attribute(self, name: str) -> Any:
        if self._attributes is None:
            found: dict[str, Any] = {}
            for attribute in self.proto.attribute:
                if attribute.ref_attr_name:
                    if attribute.ref_attr_name in self.outer:
                        found[attribute.name] = self.outer[attribute.ref_attr_name]
                else:
                    found[attribute.name] = attribute
            self._attributes = found
        return self._attributes.get(name)

    def attributes(self) -> dict[str, Any]:
        """Return name -> `AttributeProto`."""
        self._attribute("")
        return dict(self._attributes or {})

    def has(self, name: str) -> bool:
        """Return whether an attribute is given."""
        return self._attribute(name) is not None

    def integer(self, name: str, default: int = 0) -> int:
        """Return an integer attribute."""
        found = self._attribute(name)
        return default if found is None else int(found.i)

    def integers(self, name: str) -> list[int] | None:
        """Return an attribute of integers; None if it is not given."""
        found = self._attribute(name)
        return None if found is None else list(found.ints)

    def real(self, name: str, default: float = 0.0) -> float:
        """Return a float attribute."""
        found = self._attribute(name)
        return default if found is None else float(found.f)

    def text(self, name: str, default: str = "") -> str:
        """Return a text attribute."""
        found = self._attribute(name)
        return default if found is None else bytes(found.s).decode("utf-8", "replace")

    def texts(self, name: str) -> list[str] | None:
        """Return an attribute of texts; None if it is not given."""
        found = self._attribute(name)
        return None if found is None else [bytes(item).decode("utf-8", "replace") for item in found.strings]

    def dtype_attribute(self, name: str, default: int = 1) -> str:
        """Return the dtype that an attribute names."""
        return dtype_of(self.integer(name, default))

    def stored(self, name: str) -> StoredTensor | None:
        """Return an attribute that is a tensor; None if it is not given."""
        found = self._attribute(name)
        return None if found is None else StoredTensor(found.t, self.walker.folder)

    def graph(self, name: str) -> Any:
        """Return an attribute that is a graph."""
        found = self._attribute(name)
        if found is None or not found.HasField("g"):
            raise OnnxError(f"has no graph {name!r}")
        return found.g

    # ---- results

    def wants(self, place: int) -> bool:
        """Return whether a result is read."""
        return place < len(self.output_names) and bool(self.output_names[place])

    def result(
        self, dtype: str, shape: Sequence[Size], *, strides: Sequence[Size] | None = None, place: int = 0
    ) -> Value:
        """Return the description of a result."""
        name = cache_name(self.output_names[place]) if place < len(self.output_names) else ""
        return Value(dtype, shape, strides=strides, name=name)

    def emit(self, op: str, arguments: Mapping[str, Any], *results: Value) -> Value:
        """Add a node of this operator and return its first result."""
        self.walker.emitter.node(op, arguments, results)
        return results[0]

    def new(self, op: str, arguments: Mapping[str, Any], dtype: str, shape: Sequence[Size]) -> Value:
        """Add a node with one result and return that."""
        return self.emit(op, arguments, self.result(dtype, shape))

    def inner(self, op: str, arguments: Mapping[str, Any], dtype: str, shape: Sequence[Size]) -> Value:
        """Add a node whose result only this operator reads."""
        return self.emit(op, arguments, Value(dtype, shape))

    def length_of_data(self, what: str, of: str, bound: Size | None) -> Size:
        """Return a new size that depends on data."""
        return self.walker.sizes.of_data(self.module, what, of, bound)

    def shape_of_data(self, what: str, rank: Size) -> Shape:
        """Return a shape whose lengths all depend on data.

        Raises:
            NotKnownError: The number of dimensions depends on data, too.
            OnnxError: There are too many.
        """
        if not isinstance(rank, int):
            raise NotKnownError
        if rank > _MOST_DIMENSIONS:
            raise OnnxError(f"has a result of {rank} dimensions; expected at most {_MOST_DIMENSIONS}")
        return tuple(self.length_of_data(what, "a length that depends on data", None) for _ in range(rank))

    def declared(self, place: int, *, known: bool = False) -> Shape | None:
        """Return the shape that the file states for a result; None if it states none.

        Args:
            place: Which result.
            known: Whether to return None for a shape with a new name; else that is a size that depends on data.
        """
        name = self.output_names[place] if place < len(self.output_names) else ""
        new = None if known else partial(self.length_of_data, self.type, "a length that depends on data", None)
        return self.walker.declared.shape(name, self.walker.sizes, new)

    def single_use(self, place: int = 0) -> bool:
        """Return whether one operator alone reads a result, which the model does not return."""
        return self.walker.uses.get(self.output_names[place], 0) == 1
