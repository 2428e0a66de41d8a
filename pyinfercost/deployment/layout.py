"""Layouts from texts and mappings."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from .._checks import shown
from ..results.layout import FLAGS, TEXTS, Layout, LayoutError

LayoutLike: TypeAlias = "Layout | str | Mapping[str, Any]"
"""A layout: a `Layout`, its text (`"tensor=4,data=2"`), or its fields by name."""

FIELDS = tuple(Layout.__dataclass_fields__)


def parse_layout(value: LayoutLike) -> Layout:
    """Return the layout that a value denotes.

    Args:
        value: A `Layout`, its text, such as `"tensor=4,data=2"`, or its fields by name.

    Raises:
        LayoutError: A field is unknown, or a number does not fit.
    """
    if isinstance(value, Layout):
        return value
    if isinstance(value, str):
        return _parsed(value)
    if not isinstance(value, Mapping):
        raise LayoutError(f"layout is {shown(value)}; expected a Layout, or a text such as 'tensor=4'")
    _check_names(value)
    return Layout(**value)


@lru_cache(maxsize=256)
def _parsed(text: str) -> Layout:
    given: dict[str, Any] = {}
    for term in filter(None, (part.strip() for part in text.split(","))):
        name, equals, number = (part.strip() for part in term.partition("="))
        if name in TEXTS:
            given[name] = number
            continue
        if equals and not number.isdigit():
            raise LayoutError(f"layout has {shown(term)}; expected a whole number, as in 'tensor=4'")
        _check_names([name])
        given[name] = bool(int(number or 1)) if name in FLAGS else int(number or 0)
    return Layout(**given)


def _check_names(names: Any) -> None:
    for name in names:
        if name not in FIELDS:
            raise LayoutError(f"layout has {shown(name)}; expected some of {', '.join(FIELDS)}")
