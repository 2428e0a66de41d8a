"""Trees of values as TOML text."""

from __future__ import annotations

import json
import math
import re

from .values import Value

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
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return (
            ("nan" if math.isnan(value) else "inf" if value > 0 else "-inf")
            if not math.isfinite(value)
            else repr(value)
        )
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_literal(item)}" for key, item in value.items()) + "}"
    return str(value)
