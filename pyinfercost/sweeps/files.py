"""Files that a crash leaves whole: written under another name, synchronized with the disk, and renamed."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import Error, FileAccessError, InputError, InputTypeError, MissingFileError

# Errors of file systems that cannot synchronize folders.
_NO_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM, errno.EBADF}


def as_path(name: str, value: Any) -> Path:
    """Return an argument as a path.

    Raises:
        InputTypeError: It is no path.
        InputError: It is no valid one.
    """
    try:
        text = os.fspath(value)
    except TypeError:
        raise InputTypeError(f"{name} is {value!r}; expected a path") from None
    if not isinstance(text, str):
        raise InputTypeError(f"{name} is {value!r}; expected a path as str")
    if not text or "\0" in text:
        raise InputError(f"{name} is {text!r}; expected a path that is not empty and has no NUL character")
    return Path(text)


@contextmanager
def file_errors(path: Path, remedy: str) -> Iterator[None]:
    """Raise errors of the file system as errors of the package.

    Args:
        path: The file or folder that is used.
        remedy: The remedy, for the message.

    Raises:
        MissingFileError: There is no such file.
        FileAccessError: It cannot be read or written; `errno` has the reason.
    """
    try:
        yield
    except Error:
        raise
    except OSError as error:
        kind = MissingFileError if isinstance(error, FileNotFoundError) else FileAccessError
        raised = kind(f"{error.filename or path} cannot be used ({error.strerror or error}); {remedy}")
        raised.errno = error.errno
        raise raised from error


def write_whole(target: Path, pieces: Iterable[Any], *, overwrite: bool = True) -> None:
    """Write a file so that a crash of the process or of the machine leaves the old file, the new one, or none.

    Args:
        target: The file.
        pieces: Its content, as bytes-like objects.
        overwrite: Whether to replace an existing file; if not, the first of several writers wins.
    """
    # Readers of data sets skip names with a leading dot.
    temporary = target.parent / f".{target.name}.{uuid.uuid4().hex}.tmp"
    pieces = list(pieces)
    try:
        _write(temporary, pieces)
        if overwrite:
            try:
                temporary.replace(target)
            except FileNotFoundError:  # another run removed it as stale
                _write(temporary, pieces)
                temporary.replace(target)
        else:
            try:
                target.hardlink_to(temporary)
            except FileExistsError:
                pass
            except OSError:  # a file system without links
                temporary.replace(target)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    sync_folder(target.parent)


def _write(file: Path, pieces: Iterable[Any]) -> None:
    with file.open("wb") as stream:
        for piece in pieces:
            stream.write(piece)
        stream.flush()
        os.fsync(stream.fileno())


def make_folder(path: Path) -> None:
    """Make a folder and its parents, if they are absent."""
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in made:
        sync_folder(folder.parent)


def sync_folder(path: Path) -> None:
    """Write the names in a folder to the disk, where the file system can."""
    if os.name == "nt":
        return
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def is_temporary(file: Path) -> bool:
    """Return whether a file is one that `write_whole` renames."""
    return file.name.startswith(".") and file.name.endswith(".tmp")
