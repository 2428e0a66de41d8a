"""What files of hardware are made of: fields, tables, and the one function that checks a file against them.

`device_schema` and `calibration_schema` say what the two kinds of files may contain. Units stand in the keys. Sizes of
caches and scratchpads are binary (`_kib`, `_mib`), as vendors mean them even where they write MB; DRAM capacities and
every bandwidth are decimal (`_gb`, `_gb_per_s`). Peak rates are dense, and a fused multiply-add is 2 FLOP.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

SCHEMA_VERSION = 1

KINDS = ("gpu", "cpu", "systolic")

VARIANT_DTYPES = ("fp32_packed", "fp16_acc16", "fp8_acc16", "fp6")
"""Rates that a file may state and no torch dtype asks for: packed fp32, 16-bit accumulation, fp6."""


class HardwareError(ValueError):
    """A hardware description that cannot be used; the message says what was got and what was expected."""


class HardwareFileError(HardwareError):
    """A hardware or calibration file that breaks the schema."""


@dataclass(frozen=True)
class Field:
    """One allowed key.

    Attributes:
        type: What TOML must hold there.
        low: Smallest allowed number.
        high: Largest allowed number.
        above: The number must be larger than this.
        choices: The only texts allowed, if any are listed.
        required: Whether the key must be there.
    """

    type: Literal["number", "integer", "boolean", "text", "texts", "integers"]
    low: float | None = None
    high: float | None = None
    above: float | None = None
    choices: tuple[str, ...] = ()
    required: bool = False


@dataclass(frozen=True)
class Table:
    """One allowed table: its keys, and whether it must be there."""

    keys: Mapping[str, Field | Table]
    required: bool = False


def read_toml(path: Path) -> dict[str, Any]:
    """Parse one TOML file, naming the file where it is not TOML."""
    try:
        return dict(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise HardwareFileError(f"{path} is not a TOML file: {error}") from error
    except OSError as error:
        raise HardwareFileError(f"{path} cannot be read: {error.strerror or error}") from error


def file_version(path: Path) -> tuple[int, int] | None:
    """What changes when a file does: its time of modification in ns and its size; None where there is no such file.

    Functions that read a file and keep the result take it as an argument. Their callers share the result and must not
    change it.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


TEXT, NEED_TEXT = Field("text"), Field("text", required=True)
TEXTS = Field("texts")
COUNT = Field("integer", low=1)
POSITIVE = Field("number", above=0)
NOT_NEGATIVE = Field("number", low=0)
FRACTION = Field("number", above=0, high=1)
VERSION = Field("integer", low=SCHEMA_VERSION, high=SCHEMA_VERSION, required=True)

CACHE_LEVELS = ("l1", "l2", "scratchpad", "llc")


def check(data: Mapping[str, Any], table: Table, path: Path, prefix: str = "") -> None:
    """Refuse unknown and missing keys, wrong types and values out of range.

    Raises:
        HardwareFileError: Naming the file, the key, what was got and what was expected.
    """
    for key, value in data.items():
        if key not in table.keys:
            raise HardwareFileError(f"{path}: unknown key {prefix + key!r}; {_nearest(key, table.keys)}")
        rule = table.keys[key]
        if isinstance(rule, Field):
            _check_value(value, rule, path, prefix + key)
        elif isinstance(value, Mapping):
            check(value, rule, path, f"{prefix}{key}.")
        else:
            raise HardwareFileError(f"{path}: {prefix + key!r} is {value!r}; expected a table [{prefix}{key}]")
    for key, rule in table.keys.items():
        if rule.required and key not in data:
            raise HardwareFileError(f"{path}: required key {prefix + key!r} is missing; expected {_expected(rule)}")


def _nearest(key: str, known: Iterable[str]) -> str:
    matches = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
    return f"the nearest valid key is {matches[0]!r}; valid here: {', '.join(known)}"


def _check_value(value: Any, rule: Field, path: Path, key: str) -> None:
    items: Sequence[Any] = [value]
    if rule.type in ("texts", "integers"):
        items = value if isinstance(value, list) else [None]
    for item in items:
        if not _fits(item, rule):
            raise HardwareFileError(f"{path}: {key!r} is {value!r}; expected {_expected(rule)}")


def _fits(item: Any, rule: Field) -> bool:
    if rule.type == "boolean":
        return isinstance(item, bool)
    if rule.type in ("text", "texts"):
        return isinstance(item, str) and item.strip() != "" and (not rule.choices or item in rule.choices)
    number = isinstance(item, int) if rule.type in ("integer", "integers") else isinstance(item, (int, float))
    return (
        number
        and not isinstance(item, bool)
        and abs(item) < float("inf")  # False for nan, too
        and (rule.low is None or item >= rule.low)
        and (rule.high is None or item <= rule.high)
        and (rule.above is None or item > rule.above)
    )


def _expected(rule: Field | Table) -> str:
    if isinstance(rule, Table):
        return "a table"
    if rule.choices:
        return "one of " + ", ".join(map(repr, rule.choices))
    names = {"text": "a text", "texts": "a list of texts", "integers": "a list of integers", "boolean": "true or false"}
    words = names.get(rule.type, f"a{'n' if rule.type == 'integer' else ''} {rule.type}")
    if rule.low is not None and rule.low == rule.high:
        return f"{rule.low:g}"
    bounds = [
        f"{sign} {bound:g}"
        for sign, bound in ((">", rule.above), (">=", rule.low), ("<=", rule.high))
        if bound is not None
    ]
    return words + (" " + " and ".join(bounds) if bounds else "")
