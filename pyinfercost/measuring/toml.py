"""Serialization of tables as TOML; the standard library only reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def as_toml(data: Mapping[str, Any], prefix: str = "") -> str:
    """Return nested tables as TOML; lists hold strings or numbers."""
    lines = [f"{key} = {_value(value)}" for key, value in data.items() if not isinstance(value, Mapping)]
    if prefix and lines:
        lines.insert(0, f"[{prefix}]")
    parts = ["\n".join(lines)] if lines else []
    parts += [
        as_toml(value, f"{prefix}.{key}" if prefix else key)
        for key, value in data.items()
        if isinstance(value, Mapping)
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "[\n" + "".join(f"    {_value(item)},\n" for item in value) + "]" if value else "[]"
    if isinstance(value, float):
        return f"{value:g}" if value != int(value) else f"{value:.1f}"
    return json.dumps(value, ensure_ascii=False)  # for strings, integers and booleans JSON is valid TOML
