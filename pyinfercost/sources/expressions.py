"""Conversion of torch's size expressions, as objects or text, to `Expr`.

Torch represents a dynamic size as a sympy expression (`2*s77`, `Max(1, s0)`, `CeilToInt(IntTrueDiv(s1, 2))`), and
`torch.export.save` stores it as text. Both are read without importing sympy: an object through its `args`, text through
`ast`. Nothing is evaluated as code.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import reduce
from math import isfinite
from typing import Any, NamedTuple

from .._core import Expr
from ..errors import InputError

Size = int | Expr

_LARGEST_DENOMINATOR = 10**6
_LARGEST_EXPONENT = 62  # of 2, within an int64
_LARGEST_INTEGER = 2**127  # of intermediate products, which may be divided again
_LONGEST_TEXT = 100_000
_SHOWN = 200


class ExpressionError(InputError):
    """A size expression cannot be represented with `+ - * // % max min ceil`."""


class Ratio(NamedTuple):
    """A quotient before rounding, which torch applies further out in the expression."""

    numerator: Size
    denominator: Size


Term = int | Expr | Ratio


class Symbols(dict[str, Expr]):
    """Torch's symbol names -> `Expr`, with a cache of converted expressions.

    Args:
        values: Symbol name -> `Expr`.
    """

    def __init__(self, values: Mapping[str, Expr] | None = None) -> None:
        super().__init__(values or {})
        self.cache: dict[object, Size] = {}


def to_expr(expression: Any, symbols: Mapping[str, Expr]) -> Size:
    """Convert a sympy expression.

    Args:
        expression: A sympy integer expression (`SymInt.node.expr`) or a plain int.
        symbols: Torch's symbol name -> `Expr`. With `Symbols`, each distinct expression is converted once.

    Returns:
        An int for an expression without symbols, otherwise an `Expr`.

    Raises:
        ExpressionError: A function is not an integer function of sizes, or a symbol is not in `symbols`.
    """
    if isinstance(expression, int):
        return int(expression)
    if expression.is_Symbol:
        return _symbol(expression.name, symbols)
    if expression.is_Integer:
        return int(expression)
    cache = symbols.cache if isinstance(symbols, Symbols) else {}
    size = cache.get(expression)
    if size is None:
        size = cache[expression] = _whole(_from_sympy(expression, symbols))
    return size


def parse_expr(text: str, symbols: Mapping[str, Expr]) -> Size:
    """Convert an expression that torch stored as text, either as `Mul(Integer(2), Symbol('s0'))` or as `2*s0`.

    Args:
        text: The expression.
        symbols: As for `to_expr`.

    Returns:
        As for `to_expr`.

    Raises:
        ExpressionError: As for `to_expr`, or the text is not an expression.
    """
    cache = symbols.cache if isinstance(symbols, Symbols) else {}
    size = cache.get(text)
    if size is None:
        try:
            size = cache[text] = _whole(_from_ast(_parse(text), symbols))
        except RecursionError as error:
            raise ExpressionError(f"size expression of {len(text)} characters is nested too deeply") from error
    return size


def symbol_name(text: str) -> str:
    """Return the symbol's name if `text` is a single symbol, otherwise an empty string."""
    if text.isidentifier():
        return text
    if not text.startswith("Symbol("):
        return ""
    tree = _parse(text)
    return _literal_name(tree) if isinstance(tree, ast.Call) and _called(tree) == "Symbol" else ""


def _parse(text: str) -> ast.expr:
    if len(text) > _LONGEST_TEXT:
        raise ExpressionError(f"size expression has {len(text)} characters; expected at most {_LONGEST_TEXT}")
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # MemoryError: nested too deeply
        raise ExpressionError(f"size expression {text[:_SHOWN]!r} cannot be read: {error}") from error


def _symbol(name: str, symbols: Mapping[str, Expr]) -> Expr:
    try:
        return symbols[name]
    except KeyError:
        raise ExpressionError(f"size expression uses {name!r}; expected one of {sorted(symbols)}") from None


