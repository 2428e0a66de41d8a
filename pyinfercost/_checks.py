"""Checks of values from outside: numbers in a range, whole numbers, flags, texts, and the content of files."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from errno import EDQUOT, ENAMETOOLONG, ENOSPC
from functools import partial
from math import isfinite
from numbers import Integral, Real
from operator import index
from os import PathLike
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import IO, Any, AnyStr, BinaryIO, NamedTuple, TypeVar

from .errors import Error, FileAccessError, InputError, MissingFileError

_Item = TypeVar("_Item")
_PLAIN_NUMBERS = (int, float)  # tried first: asking an abstract class takes ten times as long
_LONGEST = 200  # characters of a value in a message
_MOST_DIGITS = 40  # of a whole number there
_LOG10_2 = 0.30103
_HALF_OF_A_PAIR = re.compile("[\ud800-\udfff]")


class Range(NamedTuple):
    """Valid values of a number.

    Attributes:
        low: Minimum.
        high: Maximum.
        unit: The unit in words, for messages.
        zero: Whether 0 is valid, too.
        words: Words that stand for numbers, for messages.
    """

    low: float
    high: float
    unit: str = ""
    zero: bool = False
    words: tuple[str, ...] = ()

    def __str__(self) -> str:
        """`0 or a number from 1e-06 to 1e+06 seconds`."""
        unit = f" {self.unit}" if self.unit else ""
        words = f"{', '.join(self.words)}, or " if self.words else ""
        return f"{words}{'0 or ' if self.zero else ''}a number from {self.low:.6g} to {self.high:.6g}{unit}"

    def has(self, value: float) -> bool:
        """Return whether a number is valid; NaN is not."""
        return self.low <= value <= self.high or (self.zero and value == 0)


ANY_AMOUNT = Range(1e-30, 1e30, zero=True)
"""A figure of any unit: what leaves it is damaged, and ratios of two such figures are finite."""

MOST = 1_000_000
COUNT = Range(1, MOST)
"""A number of devices, threads, steps."""

ROWS = Range(0, 2**63 - 1)
"""A number of rows."""


def shown(value: object) -> str:
    """Return a value for a message: its `repr`, shortened, without digits that Python refuses to convert."""
    if isinstance(value, int) and value.bit_length() > _MOST_DIGITS / _LOG10_2:
        return f"a whole number of {int(value.bit_length() * _LOG10_2) + 1} digits"
    try:
        text = repr(value)
    except Exception:  # a whole number in a list, a list in itself, a class of the caller
        return f"a {type(value).__name__}"
    return excerpt(text)


def excerpt(text: str, most: int = _LONGEST) -> str:
    """Return a text for a message; of more than `most` characters, its beginning and its end."""
    half = most // 2
    return text if len(text) <= most else f"{text[:half]}...{text[-half:]}"


def number(value: object, name: str, within: Range, error: type[InputError] = InputError) -> float:
    """Return a number as a float.

    Args:
        value: A real number of Python or numpy.
        name: Its name, for the message.
        within: Its range.
        error: The error to raise.

    Raises:
        InputError: It is no number, or out of range.
    """
    if is_number(value):
        try:
            found = float(value)  # type: ignore[arg-type]
        except OverflowError:
            found = float("inf")
        if within.has(found):
            return found
    raise error(f"{name} is {shown(value)}; expected {within}")


def number_in(text: object, name: str, within: Range, error: type[InputError] = InputError) -> float:
    """Return the number that a text or a number denotes, as `number` does."""
    value = text
    if isinstance(text, str):
        try:
            value = float(text)
        except ValueError:
            raise error(f"{name} is {shown(text)}; expected {within}") from None
    return number(value, name, within, error)


def whole(value: object, name: str, within: Range = COUNT, error: type[InputError] = InputError) -> int:
    """Return a whole number as an int.

    Args:
        value: An integer of Python or numpy.
        name: Its name, for the message.
        within: Its range.
        error: The error to raise.

    Raises:
        InputError: It is no whole number, or out of range.
    """
    if is_whole(value) and within.has(index(value)):  # type: ignore[arg-type]
        return index(value)  # type: ignore[arg-type]
    low, high = (int(bound) for bound in within[:2])
    raise error(f"{name} is {shown(value)}; expected a whole number from {low} to {high}")


def whole_in(text: object, name: str, within: Range = COUNT, error: type[InputError] = InputError) -> int:
    """Return the whole number that a text of decimal digits or a number denotes, as `whole` does."""
    value = text
    if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS:
        value = int(text)
    return whole(value, name, within, error)


def flag(value: object, name: str, error: type[InputError] = InputError) -> bool:
    """Return a truth value; raise an error for anything but `True` and `False`, of Python or numpy."""
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    raise error(f"{name} is {shown(value)}; expected True or False")


def text(value: object, name: str, error: type[InputError] = InputError) -> str:
    """Return a text that UTF-8 can hold; raise an error for anything else."""
    if not isinstance(value, str):
        raise error(f"{name} is {shown(value)}; expected a text")
    if _HALF_OF_A_PAIR.search(value):
        raise error(f"{name} is {shown(value)}, which has half of a surrogate pair; expected text that UTF-8 can hold")
    return value


def is_number(value: object) -> bool:
    """Return whether a value is a real number of Python or numpy; `True` is none."""
    return type(value) in _PLAIN_NUMBERS or (not isinstance(value, bool) and isinstance(value, Real))


def is_whole(value: object) -> bool:
    """Return whether a value is an integer of Python or numpy; `True` is none."""
    return type(value) is int or (not isinstance(value, bool) and isinstance(value, Integral))


# ---- files -----------------------------------------------------------------------------------------------------------


MOST_BYTES = 128 * 2**20
"""Most bytes of a file that is read as a whole."""

_MOST_OF_LINE = 16 * 2**20
_MOST_TOML_BYTES = 2**20  # its parser reads a megabyte in a second
_MOST_PARTS = 100  # of a key with dots
_TOML_MARKS = re.compile(r"[,=\n\[\]{}#]")
_MOST_VALUES = 4_000_000  # of a JSON document, each of which takes up to 200 bytes of memory

# A pipe is opened without waiting for its writer, so that it can be refused.
_READING = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)


def open_file(path: str | PathLike[str], *, buffering: int = -1) -> BinaryIO:
    """Open a file from outside for reading: one of a disk, which has an end.

    Args:
        path: The file.
        buffering: As of `open`.

    Raises:
        MissingFileError: There is no such file.
        FileAccessError: It cannot be read, in which case `errno` has the reason, or is a folder, a pipe or a device.
    """
    try:
        descriptor = os.open(path, _READING)
    except ValueError as wrong:  # a null character, or half of a surrogate pair
        raise MissingFileError(f"{shown(path)} cannot be read: it is no path ({wrong})") from wrong
    except FileNotFoundError as missing:
        raise MissingFileError(f"{path} cannot be read: there is no such file") from missing
    except OSError as failed:
        raise _cannot_be_read(path, failed) from failed
    mode = os.fstat(descriptor).st_mode
    if not S_ISREG(mode):
        os.close(descriptor)
        if S_ISDIR(mode):
            raise FileAccessError(f"{path} is a folder; expected a file")
        raise FileAccessError(f"{path} is a pipe or a device; expected a file: write its content to one, and pass that")
    return os.fdopen(descriptor, "rb", buffering)


@contextmanager
def errors_of_reading(path: str | PathLike[str]) -> Iterator[None]:
    """Turn errors of the system in this block into errors of the package, with the path.

    Raises:
        FileAccessError: The file cannot be read.
    """
    try:
        yield
    except Error:
        raise
    except OSError as failed:
        raise _cannot_be_read(path, failed) from failed


def _cannot_be_read(path: str | PathLike[str], failed: OSError) -> FileAccessError:
    error = FileAccessError(f"{path} cannot be read: {failed.strerror or failed}")
    error.errno = failed.errno
    return error


def read_bytes(path: str | PathLike[str], *, most: int = MOST_BYTES) -> bytes:
    """Return the content of a file.

    Args:
        path: The file.
        most: Most bytes that it may have.

    Raises:
        MissingFileError: There is no such file.
        FileAccessError: It cannot be read, has more bytes, or is none of `open_file`.
    """
    with open_file(path) as file, errors_of_reading(path):
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise FileAccessError(f"{path} has {size:,} bytes; expected at most {most:,}")
        return file.read(size)


def read_text(path: str | PathLike[str], error: type[InputError] = InputError, *, most: int = MOST_BYTES) -> str:
    """Return the content of a text file in UTF-8, without its byte order mark.

    Args:
        path: The file.
        error: The error of a file that is no text.
        most: Most bytes that it may have.

    Raises:
        MissingFileError: There is no such file.
        FileAccessError: As `read_bytes`.
    """
    return decoded(read_bytes(path, most=most), path, error)


def lines_of(file: IO[AnyStr], most: int = _MOST_OF_LINE) -> Iterator[tuple[int, AnyStr]]:
    """Yield the number and the content of each line of a file of any size; one of more than `most` comes in pieces."""
    return enumerate(iter(partial(file.readline, most), file.read(0)), 1)


def decoded(content: bytes, path: str | PathLike[str], error: type[InputError] = InputError) -> str:
    """Return the text of the content of a file, without its byte order mark; raise an error if it is not UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        raise error(f"{path} is not text in UTF-8: {wrong.reason} at byte {wrong.start}") from wrong


