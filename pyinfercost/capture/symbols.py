"""Named sizes while a module runs: torch's symbolic integers on one side, `Expr` on the other."""

from __future__ import annotations

import contextlib
from typing import Any

from pyinfercost._core import Expr, GraphBuilder

from .expressions import ExpressionError, Symbols, to_expr


class CaptureError(ValueError):
    """The forward cannot be captured; the message says where it stopped and what to do."""


class SizeSpace:
    """The open sizes of one capture."""

    def __init__(self, builder: GraphBuilder) -> None:
        self._builder = builder
        self._environment: Any = None
        self._open: dict[str, Any] = {}
        self._defaults: dict[str, int] = {}
        self._symbols = Symbols()
        self._names: dict[str, str] = {}

    def open(self, name: str, example: int) -> Any:
        """A symbolic integer for a size; the same one for the same name.

        Raises:
            ValueError: One name for two different lengths.
        """
        from torch._dynamo.source import ConstantSource
        from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv

        if name in self._open:
            if self._defaults[name] != example:
                raise ValueError(
                    f"dynamic gives the name {name!r} to lengths {self._defaults[name]} and {example}; "
                    "expected one length for one name"
                )
            return self._open[name]
        if self._environment is None:
            # Sizes of 0 and 1 are sizes like any other, and equal lengths are equal by chance.
            self._environment = ShapeEnv(specialize_zero_one=False, duck_shape=False)
        # An example of length 1 would answer "yes" wherever torch asks whether it may broadcast.
        hint = max(2, example)
        source = ConstantSource(name)
        symbol = self._environment.create_symbol(hint, source, dynamic_dim=DimDynamic.DYNAMIC, constraint_dim=None)
        self._open[name] = self._environment.create_symintnode(symbol, hint=hint, source=source)
        self._defaults[name] = example
        self._names[symbol.name] = name
        self._symbols[symbol.name] = self._builder.size(name, default=example)
        return self._open[name]

    def dispatching(self) -> contextlib.AbstractContextManager[Any]:
        """What must be active while symbolic integers flow: shape rules that know them."""
        if not self._open:
            return contextlib.nullcontext()
        from torch._dispatch.python import enable_python_dispatcher

        manager: contextlib.AbstractContextManager[Any] = enable_python_dispatcher()
        return manager

    def expression(self, size: Any) -> int | Expr:
        """The `Expr` of a symbolic integer, or of torch's expression for one."""
        return to_expr(size.node.expr if hasattr(size, "node") else size, self._symbols)

    def check_guards(self) -> None:
        """Hands what the forward assumed about open sizes over to the graph.

        Raises:
            CaptureError: The forward fixed a size to one value.
        """
        if self._environment is None:
            return
        for symbol, value in self._environment.replacements.items():
            name = self._names.get(symbol.name, symbol.name)
            raise CaptureError(
                f"size {name!r} cannot stay open: the forward requires it to be {value}; leave it out of dynamic"
            )
        for guard in self._environment.guards:
            self._add_guard(guard.expr)

    def _add_guard(self, condition: Any) -> None:
        relation = _RELATIONS.get(type(condition).__name__)
        if relation is None:
            return
        try:
            left, right = (to_expr(side, self._symbols) for side in condition.args)
        except ExpressionError:
            return
        self._builder.guard(left, relation, right)


_RELATIONS = {
    "Equality": "==",
    "Unequality": "!=",
    "GreaterThan": ">=",
    "LessThan": "<=",
    "StrictGreaterThan": ">",
    "StrictLessThan": "<",
}
