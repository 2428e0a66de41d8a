"""The manifest of a stored sweep: a JSON file that identifies the sweep and names its columns."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .._checks import open_file
from ..errors import ExistingFileError, InputError, MissingFileError, TooLargeError
from .columns import column_names
from .execute import sizes_of
from .files import file_errors, is_temporary, make_folder, write_whole

if TYPE_CHECKING:
    from .execute import Run

MANIFEST = "_sweep.json"
SCHEMA_VERSION = 2

MOST_PARTS = 2**20
"""Maximum number of parts of a sweep: 10^12 points in parts of the usual size."""

STALE_S = 60.0
"""Seconds after which an unchanged temporary file counts as left by a stopped run; a part takes less."""

_MOST_BYTES = 2**24
"""Maximum size of a manifest: a hundred thousand names of columns."""


class Manifest(NamedTuple):
    """The content of a manifest.

    Attributes:
        schema_version: `SCHEMA_VERSION`.
        key: `SweepSpec.key`.
        where: The condition on the points that are kept; None keeps all.
        model: Name of the model.
        points: Points of the grid.
        chunk_points: Points of the grid in a part, less in the last one.
        parts: Number of parts.
        columns: Names of the columns, in order.
        sizes: The columns that are sizes.
    """

    schema_version: int
    key: str
    where: str | None
    model: str
    points: int
    chunk_points: int
    parts: int
    columns: tuple[str, ...]
    sizes: tuple[str, ...]

    @property
    def sweep_id(self) -> str:
        """A hash in each part of this sweep, of all inputs of a part except its number."""
        identity = json.dumps([self.key, self.where, self.chunk_points])
        return hashlib.sha256(identity.encode()).hexdigest()[:32]


def manifest_of(run: Run) -> Manifest:
    """Return the manifest of a run.

    Raises:
        TooLargeError: It has more than `MOST_PARTS` parts.
    """
    spec = run.spec
    if run.chunks > MOST_PARTS:
        raise TooLargeError(
            f"the grid has {len(spec):,} points, in {run.chunks:,} parts; pass fewer points, so that a folder has "
            f"{MOST_PARTS:,} parts at the most"
        )
    return Manifest(
        schema_version=SCHEMA_VERSION,
        key=spec.key,
        where=None if run.condition is None else run.condition.text,
        model=spec.model,
        points=len(spec),
        chunk_points=run.size,
        parts=run.chunks,
        columns=column_names(spec.grid, spec.facts),
        sizes=sizes_of(spec),
    )


def open_folder(run: Run, path: Path) -> Manifest:
    """Make the folder, or check that it has this sweep, and return its manifest.

    Raises:
        ExistingFileError: The folder has other content.
        FileAccessError: It cannot be written.
    """
    manifest = manifest_of(run)
    with file_errors(path, "pass a folder as out= that can be written"):
        check_folder(path)
        make_folder(path)
        if not (path / MANIFEST).exists():
            text = json.dumps(manifest._asdict(), indent=2) + "\n"
            write_whole(path / MANIFEST, [text.encode()], overwrite=False)
        # Read back, since another run may have written it first.
        held = read_manifest(path)
        if held != manifest:
            raise ExistingFileError(
                f"{path} has another sweep (of {held.model!r}; a graph, an axis, a filter or the version differs); "
                "pass another folder, or remove this one"
            )
        for file in path.iterdir():
            with suppress(FileNotFoundError):
                if is_temporary(file) and time.time() - file.stat().st_mtime > STALE_S:
                    file.unlink()
    return manifest


def check_folder(path: Path) -> None:
    """Check that a folder does not exist, is empty, or has a sweep.

    Raises:
        ExistingFileError: It has other content.
    """
    if path.exists() and not path.is_dir():
        raise ExistingFileError(f"{path} is a file; expected a folder for the parts of a sweep")
    if path.is_dir() and not (path / MANIFEST).exists():
        others = any(not is_temporary(file) for file in path.iterdir())
        if others and not (path / MANIFEST).exists():  # another run may have begun meanwhile
            raise ExistingFileError(f"{path} is not empty and has no sweep; pass another folder")


def read_manifest(path: Path) -> Manifest:
    """Return the manifest of a folder.

    Raises:
        MissingFileError: The folder has no sweep.
        FileAccessError: The manifest cannot be read.
        InputError: It is invalid, or of another version; the message names the key.
    """
    file = path / MANIFEST
    with file_errors(file, "pass a folder that can be read"):
        if not file.exists():
            raise MissingFileError(f"{path} has no sweep: {MANIFEST} is missing")
        with open_file(file) as stream:
            data = stream.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise InputError(f"{file} is no manifest of a sweep: it has more than {_MOST_BYTES:,} bytes")
    try:
        held = json.loads(data.decode())
    except RecursionError:
        raise InputError(f"{file} is no manifest of a sweep: it nests too deeply") from None
    except ValueError as error:
        raise InputError(f"{file} is no manifest of a sweep: {error}") from None
    if not isinstance(held, dict):
        raise InputError(f"{file} is no manifest of a sweep: expected an object, got {_short(held)}")
    version = held.get("schema_version")
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{file} has schema_version {_short(version)}; expected {SCHEMA_VERSION}. Run the sweep into another folder"
        )
    for key in Manifest._fields:
        if key not in held:
            raise InputError(f"{file} has no {key!r}; {_ANEW}")
        expected = _EXPECTED.get(key)
        if expected is not None and not expected[0](held[key]):
            raise InputError(f"{file} has {key} {_short(held[key])}; expected {expected[1]}. {_ANEW.capitalize()}")
    values: dict[str, Any] = {key: held[key] for key in Manifest._fields}
    manifest = Manifest(**{**values, "columns": tuple(held["columns"]), "sizes": tuple(held["sizes"])})
    parts = -(-manifest.points // manifest.chunk_points)
    if manifest.parts != parts:
        raise InputError(
            f"{file} has parts {manifest.parts}; expected {parts}, for {manifest.points} points in parts of "
            f"{manifest.chunk_points}. {_ANEW.capitalize()}"
        )
    if others := [name for name in manifest.sizes if name not in manifest.columns]:
        raise InputError(f"{file} has sizes {_short(others)}, which columns lack. {_ANEW.capitalize()}")
    return manifest


_ANEW = "remove the folder and run the sweep again"


def _short(value: object) -> str:
    """Return the start of a value, in characters that every terminal and file takes."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:60]}..."  # noqa: PLR2004


def _is_text(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON allows and no file takes
        return False
    return True


def _are_names(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value)) and len(set(value)) == len(value)


def _is_count(most: int) -> Callable[[object], bool]:
    return lambda value: type(value) is int and 1 <= value <= most


_EXPECTED: dict[str, tuple[Callable[[object], bool], str]] = {
    "key": (lambda value: bool(re.fullmatch("[0-9a-f]{64}", str(value))), "64 hexadecimal digits"),
    "where": (lambda value: value is None or _is_text(value), "a text in Unicode, or null"),
    "model": (_is_text, "a text in Unicode"),
    "points": (_is_count(2**63 - 1), "a whole number from 1 to 2^63 - 1"),
    "chunk_points": (_is_count(2**63 - 1), "a whole number from 1 to 2^63 - 1"),
    "parts": (_is_count(MOST_PARTS), f"a whole number from 1 to {MOST_PARTS}"),
    "columns": (lambda value: bool(value) and _are_names(value), "a list of different names"),
    "sizes": (_are_names, "a list of different names"),
}
