"""Conditions on columns: text that is read, and evaluated on columns of every kind."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import numpy as np

from pyinfercost.sweeps.conditions import Condition

from ..door import Door, Figure, require
from ..mutate import INTEGERS, REALS, mutated_text, text
from ..values import Value

_COLUMNS = {
    "latency_s": np.array([0.0, 0.01, np.inf, np.nan, 1e-320]),
    "batch": np.array([1, 8, 2**62, 2**63 - 1, 64]),
    "fits_in_memory": np.array([True, False, True, True, False]),
    "hardware": np.array(["l4", "t4", "", "\u202e", "a'b"]),
    "experts.count": np.array([0, -1, 1, 5, 2]),
}
_OPERATORS = ("+", "-", "*", "/", "//", "%", "**", "<", "<=", "==", "!=", ">", "in", "not in", "and", "or")
_WORDS = (
    *_OPERATORS,
    "not ",
    "(",
    ")",
    ",",
    "'",
    '"',
    "lambda: 0",
    "if",
    "[",
    "]",
    "{",
    ":=",
    "\\",
    "#",
    "\n",
    "f'{x}'",
    "__import__('os')",
    "1j",
    "0x",
    "...",
    "None",
    "True",
    "·",
    "**9**9**9",
)


class Conditions(Door):
    """`Condition` from text, then its mask and the explanation of what it excludes."""

    share = 30_000

    def draw(self, random: Random) -> Value:
        """Return one or several texts."""
        texts = [_condition(random, random.choice((1, 2, 3, 5))) for _ in range(random.choice((1, 1, 1, 2)))]
        if random.random() < 0.4:
            texts[0] = mutated_text(random, texts[0], _WORDS)
        if random.random() < 0.05:
            word = random.choice(("(", "-", "not ", "1<", "batch+", "[", "batch ** ", "'"))
            texts[0] = word * random.choice((9, 90, 900, 9000)) + random.choice(("1", "batch", ""))
        if random.random() < 0.02:
            texts[0] = text(random)
        return texts

    def run(self, value: Value) -> Iterator[Figure]:
        """Read the condition and evaluate it."""
        condition = Condition.all_of(value)
        if condition is not None:
            mask = condition.mask(_COLUMNS, rows=5)
            require(mask.shape == (5,) and mask.dtype == np.bool_, "a mask has a bool for each row")
            if not mask.any():
                condition.shortfall(_COLUMNS, rows=5)
            require(Condition(condition.text) == condition, "the text of a condition means the same", condition)
        yield from ()


def _condition(random: Random, depth: int) -> str:
    drawn = random.random()
    if depth == 0 or drawn < 0.15:
        return random.choice(
            (
                random.choice(list(_COLUMNS)),
                random.choice(list(_COLUMNS)),
                str(random.choice(INTEGERS))[:400],
                repr(random.choice(REALS)),
                repr(random.choice(("l4", "t4", "", "\u202e"))),
                random.choice(("True", "False", "1e999", "unknown", "('l4', 't4')", "(1, 2.5)", "[8]", "()")),
            )
        )
    left, right = _condition(random, depth - 1), _condition(random, depth - 1)
    if drawn < 0.2:
        return f"not ({left})"
    if drawn < 0.25:
        return f"-{left}"
    if drawn < 0.3:
        return f"({left})"
    return f"{left} {random.choice(_OPERATORS)} {right}"
