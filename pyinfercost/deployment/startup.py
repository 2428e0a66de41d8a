"""Terms of the startup of a replica, as text and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeAlias

from .._checks import number_in, shown
from ..results.startup import MACHINES, STARTUP_RANGES, STORAGES, WARMUPS, Startup, StartupError

StartupLike: TypeAlias = "Startup | str | Mapping[str, str | float | None]"
"""Terms of a startup as `parse_startup` accepts them."""

_NAMES = [field.name for field in fields(Startup)]
_EXPECTED = f"expected NAME=VALUE of {', '.join(_NAMES)}"
_WORDS = {"machine": MACHINES, "weights_from": STORAGES, "warmup": WARMUPS}


def parse_startup(value: StartupLike) -> Startup:
    """Parse terms of a startup.

    Args:
        value: A `Startup`; text with commas, as in `"machine=cloud,image_gb=8,loader=sllm,warmup=engine"`; or a mapping
            of the same names.

    Returns:
        The terms.

    Raises:
        StartupError: The value is none of these, or a number is out of range.
    """
    if isinstance(value, Startup):
        return value
    if isinstance(value, str):
        settings: dict[str, Any] = {}
        for part in filter(None, (word.strip() for word in value.split(","))):
            name, equals, text = part.partition("=")
            if not equals:
                raise StartupError(f"startup has {shown(part)}; {_EXPECTED}")
            if name in settings:
                raise StartupError(f"startup has {shown(name)} twice; pass it once")
            settings[name] = text
    elif isinstance(value, Mapping):
        settings = dict(value)
    else:
        raise StartupError(f"startup is {shown(value)}; {_EXPECTED}")
    for name in settings:
        if name not in _NAMES:
            raise StartupError(f"startup has {shown(name)}; {_EXPECTED}")
    return Startup(**{name: _value(name, given) for name, given in settings.items()})


def startup_text(startup: Startup) -> str:
    """Return terms of a startup as text that `parse_startup` accepts; empty for the defaults."""
    parts = []
    for field in fields(Startup):
        value = getattr(startup, field.name)
        if value != field.default:
            parts.append(f"{field.name}={value if isinstance(value, str) else format(value, 'g')}")
    return ",".join(parts)


def _value(name: str, given: Any) -> Any:
    """Return the value of a field, whose numbers may be written as text."""
    is_word = given is None or name not in STARTUP_RANGES or given in _WORDS.get(name, ())
    if is_word or not isinstance(given, str):
        return given
    try:
        return number_in(given, name, STARTUP_RANGES[name], StartupError)
    except StartupError:
        if name in _WORDS:
            return given  # `Startup` refuses the text with its words
        raise
