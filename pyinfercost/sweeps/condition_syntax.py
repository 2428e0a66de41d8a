"""The grammar of conditions: a subset of Python's expressions, over names of columns."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from .._checks import is_number, shown
from ..errors import InputError
from ..results.given_units import NUMBER_WITH_UNIT, full_name, given, unit_of

EXAMPLE = "fits_in_memory and latency_s <= 0.05 and hardware == 'l4'"

# A text, or a name with dots: `layers.0.nms` is a column, and no attribute in Python. Middle dots, which are letters to
# Python, make each name one identifier, without a change of positions.
_TOKEN = re.compile(
    r"""(?P<text>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")|(?P<name>(?<![\w.])[^\W\d]\w*(?:\.\w+)+)|(?P<space>\s+)|(?P<comment>\#)"""
    rf"""|(?P<quantity>(?<![\w.]){NUMBER_WITH_UNIT}(?![\w.]))"""
)
_DOT = "\N{MIDDLE DOT}"
# A number with a unit becomes a name, too, since Python's parser takes none; the reader puts the number in its place.
_FIRST_DIGIT, _FIRST_LETTER = ord("0"), ord("\N{ARMENIAN SMALL LETTER AYB}")
_BLANK = "\N{ARMENIAN SMALL LETTER KEH}"
_IN_UNITS = re.compile("[\N{ARMENIAN SMALL LETTER AYB}-\N{ARMENIAN SMALL LETTER ZHE}].*")
_DEEPEST = 100  # far below the recursion limit, far above any practical condition

_COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq, ast.In, ast.NotIn)
_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow)
_UNSUPPORTED: dict[type[ast.AST], str] = {
    ast.Attribute: "an attribute",
    ast.Await: "'await'",
    ast.BitAnd: "'&' (write 'and')",
    ast.BitOr: "'|' (write 'or')",
    ast.BitXor: "'^' (a power is written '**')",
    ast.Call: "a call",
    ast.Dict: "a dict",
    ast.DictComp: "a comprehension",
    ast.GeneratorExp: "a comprehension",
    ast.IfExp: "'if ... else'",
    ast.Invert: "'~' (write 'not')",
    ast.Is: "'is' (write '==')",
    ast.IsNot: "'is not' (write '!=')",
    ast.JoinedStr: "an f-string",
    ast.LShift: "'<<'",
    ast.Lambda: "'lambda'",
    ast.List: "a list that does not follow 'in'",
    ast.ListComp: "a comprehension",
    ast.MatMult: "'@'",
    ast.NamedExpr: "':='",
    ast.RShift: "'>>'",
    ast.Set: "a set (write a tuple)",
    ast.SetComp: "a comprehension",
    ast.Starred: "'*' in a tuple",
    ast.Subscript: "a subscript",
    ast.Tuple: "a tuple that does not follow 'in'",
    ast.UAdd: "a '+' without a left side",
}


class ConditionError(InputError):
    """A condition that is invalid, or does not suit the columns."""


@dataclass(frozen=True)
class Syntax:
    """A parsed condition: its text, its tree, and the columns that it names, in order."""

    text: str
    source: str
    body: ast.expr
    names: tuple[str, ...]

    def quote(self, node: ast.expr) -> str:
        """Return the text of a node."""
        encoded = self.source.encode()  # the tree counts bytes
        start = len(encoded[: node.col_offset].decode())
        return self.text[start : len(encoded[: node.end_col_offset].decode())]

    def quoted(self, node: ast.expr) -> str:
        """Return the text of a node in quotes, shortened, for messages."""
        return shown(self.quote(node))

    def error(self, problem: str) -> ConditionError:
        """Return an exception with the condition and the problem."""
        return ConditionError(f"condition {shown(self.text)}: {problem}")


_EXAMPLES = {"s": ("ms", "s"), "B": ("MB", "GB"), "J": ("mJ", "J"), "g": ("mg", "g")}
"""Base unit -> units that people write."""


def column_of(node: ast.Name) -> str:
    """Return the column of a name in the tree."""
    return full_name(node.id.replace(_DOT, "."))


def terms(body: ast.expr) -> list[ast.expr]:
    """Return the parts that the outermost `and` joins."""
    if isinstance(body, ast.BoolOp) and isinstance(body.op, ast.And):
        return [term for value in body.values for term in terms(value)]
    return [body]


