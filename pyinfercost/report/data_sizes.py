"""The sizes that depend on data, as lines of a report: each with its value, its bound, and where both come from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._core import Expr

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..results.profile import Profile

SHORT = 12
"""At most so many lines."""

OF_DATA = "\nSizes that depend on data (--set NAME=N gives another value):"

_NUMBER = re.compile(r"\d+")
_LAST_NUMBER = re.compile(r"(?<=[A-Za-z])_\d+$")


@dataclass
class DataSize:
    """One size, or several of one module whose names differ in numbers only.

    Attributes:
        names: Their names.
        values: Their values.
        bounds: The most that each can be; None where nothing bounds it.
        of: What it is the number of.
        choice: Where the value comes from: the stated default, or that it was given.
    """

    names: list[str]
    values: list[int]
    bounds: list[int | None]
    of: str
    choice: str

    def label(self) -> str:
        """The name, or the pattern of the names."""
        if len(self.names) == 1:
            return self.names[0]
        return f"{_pattern(self.names[0])} x{len(self.names)}"

    def text(self) -> str:
        """`4507 of at most 4507; default: as many as there can be`"""
        known = [bound for bound in self.bounds if bound is not None]
        limit = f" of at most {_range(known)}" if known else ""
        return f"{_range(self.values)}{limit}: {self.of}; {self.choice}"


def data_sizes(profile: Profile) -> list[DataSize]:
    """Every size of a profile that depends on data, in the order in which they came up."""
    known = profile.graph.sizes
    values = {name: profile.sizes[name] for name in known}
    found = []
    for name, limits in known.items():
        if "origin" in limits:
            of, _, stated = limits["origin"].rpartition("; ")
            default = evaluated(limits["default"], values)
            choice = stated if values[name] == default else "given"
            found.append(DataSize([name], [values[name]], [evaluated(limits["maximum"], values)], of, choice))
    return found


def data_size_lines(profile: Profile) -> list[tuple[str, str]]:
    """Names and texts, with what differs in numbers only on one line."""
    groups: dict[tuple[str, str, str], DataSize] = {}
    for size in data_sizes(profile):
        key = (_pattern(size.names[0]), size.of, size.choice)
        group = groups.setdefault(key, DataSize([], [], [], size.of, size.choice))
        group.names += size.names
        group.values += size.values
        group.bounds += size.bounds
    lines = [(group.label(), group.text()) for group in groups.values()]
    if len(lines) > SHORT:
        more = sum(len(group.names) for group in list(groups.values())[SHORT:])
        lines = [*lines[:SHORT], ("...", f"{more} more; graph.sizes and the JSON have all of them")]
    return lines


def evaluated(limit: Any, values: Mapping[str, int]) -> Any:
    """A default or a bound at these sizes."""
    return limit.evaluate(values) if isinstance(limit, Expr) else limit


def _pattern(name: str) -> str:
    return _NUMBER.sub("*", _LAST_NUMBER.sub("*", name) if _LAST_NUMBER.search(name) else f"{name}*")


def _range(values: list[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"
