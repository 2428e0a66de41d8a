"""Conditions on named columns, as text: `fits_in_memory and latency_s <= 0.05`."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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
    """What must hold of a row, written as a Python expression over the names of columns.

    An expression has names of columns (with dots, too: `roi_heads.nms`), numbers, texts in quotes, `True` and `False`,
    `+ - * / // % **`, comparisons, which may be chained, `in` and `not in` with a tuple or list of numbers or of texts,
    `and`, `or`, `not` and parentheses. It means what it means in Python, of each row. Beyond that, a division by zero
    gives infinity or nan, whole numbers that outgrow 64 bits go on in floating point, and a bare name of a column of
    numbers holds where it is not 0.

    Attributes:
        text: the condition, with single blanks for white space; conditions of equal text are equal.
        names: the columns that it names, each once, in order.

    Raises:
        ConditionError: for text that is no such expression.
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
        """Reads a condition.

        Raises:
            ConditionError: for text that is no condition; the message says where and what was expected.
        """
        return cls(text)

    @classmethod
    def all_of(cls, where: Where) -> Condition | None:
        """One condition from none, one, or several that must all hold.

        Raises:
            ConditionError: for text that is no condition.
            TypeError: for something else than texts and conditions.
        """
        if where is None or isinstance(where, Condition):
            return where
        if isinstance(where, str):
            return cls(where)
        if not isinstance(where, Iterable):
            raise TypeError(f"a condition is a text or several, got {where!r}")
        parts = list(where)
        for part in parts:
            if not isinstance(part, (str, Condition)):
                raise TypeError(f"a condition is a text, got {part!r}")
        conditions = [part if isinstance(part, Condition) else cls(part) for part in parts]
        if len(conditions) < 2:  # noqa: PLR2004 - one needs no parentheses
            return conditions[0] if conditions else None
        return cls(" and ".join(f"({c.text})" if c._is_choice else c.text for c in conditions))

    @property
    def _is_choice(self) -> bool:
        """Whether the outermost operator binds less than `and` does."""
        return isinstance(self._syntax.body, ast.BoolOp) and isinstance(self._syntax.body.op, ast.Or)

    def mask(self, columns: Mapping[str, NDArray[Any]], *, rows: int | None = None) -> NDArray[np.bool_]:
        """Where the condition holds, one bool per row.

        Args:
            columns: the columns by name; only those in `names` are asked for.
            rows: how many rows there are. It matters to a condition without names: without it, that looks at the
                length of the first column.

        Raises:
            ConditionError: for a name that is no column, and for operations that mix text and numbers.
        """
        evaluation = Evaluation(self._syntax, columns)
        return self._spread(evaluation.truth(self._syntax.body), columns, rows)

    def shortfall(self, columns: Mapping[str, NDArray[Any]], *, rows: int | None = None) -> str:
        """Says why no row satisfies the condition: a line for each of the terms that `and` joins.

        A line says how many rows satisfy the term alone and, where the term compares a column with a number, the
        nearest value that there is: among all rows if none satisfies it, else among those that satisfy the others.

        Args:
            columns: as in `mask`.
            rows: as in `mask`.

        Raises:
            ConditionError: as in `mask`.
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
                line += _nearest(evaluation, part, others, " where the rest holds")
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


def row_count(columns: Mapping[str, NDArray[Any]]) -> int:
    """How many rows there are: the length of the first column, and 0 without columns."""
    return len(columns[next(iter(columns))]) if len(columns) else 0


def _nearest(evaluation: Evaluation, part: ast.expr, where: NDArray[np.bool_], among: str) -> str:
    """What the column of a term `column <= number` comes to in some rows; nothing to say of any other term."""
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