def unknown_column(name: str, known: Iterable[str]) -> str:
    """Return the message about an unknown column, with the known ones, the nearest first."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    listed = ", ".join([*near, *(other for other in names if other not in near)])
    return f"unknown column {shown(name)}; " + (f"the columns are {listed}" if listed else "there are no columns")


def read(text: str) -> Syntax:
    """Parse a condition.

    Raises:
        ConditionError: The text is no condition of this grammar.
    """
    clean, source = _one_line(text)
    if not clean:
        raise ConditionError(f"a condition is empty; expected one like {EXAMPLE!r}")
    try:
        body = ast.parse(source, mode="eval").body
    except SyntaxError as error:
        place = (error.offset or 0) - 1
        rest = clean[place : place + 20] if place >= 0 else ""
        where = f"at character {place + 1}, {rest!r}" if rest else "at its end"
        raise ConditionError(
            f"condition {shown(clean)}: {error.msg.replace(_DOT, '.')} {where}; expected one like {EXAMPLE!r}"
        ) from None
    except (ValueError, MemoryError, RecursionError) as error:
        raise ConditionError(f"a condition cannot be read: {str(error) or 'it nests too deeply'}") from None
    body = _with_quantities(body)
    syntax = Syntax(clean, source, body, ())
    names: dict[str, None] = {}
    _Reader(syntax, names).truth(body, 0)
    return Syntax(clean, source, body, tuple(names))


def _one_line(text: str) -> tuple[str, str]:
    """Return the text with single blanks as white space, and the same text for Python's parser."""
    clean: list[str] = []
    source: list[str] = []
    end = 0
    text = text.strip()
    for match in _TOKEN.finditer(text):
        if match["comment"]:
            raise ConditionError(f"condition {shown(text)}: '#' does not begin a comment here; leave it out")
        token = " " if match["space"] else match[0]
        clean += (text[end : match.start()], token)
        if match["name"]:
            token = token.replace(".", _DOT)
        elif match["quantity"] and given(token) is not None:
            token = chr(_FIRST_LETTER + ord(token[0]) - _FIRST_DIGIT) + token[1:].replace(".", _DOT).replace(
                " ", _BLANK
            )
        source += (text[end : match.start()], token)
        end = match.end()
    return "".join([*clean, text[end:]]), "".join([*source, text[end:]])


def _with_quantities(body: ast.expr) -> ast.expr:
    """Put numbers in the place of names that stand for numbers with units; trees of any depth are walked."""
    whole = ast.Expression(body)
    for parent in ast.walk(whole):
        for field, value in ast.iter_fields(parent):
            if isinstance(value, ast.Name):
                setattr(parent, field, _quantity(value))
            elif isinstance(value, list):
                value[:] = [_quantity(each) if isinstance(each, ast.Name) else each for each in value]
    return whole.body


def _quantity(node: ast.Name) -> ast.expr:
    """Return the number that a name stands for; another name as it is."""
    if not _IN_UNITS.fullmatch(node.id):
        return node
    text = chr(_FIRST_DIGIT + ord(node.id[0]) - _FIRST_LETTER) + node.id[1:].replace(_DOT, ".").replace(_BLANK, " ")
    found = given(text)
    if found is None:
        return node
    return ast.copy_location(ast.Constant(float(found[0]), kind=found[1] or None), node)