def read_json(path: str | PathLike[str], error: type[InputError] = InputError, *, name: str = "") -> Any:
    """Return the value of a JSON file.

    Args:
        path: The file.
        error: The error of a file that is no JSON.
        name: Its name, for messages; by default the path.

    Raises:
        MissingFileError: There is no such file.
        FileAccessError: As `read_bytes`.
    """
    return parse_json(read_text(path, error), name or str(path), error)


def read_toml(path: str | PathLike[str], error: type[InputError] = InputError) -> dict[str, Any]:
    """Return the tables of a TOML file.

    Raises:
        MissingFileError: There is no such file.
        FileAccessError: As `read_bytes`.
    """
    return parse_toml(read_text(path, error, most=_MOST_TOML_BYTES), str(path), error)


def write_text(path: str | PathLike[str], pieces: Iterable[str]) -> None:
    """Write a text file in UTF-8, with the line breaks of the text.

    Args:
        path: The file, which is replaced.
        pieces: Its content, as a text or in pieces.

    Raises:
        FileAccessError: It cannot be written.
    """
    checked = path_of(path)
    lost = "The file is incomplete, and its former content is lost; other files are as they were"
    with errors_of_writing(checked, lost), checked.open("w", encoding="utf-8", newline="") as file:
        file.writelines((pieces,) if isinstance(pieces, str) else pieces)


