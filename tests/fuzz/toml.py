"""Trees of values as TOML text."""

from __future__ import annotations

import json
import math
import re

from .values import Value

_NOTHING = object()
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def to_toml(tree: Value) -> str:
    """Return a tree as TOML text. Values that TOML lacks, such as None, are written as they are and make it invalid."""
    if not isinstance(tree, dict):
        return _literal(tree)
    lines: list[str] = []
    _write(tree, "", lines)
    return "\n".join(lines) + "\n"


def _write(table: Value, prefix: str, lines: list[str]) -> None:
    tables = {}
    for key, value in table.items():
        if isinstance(value, dict):
            tables[key] = value
        else:
            lines.append(f"{_key(key)} = {_literal(value)}")
    for key, value in tables.items():
        name = f"{prefix}{_key(key)}"
        lines.append(f"[{name}]")
        if name.count(".") > 150:  # deeper ones inline
            lines.append(f"a = {_literal(value)}")
        else:
            _write(value, f"{name}.", lines)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else json.dumps(key)


def _literal(value: Value) -> str:
    """Return a value on one line. Without recursion: mutations nest values deeper than Python's stack."""
    pieces: list[str] = []
    todo: list[tuple[str, Value]] = [("", value)]  # the text before a value, and the value
    while todo:
        before, item = todo.pop()
        pieces.append(before)
        if isinstance(item, list):
            pieces.append("[")
            todo.append(("]", _NOTHING))
            todo += [(", " if place else "", each) for place, each in reversed(list(enumerate(item)))]
        elif isinstance(item, dict):
            pieces.append("{")
            todo.append(("}", _NOTHING))
            todo += [
                (f"{', ' if place else ''}{_key(key)} = ", each)
                for place, (key, each) in reversed(list(enumerate(item.items())))
            ]
        elif item is not _NOTHING:
            pieces.append(_scalar(item))
    return "".join(pieces)


def _scalar(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return (
            ("nan" if math.isnan(value) else "inf" if value > 0 else "-inf")
            if not math.isfinite(value)
            else repr(value)
        )
    return json.dumps(value) if isinstance(value, str) else str(value)
