"""Settings types: a setting is declared once, and its checks, text form, signature and documentation follow.

A class declares its settings in its body, and so states type, default, range and sentence of each:

    class Interruptions(Settings):
        kind = "interruptions"
        notice_s: float = number(Range(0.0, 1e6, "seconds"), "Seconds between the notice and the end.", default=0.0)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import FrozenInstanceError
from functools import lru_cache
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

from .. import _checks
from .._checks import Range, shown
from .._records import dataclass_transform
from ..errors import InputError, InputTypeError

if TYPE_CHECKING:
    from typing_extensions import Self

_Given = TypeVar("_Given")
_Value = TypeVar("_Value")


class Parsed(Generic[_Given, _Value]):
    """Type of a setting that is given as one type, and has another one: `egress: Parsed[EgressLike, Egress]`."""

    if TYPE_CHECKING:  # type checkers take both from a descriptor; none is made

        def __get__(self, instance: object, owner: Any) -> _Value: ...
        def __set__(self, instance: object, value: _Given) -> None: ...


SAME = "same"
"""Sentence of an option: the one of the documentation."""

REQUIRED: Any = object()
"""Default of a setting that must be given."""

_TYPES = {"flag": "bool", "whole": "int", "number": "float", "word": "str", "label": "str", "wholes": "Iterable[int]"}
_SEQUENCES = {"wholes": ("whole numbers", "1:2:4:8"), "numbers": ("numbers", "0.5:1:2")}
_TRUTHS = {"true": True, "false": False, "1": True, "0": False}
_NONE = Range(0, 0)
_PARTS = re.compile(r"(?:\((?:[^()]|\([^()]*\))*\)|[^,])+")  # what commas separate, outside of brackets
_HOURS = Range(0.0, 24 * 366.0, "h")


class Setting(NamedTuple):
    """A setting of a type.

    Attributes:
        name: Its name.
        form: `"flag"`, `"whole"`, `"number"`, `"word"`, `"label"` (any text), `"wholes"` (ascending whole numbers),
            `"numbers"`, `"counts by time"` (hours with whole numbers), or `"converted"`.
        default: The default.
        within: Range of numbers.
        words: Valid words; of a number those that stand for one.
        optional: Whether None is valid.
        text: Its sentence in documentation.
        read: What makes the value of a form of its own.
        option: Its sentence in the help of commands; empty for a setting without an option of its own.
        metavar: What stands for its value there.
        short: Its name in texts, where that is another one; texts and mappings may have both.
    """

    name: str
    form: str
    default: Any
    within: Range
    words: tuple[str, ...]
    optional: bool
    text: str
    read: Callable[[Any], Any] | None = None
    option: str = ""
    metavar: str | None = None
    short: str = ""

    def annotation(self, *, given: bool) -> str:
        """Return its type in Python, as an argument or as an attribute, where no class body states it."""
        counts = "Mapping[float, int] | Sequence[tuple[float, int]]" if given else "tuple[tuple[float, int], ...]"
        found = _TYPES.get(self.form, counts)
        return f"{found} | None" if self.optional else found

    def checked(self, value: Any, name: str, error: type[InputError]) -> Any:
        """Return a value of the setting, which messages name so.

        Raises:
            InputError: It has a wrong type, or is out of range.
        """
        if value is None and self.optional:
            return None
        if self.read is not None:
            return self.read(value)
        if self.form == "flag":
            return _checks.flag(value, name, error)
        if self.form == "whole":
            return _checks.whole(value, name, self.within, error)
        if self.form == "label":
            return _checks.text(value, name, error)
        if self.form in _SEQUENCES:
            return self._several(value, name, error)
        if self.form == "counts by time":
            return self._counts(value, name, error)
        if isinstance(value, str) and value in self.words:
            return value
        if self.form == "number" and not (self.words and isinstance(value, str)):
            return _checks.number(value, name, self.within, error)
        raise error(f"{name} is {shown(value)}; expected {self._valid()}")

    def _several(self, value: Any, name: str, error: type[InputError]) -> tuple[float, ...]:
        if not isinstance(value, Iterable) or isinstance(value, (str, bytes)):
            raise error(f"{name} is {shown(value)}; expected a sequence of {_SEQUENCES[self.form][0]}")
        check = _checks.whole if self.form == "wholes" else _checks.number
        found = tuple(check(each, name, self.within, error) for each in value)
        if self.form == "wholes" and list(found) != sorted(set(found)):
            raise error(f"{name} is {shown(value)}; expected different whole numbers in ascending order")
        return found

    def _counts(self, value: Any, name: str, error: type[InputError]) -> tuple[tuple[float, int], ...]:
        if not isinstance(value, (Mapping, Sequence)) or isinstance(value, str):
            raise error(f"{name} is {shown(value)}; expected hours with whole numbers, such as {{0: 2, 8: 10}}")
        found = []
        for pair in value.items() if isinstance(value, Mapping) else value:
            if not isinstance(pair, Sequence) or len(pair) != 2:  # noqa: PLR2004  # an hour and a number
                raise error(f"{name} has {shown(pair)}; expected an hour and a whole number")
            hour = _checks.number(pair[0], f"an hour of {name}", _HOURS, error)
            found.append((hour, _checks.whole(pair[1], name, self.within, error)))
        if not found or sorted({hour for hour, _ in found}) != [hour for hour, _ in found]:
            raise error(f"{name} is {shown(value)}; expected hours that ascend, at least one")
        return tuple(found)

    def parsed(self, text: str, kind: str, error: type[InputError]) -> Any:
        """Return the value that a text denotes, not yet checked.

        Raises:
            InputError: It denotes no value of this type.
        """
        if self.optional and text.lower() == "none":
            return None
        if self.form == "converted" and text.startswith("(") and text.endswith(")"):
            return text[1:-1]
        if text in self.words or self.form in ("word", "label", "converted"):
            return text
        if self.form in _SEQUENCES:
            return tuple(self._number(each, kind, error) for each in text.split(":"))
        if self.form == "flag" and text.lower() in _TRUTHS:
            return _TRUTHS[text.lower()]
        return self._number(text, kind, error)

    def _number(self, text: str, kind: str, error: type[InputError]) -> float:
        try:
            return int(text) if text.removeprefix("-").isdecimal() else float(text)
        except ValueError:
            raise error(f"{self.name} of {kind} is {shown(text)}; expected {self._valid()}") from None

    def _valid(self) -> str:
        """Return valid values in words."""
        if self.form == "word":
            return f"one of {', '.join(filter(None, self.words))}"
        if self.form == "number":
            return str(self.within)
        if self.form in _SEQUENCES:
            return " such as ".join(_SEQUENCES[self.form])
        return "true or false" if self.form == "flag" else "a whole number"

    def written(self, value: Any) -> str:
        """Return the text that `parsed` reads as a value."""
        if self.form in _SEQUENCES:
            return ":".join(map(written, value))
        if self.form == "converted" and isinstance(value, tuple):
            return f"({','.join(map(str, value))})"
        return written(value)


def number(
    within: Range,
    text: str,
    *,
    default: Any = REQUIRED,
    words: Sequence[str] = (),
    short: str = "",
    option: str = "",
    metavar: str | None = None,
) -> Any:
    """Declare a number; `words` stand for numbers that are known. None as the default allows None."""
    known = within._replace(words=tuple(words))
    return Setting("", "number", default, known, known.words, default is None, text, None, option, metavar, short)


def whole(within: Range, text: str, *, default: Any = REQUIRED, option: str = "", metavar: str | None = None) -> Any:
    """Declare a whole number; None as the default allows None."""
    return Setting("", "whole", default, within, (), default is None, text, None, option, metavar)


def wholes(within: Range, text: str, *, default: Any = REQUIRED) -> Any:
    """Declare whole numbers in ascending order."""
    return Setting("", "wholes", default, within, (), optional=False, text=text)


def numbers(within: Range, text: str, *, default: Any = REQUIRED) -> Any:
    """Declare a sequence of numbers, each in the range."""
    return Setting("", "numbers", default, within, (), optional=False, text=text)


def flag(text: str, *, default: Any = REQUIRED, option: str = "") -> Any:
    """Declare a flag; a text may have its name alone. None as the default allows None."""
    return Setting("", "flag", default, _NONE, (), default is None, text, None, option)


def word(
    words: Sequence[str], text: str, *, default: Any = REQUIRED, option: str = "", metavar: str | None = None
) -> Any:
    """Declare one of some words; None as the default allows None."""
    return Setting("", "word", default, _NONE, tuple(words), default is None, text, None, option, metavar)


def label(text: str, *, default: Any = REQUIRED) -> Any:
    """Declare any text."""
    return Setting("", "label", default, _NONE, (), optional=False, text=text)


def converted(
    read: Callable[[Any], Any],
    text: str,
    *,
    default: Any = REQUIRED,
    short: str = "",
    option: str = "",
    metavar: str | None = None,
) -> Any:
    """Declare a value that a function reads, from texts too (also in brackets), and raises errors about."""
    return Setting("", "converted", default, _NONE, (), default is None, text, read, option, metavar, short)


@dataclass_transform(
    kw_only_default=True,
    frozen_default=True,
    field_specifiers=(number, whole, wholes, numbers, flag, word, label, converted),
)
class Settings:
    """Base of frozen types whose fields are settings, given by keyword."""

    fields: ClassVar[tuple[Setting, ...]] = ()
    """The settings, in the order of the text form."""
    kind: ClassVar[str] = ""
    """Name in texts and messages."""
    unnamed: ClassVar[str] = ""
    """Setting that stands first and without its name in a text."""
    error: ClassVar[type[InputError]] = InputError
    """Error of a value that is not valid."""

    def __init_subclass__(cls) -> None:
        own = {name: value for name, value in vars(cls).items() if isinstance(value, Setting)}
        for name, value in own.items():  # as of a dataclass, the attribute of the class is the default
            if value.default is REQUIRED:
                delattr(cls, name)
            else:
                setattr(cls, name, value.default)
        said = {name: value.text if value.option == SAME else value.option for name, value in own.items()}
        cls.fields = (*cls.fields, *(value._replace(name=name, option=said[name]) for name, value in own.items()))
        if cls.fields and "Attributes:" not in (cls.__doc__ or ""):
            rows = [f"    {each.name}: {each.text}" for each in cls.fields]
            cls.__doc__ = "\n".join([cls.__doc__ or "", "", "Attributes:", *rows, ""])
        typed = {
            name: text for base in reversed(cls.__mro__) for name, text in vars(base).get("__annotations__", {}).items()
        }
        cls.__signature__ = Signature([_parameter(each, typed.get(each.name)) for each in cls.fields])  # type: ignore[attr-defined]

    def __init__(self, *unnamed: Any, **given: Any) -> None:
        if unnamed:
            raise InputTypeError(f"{self.kind} got {shown(unnamed[0])} without a name; {self._expected()}")
        values = {each.name: each.default for each in self.fields}
        for name, value in given.items():
            if name not in values:
                raise InputTypeError(f"{self.kind} has no setting {shown(name)}; {self._expected()}")
            values[name] = value
        for each in self.fields:
            if values[each.name] is REQUIRED:
                raise self.error(f"{self.kind} has no {each.name}; pass it: {each.text}")
            values[each.name] = each.checked(values[each.name], self._named(each.name), self.error)
        self.__dict__.update(values)
        self._check()

    @classmethod
    def _named(cls, name: str) -> str:
        """Return how messages name a setting."""
        return f"{name} of {cls.kind}"

    def _check(self) -> None:
        """Raise an error for settings that contradict each other."""

    @classmethod
    def parse(cls, value: Any) -> Self:
        """Return the settings that a value denotes.

        Args:
            value: Settings of this type; a text of names and values, such as `"target=45,stable_window_s=30"`, in which
                flags may stand alone; or a mapping of the same names.

        Raises:
            InputError: It is none of these, a name is unknown, or a value is not valid.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, str):
            found: Self = _parsed(cls, value)  # type: ignore[arg-type]  # a class is hashable
            return found
        if not isinstance(value, Mapping):
            raise cls.error(f"{cls.kind} is {shown(value)}; {cls._expected()}")
        return cls._of_mapping(value)

    @classmethod
    def _of_mapping(cls, values: Mapping[str, Any]) -> Self:
        known = cls._names()
        for name in values:
            if name not in known:
                raise cls.error(f"{cls.kind} has no setting {shown(name)}; {cls._expected()}")
        given = {}
        for name, value in values.items():
            each = known[name]
            given[each.name] = each.parsed(value, cls.kind, cls.error) if isinstance(value, str) else value
        return cls(**given)

    @classmethod
    def _of_text(cls, text: str) -> Self:
        return cls._of_mapping(cls.texts_of(text))

    @classmethod
    def texts_of(cls, text: str) -> dict[str, Any]:
        """Return the texts of the values in a text, by name, not yet checked."""
        known = cls._names()
        found: dict[str, Any] = {}
        counts: list[tuple[float, Any]] = []
        for part in filter(None, (each.strip() for each in _PARTS.findall(text))):
            name, equals, value = (each.strip() for each in part.partition("="))
            first = known.get(cls.unnamed)
            if first is not None and first.form == "counts by time" and equals and _is_number(name):
                counts.append((float(name), first._number(value, cls.kind, cls.error)))
                continue
            if not equals and name in known and known[name].form == "flag":
                value = "true"
            elif not equals and first is not None and (not first.words or name in first.words):
                name, value = first.name, name
            elif not equals:
                raise cls.error(f"{cls.kind} has {shown(part)}; {cls._expected()}")
            name = known[name].name if name in known else name
            if name in found:
                raise cls.error(f"{cls.kind} has {shown(name)} twice; pass it once")
            found[name] = value
        return {**found, cls.unnamed: counts} if counts else found

    @classmethod
    def _names(cls) -> dict[str, Setting]:
        return {name: each for each in cls.fields for name in (each.name, each.short or each.name)}

    @classmethod
    def _expected(cls) -> str:
        if not cls.fields:
            return "expected no settings"
        words = "".join(
            f"{', '.join(each.words)}, or " for each in cls.fields if each.name == cls.unnamed and each.words
        )
        return f"expected {words}NAME=VALUE of {', '.join(each.short or each.name for each in cls.fields)}"

    def __str__(self) -> str:
        """The text that `parse` accepts: settings that are not the default."""
        return ",".join(self._parts().values())

    def _parts(self) -> dict[str, str]:
        """Return the parts of the text by the names of their settings."""
        found = {}
        for each in sorted(self.fields, key=lambda field: field.name != self.unnamed):
            value = getattr(self, each.name)
            if value != each.default:
                bare = each.name if each.form == "flag" and value and not each.default else ""
                name = "" if each.name == self.unnamed else f"{each.short or each.name}="
                found[each.name] = bare or name + each.written(value)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the values by name."""
        return {each.name: getattr(self, each.name) for each in self.fields}

    def replace(self, **changes: Any) -> Self:
        """Return settings with some others."""
        return type(self)(**{**self.to_dict(), **changes})

    def __setattr__(self, name: str, value: object) -> None:
        raise FrozenInstanceError(f"cannot assign to {name!r}; use replace({name}=...)")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete {name!r}")

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other) if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.to_dict().items())})"


@lru_cache(1024)
def _parsed(cls: Any, text: str) -> Any:
    return cls._of_text(text)


def _parameter(setting: Setting, declared: str | None) -> Parameter:
    default = Parameter.empty if setting.default is REQUIRED else setting.default
    annotation = declared or setting.annotation(given=True)
    if annotation.startswith("Parsed["):
        annotation = annotation.removeprefix("Parsed[").partition(", ")[0]
    return Parameter(setting.name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def written(value: Any) -> str:
    """Return the text that is read as a value; settings within settings stand in brackets."""
    if isinstance(value, Settings):
        return f"({value})"
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(f"{written(hour)}={count}" for hour, count in value)
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
