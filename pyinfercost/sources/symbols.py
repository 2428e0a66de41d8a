"""Named sizes during a capture: conversion between torch's symbolic integers and `Expr`."""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyinfercost._core import Expr, GraphBuilder

from ..errors import InputError
from .data_names import DataNames
from .expressions import ExpressionError, Symbols, to_expr


class CaptureError(InputError):
    """A forward cannot be captured; the message states where it stopped and a remedy."""


class UnknownSizeError(CaptureError):
    """A value is given for a size that the model does not have, or is out of range."""


class NeedsOpenSizesError(BaseException):
    """A length depends on data, but symbolic integers are off. Not an Exception, so that no forward catches it."""


@dataclass(frozen=True)
class _SizeOfData:
    """A size that depends on data: torch's symbol, and the properties of the graph's named size."""

    name: str
    symbol: Any
    bound: Any
    default: Any
    origin: str


class GivenSizes:
    """Names of sizes that depend on data, and the values that the caller gives for them.

    Attributes:
        names: The names so far.

    Args:
        given: Values by name, or by pattern with `*`.
        allowed: Whether such sizes are allowed.
    """

    def __init__(self, given: Mapping[str, int], *, allowed: bool) -> None:
        self.names = DataNames()
        self._allowed = allowed
        self._given = dict(given)

    def value(self, name: str) -> int | None:
        """Return the given value of a size; None without one."""
        if name in self._given:
            return self._given[name]
        patterns = (pattern for pattern in self._given if "*" in pattern)
        return next((self._given[each] for each in patterns if fnmatch.fnmatchcase(name, each)), None)

    def take(self, module: str, what: str, of: str, bound: Any) -> tuple[str, int | None]:
        """Return name and given value of the next size of an operator, as in `SizeSpace.of_data`.

        Raises:
            NeedsOpenSizesError: Sizes that depend on data are not allowed in this capture.
            CaptureError: The size has neither a bound nor a given value, or the value exceeds the bound.
        """
        if not self._allowed:
            raise NeedsOpenSizesError
        name = self.names.next(module, what)
        value = self.value(name)
        if bound is None and value is None:
            raise CaptureError(
                f"size {name!r} ({of}) depends on data, and nothing in the forward bounds it; give it when capturing: "
                f"capture(..., **{{{name!r}: 12}}), or --set {name}=12 on the command line"
            )
        if value is not None and not 0 <= value <= (value if bound is None else _hint(bound)):
            limits = "at least 0" if bound is None else f"from 0 to {_hint(bound)}"
            raise UnknownSizeError(f"size {name!r} ({of}) must be {limits}, got {value}")
        return name, value

    def check(self, known: list[str]) -> None:
        """Raise UnknownSizeError if a value is given for none of the known sizes."""
        for name in self._given:
            if not fnmatch.filter(known, name):
                listed = ", ".join(known) if known else "none"
                raise UnknownSizeError(f"unknown size {name!r}; the sizes of this model that depend on data: {listed}")


