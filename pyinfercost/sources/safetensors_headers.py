"""Headers of `.safetensors` files, without their library: eight bytes of length, a JSON object, and raw tensors."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from os import fstat
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

from .._checks import check_values, errors_of_reading, open_file, read_json, shown
from .._core import element_bits
from ..errors import InputError

DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
    "F4": "float4_e2m1fn_x2",
    "C64": "complex64",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}
"""Names in files -> names in the core."""

LONGEST = 2**48
"""Limit of each dimension of a tensor."""

_LENGTH_BYTES = 8
_LONGEST_HEADER = 32 * 2**20
"""Bytes of a header, whose objects take up to 25 times as much memory. Of 100,000 tensors it has 12 MB."""
_MOST_TENSORS = 250_000
"""Limit of tensors of a file. A scan of one takes 40 to 60 us and 2.5 kB, however small it is."""
_MOST_DIMENSIONS = 64
"""Limit of torch's tensors."""
_INDEX = ".index.json"
_SUFFIX = ".safetensors"


class Entry(NamedTuple):
    """A tensor in a file: its dtype in the file's notation, its shape, and the range of its bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


class Bytes(Protocol):
    """A file that is open for reading."""

    path: Path
    size: int

    def read(self, start: int, stop: int) -> bytes:
        """Return a range of bytes."""
        ...


def files_of(path: Path, error: type[InputError]) -> dict[Path, frozenset[str] | None]:
    """Return the files of a path, each with the tensors that an index lists for it, or None without an index.

    Args:
        path: A file, an index, or a folder with either.
        error: The error of a folder without files and of an index that is not valid.
    """
    if path.is_dir():
        indices = sorted(path.glob(f"*{_SUFFIX}{_INDEX}"))
        if len(indices) > 1:
            names = ", ".join(index.name for index in indices)
            raise error(f"{path} has {len(indices)} indices ({names}); pass the path of one of them")
        if indices:
            return _indexed(indices[0], error)
        files = sorted(path.glob(f"*{_SUFFIX}"))
        if not files:
            raise error(f"{path} has no {_SUFFIX} files; expected a folder with a model's weights")
        return dict.fromkeys(files)
    return _indexed(path, error) if path.name.endswith(".json") else {path: None}


def _indexed(index: Path, error: type[InputError]) -> dict[Path, frozenset[str] | None]:
    document = read_json(index, error)
    places = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(places, dict) or not all(isinstance(file, str) for file in places.values()):
        raise error(
            f"{index} has no weight_map of names to files; expected model{_SUFFIX}{_INDEX}. Graphs and configs have "
            f"no weights: pass the {_SUFFIX} file or the folder"
        )
    names: dict[str, list[str]] = {}
    for name, file in places.items():
        names.setdefault(file, []).append(name)
    for file in names:
        if Path(file).name != file:
            raise error(f"{index} names the file {file!r}; expected a file in the same folder")
    return {index.parent / file: frozenset(of_file) for file, of_file in names.items()}


def read_header(path: Path, error: type[InputError]) -> list[Entry]:
    """Return the tensors of a file by its header; the tensors themselves are not read.

    Args:
        path: The file.
        error: The error of a file that is of another format or damaged.

    Raises:
        MissingFileError: There is no such file.
        FileAccessError: It cannot be read.
    """
    with open_file(path) as file, errors_of_reading(path):
        return entries(_File(path, file), error)


class _File:
    """A file that is open for reading."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self.size, self._file = path, fstat(file.fileno()).st_size, file

    def read(self, start: int, stop: int) -> bytes:
        """Return a range of bytes."""
        self._file.seek(start)
        return self._file.read(stop - start)


def entries(file: Bytes, error: type[InputError]) -> list[Entry]:
    """Return the tensors of a file in the order of their bytes.

    Args:
        file: The open file.
        error: The error of an invalid header or entry.

    Returns:
        The tensors.
    """

    def wrong(what: str) -> InputError:
        return error(f"{file.path} {what}. Expected a file written by safetensors")

    if file.size < _LENGTH_BYTES:
        raise wrong(f"has {file.size} bytes, expected {_LENGTH_BYTES} of length and a header")
    length = int.from_bytes(file.read(0, _LENGTH_BYTES), "little")
    begin = _LENGTH_BYTES + length
    if length > _LONGEST_HEADER and begin <= file.size:
        raise wrong(f"states a header of {length:,} bytes; expected at most {_LONGEST_HEADER:,}")
    if begin > file.size:
        raise wrong(
            f"states a header of {length} bytes, but the file has {file.size}; it is truncated or of another format",
        )
    content = file.read(_LENGTH_BYTES, begin).decode(errors="replace")
    check_values(content, f"the header of {file.path}", error)
    try:
        header = json.loads(content, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as failed:
        raise wrong(f"has a header that is not JSON ({failed})") from failed
    if not isinstance(header, dict):
        raise wrong(f"has a {type(header).__name__} as header, expected a JSON object")
    if len(header) > _MOST_TENSORS:
        raise wrong(f"has {len(header):,} tensors; expected at most {_MOST_TENSORS:,} in a file")
    found = [_entry(file.size, name, entry, begin, wrong) for name, entry in header.items() if name != "__metadata__"]
    found.sort(key=lambda entry: (entry.start, entry.stop))
    at = begin
    for entry in found:
        if entry.start != at:
            raise wrong(
                f"has tensor {entry.name!r} at byte {entry.start}; expected it at byte {at}, where the tensor before "
                "it ends: the offsets overlap or leave a gap",
            )
        at = entry.stop
    if at != file.size:
        raise wrong(f"has {file.size - at} bytes behind its last tensor")
    return found


def _entry(size: int, name: str, entry: Any, begin: int, wrong: Callable[[str], InputError]) -> Entry:
    try:
        dtype, shape, (start, stop) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        if len(shape) > _MOST_DIMENSIONS:
            raise InputError(f"it has {len(shape):,} dimensions, at most {_MOST_DIMENSIONS} are possible")
        if not isinstance(dtype, str) or not all(type(n) is int and 0 <= n <= LONGEST for n in (*shape, start, stop)):
            raise InputError("a size or an offset is not an integer from 0 to 2^48")
    except (KeyError, TypeError, ValueError) as failed:
        raise wrong(
            f"has {shown(entry)} for tensor {shown(name)}, expected its dtype, shape and data_offsets ({failed})"
        ) from failed
    if stop < start or begin + stop > size:
        raise wrong(
            f"should hold tensor {name!r} in bytes {begin + start} to {begin + stop}, but has {size}; it is "
            "truncated: download it again",
        )
    if dtype in DTYPES:
        needed = (math.prod(shape) * element_bits(DTYPES[dtype]) + 7) // 8
        if stop - start != needed:
            raise wrong(
                f"has {stop - start} bytes for tensor {name!r}, expected {needed} for {dtype} of shape {list(shape)}",
            )
    return Entry(name, dtype, shape, begin + start, begin + stop)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        known: set[str] = set()
        for name, _ in pairs:
            if name in known:
                raise InputError(f"{name!r} occurs twice")
            known.add(name)
    return document


def is_safetensors(path: Path) -> bool:
    """Return whether the name of a path denotes such files."""
    return path.is_dir() or path.name.endswith((_SUFFIX, _INDEX))
