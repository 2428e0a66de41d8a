"""All errors of the package, under one base.

`Error` is the base. Each error is also the built-in exception that a Python user expects (`ValueError`, `KeyError`,
`OSError`, ...), so `except ValueError` works as before. Rooms derive their own from these; the compiled core raises
those that it defines.

A message shows control and bidirectional characters of the input as escapes, so that it is safe on a terminal.
"""

from __future__ import annotations

from ._core import CountOverflowError, Error, InputError, InputIndexError, InputTypeError, StateError
from ._escapes import visible_lines

__all__ = [
    "CountOverflowError",
    "Error",
    "ExistingFileError",
    "FileAccessError",
    "InputError",
    "InputIndexError",
    "InputTypeError",
    "MissingFileError",
    "MissingLibraryError",
    "StateError",
    "TooLargeError",
    "UnknownNameError",
    "UnsupportedError",
]


class UnknownNameError(InputError, KeyError):
    """A name that nothing has: of a machine, a column, an option."""


class TooLargeError(InputError, MemoryError):
    """An input whose result would not fit in memory."""


class MissingFileError(InputError, FileNotFoundError):
    """A path at which there is no file or folder."""


class ExistingFileError(InputError, FileExistsError):
    """A path at which there is a file already."""


class FileAccessError(Error, OSError):
    """A file or folder that cannot be read or written; damaged content is an `InputError`."""


class MissingLibraryError(Error, ImportError):
    """A library that is not installed; the message names the extra that installs it."""


class UnsupportedError(Error, NotImplementedError):
    """Valid input that this version does not handle."""


def _message(error: BaseException) -> str:
    # KeyError alone would show the repr of its message.
    return visible_lines(", ".join(map(str, error.args)))


Error.__str__ = _message  # type: ignore[method-assign]  # the core creates the class