class SizeSpace:
    """The symbolic sizes of one capture.

    Attributes:
        given: Names and given values of sizes that depend on data.
        may_depend_on_data: Whether sizes that depend on data are allowed.

    Args:
        builder: The graph under construction.
        given: Values of sizes that depend on data, by name.
        of_data: Whether sizes that depend on data are allowed. They are symbolic integers, which slow a capture down.
    """

    def __init__(self, builder: GraphBuilder, given: Mapping[str, int] | None = None, *, of_data: bool = False) -> None:
        self._builder = builder
        self.given = GivenSizes(given or {}, allowed=of_data)
        self.may_depend_on_data = of_data
        self._of_data: dict[Any, _SizeOfData] = {}
        self._fixed: dict[str, tuple[int, Any, str, str]] = {}
        self._environment: Any = None
        self._open: dict[str, Any] = {}
        self._defaults: dict[str, int] = {}
        self._symbols = Symbols()
        self._names: dict[str, str] = {}
        self._strides: dict[Any, Any] = {}

    def open(self, name: str, example: int) -> Any:
        """Return the symbolic integer of a named size; the same one for the same name.

        Raises:
            ValueError: One name is given to two different lengths.
        """
        if name in self._open:
            if self._defaults[name] != example:
                raise InputError(
                    f"dynamic gives the name {name!r} to lengths {self._defaults[name]} and {example}; "
                    "expected one length per name"
                )
            return self._open[name]
        # An example of length 1 would satisfy every broadcasting test of torch.
        self._open[name], symbol = self._symbolic(name, max(2, example))
        self._defaults[name] = example
        self._names[symbol.name] = name
        self._symbols[symbol.name] = self._builder.size(name, default=example)
        return self._open[name]

    def _symbolic(self, name: str, hint: int) -> tuple[Any, Any]:
        from torch._dynamo.source import ConstantSource
        from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv

        if self._environment is None:
            # Sizes of 0 and 1 are not special, and equal lengths are equal by coincidence.
            self._environment = ShapeEnv(specialize_zero_one=False, duck_shape=False)
        source = ConstantSource(name)
        symbol = self._environment.create_symbol(hint, source, dynamic_dim=DimDynamic.DYNAMIC, constraint_dim=None)
        return self._environment.create_symintnode(symbol, hint=hint, source=source), symbol

    def of_data(
        self,
        module: str,
        what: str,
        of: str,
        bound: Any,
        default: Any = None,
        stated: str = "in equal shares",
        *,
        exact: bool = False,
    ) -> Any:
        """Return a symbolic integer for a size that depends on data; a plain one for a given value of 0 or 1.

        Args:
            module: Path of the running module.
            what: The operator, for the name.
            of: Description of the counted items.
            bound: Maximum; None if unknown.
            default: Default value; None for the bound.
            stated: Description of the default.
            exact: Whether the forward sees a default of 1 as a plain 1 instead of a symbolic length.

        Raises:
            NeedsOpenSizesError: Sizes that depend on data are not allowed in this capture.
            CaptureError: The size has neither a bound nor a given value, or the value exceeds the bound.
        """
        name, value = self.given.take(module, what, of, bound)
        if value is not None:
            if value in (0, 1):  # lengths of 0 and 1 may take other branches
                return self._fix(name, value, of, bound, "as given when capturing")
            stated, default = "as given when capturing", value
        elif default is None:
            stated, default = "as many as there can be", bound
        elif bound is not None:
            import torch

            default = torch.sym_min(default, bound)  # type: ignore[no-untyped-call]
        hint = _hint(default)
        truth = isinstance(bound, int) and bound == 1
        hint = hint if truth or exact or hint == 0 else max(2, hint)
        symbolic, symbol = self._symbolic(name, hint)
        if isinstance(bound, int):
            self._limit(symbol, max(bound, hint))
        self._names[symbol.name] = name
        self._of_data[symbol] = _SizeOfData(name, symbol, bound, default, f"{of}; default: {stated}")
        return symbolic

    def of_value(self, module: str, what: str, of: str, low: int, high: Any) -> int:
        """Return a number for a value that the forward computes with: the given one, or the middle of the range.

        Args:
            module: Path of the running module.
            what: The operator, for the name.
            of: Description of the value.
            low: Minimum.
            high: Maximum; None if unknown.
        """
        name, value = self.given.take(module, what, of, high)
        if value is not None:
            return self._fix(name, value, of, high, "as given when capturing")
        return self._fix(name, (low + _hint(high)) // 2, of, high, "the middle of its range")

    def _fix(self, name: str, value: int, of: str, bound: Any, stated: str) -> int:
        self._fixed[name] = (value, bound, of, stated)
        return value

    def _limit(self, symbol: Any, high: int) -> None:
        # Comparisons decided by the bound add no guard.
        from torch.utils._sympy.value_ranges import ValueRanges

        self._environment.var_to_range[symbol] = ValueRanges(0, high)

    def is_of_data(self, size: Any) -> bool:
        """Return whether a length depends on a size that depends on data."""
        return (
            bool(self._of_data)
            and hasattr(size, "node")
            and not self._of_data.keys().isdisjoint(size.node.expr.free_symbols)
        )

    @property
    def symbolic(self) -> bool:
        """Whether symbolic integers may occur."""
        return bool(self._open) or self.may_depend_on_data

    def dispatching(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context for symbolic integers: shape rules that support them."""
        if not self.symbolic:
            return contextlib.nullcontext()
        from torch._dispatch.python import enable_python_dispatcher

        manager: contextlib.AbstractContextManager[Any] = enable_python_dispatcher()
        return manager

    def expression(self, size: Any) -> int | Expr:
        """Return the `Expr` of a symbolic integer, or of torch's expression for one."""
        return to_expr(size.node.expr if hasattr(size, "node") else size, self._symbols)

    def stride(self, size: Any) -> int | Expr:
        """Return the `Expr` of a stride, with lengths as they are in shapes.

        Torch multiplies strides by max(length, 1), which equals no length of a shape, so that a contiguous tensor would
        not be seen as such. A tensor with a length of 0 has no elements, and its strides do not matter.
        """
        expression = size.node.expr if hasattr(size, "node") else size
        if isinstance(expression, int) or not expression.args:
            return self.expression(expression)
        plain = self._strides.get(expression)
        if plain is None:
            from torch.utils._sympy.functions import Max

            plain = self._strides[expression] = expression.replace(
                lambda part: isinstance(part, Max) and 1 in part.args,
                lambda part: Max(*(each for each in part.args if each != 1)),  # type: ignore[no-untyped-call]
            )
        return self.expression(plain)

    def finish(self, routings: Sequence[tuple[str, Any]] = ()) -> list[Expr | None]:
        """Declare the sizes that depend on data, and add the forward's assumptions about sizes to the graph.

        Args:
            routings: For each routing of grouped products, the module and the maximum number of groups with rows.

        Returns:
            For each routing, the number of groups with rows; None if it was not given.

        Raises:
            CaptureError: The forward fixes a size to one value, or a value is given for an unknown size.
        """
        names = [self.given.names.next(module, "groups") for module, _ in routings]
        self.given.check([*(size.name for size in self._of_data.values()), *self._fixed, *names])
        if self._environment is not None:
            self._finish_symbols()
        for name, (value, bound, of, stated) in self._fixed.items():
            limits = "" if bound is None else f" (0 to {_hint(bound)})"
            origin = f"{of}{limits}; fixed when captured: {stated}"
            self._builder.size(name, default=value, minimum=value, maximum=value, origin=origin, role="data")
        return [self._groups(name, bound) for name, (_, bound) in zip(names, routings, strict=True)]

    def _groups(self, name: str, bound: Any) -> Expr | None:
        value = self.given.value(name)
        if value is None:
            return None
        if not 1 <= value <= _hint(bound):
            raise UnknownSizeError(f"size {name!r} ({_GROUPS}) must be from 1 to {_hint(bound)}, got {value}")
        origin = f"{_GROUPS}; default: as given when capturing"
        return self._builder.size(name, default=value, maximum=self._limit_of(bound), origin=origin, role="data")

    def _finish_symbols(self) -> None:
        replaced = self._environment.replacements
        for symbol, value in replaced.items():
            if symbol not in self._of_data:
                name = self._names.get(symbol.name, symbol.name)
                raise CaptureError(
                    f"size {name!r} cannot stay open: the forward requires it to be {value}; leave it out of dynamic"
                )
        for symbol, size in self._of_data.items():
            # If the forward requires it to equal an expression in other sizes, it is that expression.
            if symbol not in replaced or replaced[symbol].is_number:
                self._declare(size)
            if symbol in replaced and replaced[symbol].is_number:
                self._builder.guard(self._symbols[symbol.name], "==", int(replaced[symbol]))
        for guard in self._environment.guards:
            self._add_guard(self._environment.replace(guard.expr))

    def _declare(self, size: _SizeOfData) -> None:
        try:
            bound = None if size.bound is None else self._limit_of(size.bound)
            default = self._limit_of(size.default)
        except ExpressionError:  # bounded by a size that equals a later one
            bound, default = None, _hint(size.default)
        self._symbols[size.symbol.name] = self._builder.size(
            size.name, default=default, minimum=0, maximum=bound, origin=size.origin, role="data"
        )

    def _limit_of(self, limit: Any) -> int | Expr:
        return limit if isinstance(limit, int) else self.expression(limit)

    def _add_guard(self, condition: Any) -> None:
        relation = _RELATIONS.get(type(condition).__name__)
        if relation is None:
            return
        try:
            left, right = (to_expr(side, self._symbols) for side in condition.args)
        except ExpressionError:
            return
        self._builder.guard(left, relation, right)


def _hint(size: Any) -> int:
    return size if isinstance(size, int) else int(size.node.hint)


_GROUPS = "groups of a product, such as experts, that any row is routed to"
_RELATIONS = {
    "Equality": "==",
    "Unequality": "!=",
    "GreaterThan": ">=",
    "LessThan": "<=",
    "StrictGreaterThan": ">",
    "StrictLessThan": "<",
}
