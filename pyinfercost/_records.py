"""Frozen dataclasses that are made quickly: a command imports dozens of them and uses a few.

The decorator of the standard library compiles six methods for each frozen class, which takes 0.7 ms for ten fields with
Python 3.11, and took a quarter of the time of a command. Here the methods other than `__init__` are shared, and
`__init__` is compiled at its first use. Type checkers see the decorator of the standard library.
"""

from __future__ import annotations

import dataclasses
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import dataclass_transform as dataclass_transform  # noqa: PLC0414  # an export
else:

    def dataclass_transform(**_):
        """Return a decorator as it is; type checkers apply its meaning."""
        return lambda decorated: decorated


_MADE = "__dataclass_fields__"

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass  # noqa: PLC0414  # an export
else:

    def dataclass(cls=None, /, *, frozen=False, eq=True, repr=True, kw_only=False):
        """Make a frozen dataclass; for the arguments see `dataclasses.dataclass`.

        A subclass of a frozen dataclass, and one that is not frozen, is made by the standard library.
        """

        def made(cls):
            based = any(hasattr(base, _MADE) for base in cls.__mro__[1:])
            if not frozen or based or cls.__init__ is not object.__init__:
                return dataclasses.dataclass(cls, frozen=frozen, eq=eq, repr=repr, kw_only=kw_only)
            own = vars(cls)
            shared = {"__setattr__": _refuse_set, "__delattr__": _refuse_delete, "__init__": _Init(cls)}
            if repr and "__repr__" not in own:
                shared["__repr__"] = _repr
            if eq and "__eq__" not in own:
                shared["__eq__"] = _equal
            if eq and own.get("__hash__") is None and ("__eq__" in own or "__hash__" not in own):
                shared["__hash__"] = _hash
            cls = dataclasses.dataclass(cls, init=False, eq=False, repr=False, kw_only=kw_only)
            for name, function in shared.items():
                setattr(cls, name, function)
            # What the class is, for `dataclasses.dataclass` of a subclass.
            cls.__dataclass_params__.frozen, cls.__dataclass_params__.init = True, True
            cls.__dataclass_params__.eq, cls.__dataclass_params__.repr = eq, repr
            return cls

        return made if cls is None else made(cls)


class _Init:
    """The `__init__` of a class, which replaces itself by the compiled function when it is looked up."""

    def __init__(self, cls: type) -> None:
        self._class = cls

    def __get__(self, instance: object, owner: type) -> Any:
        cls: Any = self._class
        if vars(cls).get("__init__") is self:  # another thread may have been here
            cls.__init__ = _written_init(cls)
        function = vars(cls)["__init__"]
        return function if instance is None else function.__get__(instance, owner)


def _written_init(cls: Any) -> Any:
    """Return the `__init__` that `dataclasses.dataclass` would write."""
    known: dict[str, Any] = {"_set": object.__setattr__}
    positional: list[str] = []
    keywords: list[str] = []
    body: list[str] = []
    for place, field in enumerate(dataclasses.fields(cls)):
        name, default = field.name, f"_default_{place}"
        value = name
        if field.default_factory is not dataclasses.MISSING:
            known[default], known["_left_out"] = field.default_factory, _LEFT_OUT
            value = f"{default}() if {name} is _left_out else {name}" if field.init else f"{default}()"
        elif field.default is not dataclasses.MISSING:
            known[default] = field.default
            if not field.init:
                continue  # the default is an attribute of the class
        if field.init:
            optional = "" if default not in known else "=_left_out" if value != name else f"={default}"
            (keywords if field.kw_only else positional).append(f"{name}{optional}")
        elif value == name:
            continue
        body.append(f"    _set(self, {name!r}, {value})")
    if hasattr(cls, "__post_init__"):
        body.append("    self.__post_init__()")
    parameters = ", ".join(["self", *positional, *(["*", *keywords] if keywords else [])])
    exec("\n".join([f"def __init__({parameters}):", *(body or ["    pass"])]), known)
    written = known["__init__"]
    written.__qualname__ = f"{cls.__qualname__}.__init__"
    written.__module__ = cls.__module__
    written.__annotations__ = {
        **{field.name: field.type for field in dataclasses.fields(cls) if field.init},
        "return": None,
    }
    return written


class _LeftOut:
    def __repr__(self) -> str:
        return "<factory>"


_LEFT_OUT = _LeftOut()


def _is_field(self: Any, name: str) -> bool:
    """Return whether an attribute may not be set: any of a dataclass; of another subclass those with a field."""
    return _MADE in vars(type(self)) or name in getattr(self, _MADE)


def _refuse_set(self: Any, name: str, value: object) -> None:
    if _is_field(self, name):
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
    object.__setattr__(self, name, value)


def _refuse_delete(self: Any, name: str) -> None:
    if _is_field(self, name):
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
    object.__delattr__(self, name)


@recursive_repr()
def _repr(self: Any) -> str:
    shown = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in dataclasses.fields(self) if f.repr)
    return f"{type(self).__qualname__}({shown})"


_getters: dict[tuple[Any, bool], Callable[[Any], tuple[Any, ...]]] = {}


def _values(cls: Any, *, hashed: bool) -> Callable[[Any], tuple[Any, ...]]:
    """Return a function from a value of a class to its fields that are compared, or that are hashed."""
    found = _getters.get((cls, hashed))
    if found is None:
        found = _getters[cls, hashed] = _getter(cls, hashed=hashed)
    return found


def _getter(cls: Any, *, hashed: bool) -> Callable[[Any], tuple[Any, ...]]:
    names = [
        field.name
        for field in dataclasses.fields(cls)
        if (field.compare if field.hash is None or not hashed else field.hash)
    ]
    if len(names) > 1:
        return attrgetter(*names)
    return lambda self: tuple(getattr(self, name) for name in names)


def _equal(self: Any, other: object) -> Any:
    cls: Any = type(self)
    if type(other) is not cls:
        return NotImplemented
    values = _values(cls, hashed=False)
    return values(self) == values(other)


def _hash(self: Any) -> int:
    cls: Any = type(self)
    return hash(_values(cls, hashed=True)(self))