class _Reader:
    """A walk of a tree that collects the columns and raises on unsupported nodes."""

    def __init__(self, syntax: Syntax, names: dict[str, None]) -> None:
        self.syntax = syntax
        self.names = names

    def truth(self, node: ast.expr, depth: int) -> None:
        """Check a node that is true or false for each row."""
        self._not_too_deep(depth)
        if isinstance(node, ast.BoolOp):
            for value in node.values:
                self.truth(value, depth + 1)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            self.truth(node.operand, depth + 1)
        elif isinstance(node, (ast.Compare, ast.Name)) or _is_bool(node):
            self.value(node, depth)
        else:
            self.value(node, depth)  # an unsupported part is reported first
            raise self.syntax.error(
                f"{self.syntax.quoted(node)} is a value and neither true nor false; "
                f"compare it with something, as in {shown(self.syntax.quote(node) + ' > 0')}"
            )

    def value(self, node: ast.expr, depth: int) -> None:
        """Check a node that is a number or a text for each row."""
        self._not_too_deep(depth)
        if isinstance(node, ast.Name):
            self.names.setdefault(column_of(node))
        elif isinstance(node, ast.Constant):
            self._literal(node)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            self.truth(node, depth)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            self.value(node.operand, depth + 1)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, _ARITHMETIC):
            self.value(node.left, depth + 1)
            self.value(node.right, depth + 1)
        elif isinstance(node, ast.Compare):
            self.value(node.left, depth + 1)
            for op, right in zip(node.ops, node.comparators, strict=True):
                if not isinstance(op, _COMPARISONS):
                    raise self._unsupported(op, node)
                if isinstance(op, (ast.In, ast.NotIn)):
                    if right is not node.comparators[-1]:
                        raise self.syntax.error("'in' ends a chain of comparisons; join the next condition with 'and'")
                    self._members(right)
                else:
                    self.value(right, depth + 1)
            self._one_unit([node.left, *node.comparators])
        elif isinstance(node, ast.BoolOp):
            # Python's `(a or b) == 5` compares one of the two, which is never meant for columns.
            raise self.syntax.error(
                f"{self.syntax.quoted(node)} is true or false and cannot be compared or calculated with; "
                "compare each of its parts"
            )
        else:
            raise self._unsupported(node.op if isinstance(node, (ast.BinOp, ast.UnaryOp)) else node, node)

    def _one_unit(self, compared: list[ast.expr]) -> None:
        """Reject a comparison of a column with a number in a unit of something else, or a short name with none."""
        names = [each for each in compared if isinstance(each, ast.Name)]
        names = list({each.id: each for each in names}.values())  # a chain may have thousands
        for number in compared:
            if not isinstance(number, ast.Constant) or number.kind == "u":
                continue
            if not number.kind:
                self._states_unit(number, names)
                continue
            for other in names:
                unit = unit_of(column_of(other))
                if unit is not None and unit != number.kind:
                    raise self.syntax.error(
                        f"{self.syntax.quoted(number)} is in {number.kind}, and {column_of(other)} in {unit}"
                    )

    def _states_unit(self, number: ast.Constant, names: list[ast.Name]) -> None:
        for other in names:
            if column_of(other) == other.id or not number.value:
                continue
            unit = unit_of(column_of(other))
            if unit in _EXAMPLES and is_number(number.value):
                forms = " or ".join(f"{self.syntax.quote(number)}{each}" for each in _EXAMPLES[unit])
                raise self.syntax.error(
                    f"{other.id} is compared with {self.syntax.quote(number)} without a unit; write {forms}, or "
                    f"{column_of(other)} for a number in {unit}"
                )

    def _members(self, node: ast.expr) -> None:
        if not isinstance(node, (ast.Tuple, ast.List)):
            raise self.syntax.error(
                f"'in' takes a tuple of numbers or of texts, as in ('fp16', 'bf16'); got {self.syntax.quoted(node)}"
            )
        for member in node.elts:
            number = member.operand if isinstance(member, ast.UnaryOp) and isinstance(member.op, ast.USub) else member
            if not isinstance(number, ast.Constant):
                raise self.syntax.error(
                    f"a tuple after 'in' has numbers and texts only, got {self.syntax.quoted(member)}"
                )
            self._literal(number)
            if number is not member and isinstance(number.value, str):
                raise self.syntax.error(f"{self.syntax.quoted(member)} calculates with text")

    def _literal(self, node: ast.Constant) -> None:
        if not isinstance(node.value, (int, float, str)):
            raise self.syntax.error(f"{self.syntax.quoted(node)} is not supported; expected a number or a text")

    def _unsupported(self, what: ast.AST, node: ast.expr) -> ConditionError:
        named = _UNSUPPORTED.get(type(what), f"{type(what).__name__!r}")
        return self.syntax.error(
            f"{named} is not supported, got {self.syntax.quoted(node)}; a condition has names of columns, numbers, "
            "texts, arithmetic, comparisons, 'in', 'and', 'or', 'not'"
        )

    def _not_too_deep(self, depth: int) -> None:
        if depth > _DEEPEST:
            raise ConditionError(f"a condition nests more than {_DEEPEST} levels deep; join several with 'and'")


def _is_bool(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, bool)
