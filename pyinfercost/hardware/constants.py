"""The core's table of calibration constants (csrc/hardware/constant_table.hpp), by table and key of files."""

from __future__ import annotations

from collections.abc import Mapping
from math import nan
from types import MappingProxyType

from .. import _core

_ROWS = _core.calibration_constants()


def _by_table() -> dict[str, dict[str, _core.CalibrationConstant]]:
    found: dict[str, dict[str, _core.CalibrationConstant]] = {}
    for row in _ROWS:
        for table in row.tables:
            found.setdefault(table, {}).update(dict.fromkeys(row.keys, row))
    return found


TABLES: Mapping[str, Mapping[str, _core.CalibrationConstant]] = MappingProxyType(_by_table())
"""Table of calibration files, such as `kernel.softmax` -> key -> constant."""

REQUIRED: tuple[str, ...] = tuple(
    f"{table}.{key}" for table, keys in TABLES.items() for key, row in keys.items() if row.required
)
"""Constants that the file of a kind must set, by `table.key`."""

_KEYS = {
    f"{table}.{name}": key
    for row in _ROWS
    for table in row.tables
    for key, name in zip(row.keys, row.names, strict=True)
}


def constant_of(dotted: str) -> _core.CalibrationConstant:
    """Return the constant of a `table.key` of calibration files.

    Raises:
        KeyError: There is no such table or key.
    """
    table, _, key = dotted.rpartition(".")
    return TABLES[table][key]


def as_written(table: str, values: Mapping[str, float], *, clock_hz: float = nan) -> dict[str, float]:
    """Return constants in the units of calibration files.

    Args:
        table: Their table.
        values: Values in base units, by the names that a machine has for them.
        clock_hz: The clock of the machine's cores, for constants in clocks.

    Returns:
        Values by key.

    Raises:
        KeyError: The table has no such constant.
    """
    keys = {name: _KEYS[f"{table}.{name}"] for name in values}
    return {
        key: _core.calibration_value(f"{table}.{key}", values[name], clock_hz=clock_hz) for name, key in keys.items()
    }
