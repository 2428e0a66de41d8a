"""The sizes that a spec may be given, and what is said about one that it does not have."""

from __future__ import annotations

from collections.abc import Mapping


class SpecError(ValueError):
    """A model that was asked for in words and cannot be had; the message says what would do."""


class SpecSizeError(SpecError):
    """A size that a model asked for in words does not have, or a value that it does not take."""


def checked_sizes(spec: str, sizes: Mapping[str, int], defaults: Mapping[str, int]) -> dict[str, int]:
    """The defaults with the given sizes in their place.

    Raises:
        SpecSizeError: for a size that has no default, or is below 1.
    """
    for name, value in sizes.items():
        if name not in defaults:
            raise SpecSizeError(f"{spec} has no size {name!r}, expected {' or '.join(defaults)}")
        if value < 1:
            raise SpecSizeError(f"size {name} of {spec} is {value}, expected at least 1")
    return {**defaults, **sizes}