def _from_sympy(expression: Any, symbols: Mapping[str, Expr]) -> Term:
    if expression.is_Symbol:
        return _symbol(expression.name, symbols)
    if expression.is_Integer:
        return int(expression)
    if expression.is_Rational:
        return Ratio(int(expression.p), int(expression.q))
    if expression.is_Float:
        return _decimal(float(expression))
    return _apply(type(expression).__name__, [_from_sympy(a, symbols) for a in expression.args])


def _from_ast(tree: ast.expr, symbols: Mapping[str, Expr]) -> Term:
    if isinstance(tree, ast.Constant) and type(tree.value) in (int, float):
        return _number(tree.value)
    if isinstance(tree, ast.Name):
        return _symbol(tree.id, symbols)
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
        return _multiply(-1, _from_ast(tree.operand, symbols))
    if isinstance(tree, ast.BinOp) and type(tree.op) in _BINARY:
        operands = [_from_ast(tree.left, symbols), _from_ast(tree.right, symbols)]
        return _apply(_BINARY[type(tree.op)], operands)
    if isinstance(tree, ast.Call):
        name = _called(tree)
        if name == "Symbol":
            return _symbol(_literal_name(tree), symbols)
        if name == "Float" and tree.args and isinstance(tree.args[0], ast.Constant):
            return _decimal(_float(str(tree.args[0].value)))
        return _apply(name, [_from_ast(a, symbols) for a in tree.args])
    raise ExpressionError(
        f"size expression has {ast.unparse(tree)!r}; expected a number, a symbol, an operation or a function"
    )


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ExpressionError(f"size expression has Float({text[:_SHOWN]!r}); expected a number") from error


def _called(tree: ast.Call) -> str:
    return tree.func.id if isinstance(tree.func, ast.Name) else ast.unparse(tree.func).rpartition(".")[2]


def _literal_name(tree: ast.Call) -> str:
    if tree.args and isinstance(tree.args[0], ast.Constant) and isinstance(tree.args[0].value, str):
        return tree.args[0].value
    raise ExpressionError(f"size expression has {ast.unparse(tree)!r}; expected a symbol's name in quotes")


def _number(value: Any) -> Term:
    return value if isinstance(value, int) else _decimal(float(value))


def _decimal(value: float) -> Term:
    if not isfinite(value):
        raise ExpressionError(f"size expression has the number {value}; expected a finite one")
    # A scale factor such as 0.5 or 1/3: use the intended fraction, since exact powers of two would overflow int64.
    fraction = Fraction(value).limit_denominator(_LARGEST_DENOMINATOR)
    return fraction.numerator if fraction.denominator == 1 else Ratio(fraction.numerator, fraction.denominator)


def _whole(term: Term) -> Size:
    # A size is an integer by construction, so a quotient without rounding is exact.
    return _floor(term)


def _floor(term: Term) -> Size:
    return term.numerator // term.denominator if isinstance(term, Ratio) else term