@contextmanager
def errors_of_writing(path: object, lost: str = "") -> Iterator[None]:
    """Turn errors of the system in this block into errors of the package, with the path.

    Args:
        path: What is written.
        lost: Sentence on what is lost if the disk becomes full.

    Raises:
        FileAccessError: The file cannot be written.
    """
    try:
        yield
    except (Error, BrokenPipeError):  # of what makes the content; a reader that has enough
        raise
    except OSError as failed:
        told = f"cannot write {path}: {failed.strerror or failed}"
        if lost and failed.errno in (ENOSPC, EDQUOT):
            told += f". {lost}. Free space, or write to another disk, and run this again"
        raise FileAccessError(told) from failed


def path_of(path: str | PathLike[str]) -> Path:
    """Return a path, which need not exist.

    Raises:
        FileAccessError: No file system takes such a path.
    """
    try:
        Path(path).stat()
    except ValueError as wrong:  # a null character, or half of a surrogate pair
        raise FileAccessError(f"cannot write {shown(path)}: it is no path ({wrong})") from wrong
    except OSError as failed:
        if failed.errno == ENAMETOOLONG:
            raise FileAccessError(f"cannot write {path}: {failed.strerror}") from failed
    return Path(path)


def file_in_folder(path: str | PathLike[str]) -> Path:
    """Return the path of a file to write, whose folder exists.

    A folder that is missing is more often a typo than a wish, and is made by nobody.

    Raises:
        FileAccessError: No file system takes such a path.
        MissingFileError: The folder does not exist.
    """
    found = path_of(path)
    if not is_folder(found.parent):
        raise MissingFileError(f"cannot write {found}: folder {found.parent} does not exist; create it")
    return found


def is_file(path: Path) -> bool:
    """Return whether a path leads to a file; False for a path that no file system takes."""
    return _answer(path.is_file)


def why_no_file(path: Path) -> str:
    """Return in words why `is_file` is false."""
    return "is a folder" if is_folder(path) else "is a pipe or a device" if exists(path) else "no such file"


def is_folder(path: Path) -> bool:
    """Return whether a path leads to a folder; False for a path that no file system takes."""
    return _answer(path.is_dir)


def exists(path: Path) -> bool:
    """Return whether there is anything at a path; False for a path that no file system takes."""
    return _answer(path.exists)


def _answer(ask: Callable[[], bool]) -> bool:
    try:
        return ask()
    except (OSError, ValueError):  # a name that is too long, a null character
        return False


def parse_json(content: str, name: str, error: type[InputError] = InputError) -> Any:
    """Return the value of a JSON text.

    Args:
        content: The text.
        name: The name of its source, for the message.
        error: The error to raise.

    Raises:
        InputError: It is no JSON, or has too many values for the memory.
    """
    check_values(content, name, error)
    try:
        return json.loads(content)
    except RecursionError as deep:
        raise error(f"{name} is not valid: its JSON is nested too deeply") from deep
    except ValueError as wrong:  # also a number of more digits than Python converts
        raise error(f"{name} is no JSON ({wrong})") from wrong


