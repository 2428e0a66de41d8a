"""Checks of hardware files against the core's schema (csrc/hardware/file_schema.cpp)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from .. import _core
from ..errors import InputError
from .errors import HardwareFileError

SCHEMA_VERSION: int = _core.HARDWARE_FILE_VERSION

KINDS = ("gpu", "cpu", "systolic")

BAND_CLASSES: tuple[str, ...] = tuple(_core.band_classes())
"""Classes of kernels that may have a band of their own, by their tables in calibration files."""

_MOST = 2**63


def check(data: Mapping[str, Any], kind: Literal["calibration", "bands"], path: Path) -> None:
    """Check the content of a file of calibration constants or of error bands against its schema.

    Raises:
        HardwareFileError: A key is unknown or missing, or a value has the wrong type or is out of range.
    """
    try:
        _core.check_hardware_file(as_json(data), kind=kind, name=str(path))
    except InputError as error:
        raise HardwareFileError(str(error)) from None


def as_json(data: Mapping[str, Any]) -> str:
    """Return the content of a TOML file as JSON; values that JSON lacks become their text, which checks refuse."""
    return json.dumps(_plain(data))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    is_plain = isinstance(value, (bool, str)) or (isinstance(value, int) and -_MOST <= value < _MOST)
    return value if is_plain or (isinstance(value, float) and isfinite(value)) else str(value)
