"""Conditions on named columns, as text: `fits_in_memory and latency_s <= 0.05`."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .._checks import shown
from ..errors import InputTypeError
from .condition_syntax import ConditionError, Syntax, column_of, read, terms
from .condition_values import Evaluation, is_text

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    Where: TypeAlias = "str | Condition | Iterable[str | Condition] | None"

__all__ = ["Condition", "ConditionError", "row_count"]

_MIRRORED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.Gt,
    ast.LtE: ast.GtE,
    ast.Gt: ast.Lt,
    ast.GtE: ast.LtE,
    ast.Eq: ast.Eq,
}
_LISTED = 8  # values of a text column that an explanation names


@dataclass(frozen=True)
class Condition:
    """A condition on rows, as a Python expression of columns.

    An expression has names of columns (also with dots: `roi_heads.nms`), numbers, texts in quotes, `True` and `False`,
    `+ - * / // % **`, comparisons, which may be chained, `in` and `not in` with a tuple or list of numbers or of texts,
    `and`, `or`, `not` and parentheses. Python's rules apply to each row. In addition, a division by zero is infinity or
    NaN, integers beyond 64 bits continue as floating point, and a bare name of a column of numbers is true if it is not
    0.

    Attributes:
        text: The condition, with single blanks as white space; conditions of equal text are equal.
        names: The columns that it names, each once, in order.

    Raises:
        ConditionError: The text is no such expression.
    """

    text: str
    names: tuple[str, ...] = field(init=False, compare=False, repr=False)
    _syntax: Syntax = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        syntax = read(self.text)
        for name, value in (("text", syntax.text), ("names", syntax.names), ("_syntax", syntax)):
            object.__setattr__(self, name, value)

    def __str__(self) -> str:
        return self.text

    def __reduce__(self) -> tuple[type[Condition], tuple[str]]:
        return type(self), (self.text,)

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Parse a condition.

        Raises:
            ConditionError: The text is no condition; the message has the position and an example.
        """
        return cls(text)

    @classmethod
    def all_of(cls, where: Where) -> Condition | None:
        """Join conditions that must all hold; return None without any.

        Raises:
            ConditionError: A text is no condition.
            InputTypeError: A value is neither a text nor a condition.
        """
        if where is None or isinstance(where, Condition):
            return where
        if isinstance(where, str):
            return cls(where)
        if not isinstance(where, Iterable):
            raise InputTypeError(f"where is {shown(where)}; expected a condition as text, or several")
        try:
            parts = list(where)
        except TypeError:  # an array of no dimension
            raise InputTypeError(f"where is {shown(where)}; expected a condition as text, or several") from None
        for part in parts:
            if not isinstance(part, (str, Condition)):
                raise InputTypeError(f"where has {shown(part)}; expected a condition as text")
        conditions = [part if isinstance(part, Condition) else cls(part) for part in parts]
        if len(conditions) < 2:  # noqa: PLR2004 - one needs no parentheses
            return conditions[0] if conditions else None
        return cls(" and ".join(f"({c.text})" if c._is_choice else c.text for c in conditions))

    @property
    def _is_choice(self) -> bool:
        """Whether the outermost operator is `or`, which binds less than `and`."""
        return isinstance(self._syntax.body, ast.BoolOp) and isinstance(self._syntax.body.op, ast.Or)

    def mask(self, columns: Mapping[str, NDArray[Any]], *, rows: int | None = None) -> NDArray[np.bool_]:
        """Return whether each row satisfies the condition, as a boolean array of shape (rows,).

        Args:
            columns: The columns by name; only those in `names` are read.
            rows: Number of rows, for a condition without names; by default the length of the first column.

        Raises:
            ConditionError: A name is no column, or an operation mixes text and numbers.
        """
        evaluation = Evaluation(self._syntax, columns)
        return self._spread(evaluation.truth(self._syntax.body), columns, rows)

    def limits(self, name: str) -> bool:
        """Return whether the condition is true only where a column is below some value.

        Args:
            name: The column.
        """
        pairs = [
            (left, type(op), right)
            for part in terms(self._syntax.body)
            if isinstance(part, ast.Compare)
            for left, op, right in zip([part.left, *part.comparators], part.ops, part.comparators, strict=False)
        ]
        pairs += [(right, _MIRRORED[op], left) for left, op, right in pairs if op in _MIRRORED]
        return any(op in (ast.Lt, ast.LtE) and _names(smaller, name) for smaller, op, _ in pairs)

    def bounds_of(self, name: str) -> tuple[float, ...]:
        """Return the numbers that a column is compared with, in the terms that `and` joins.

        Args:
            name: The column.
        """
        found = []
        for part in terms(self._syntax.body):
            if not isinstance(part, ast.Compare):
                continue
            for left, op, right in zip([part.left, *part.comparators], part.ops, part.comparators, strict=False):
                for one, other in ((left, right), (right, left)):
                    if type(op) in (ast.Lt, ast.LtE, ast.Gt, ast.GtE) and _is(one, name) and _is_number(other):
                        found.append(float(Evaluation(replace(self._syntax, names=()), {}).value(other)))
        return tuple(found)

    def shortfall(self, columns: Mapping[str, NDArray[Any]], *, rows: int | None = None) -> str:
        """Explain why no row satisfies the condition, with a line for each term that `and` joins.

        A line has the number of rows that satisfy the term alone. If the term compares a column with a number, it also
        has the nearest value: among all rows if none satisfies the term, else among those that satisfy the others.

        Args:
            columns: As in `mask`.
            rows: As in `mask`.

        Raises:
            ConditionError: As in `mask`.
        """
        import numpy as np

        evaluation = Evaluation(self._syntax, columns)
        parts = terms(self._syntax.body)
        masks = [self._spread(evaluation.truth(part), columns, rows) for part in parts]
        met = np.sum(masks, axis=0)  # a row that lacks a single term satisfies the others
        lines = []
        for part, mask in zip(parts, masks, strict=True):
            line = f"{self._syntax.quote(part)}: {mask.sum():,} of {len(mask):,} points"
            if not mask.any():
                line += _nearest(evaluation, part, ~mask, "")
            elif len(parts) > 1:
                others = met - mask == len(parts) - 1
                line += _nearest(evaluation, part, others, " where the rest is true")
            lines.append(line)
        return "\n".join(lines)

    def _spread(
        self, truth: NDArray[np.bool_], columns: Mapping[str, NDArray[Any]], rows: int | None
    ) -> NDArray[np.bool_]:
        import numpy as np

        if truth.ndim:
            return truth
        if rows is None:
            rows = len(columns[self.names[0]]) if self.names else row_count(columns)
        return np.full(rows, bool(truth))


