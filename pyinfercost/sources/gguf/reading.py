"""The header of a GGUF file, without the library that wrote it: settings by key, and the tensors.

The format (ggml/docs/gguf.md): a magic number, the version, the numbers of tensors and of settings; the settings, each
a key, a type and a value; the tensors, each a name, its dimensions from the innermost, a type and an offset; padding
to the alignment; the data. All numbers are little-endian, or in version 3 big-endian on machines that are.

A header is data from outside. All numbers are checked against the size of the file before anything of that length is
read, so that a damaged one ends in an error and not in a large allocation. Long arrays, such as the tokens of a
vocabulary, are skipped, and only their lengths are kept.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..._checks import errors_of_reading, open_file, shown
from ...formats.ggml import GGML_TYPES, GgmlType
from ..loaded_model import SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_MOST_DIMENSIONS = 4
_LONGEST_KEY = 65_535
_LONGEST_NAME = 255
_LONGEST_TEXT = 2**20
"""Limit of a text that is kept; longer ones, such as templates of chats, are skipped."""
_LONGEST_ARRAY = 4096
"""Limit of an array whose numbers are kept: some have one per layer."""
_MOST_SETTINGS = 100_000
_MOST_TENSORS = 200_000
_MOST_ELEMENTS = 4_000_000
"""Limit of the texts and arrays in all arrays of a file, which are read one by one; vocabularies have up to 300,000."""
_DEEPEST_ARRAY = 4
_DEFAULT_ALIGNMENT = 32
_MOST_ALIGNMENT = 2**20
_LONGEST = 2**48
"""Limit of a tensor's elements."""
_LEAST_SETTING = 8 + 4 + 1  # bytes of a key's length, of a type and of the shortest value
_LEAST_ELEMENT = 8  # bytes of the length of a text
_LEAST_TENSOR = 8 + 4 + 4 + 8  # bytes of a name's length, the dimensions' number, a type and an offset

_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9

Scalar = int | float | bool | str
Setting = Scalar | tuple[Scalar, ...]


class Skipped(NamedTuple):
    """A value that is not kept: its length in elements or characters."""

    length: int

    def __repr__(self) -> str:
        return f"a text or an array of {self.length:,} elements"


class Tensor(NamedTuple):
    """A tensor of a file.

    Attributes:
        name: Its name.
        shape: Its dimensions, the outermost first, as in torch.
        type: The type of its elements.
        offset: Its first byte after the start of the data.
    """

    name: str
    shape: tuple[int, ...]
    type: GgmlType
    offset: int

    @property
    def elements(self) -> int:
        """Number of its elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of its data."""
        return self.elements // self.type.weights * self.type.nbytes


@dataclass(frozen=True)
class Header:
    """The header of one file.

    Attributes:
        path: The file.
        version: Version of the format.
        settings: Values by key; long texts and arrays are `Skipped`.
        tensors: The tensors in the order of the file.
    """

    path: Path
    version: int
    settings: Mapping[str, Setting | Skipped]
    tensors: tuple[Tensor, ...]


def read_header(path: Path) -> Header:
    """Return the header of a file; the data of tensors is not read.

    Args:
        path: The file.

    Raises:
        SpecError: It is of another format or damaged.
        MissingFileError: There is no such file.
        FileAccessError: It cannot be read.
    """
    with open_file(path) as file, errors_of_reading(path):
        if not file.read(1):
            raise SpecError(f"{path} is empty; expected a GGUF file")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(path, data).header()


