"""Doors: functions of the package that take untrusted data, each with the inputs to try on it."""

from __future__ import annotations

import math
import pickle
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from .values import Value

Figure = tuple[str, Any]
"""A name and a value that an accepted input leads to: FLOPs, bytes, seconds, joules, money."""


_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # controls, formats, surrogates, separators of lines and paragraphs
# Formats with a glyph.
_SHOWN = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
LONGEST_MESSAGE = 20_000


class BrokenRuleError(Exception):
    """An accepted input breaks a rule.

    Attributes:
        rule: The rule, in words without values of the input.
    """

    def __init__(self, rule: str, detail: object) -> None:
        super().__init__(f"{rule}: {detail}" if detail != "" else rule)
        self.rule = rule


def require(holds: object, rule: str, detail: object = "") -> None:
    """Raise a BrokenRuleError unless a rule holds.

    Args:
        holds: Whether it holds.
        rule: The rule, in words without values of the input.
        detail: Values that break it.
    """
    if not holds:
        raise BrokenRuleError(rule, detail)


def hidden(text: str) -> str:
    """Return the characters of a text that control a terminal, are invisible or change the direction of writing."""
    if text.isascii() and text.isprintable():
        return ""
    return "".join(sorted({c for c in text if unicodedata.category(c) in _HIDDEN and c not in f"\n{_SHOWN}"}))


class Door(ABC):
    """One door. A class in a file of `doors` and its row in `doors.TABLE` add it.

    Attributes:
        share: Inputs of this door among a million of all doors, roughly; slow doors have small shares.
        libraries: Modules that it needs, imported once before worker processes start.
        refusals: Exceptions beside `pyinfercost.Error` that refuse an input here.
        folder: A folder for files, in memory where the system has one; set in worker processes.
        corpus: Result of `seeds`.
    """

    share: ClassVar[int] = 1000
    libraries: ClassVar[tuple[str, ...]] = ()
    refusals: ClassVar[tuple[type[BaseException], ...]] = ()
    folder: Path
    corpus: Any = None

    def seeds(self) -> Any:
        """Return inputs to start from. It runs once, in a process of its own, and its result is pickled."""
        return None

    @abstractmethod
    def draw(self, random: Random) -> Value:
        """Return an input. It depends on `random` and the corpus alone, and calls no function of the package."""

    @abstractmethod
    def run(self, value: Value) -> Iterable[Figure] | None:
        """Give an input to the door.

        Returns:
            Figures that follow from an accepted input; they are checked.

        Raises:
            Exception: The input is refused. Only errors of the package, and `refusals`, are right.
        """

    def label(self, value: Value) -> str:
        """Return what tells crashes of this door apart where a stack cannot, such as an operator."""
        return ""


def is_bad(value: Any) -> bool:
    """Whether a figure is negative, NaN or infinite. None is an unknown figure, and other types are not figures."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return value < 0 or (isinstance(value, float) and not math.isfinite(value))


def figures_in(document: Any, name: str = "", *, signed: frozenset[str] = frozenset()) -> Iterator[Figure]:
    """Yield the numbers of a document with their keys.

    Args:
        document: Dicts, lists and scalars.
        name: Name of the document.
        signed: Keys of numbers that may be negative, which are left out with all below them.
    """
    if isinstance(document, dict):
        for key, item in document.items():
            if key not in signed:
                yield from figures_in(item, str(key), signed=signed)
    elif isinstance(document, (list, tuple)):
        for item in document:
            yield from figures_in(item, name, signed=signed)
    else:
        yield name, document


class Corpus:
    """Trees to start from, kept pickled: a fresh copy of one is a fast read."""

    def __init__(self, trees: Iterable[Value]) -> None:
        self._pickled = [pickle.dumps(tree) for tree in trees]

    def __len__(self) -> int:
        return len(self._pickled)

    def draw(self, random: Random) -> Value:
        """Return a copy of one of the trees."""
        return pickle.loads(random.choice(self._pickled))


def load_door(path: str) -> Door:
    """Return the door of a row of a table, `module:Class`."""
    module, _, name = path.partition(":")
    door: Door = getattr(import_module(module), name)()
    return door