def _names(expression: ast.expr, name: str) -> bool:
    return any(isinstance(node, ast.Name) and column_of(node) == name for node in ast.walk(expression))


def row_count(columns: Mapping[str, NDArray[Any]]) -> int:
    """Return the number of rows: the length of the first column, and 0 without columns."""
    return len(columns[next(iter(columns))]) if len(columns) else 0


def _is(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and column_of(node) == name


def _is_number(node: ast.expr) -> bool:
    """Return whether an expression is of numbers alone."""
    return not any(isinstance(part, (ast.Name, ast.List, ast.Tuple)) for part in ast.walk(node)) and not any(
        isinstance(part, ast.Constant) and isinstance(part.value, (str, bool)) for part in ast.walk(node)
    )


def _nearest(evaluation: Evaluation, part: ast.expr, where: NDArray[np.bool_], among: str) -> str:
    """Return the nearest value in some rows, for a term such as `column <= number`; empty for other terms."""
    import numpy as np

    if not (isinstance(part, ast.Compare) and len(part.ops) == 1):
        return ""
    left, right, op = part.left, part.comparators[0], type(part.ops[0])
    if isinstance(right, ast.Name) and op in _MIRRORED:
        left, right, op = right, left, _MIRRORED[op]
    if not isinstance(left, ast.Name) or any(isinstance(node, ast.Name) for node in ast.walk(right)):
        return ""
    values = evaluation.column(column_of(left))[where]
    if is_text(values):
        return _listed(values, among) if op in (ast.Eq, ast.In) else ""
    if not values.size or op not in _MIRRORED:
        return ""
    values = values[~np.isnan(values)]
    if not values.size:
        return f"; each value is nan{among}"
    if op is ast.Eq:
        target = evaluation.value(right)
        return f"; the nearest is {_written(values[np.abs(values - target).argmin()])}{among}"
    if op in (ast.Lt, ast.LtE):
        return f"; the least is {_written(values.min())}{among}"
    return f"; the greatest is {_written(values.max())}{among}"


def _listed(values: NDArray[Any], among: str) -> str:
    import numpy as np

    distinct = [str(value) for value in np.unique(values)]
    more = f" and {len(distinct) - _LISTED:,} more" if len(distinct) > _LISTED else ""
    return f"; there is {', '.join(distinct[:_LISTED])}{more}{among}" if distinct else ""


def _written(value: Any) -> str:
    return f"{value:.6g}" if value.dtype.kind == "f" else str(value)
