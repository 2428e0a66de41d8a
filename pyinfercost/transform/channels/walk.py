"""A walk over a graph's nodes: rules derive the units of every dimension of every tensor, operator by operator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..._core import NodeInfo
from .units import Axis, LockedError, Units

if TYPE_CHECKING:
    from ..._core import Expr, Graph, Quantity
    from .groups import Role

Rule = Callable[["Walk", NodeInfo], None]
_FLOATS = ("float", "bfloat", "complex")


class Walk:
    """State of a walk.

    Args:
        graph: Graph of a forward.

    Attributes:
        nodes: Nodes of the graph, in execution order.
        tensors: Tensors of the graph.
        shapes: Shapes of the tensors, in integers and named sizes.
        strides: Strides of the tensors, in elements.
        units: Units of elements, and equalities between them.
        lengths: Shapes as integers; each named size is replaced by its own prime, so that products can be factored.
        made: Dimensions of parameters along which layers produce channels, in order.
        roles: Roles of other dimensions of parameters.
        arguments: (node, name of an argument, dimensions whose lengths it gives).
    """

    def __init__(self, graph: Graph) -> None:
        self.nodes = graph.nodes
        self.tensors = graph.tensors
        self.shapes = [made.shape for made in self.tensors]
        self.strides = [made.strides for made in self.tensors]
        self.units = Units()
        self.numbers = Numbers(graph.sizes)
        self.lengths = [tuple(self.numbers(length) for length in shape) for shape in self.shapes]
        self.made: dict[tuple[int, int], None] = {}
        self.roles: dict[tuple[int, int], Role] = {}
        self.arguments: list[tuple[NodeInfo, str, list[Axis]]] = []
        self.axes_of: list[list[Axis] | None] = [None] * len(self.tensors)
        self._origin: dict[int, tuple[int, tuple[int | None, ...]]] = {}
        self._single = self.units.reason("their length is 1, which may broadcast")
        self._named = self.units.reason("their number is already a named size")
        self._forward = self.units.reason("the forward creates a tensor of their fixed number")

    def fixed(self, text: str) -> int:
        """Return the index of a reason."""
        return self.units.reason(text)

    def axes(self, t: int) -> list[Axis]:
        """Return the dimensions of a tensor; a parameter gets new units on its first use."""
        known = self.axes_of[t]
        if known is None:
            known = self._first_axes(t)
            self.axes_of[t] = known
        return known

    def _first_axes(self, t: int) -> list[Axis]:
        made, shape = self.tensors[t], self.shapes[t]
        role, name = made.role, made.name
        if role not in ("parameter", "buffer"):
            text = f"they are inputs of {name or 'an input'}" if role in ("input", "kv_cache") else ""
            reason = self.fixed(text) if text else self._forward
            return [reason] * len(shape)
        if made.logical_numel is not None or made.storage_elements is not None:
            return [self.fixed(f"{name} is stored in a packed form")] * len(shape)
        dtype = made.dtype
        if not dtype.startswith(_FLOATS) or "float8" in dtype or "float4" in dtype:
            return [self.fixed(f"{name} is of {dtype}")] * len(shape)
        self._origin[t] = (t, tuple(range(len(shape))))
        return [
            self._named if not isinstance(n, int) else self._single if n == 1 else self.units.fresh(n) for n in shape
        ]

    def set(self, t: int, axes: Sequence[Axis]) -> None:
        """Set the dimensions of a result.

        Raises:
            LockedError: The dimensions do not fit the result's shape.
        """
        shape, lengths = self.shapes[t], self.lengths[t]
        if len(axes) != len(shape):
            raise LockedError(f"a result has {len(shape)} dimensions; expected {len(axes)}")
        found: list[Axis] = []
        for axis, length, number in zip(axes, shape, lengths, strict=True):
            if isinstance(axis, int):
                found.append(axis)
            elif not isinstance(length, int):
                found.append(self.units.fix(axis, self._named))
            elif number == 1:
                found.append(self.units.fix(axis, self._single))
            elif len(axis) != number:
                raise LockedError(f"a result has {number} elements; expected {len(axis)}")
            else:
                found.append(axis)
        before = self.axes_of[t]
        if before is not None:  # written in place
            found = [self.units.equal(old, new) for old, new in zip(before, found, strict=True)]
        self.axes_of[t] = found

    def lock(self, node: NodeInfo, text: str) -> None:
        """Fix all dimensions of a node's operands and results."""
        reason = self.fixed(text)
        for t in node.operands:
            self.axes_of[t] = [self.units.fix(axis, reason) for axis in self.axes(t)]
        for t in node.results:
            known = self.axes_of[t] or []
            for axis in known:
                self.units.fix(axis, reason)
            self.axes_of[t] = [reason] * len(self.shapes[t])

    def fix_dim(self, t: int, dim: int, text: str) -> int:
        """Fix one dimension."""
        return self.units.fix(self.axes(t)[dim], self.fixed(text))

    def follows(self, t: int, source: int, dims: Sequence[int | None]) -> None:
        """Record that a tensor has the elements of another along these dimensions: a view of a weight counts as it."""
        origin = self._origin.get(source)
        if origin is not None:
            self._origin.setdefault(t, (origin[0], tuple(None if d is None else origin[1][d] for d in dims)))

    def is_parameter(self, t: int) -> bool:
        """Return whether a tensor is a parameter, or a view or mask of one."""
        return t in self._origin and self.tensors[self._origin[t][0]].role == "parameter"

    def parameter(self, t: int, dim: int) -> tuple[int, int] | None:
        """Return the parameter and its dimension behind a dimension of a tensor; None if there is none."""
        origin = self._origin.get(t)
        if origin is None or self.tensors[origin[0]].role != "parameter":
            return None
        source = origin[1][dim]
        return None if source is None else (origin[0], source)

    def makes(self, t: int, dim: int) -> None:
        """Record that a layer produces channels along this dimension of its weight."""
        self.axes(t)
        found = self.parameter(t, dim)
        if found is not None:
            self.made.setdefault(found)
            self.roles[found] = "producer"

    def role(self, t: int | None, role: Role, dim: int | None = None) -> None:
        """Set the role of a parameter's dimension (of all without `dim`), if it has none."""
        if t is None:
            return
        for each in range(len(self.axes(t))) if dim is None else (dim,):
            found = self.parameter(t, each)
            if found is not None:
                self.roles.setdefault(found, role)

    def argument(self, node: NodeInfo, name: str, axes: list[Axis]) -> None:
        """Record that an argument gives the lengths of these dimensions."""
        self.arguments.append((node, name, axes))


class Numbers:
    """Lengths as plain integers: each named size is replaced by its own prime.

    Args:
        names: Names of the sizes.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.values = dict(zip(names, _primes(), strict=False))
        self._known: dict[Expr, int] = {}

    def __call__(self, length: Quantity) -> int:
        if isinstance(length, int):
            return length
        if length not in self._known:
            self._known[length] = length.evaluate(self.values)
        return self._known[length]


def _primes() -> Iterator[int]:
    """Yield primes larger than the usual factors of lengths."""
    found = 1009
    while True:
        if all(found % divisor for divisor in range(2, int(found**0.5) + 1)):
            yield found
        found += 2


def whole(value: Any) -> list[int]:
    """Return an argument of one or several integers as a list.

    Raises:
        LockedError: One of them is an expression.
    """
    values = value if isinstance(value, list) else [value]
    if any(not isinstance(each, int) for each in values):
        raise LockedError("an argument depends on a named size")
    return list(values)


def need(node: NodeInfo, *names: str) -> int:
    """Return the tensor given by the first of these argument names.

    Raises:
        LockedError: None of them is given.
    """
    found = node.operand(*names)
    if found is None:
        raise LockedError(f"{node.op} has no {names[0]}")
    return found