class _Reader:
    """Reads a mapped file from its start.

    Args:
        path: The file, for errors.
        data: Its bytes.
    """

    def __init__(self, path: Path, data: mmap.mmap | bytes) -> None:
        self._path, self._data, self._size, self._at, self._order = path, data, len(data), 0, "<"
        self._elements = 0

    def header(self) -> Header:
        version, tensors, settings = self._start()
        known: dict[str, Setting | Skipped] = {}
        for _ in range(settings):
            key = self._text(_LONGEST_KEY, "a key")
            if key in known:
                raise self._wrong(f"has the setting {shown(key)} twice")
            known[key] = self._value(self._number(4), key)
        found = [self._tensor() for _ in range(tensors)]
        self._check(found, self._alignment(known))
        return Header(self._path, version, known, tuple(found))

    def _start(self) -> tuple[int, int, int]:
        """Return the version and the numbers of tensors and of settings, and note the order of bytes."""
        start = bytes(self._data[: len(MAGIC)])
        if start != MAGIC:
            raise SpecError(
                f"{self._path} starts with {shown(start)}, expected {MAGIC!r}; it is truncated or of another format"
            )
        self._at = len(MAGIC)
        version = self._number(4)
        if version not in _VERSIONS and int.from_bytes(version.to_bytes(4, "little"), "big") in _VERSIONS:
            self._order, self._at = ">", len(MAGIC)
            version = self._number(4)
        if version not in _VERSIONS:
            raise SpecError(
                f"{self._path} has version {version} of GGUF, expected 2 or 3; convert the model again with a "
                "llama.cpp of 2024 or later"
            )
        counts = []
        limits = (("tensors", _MOST_TENSORS, _LEAST_TENSOR), ("settings", _MOST_SETTINGS, _LEAST_SETTING))
        for what, most, least in limits:
            count = self._number(10)
            limit = min(most, self._size // least)
            if count > limit:
                if int.from_bytes(count.to_bytes(8, "little"), "big") <= limit:
                    first, second = ("little", "big") if self._order == "<" else ("big", "little")
                    raise self._wrong(
                        f"has a {first}-endian version and a {second}-endian number of {what}, expected one order"
                    )
                raise self._wrong(f"states {count:,} {what}, which its {self._size:,} bytes do not hold")
            counts.append(count)
        return version, counts[0], counts[1]

    def _wrong(self, what: str) -> SpecError:
        return SpecError(f"{self._path} {what}. Expected a file written by llama.cpp or by the gguf library")

    # ---- values ----

    def _number(self, kind: int) -> int:
        return int(self._unpacked(_NUMBERS[kind], 1)[0])

    def _unpacked(self, code: str, count: int) -> tuple[int | float | bool, ...]:
        form = f"{self._order}{count}{code}"
        start = self._take(struct.calcsize(form))
        values: tuple[int | float | bool, ...] = struct.unpack_from(form, self._data, start)
        return values

    def _take(self, nbytes: int) -> int:
        """Return the place of the next bytes, and go past them."""
        start, end = self._at, self._at + nbytes
        if end > self._size:
            raise self._wrong(f"ends within its header: {nbytes:,} bytes at {start:,} are expected, of {self._size:,}")
        self._at = end
        return start

    def _text(self, most: int, what: str) -> str:
        length = self._number(10)
        if length > most:
            raise self._wrong(f"has {what} of {length:,} bytes, expected at most {most:,}")
        start = self._take(length)
        try:
            return bytes(self._data[start : start + length]).decode()
        except UnicodeDecodeError as wrong:
            raise self._wrong(f"has {what} that is not UTF-8 ({wrong.reason})") from wrong

    def _value(self, kind: int, key: str, depth: int = 0) -> Setting | Skipped:
        if kind in _NUMBERS:
            return self._unpacked(_NUMBERS[kind], 1)[0]
        if kind == _TEXT:
            return self._kept_text(key)
        if kind != _ARRAY:
            raise self._wrong(f"has type {kind} for the setting {shown(key)}, expected 0 to 12")
        if depth >= _DEEPEST_ARRAY:
            raise self._wrong(f"nests the arrays of the setting {shown(key)} more than {_DEEPEST_ARRAY} deep")
        inner, length = self._number(4), self._number(10)
        if inner in _NUMBERS:
            width = struct.calcsize("=" + _NUMBERS[inner])
            if length > _LONGEST_ARRAY:
                self._take(width * length)
                return Skipped(length)
            return self._unpacked(_NUMBERS[inner], length)
        self._elements += length
        if length > (self._size - self._at) // _LEAST_ELEMENT or self._elements > _MOST_ELEMENTS:
            raise self._wrong(
                f"states {length:,} elements for the setting {shown(key)}; expected those in the file, at most "
                f"{_MOST_ELEMENTS:,} in all"
            )
        if inner == _TEXT:
            self._skip_texts(length)
        else:
            for _ in range(length):
                self._value(inner, key, depth + 1)
        return Skipped(length)

    def _skip_texts(self, count: int) -> None:
        length_at = struct.Struct(f"{self._order}Q").unpack_from
        data, at, last = self._data, self._at, self._size - 8
        for _ in range(count):
            if at > last:
                break
            at += 8 + length_at(data, at)[0]
        if at > self._size:
            raise self._wrong(f"ends within the {count:,} texts at byte {self._at:,}")
        self._at = at

    def _kept_text(self, key: str) -> str | Skipped:
        length = self._number(10)
        self._at -= 8
        if length <= _LONGEST_TEXT:
            return self._text(_LONGEST_TEXT, f"a text for {shown(key)}")
        self._at += 8
        self._take(length)
        return Skipped(length)

    # ---- tensors ----

    def _tensor(self) -> Tensor:
        name = self._text(_LONGEST_NAME, "a tensor's name")
        rank = self._number(4)
        if rank > _MOST_DIMENSIONS:
            raise self._wrong(f"has {rank} dimensions for tensor {shown(name)}, expected at most {_MOST_DIMENSIONS}")
        inward = tuple(self._number(10) for _ in range(rank))
        if any(length > _LONGEST for length in inward) or prod(inward) > _LONGEST:
            raise self._wrong(f"has the dimensions {shown(list(inward))} for tensor {shown(name)}, above 2^48 elements")
        number, offset = self._number(4), self._number(10)
        kind = GGML_TYPES.get(number)
        if kind is None:
            known = ", ".join(each.name for each in GGML_TYPES.values())
            raise self._wrong(f"has type {number} for tensor {shown(name)}; known types are {known}")
        if inward and inward[0] % kind.weights:
            raise self._wrong(
                f"has rows of {inward[0]} for tensor {shown(name)}; {kind.name} has blocks of {kind.weights} weights"
            )
        if not inward and kind.weights > 1:
            raise self._wrong(f"has one number of type {kind.name} for tensor {shown(name)}, which has blocks")
        return Tensor(name, tuple(reversed(inward)), kind, offset)

    def _alignment(self, settings: Mapping[str, Setting | Skipped]) -> int:
        alignment = settings.get("general.alignment", _DEFAULT_ALIGNMENT)
        if type(alignment) is not int or not 0 < alignment <= _MOST_ALIGNMENT:
            raise self._wrong(f"has general.alignment {shown(alignment)}, expected a number of bytes up to 2^20")
        return alignment

    def _check(self, tensors: list[Tensor], alignment: int) -> None:
        """Require that tensors follow one another from the end of the header to the end of the file."""
        names: set[str] = set()
        for tensor in tensors:
            if tensor.name in names:
                raise self._wrong(f"has the tensor {shown(tensor.name)} twice")
            names.add(tensor.name)
        begin = -(-self._at // alignment) * alignment
        end, last = 0, ""
        for tensor in sorted(tensors, key=lambda each: (each.offset, each.nbytes)):
            if tensor.offset % alignment:
                raise self._wrong(f"has tensor {shown(tensor.name)} at {tensor.offset:,}, not aligned to {alignment}")
            if tensor.offset < end:
                raise self._wrong(f"has tensor {shown(tensor.name)} at {tensor.offset:,}, within tensor {shown(last)}")
            end, last = tensor.offset + tensor.nbytes, tensor.name
            if begin + end > self._size:
                raise self._wrong(
                    f"should hold tensor {shown(tensor.name)} up to byte {begin + end:,}, but has {self._size:,}; it "
                    "is truncated: download it again"
                )
