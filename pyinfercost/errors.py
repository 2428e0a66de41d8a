"""All errors of the package, under one base, and its warnings about models and energy.

`Error` is the base. Each error is also the built-in exception that a Python user expects (`ValueError`, `KeyError`,
`OSError`, ...), so `except ValueError` works as before. Rooms derive their own from these; the compiled core raises
those that it defines.

A message shows control and bidirectional characters of the input as escapes, so that it is safe on a terminal.
"""

from __future__ import annotations

from ._core import CountOverflowError, Error, InputError, InputIndexError, InputTypeError, LayoutError, StateError
from ._escapes import visible_lines

__all__ = [
    "CheckpointSizeWarning",
    "ConservationWarning",
    "CountOverflowError",
    "EnergyUnknownWarning",
    "Error",
    "ExistingFileError",
    "FileAccessError",
    "InputError",
    "InputIndexError",
    "InputTypeError",
    "LayoutError",
    "MissingFileError",
    "MissingLibraryError",
    "PositionsWarning",
    "StateError",
    "TooLargeError",
    "UnknownNameError",
    "UnsupportedError",
    "WindowWarning",
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


class CheckpointSizeWarning(UserWarning):
    """The files of a checkpoint hold more or fewer bytes than its config describes."""


class PositionsWarning(UserWarning):
    """A model is given more tokens than its config states positions."""


class WindowWarning(UserWarning):
    """Lengths of a grid are on both sides of a window, and its graph has the mask of the window at all of them."""


class ConservationWarning(UserWarning):
    """A graph that was made of another one has more or less work than that one."""


class EnergyUnknownWarning(UserWarning):
    """No energy counter is readable; the message states which counter, the reason and a remedy."""


def _message(error: BaseException) -> str:
    # KeyError alone would show the repr of its message.
    return visible_lines(", ".join(map(str, error.args)))


Error.__str__ = _message  # type: ignore[method-assign]  # the core creates the class
