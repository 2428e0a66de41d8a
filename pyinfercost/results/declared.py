"""Declarations of results: each field is described once, and documents, rows, tables and documentation follow.

A class states its fields in its body, each as a fact or as a figure:

    @declared
    class Timeline:
        interval_s: float = fact("Seconds from one sample to the next.")
        tokens_per_s: float = figure("Generated tokens per second.", shown="tokens generated: {}", better=MORE)

Names end with the unit, from which the unit of a figure follows.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from functools import partial
from math import isfinite
from typing import Any, NamedTuple, TypeVar

from .. import _records
from .._core import Expr
from .._records import dataclass_transform
from ..errors import InputError
from ..inputs.settings import Settings
from .figures import FIGURES

_Class = TypeVar("_Class", bound=type)
_Function = TypeVar("_Function", bound=Callable[..., Any])

_OWN = "declared"
_KNOWN: dict[str, type] = {}
_UNITS = (
    ("_per_s", "per s"),
    ("_s", "s"),
    ("_share", "share"),
    ("_usd", "USD"),
    ("_bytes", "B"),
    ("_flops", "FLOP"),
    ("_j", "J"),
    ("_g", "g"),
    ("_w", "W"),
)
_FIRST = (("usd_per_", "USD"), ("joules_per_", "J"), ("tokens_per_s", "per s"))
_SCALARS = frozenset({"str", "int", "float", "bool", "None", "Quantity"})


class Declared(NamedTuple):
    """The declaration of a field or a property.

    Attributes:
        name: Its name: the key in documents and the column in rows.
        text: Its sentence in documentation.
        unit: Its unit, by its name: `"s"`, `"per s"`, `"B"`, `"J"`, `"USD"`, `"share"`, ...; empty without one.
        shown: `"line: text"`: the line of the table that has it, and what stands there for `{}`, the value with its
            unit; for a mapping `{name}` and `{value}` of each item; of a truth `"if true|if false"`. Empty for a
            field that no table has. Fields of the same line stand side by side.
        is_figure: Whether it is a figure, else a fact about what was computed.
        better: `LESS`, `MORE`, or empty for a figure without a better direction.
        title: Name in tables and sentences; empty for a figure that they name otherwise, or not at all.
        spare: Place in the default table: the priority for dropping its column; None for a figure without a column.
        headline: Words after its amount where it leads a page or a line; empty for other figures.
        quiet: Whether tables omit it where it is 0.
        spread: Keys of this mapping, whose items stand at its place in documents, and whose figures rows have.
        row: Whether rows have a column of it; a mapping or a tuple of texts has its items
            as one text.
        series: Whether it is a series over time, which documents of several results omit.
        inner: Whether documents and rows do not have it.
        brief: Whether documents have no series over time of its parts.
        annotation: Its type as text.
    """

    name: str
    text: str
    unit: str = ""
    shown: str = ""
    is_figure: bool = False
    better: str = ""
    title: str = ""
    spare: int | None = None
    headline: str = ""
    quiet: bool = False
    spread: tuple[str, ...] = ()
    row: bool | None = None
    series: bool = False
    inner: bool = False
    brief: bool = False
    annotation: str = ""


def fact(
    text: str,
    *,
    default: Any = dataclasses.MISSING,
    shown: str = "",
    spread: tuple[str, ...] = (),
    row: bool | None = None,
    series: bool = False,
    inner: bool = False,
    brief: bool = False,
    compare: bool = True,
) -> Any:
    """Declare a fact about what was computed, or a part with declarations of its own; see `Declared`.

    Without `compare`, neither comparisons nor `repr` have it.
    """
    own = Declared("", text, shown=shown, spread=spread, row=row, series=series, inner=inner, brief=brief)
    return dataclasses.field(default=default, repr=compare, compare=compare, metadata={_OWN: own})


def figure(
    text: str = "",
    *,
    default: Any = dataclasses.MISSING,
    unit: str = "",
    shown: str = "",
    better: str = "",
    title: str = "",
    spare: int | None = None,
    headline: str = "",
    quiet: bool = False,
) -> Any:
    """Declare a figure; see `Declared`. Without a sentence, the catalog's figure of the same name describes it."""
    own = Declared(
        "", text, unit, shown, is_figure=True, better=better, title=title, spare=spare, headline=headline, quiet=quiet
    )
    return dataclasses.field(default=default, metadata={_OWN: own})


