"""Evaluation of conditions on columns."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from functools import reduce
from typing import TYPE_CHECKING, Any

from .condition_syntax import Syntax, column_of, unknown_column

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_INT64_END = 2**63


class Evaluation:
    """A condition on one set of columns; each column that it names is read once.

    Integers have 64 bits. Operations that may exceed them, or divide by zero, are evaluated in floating point: `1 // 0`
    is infinite, and `0 % 0` is NaN, for which only `!=` is true.

    Raises:
        ConditionError: A name is no column. Operations that mix text and numbers raise it later.
    """

    def __init__(self, syntax: Syntax, columns: Mapping[str, NDArray[Any]]) -> None:
        self._syntax = syntax
        for name in syntax.names:
            if name not in columns:
                raise syntax.error(unknown_column(name, columns) + _quotes_needed(syntax, name))
        self._columns = {name: _column(columns[name]) for name in syntax.names}

    def column(self, name: str) -> NDArray[Any]:
        """Return a column, of int64, float64 or text."""
        return self._columns[name]

    def truth(self, node: ast.expr) -> NDArray[np.bool_]:
        """Return the truth of a node: one bool per row, or a single one for a node without columns."""
        import numpy as np

        result: Any
        if isinstance(node, ast.BoolOp):
            join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            result = reduce(join, [self.truth(value) for value in node.values])
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            result = np.logical_not(self.truth(node.operand))
        elif isinstance(node, ast.Compare):
            result = self._compare(node)
        else:  # a bare name, True or False
            values = self.value(node)
            if is_text(values):
                raise self._syntax.error(
                    f"{self._syntax.quoted(node)} is text and neither true nor false; compare it with a text in quotes"
                )
            result = values != 0
        return np.asarray(result, dtype=bool)

    def value(self, node: ast.expr) -> NDArray[Any]:
        """Return the value of a node in each row, or a single one for a node without columns."""
        import numpy as np

        if isinstance(node, ast.Name):
            return self._columns[column_of(node)]
        if isinstance(node, ast.Constant):
            return _literal(node.value)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            values = self._number(node.operand)
            zero = np.asarray(0, dtype=values.dtype)
            return calculate(ast.Sub(), zero, values)
        if isinstance(node, ast.BinOp):
            return calculate(node.op, self._number(node.left), self._number(node.right))
        return self.truth(node).astype(np.int64)

    def _number(self, node: ast.expr) -> NDArray[Any]:
        values = self.value(node)
        if is_text(values):
            raise self._syntax.error(f"{self._syntax.quoted(node)} is text, which cannot be calculated with")
        return values

    def _compare(self, node: ast.Compare) -> Any:
        left_node, left = node.left, self.value(node.left)
        truth: Any = True
        for op, right_node in zip(node.ops, node.comparators, strict=True):
            if isinstance(op, (ast.In, ast.NotIn)):
                found: Any = False
                for member in getattr(right_node, "elts", ()):
                    value = self.value(member)
                    self._alike(left_node, left, member, value)
                    found = found | (left == value)
                return truth & (found ^ isinstance(op, ast.NotIn))
            right = self.value(right_node)
            self._alike(left_node, left, right_node, right)
            truth = truth & COMPARISONS[type(op)](left, right)
            left_node, left = right_node, right
        return truth

    def _alike(self, left_node: ast.expr, left: NDArray[Any], right_node: ast.expr, right: NDArray[Any]) -> None:
        if is_text(left) == is_text(right):
            return
        text, number = (left_node, right_node) if is_text(left) else (right_node, left_node)
        raise self._syntax.error(
            f"{self._syntax.quoted(text)} is text and {self._syntax.quoted(number)} a number; they do not compare"
        )


def is_text(values: NDArray[Any]) -> bool:
    """Return whether a column has texts instead of numbers or truth values."""
    return values.dtype.kind not in "biuf"


def calculate(op: ast.operator, left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    """Calculate with int64 and float64 without overflow; a division by zero is inf or NaN."""
    import numpy as np

    if left.dtype.kind == right.dtype.kind == "i" and not _stays_whole(op, left, right):
        left, right = left.astype(np.float64), right.astype(np.float64)
    with np.errstate(all="ignore"):
        return np.asarray(_ARITHMETIC[type(op)](left, right))


def _stays_whole(op: ast.operator, left: NDArray[Any], right: NDArray[Any]) -> bool:
    """Return whether all results of an operation on int64 fit into int64."""
    a, b = _largest(left), _largest(right)
    if isinstance(op, (ast.Add, ast.Sub)):
        return a + b < _INT64_END
    if isinstance(op, ast.Mult):
        return a * b < _INT64_END
    if isinstance(op, ast.Pow):
        return not (right < 0).any() and (a <= 1 or (b < _INT64_END.bit_length() and a**b < _INT64_END))
    return a < _INT64_END and bool(right.all())


def _largest(values: NDArray[Any]) -> int:
    """Return the largest magnitude as a Python int, which cannot overflow."""
    return max(int(values.max()), -int(values.min())) if values.size else 0


def _column(values: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    values = np.asarray(values)
    if values.dtype.kind == "u" and values.size and int(values.max()) >= _INT64_END:
        return values.astype(np.float64)
    if values.dtype.kind in "biu":
        return values.astype(np.int64, copy=False)
    return values.astype(np.float64, copy=False) if values.dtype.kind == "f" else values


def _literal(value: Any) -> NDArray[Any]:
    import numpy as np

    if isinstance(value, int) and not -_INT64_END <= value < _INT64_END:
        try:
            return np.asarray(float(value))
        except OverflowError:
            return np.asarray(np.inf)  # literals have no sign, and columns are smaller
    return np.asarray(int(value) if isinstance(value, bool) else value)


def _quotes_needed(syntax: Syntax, name: str) -> str:
    """Return a hint about quotes for an unknown name on the right of a comparison, as in `hardware == l4`."""
    for node in ast.walk(syntax.body):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.Eq, ast.NotEq)):
            right = node.comparators[0]
            if isinstance(right, ast.Name) and column_of(right) == name:
                return f"; a text stands in quotes: {name!r}"
    return ""