def _ceil(term: Term) -> Size:
    if not isinstance(term, Ratio):
        return term
    if isinstance(term.numerator, int) and isinstance(term.denominator, int):
        return -(-term.numerator // term.denominator)
    return Expr.ceil_div(term.numerator, term.denominator)


def _parts(term: Term) -> Ratio:
    return term if isinstance(term, Ratio) else Ratio(term, 1)


def _quotient(numerator: Size, denominator: Size) -> Term:
    if isinstance(denominator, int) and denominator == 1:
        return numerator
    if isinstance(numerator, int) and isinstance(denominator, int):
        if denominator == 0:
            raise ExpressionError("size expression divides by zero")
        fraction = Fraction(numerator, denominator)
        return fraction.numerator if fraction.denominator == 1 else Ratio(fraction.numerator, fraction.denominator)
    return Ratio(numerator, denominator)


def _multiply(left: Term, right: Term) -> Term:
    a, b = _parts(left), _parts(right)
    return _quotient(a.numerator * b.numerator, a.denominator * b.denominator)


def _add(left: Term, right: Term) -> Term:
    a, b = _parts(left), _parts(right)
    if isinstance(a.denominator, int) and isinstance(b.denominator, int) and a.denominator == b.denominator:
        return _quotient(a.numerator + b.numerator, a.denominator)
    return _quotient(a.numerator * b.denominator + b.numerator * a.denominator, a.denominator * b.denominator)


def _divide(left: Term, right: Term) -> Term:
    a, b = _parts(left), _parts(right)
    return _quotient(a.numerator * b.denominator, a.denominator * b.numerator)


def _power(base: Term, exponent: Term) -> Term:
    if not isinstance(exponent, int) or abs(exponent) > _LARGEST_EXPONENT:
        raise ExpressionError(
            f"size expression has a power whose exponent is not a whole number up to {_LARGEST_EXPONENT}"
        )
    result: Term = 1
    for _ in range(abs(exponent)):
        result = _multiply(result, base)
    return result if exponent >= 0 else _divide(1, result)


def _maximum(left: Term, right: Term) -> Term:
    a, b = _whole(left), _whole(right)
    return max(a, b) if isinstance(a, int) and isinstance(b, int) else Expr.maximum(a, b)


def _minimum(left: Term, right: Term) -> Term:
    a, b = _whole(left), _whole(right)
    return min(a, b) if isinstance(a, int) and isinstance(b, int) else Expr.minimum(a, b)


def _fold(combine: Callable[[Term, Term], Term]) -> Callable[..., Term]:
    return lambda *terms: reduce(combine, terms)


_BINARY: dict[type[ast.operator], str] = {
    ast.Add: "Add",
    ast.Sub: "Sub",
    ast.Mult: "Mul",
    ast.FloorDiv: "FloorDiv",
    ast.Div: "IntTrueDiv",
    ast.Mod: "Mod",
    ast.Pow: "Pow",
}

# Functions of sympy and of torch.utils._sympy.functions that represent integer arithmetic.
_FUNCTIONS: dict[str, Callable[..., Term]] = {
    "Integer": lambda x: x,
    "Rational": _divide,
    "Identity": lambda x: x,
    "ToFloat": lambda x: x,
    "Add": _fold(_add),
    "Sub": lambda a, b: _add(a, _multiply(-1, b)),
    "Mul": _fold(_multiply),
    "Pow": _power,
    "PowByNatural": _power,
    "FloatPow": _power,
    "IntTrueDiv": _divide,
    "FloatTrueDiv": _divide,
    "FloorDiv": lambda a, b: _floor(_divide(a, b)),
    "CleanDiv": lambda a, b: _floor(_divide(a, b)),
    "CeilDiv": lambda a, b: _ceil(_divide(a, b)),
    "Mod": lambda a, b: operator.mod(_whole(a), _whole(b)),
    "PythonMod": lambda a, b: operator.mod(_whole(a), _whole(b)),
    "ModularIndexing": lambda a, b, c: operator.mod(_floor(_divide(a, b)), _whole(c)),
    "LShift": lambda a, b: _multiply(a, _power(2, b)),
    "RShift": lambda a, b: _floor(_divide(a, _power(2, b))),
    # Sizes are non-negative, so rounding towards zero is rounding down.
    "TruncToInt": _floor,
    "TruncToFloat": _floor,
    "FloorToInt": _floor,
    "floor": _floor,
    "CeilToInt": _ceil,
    "ceiling": _ceil,
    "Max": _fold(_maximum),
    "Min": _fold(_minimum),
    "Abs": lambda x: _maximum(x, _multiply(-1, x)),
}


def _apply(name: str, terms: list[Term]) -> Term:
    function = _FUNCTIONS.get(name)
    if function is None:
        raise ExpressionError(f"size expression uses {name!r}; expected one of {', '.join(sorted(_FUNCTIONS))}")
    try:
        found = function(*terms)
        for part in _parts(found):
            if isinstance(part, int) and abs(part) > _LARGEST_INTEGER:
                raise ExpressionError(f"size expression has a number of {part.bit_length()} bits; expected 64")
    except ZeroDivisionError:
        raise ExpressionError("size expression divides by zero") from None
    except TypeError as error:
        raise ExpressionError(f"size expression calls {name} with {len(terms)} operands: {error}") from error
    return found