def derived(
    *,
    unit: str = "",
    shown: str = "",
    better: str = "",
    title: str = "",
    spare: int | None = None,
    headline: str = "",
    is_figure: bool = True,
    inner: bool = False,
    brief: bool = False,
) -> Callable[[_Function], _Function]:
    """Declare a property that is computed from fields; its docstring is the sentence. See `Declared`."""
    own = Declared("", "", unit, shown, is_figure, better, title, spare, headline, inner=inner, brief=brief)

    def marked(function: _Function) -> _Function:
        setattr(function, _OWN, own)
        return function

    return marked


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(fact, figure))
def declared(cls: _Class | None = None, /, *, kw_only: bool = True, after: str = "") -> Any:
    """Make a frozen dataclass, whose declarations `declarations_of` returns.

    Args:
        cls: The class.
        kw_only: Whether its fields are arguments by keyword only.
        after: Name of the declaration that the base's declarations follow; by default they come first.
    """
    return partial(_made, kw_only=kw_only, after=after) if cls is None else _made(cls, kw_only=kw_only, after=after)


def _made(cls: type, *, kw_only: bool, after: str) -> type:
    found: list[Declared] = []
    for name, value in vars(cls).items():
        if isinstance(value, dataclasses.Field) and _OWN in value.metadata:
            own, typed = value.metadata[_OWN], vars(cls)["__annotations__"][name]
        elif isinstance(value, property) and hasattr(value.fget, _OWN):
            own, typed = getattr(value.fget, _OWN), value.fget.__annotations__["return"]
            own = own._replace(text=(value.__doc__ or "").partition("\n\n")[0])
        else:
            continue
        if not own.text:
            listed = FIGURES[name]
            own = own._replace(text=listed.sentence, better=listed.better, unit=listed.unit)
        found.append(
            own._replace(name=name, unit=own.unit or unit_of(name), annotation=typed, row=_has_row(own, typed))
        )
    made: Any = _records.dataclass(cls, frozen=True, kw_only=kw_only, repr="__repr__" not in vars(cls))
    place = [each.name for each in found].index(after) + 1 if after else 0
    made.__declared__ = (*found[:place], *getattr(cls, "__declared__", ()), *found[place:])
    known = _KNOWN.setdefault(cls.__name__, made)
    if known.__module__ != cls.__module__:
        raise InputError(f"{cls.__module__} declares {cls.__name__}, and so does {known.__module__}; rename one")
    made.__doc__ = "\n".join([cls.__doc__ or "", "", "Attributes:", *attributes_of(made), ""])
    return made  # type: ignore[no-any-return]


def attributes_of(cls: Any) -> list[str]:
    """Return the lines of a docstring that describe the fields of a class, its base's first."""
    names = {field.name for field in dataclasses.fields(cls)}
    return [f"    {each.name}: {each.text}" for each in declarations_of(cls) if each.name in names]


def declarations_of(record: Any) -> tuple[Declared, ...]:
    """Return the declarations of a class, or of the class of a record, in the order of its body; empty for others."""
    found: tuple[Declared, ...] = getattr(record, "__declared__", ())
    return found


def titled(record: Any) -> tuple[Declared, ...]:
    """Return the declarations with a title."""
    return tuple(each for each in declarations_of(record) if each.title)


def shared_fields(base: Any, record: Any) -> dict[str, Any]:
    """Return the values of a record for the fields that a base of its class declares."""
    return {each.name: getattr(record, each.name) for each in declarations_of(base)}


def document_of(value: Any, *, series: bool = True) -> Any:
    """Return the JSON value of a value: a record as the object of its declarations, an unknown number as None.

    Args:
        value: The value.
        series: Whether to keep series over time.
    """
    if declared := declarations_of(value):
        found: dict[str, Any] = {}
        for each in declared:
            if each.inner or (each.series and not series):
                continue
            own = document_of(getattr(value, each.name), series=series and not each.brief)
            found |= own if each.spread else {each.name: own}
        return found
    if isinstance(value, Settings) or hasattr(value, "document_key"):  # a result with a renderer of its own
        return value.to_dict()
    if isinstance(value, Expr):
        return str(value)
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: document_of(each, series=series) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [document_of(each, series=series) for each in value]
    return value.tolist() if hasattr(value, "tolist") else value  # an array, or a number of numpy


class Part:
    """A part of a result, which can be a JSON object alone."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return its declarations as JSON values."""
        found: dict[str, Any] = document_of(self)
        return found


def class_named(name: str) -> Any:
    """Return the class with declarations that has a name, of those that were imported; None if there is none."""
    return _KNOWN.get(name)


def part_of(each: Declared) -> type | None:
    """Return the class with declarations that a field, or an item of it, has; None for other types."""
    return next((_KNOWN[name] for name in re.findall(r"\w+", each.annotation) if name in _KNOWN), None)


def unit_of(name: str) -> str:
    """Return the unit that a name says; empty for a count."""
    starts = next((unit for start, unit in _FIRST if name.startswith(start)), "")
    return starts or next((unit for end, unit in _UNITS if name.endswith(end)), "")


def _has_row(own: Declared, annotation: str) -> bool:
    if own.row is None:
        return not own.inner and {part.strip() for part in annotation.split("|")} <= _SCALARS
    return own.row
