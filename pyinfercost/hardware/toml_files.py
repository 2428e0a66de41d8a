"""TOML files: those of the package are kept in the cache as JSON, which is read ten times faster."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from .. import _cache, _checks
from ..errors import Error
from .errors import HardwareFileError

_PACKAGE = Path(__file__).parent.parent


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file.

    Raises:
        HardwareFileError: The file cannot be read, or is no TOML; the message names it.
    """
    if _PACKAGE not in path.parents:
        return _parsed(path)
    key = _cache.digest(str(path), _cache.of_file(str(path)))
    if (stored := _cache.read("toml", key)) is not None:
        return dict(json.loads(stored))
    content = _parsed(path)
    with suppress(TypeError):  # a date, which JSON does not have
        _cache.write("toml", key, json.dumps(content).encode())
    return content


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return _checks.read_toml(path, HardwareFileError)
    except HardwareFileError:
        raise
    except Error as error:  # no file, or one that cannot be read
        raise HardwareFileError(str(error)) from error
