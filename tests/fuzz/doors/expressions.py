"""Size expressions: their text, and arithmetic, values and columns of what it means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

import numpy as np

from pyinfercost import Expr

from ..door import Door, Figure, require
from ..mutate import INTEGERS, integer, mutated_text, text
from ..values import Value

_NAMES = ("a", "b", "n", "batch", "x.y", "_", "s0")
_OPERATORS = ("+", "-", "*", "//", "%", "+", "*")
_FUNCTIONS = ("max", "min", "ceil_div", "gcd", "n_log2_n", "max")
_WORDS = ("(", ")", "//", "%", "max(", ",", "-", "ceil_div(", " ", "9" * 19, "gcd(", "n_log2_n(", "max(a,b,n)")
_LEFT_OR_RIGHT = ("add", "sub", "mul", "floordiv", "mod", "maximum", "minimum", "ceil_div")


def expression_text(random: Random, names: Sequence[str] = _NAMES, depth: int = 3) -> str:
    """Draw the text of a size expression."""
    if depth == 0 or random.random() < 0.25:
        number = random.randrange(9) if random.random() < 0.7 else abs(integer(random)) % 2**64
        return random.choice((random.choice(names), random.choice(names), str(number)))
    left, right = expression_text(random, names, depth - 1), expression_text(random, names, depth - 1)
    drawn = random.random()
    if drawn < 0.55:
        return f"{left} {random.choice(_OPERATORS)} {right}"
    if drawn < 0.65:
        return f"({left} {random.choice(_OPERATORS)} {right})" + f"*({left})" * random.randrange(3)
    if drawn < 0.75:
        return f"-({left})"
    function = random.choice(_FUNCTIONS)
    return f"{function}({left})" if function == "n_log2_n" else f"{function}({left}, {right})"


class Expressions(Door):
    """`Expr` from text, then its arithmetic, `evaluate`, `substitute` and `evaluate_columns`."""

    share = 82_500

    def draw(self, random: Random) -> Value:
        """Return texts of two expressions, how to combine them, and sizes."""
        texts = [expression_text(random, depth=random.choice((1, 2, 3, 4, 6))) for _ in range(2)]
        if random.random() < 0.3:
            texts[0] = mutated_text(random, texts[0], _WORDS)
        if random.random() < 0.05:
            texts[0] = random.choice(("(", "-", "max(", "(a+", "n_log2_n(", "((a+1)*b+")) * random.choice(
                (9, 999, 99999)
            )
        if random.random() < 0.05:
            names = "+".join(f"s{number}" for number in range(random.choice((2, 5, 20, 200))))
            texts[0] = "*".join([f"({names})"] * random.choice((1, 2, 3, 9, 30)))
        if random.random() < 0.05:
            texts[0] = text(random)
        return {
            "texts": texts,
            "operation": random.choice(_LEFT_OR_RIGHT),
            "sizes": {name: _size(random) for name in _NAMES if random.random() < 0.98},
            "columns": [
                random.choice(INTEGERS) if random.random() < 0.3 else random.randrange(1, 99) for _ in range(3)
            ],
        }

    def run(self, value: Value) -> Iterator[Figure]:
        """Parse, combine, print, parse again and evaluate."""
        left, right = (Expr(expression) for expression in value["texts"])
        combined = _combined(value["operation"], left, right)
        require(Expr(str(combined)) == combined, "the text of an expression means the same", combined)
        hash(combined)
        names = combined.names
        rest = combined.substitute({name: size for name, size in value["sizes"].items() if name in names[::2]})
        rest.evaluate(value["sizes"])
        numbers = np.array([abs(number) % 2**62 for number in value["columns"]], dtype=np.int64)
        columns = combined.evaluate_columns(dict.fromkeys(names, numbers))
        alone = combined.evaluate(dict.fromkeys(names, int(numbers[0])))
        require(columns.shape == (3,) or not names, "columns have a value for each row", columns)
        require(not names or columns[0] == alone, "columns equal single values", (columns, alone))
        yield from ()


def _size(random: Random) -> int:
    return random.randrange(1, 65) if random.random() < 0.7 else integer(random)


def _combined(operation: str, left: Expr, right: Expr) -> Expr:
    if operation in ("maximum", "minimum", "ceil_div"):
        combined: Expr = getattr(Expr, operation)(left, right)
    else:
        combined = getattr(left, f"__{operation}__")(right)
    return combined
