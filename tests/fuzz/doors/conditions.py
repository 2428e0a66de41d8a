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
_NUMBERS = ("latency_s", "batch", "experts.count", "fits_in_memory")
_ARITHMETIC = ("+", "-", "*", "/", "//", "%", "**")
_COMPARISONS = ("<", "<=", "==", "!=", ">", ">=")
_WORDS = (
    *(
        *_ARITHMETIC,
        *_COMPARISONS,
        "not ",
        " in ",
        " and ",
        " or ",
        "(",
        ")",
        ",",
        "'",
        '"',
        "lambda: 0",
        "if",
        "[",
        "]",
    ),
    *("{", ":=", "\\", "#", "\n", "f'{x}'", "__import__('os')", "1j", "0x", "...", "None", "True", "·", "**9**9**9"),
)


class Conditions(Door):
    """`Condition` from text, then its mask and the explanation of what it excludes."""

    share = 30_000

    def draw(self, random: Random) -> Value:
        """Return one or several texts."""
        texts = [_condition(random, random.choice((1, 2, 3, 5))) for _ in range(random.choice((1, 1, 1, 2)))]
        if random.random() < 0.3:
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
    """Draw what is true or false of a row."""
    drawn = random.random()
    if depth <= 0 or drawn < 0.4:
        if random.random() < 0.1:
            return random.choice(("fits_in_memory", "True", "False", "batch", "unknown", "batch < latency_s < 3"))
        if random.random() < 0.3:
            text = random.choice(("hardware", repr("l4"), repr("\u202e"), "''", "hardware", "batch"))
            listed = random.choice(("('l4', 't4')", "['l4']", "()", "('a', 1)", "(1, 2.5)"))
            return f"{text} {random.choice(('==', '!=', '<'))} 'l4'" if drawn < 0.2 else f"{text} not in {listed}"
        left, right = _number(random, depth), _number(random, depth)
        return f"{left} {random.choice(_COMPARISONS)} {right}"
    if drawn < 0.5:
        return f"not ({_condition(random, depth - 1)})"
    left, right = _condition(random, depth - 1), _condition(random, depth - 1)
    joined = f"{left} {random.choice(('and', 'or'))} {right}"
    return f"({joined})" if drawn < 0.6 else joined


def _number(random: Random, depth: int) -> str:
    """Draw what has a number in each row."""
    drawn = random.random()
    if depth <= 0 or drawn < 0.5:
        literals = (str(random.choice(INTEGERS))[:400], repr(random.choice(REALS)), "0.05", "8", "1e999")
        return random.choice((*_NUMBERS, *literals))
    if drawn < 0.6:
        return f"-{_number(random, depth - 1)}"
    if drawn < 0.7:
        return f"({_number(random, depth - 1)})"
    return f"{_number(random, depth - 1)} {random.choice(_ARITHMETIC)} {_number(random, depth - 1)}"