def check_values(content: str, name: str, error: type[InputError] = InputError) -> None:
    """Reject a JSON text whose values would need more than 1 GB of memory.

    Raises:
        InputError: It has too many.
    """
    if len(content) > _MOST_VALUES and sum(map(content.count, ",[{")) > _MOST_VALUES:
        raise error(f"{name} has more than {_MOST_VALUES:,} values; expected fewer")


def parse_toml(content: str, name: str, error: type[InputError] = InputError) -> dict[str, Any]:
    """Return the tables of a TOML text.

    Args:
        content: The text.
        name: The name of its source, for the message.
        error: The error to raise.

    Raises:
        InputError: It is no TOML.
    """
    if any(part.count(".") > _MOST_PARTS for part in _TOML_MARKS.split(content)):  # the parser is quadratic in them
        raise error(f"{name} is not a TOML file: a key has more than {_MOST_PARTS} parts")
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]
    try:
        return dict(tomllib.loads(content))
    except RecursionError as deep:
        raise error(f"{name} is not a TOML file: its values are nested too deeply") from deep
    except ValueError as wrong:  # also a number of more digits than Python converts
        raise error(f"{name} is not a TOML file: {wrong}") from wrong


class Fields:
    """The fields of a JSON object, each checked when it is read.

    Args:
        document: The object.
        where: Its name, for messages.
        error: The error to raise.
    """

    def __init__(self, document: object, where: str, error: type[InputError] = InputError) -> None:
        if not isinstance(document, Mapping):
            raise error(f"{where} is {shown(document)}; expected an object")
        self._document = document
        self._where = where
        self._error = error

    def require(self, *keys: str) -> Fields:
        """Return these fields; raise an error if a key is absent."""
        for key in keys:
            if key not in self._document:
                raise self._error(f"{self.name(key)} is missing; expected a value")
        return self

    def text(self, key: str) -> str | None:
        """Return a text; None if it is null or absent."""
        value = self._document.get(key)
        return None if value is None else text(value, self.name(key), self._error)

    def flag(self, key: str) -> bool | None:
        """Return a truth value; None if it is null or absent."""
        value = self._document.get(key)
        return None if value is None else flag(value, self.name(key), self._error)

    def number(self, key: str, within: Range = ANY_AMOUNT) -> float | int | None:
        """Return a number; a whole one stays exact. None if it is null, absent, or not finite."""
        value = self._document.get(key)
        if value is None or (isinstance(value, float) and not isfinite(value)):
            return None
        checked = number(value, self.name(key), within, self._error)
        return int(value) if is_whole(value) else checked

    def whole(self, key: str, within: Range) -> int | None:
        """Return a whole number; None if it is null or absent."""
        value = self._document.get(key)
        return None if value is None else whole(value, self.name(key), within, self._error)

    def inner(self, key: str) -> Fields:
        """Return the fields of an object; of an empty one if it is null or absent."""
        value = self._document.get(key)
        return Fields({} if value is None else value, self.name(key), self._error)

    def each(self, key: str) -> list[Fields] | None:
        """Return the fields of each object of a list; None if it is null or absent."""
        value = self._document.get(key)
        if value is None:
            return None
        if not isinstance(value, (list, tuple)):
            raise self._error(f"{self.name(key)} is {shown(value)}; expected a list of objects")
        return [Fields(item, self.name(f"{key}[{place}]"), self._error) for place, item in enumerate(value)]

    def texts(self, key: str) -> list[str] | None:
        """Return the texts of a list; None if it is null or absent."""
        return self._list(key, "texts", lambda item, name: text(item, name, self._error))

    def wholes(self, key: str, within: Range) -> list[int] | None:
        """Return the whole numbers of a list; None if it is null or absent."""
        return self._list(key, "whole numbers", lambda item, name: whole(item, name, within, self._error))

    def _list(self, key: str, of: str, check: Callable[[Any, str], _Item]) -> list[_Item] | None:
        value = self._document.get(key)
        if value is None:
            return None
        if not isinstance(value, (list, tuple)):
            raise self._error(f"{self.name(key)} is {shown(value)}; expected a list of {of}")
        return [check(item, self.name(f"{key}[{place}]")) for place, item in enumerate(value)]

    def has(self, key: str) -> bool:
        """Return whether a key has a value other than null."""
        return self._document.get(key) is not None

    def items(self) -> list[tuple[str, Any]]:
        """Return the keys and values.

        Raises:
            InputError: A key is no text.
        """
        return [(text(key, f"a key of {self._where}", self._error), value) for key, value in self._document.items()]

    def name(self, key: str) -> str:
        """Return the name of a field, for messages."""
        return f"{key} of {self._where}"
