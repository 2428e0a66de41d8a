"""Settings as text: names with values, separated by commas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._checks import shown
from ..errors import InputError


def settings_of(value: object, what: str, names: Sequence[str], error: type[InputError]) -> dict[str, Any]:
    """Return the settings in a text, as in `"machine=cloud,image_gb=8"`, or in a mapping.

    Args:
        value: The text or the mapping.
        what: Name of the whole, for messages.
        names: Valid names.
        error: The error to raise.

    Returns:
        Values by name; those of a text are texts.

    Raises:
        InputError: The value is neither, or a name is unknown, has no value, or comes twice.
    """
    expected = f"expected NAME=VALUE of {', '.join(names)}"
    if isinstance(value, Mapping):
        settings = dict(value)
    elif isinstance(value, str):
        settings = {}
        for part in filter(None, (word.strip() for word in value.split(","))):
            name, equals, text = part.partition("=")
            if not equals:
                raise error(f"{what} has {shown(part)}; {expected}")
            if name in settings:
                raise error(f"{what} has {shown(name)} twice; pass it once")
            settings[name] = text
    else:
        raise error(f"{what} is {shown(value)}; {expected}")
    for name in settings:
        if name not in names:
            raise error(f"{what} has {shown(name)}; {expected}")
    return settings
