"""TOML files; files of the package are kept in the cache as JSON, which is read ten times faster."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from . import _cache, _checks
from .errors import Error, InputError

_PACKAGE = Path(__file__).parent


def read_toml(path: Path, error: type[InputError] = InputError) -> dict[str, Any]:
    """Parse a TOML file.

    Raises:
        InputError: The file cannot be read, or is no TOML; the message names it.
    """
    if _PACKAGE not in path.parents:
        return _parsed(path, error)
    key = _cache.digest(str(path), _cache.of_file(str(path)))
    if (stored := _cache.read("toml", key)) is not None:
        return dict(json.loads(stored))
    content = _parsed(path, error)
    with suppress(TypeError):  # a date, which JSON does not have
        _cache.write("toml", key, json.dumps(content).encode())
    return content


def _parsed(path: Path, error: type[InputError]) -> dict[str, Any]:
    try:
        return _checks.read_toml(path, error)
    except error:
        raise
    except Error as failed:  # no file, or one that cannot be read
        raise error(str(failed)) from failed
