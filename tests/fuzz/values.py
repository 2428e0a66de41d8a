"""Inputs as trees of plain values: their JSON form, and access by path."""

from __future__ import annotations

import base64
import json
import math
import sys
from collections.abc import Iterator
from typing import Any, TypeAlias

Value: TypeAlias = Any
"""None, bool, int, float, str, bytes, and lists and dicts (with keys of str) of these."""

Path: TypeAlias = tuple[int | str, ...]
"""Indices and keys from the root of a tree down to one of its values."""

_TAG = "$"


def to_json(value: Value) -> str:
    """Return a tree as JSON text of ASCII; `from_json` returns an equal tree."""
    with _long_integers():
        return json.dumps(_tagged(value), indent=1, allow_nan=False)


def from_json(text: str) -> Value:
    """Return the tree of a text of `to_json`."""
    with _long_integers():
        return _untagged(json.loads(text))


def paths(value: Value) -> list[Path]:
    """Return the paths of all values of a tree, level by level from the root."""
    found: list[Path] = [()]
    for path in found:
        node = at(value, path)
        if isinstance(node, dict):
            found.extend((*path, key) for key in node)
        elif isinstance(node, list):
            found.extend((*path, number) for number in range(len(node)))
    return found


def at(value: Value, path: Path) -> Value:
    """Return the value at a path.

    Raises:
        LookupError: The path leads nowhere.
    """
    node: Any = value
    for step in path:
        if isinstance(node, dict) != isinstance(step, str) or not isinstance(node, (dict, list)):
            raise LookupError(path)
        container: Any = node
        node = container[step]
    return node


def replaced(value: Value, path: Path, new: Value) -> Value:
    """Return a tree with another value at a path; the rest is shared with the given tree."""
    if not path:
        return new
    step, rest = path[0], path[1:]
    copy = value.copy()
    copy[step] = replaced(value[step], rest, new)
    return copy


class _long_integers:
    """Lifts Python's limit on digits of integers in texts, which some inputs exceed."""

    def __enter__(self) -> None:
        self._digits = sys.get_int_max_str_digits() if hasattr(sys, "get_int_max_str_digits") else None
        if self._digits is not None:
            sys.set_int_max_str_digits(0)

    def __exit__(self, *_: object) -> None:
        if self._digits is not None:
            sys.set_int_max_str_digits(self._digits)


def _tagged(value: Value) -> Value:
    if isinstance(value, bytes):
        return {_TAG: "bytes", "base64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, float) and not math.isfinite(value):
        return {_TAG: "float", "text": repr(value)}
    if isinstance(value, dict):
        items = {key: _tagged(item) for key, item in value.items()}
        return {_TAG: "dict", "items": list(map(list, items.items()))} if _TAG in items else items
    return [_tagged(item) for item in value] if isinstance(value, list) else value


def _untagged(value: Value) -> Value:
    if isinstance(value, list):
        return [_untagged(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get(_TAG)
    if kind == "bytes":
        return base64.b64decode(value["base64"])
    if kind == "float":
        return float(value["text"])
    items: Iterator[tuple[str, Value]] = iter(value["items"] if kind == "dict" else value.items())
    return {key: _untagged(item) for key, item in items}
