"""Classes of libraries that need not be there, and notes of what was found."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any


def loaded(*names: str) -> tuple[type[Any], ...]:
    """Classes by their full names, as far as their files are imported: nothing is an instance of others.

    Importing them would cost a second for nothing, and some of them are in the way of those who have no such library.
    """
    found = (getattr(sys.modules.get(name.rpartition(".")[0]), name.rpartition(".")[2], None) for name in names)
    return tuple(each for each in found if isinstance(each, type))


def defined_in(function: Any) -> str:
    """The name of the file that a hook comes from, through partials and bound methods; of an object, its class's."""
    function = getattr(function, "func", function)
    function = getattr(function, "__func__", function)
    return str(getattr(function, "__module__", None) or "")


class Notes:
    """What was taken off and what could not be, in words, each once."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def taken_off(self, what: str) -> None:
        """Something is not served."""
        self._counts[f"taken off: {what}"] += 1

    def add(self, text: str) -> None:
        """Something that a reader should know."""
        self._counts[text] += 1

    def all(self) -> tuple[str, ...]:
        """All of them, with how often where that is more than once."""
        return tuple(text if count == 1 else f"{text} ({count} times)" for text, count in self._counts.items())
