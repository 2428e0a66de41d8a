"""Classes of ours that are also classes of a framework, which is imported only when an object is made."""

from __future__ import annotations

from typing import Any, TypeVar

C = TypeVar("C")
_MADE: dict[tuple[type, ...], type] = {}


def with_bases(plain: type[C], bases: tuple[type, ...]) -> type[C]:
    """A class with the name and the methods of one, and bases beside it; the same one each time."""
    key = (plain, *bases)
    if key not in _MADE:
        _MADE[key] = type(plain.__name__, key, names_of(plain))
    return _MADE[key]


def names_of(plain: type) -> dict[str, Any]:
    """What makes a class that is derived from one look like it; `_plain` is that one."""
    looks = ("__module__", "__qualname__", "__doc__")
    return {"_plain": plain, **{name: getattr(plain, name) for name in looks}}


def again(plain: type[C]) -> C:
    """An object of such a class without its attributes, for pickle, which cannot find the class by its name."""
    return plain.__new__(plain)
