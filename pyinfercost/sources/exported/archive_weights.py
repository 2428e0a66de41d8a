"""The zip container of a `.pt2` file: its JSON entries, and the places of its weights in the file."""

from __future__ import annotations

import json
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from ..._checks import MOST_BYTES, errors_of_reading, excerpt, open_file, parse_json
from ...errors import InputError

_WEIGHTS = "data/weights/"
_CONSTANTS = "data/constants/"
_CONFIG = "_config.json"
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, then the lengths of the following name and extra field
_LOCAL_SIGNATURE = b"PK\x03\x04"
_LONGEST_MESSAGE = 2_000  # characters
_LONGEST = 2**48  # limit of sizes, strides and offsets

# torch._export.serde.schema.ScalarType: code -> (torch's name, bytes per element)
_SCALAR_TYPES = {
    1: ("uint8", 1),
    2: ("int8", 1),
    3: ("int16", 2),
    4: ("int32", 4),
    5: ("int64", 8),
    6: ("float16", 2),
    7: ("float32", 4),
    8: ("float64", 8),
    9: ("complex32", 4),
    10: ("complex64", 8),
    11: ("complex128", 16),
    12: ("bool", 1),
    13: ("bfloat16", 2),
    28: ("uint16", 2),
    29: ("float8_e4m3fn", 1),
    30: ("float8_e5m2", 1),
    31: ("float8_e4m3fnuz", 1),
    32: ("float8_e5m2fnuz", 1),
    33: ("float8_e8m0fnu", 1),
    34: ("uint32", 4),
    35: ("uint64", 8),
}


class ArchiveError(InputError):
    """A `.pt2` file cannot be read; the message names the entry and what is expected in it."""


class Weight(NamedTuple):
    """One tensor in the archive.

    Attributes:
        path: The archive.
        offset: Offset of its first byte in the file.
        stored_bytes: Bytes from its first to its last element.
        dtype: Torch's name of the dtype (`float32`).
        shape: Number of elements by dimension.
        strides: Strides in elements.
        is_parameter: False for a buffer or a constant.
    """

    path: Path
    offset: int
    stored_bytes: int
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    is_parameter: bool

    def read(self) -> bytes:
        """Return its bytes.

        Raises:
            ArchiveError: The file is shorter than when it was opened.
        """
        with open_file(self.path) as file:
            file.seek(self.offset)
            data = file.read(self.stored_bytes)
        if len(data) < self.stored_bytes:
            raise ArchiveError(f"{self.path}: ends in the middle of a weight; it was truncated")
        return data


def scalar_type(code: int) -> str:
    """Return the dtype of a code in torch's export schema."""
    if code not in _SCALAR_TYPES:
        raise InputError(f"dtype code {code!r} is unknown; expected one of {sorted(_SCALAR_TYPES)}")
    return _SCALAR_TYPES[code][0]


def element_bytes(code: int) -> int:
    """Return the bytes per element of that dtype."""
    scalar_type(code)
    return _SCALAR_TYPES[code][1]


class Archive:
    """An open `.pt2` file.

    Args:
        path: Path of the file.

    Raises:
        ArchiveError: It is not a zip archive, or does not have torch's layout.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file = open_file(self.path)
        self.size = os.fstat(self._file.fileno()).st_size
        try:
            with errors_of_reading(self.path):
                self._zip = zipfile.ZipFile(self._file)
        except (zipfile.BadZipFile, struct.error, ValueError, NotImplementedError) as error:
            self._file.close()
            raise self.error(
                f"not a complete zip archive ({error}); expected a file written by torch.export.save"
            ) from error
        # All entries are in one folder named after the file at the time of saving, which may have been renamed since.
        self._entries = {info.filename.partition("/")[2]: info for info in self._zip.infolist()}
        self.names = list(self._entries)
        try:
            self._check_layout()
        except ArchiveError:
            self._file.close()
            raise

    def _check_layout(self) -> None:
        if "archive_format" not in self._entries:
            old = any(info.filename == "serialized_exported_program.json" for info in self._zip.infolist())
            found = (
                "was written by torch 2.7 or older"
                if old
                else "has no entry archive_format, so it is truncated or another kind of zip"
            )
            raise self.error(f"{found}; expected a whole file written by torch.export.save of torch 2.8 or newer")
        found_format = self.read("archive_format").decode("utf-8", "replace").strip()
        if found_format != "pt2":
            raise self.error(f"archive_format is {found_format!r}; expected 'pt2'")
        order = self.read("byteorder").decode("utf-8", "replace").strip() if "byteorder" in self._entries else "little"
        if order != "little":
            raise self.error(f"byteorder is {order!r}; expected 'little'")

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def error(self, message: str) -> ArchiveError:
        """Return an `ArchiveError` whose message starts with the file's path; texts of the file are shortened."""
        return ArchiveError(f"{self.path}: {excerpt(message, most=_LONGEST_MESSAGE)}")

    def read(self, name: str) -> bytes:
        """Return the bytes of a small entry."""
        info = self._stored(name)
        if info.file_size > MOST_BYTES:
            raise self.error(f"entry {name} has {info.file_size:,} bytes; expected at most {MOST_BYTES:,}")
        try:
            return self._zip.read(info)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, struct.error, OverflowError) as error:
            raise self.error(f"entry {name} is damaged: {error}") from error

    def json(self, name: str) -> dict[str, Any]:
        """Return a JSON entry."""
        content = self.read(name)
        try:
            value = parse_json(content.decode(), f"entry {name}")
        except ValueError as error:
            raise self.error(str(error)) from error
        if not isinstance(value, dict):
            raise self.error(f"entry {name} is a {type(value).__name__}; expected a JSON object")
        return value

    def payloads(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Yield name, entry and metadata of every stored tensor, in the program's order."""
        for folder in (_WEIGHTS, _CONSTANTS):
            for config in sorted(n for n in self.names if n.startswith(folder) and n.endswith(_CONFIG)):
                for name, payload in self._payload_config(config).items():
                    if payload.get("tensor_meta") and not payload.get("use_pickle"):
                        yield name, folder + payload["path_name"], payload

    def has_pickled_payloads(self) -> bool:
        """Return whether a stored tensor is marked as a pickle."""
        configs = (name for name in self.names if name.startswith((_WEIGHTS, _CONSTANTS)) and name.endswith(_CONFIG))
        return any(
            payload.get("tensor_meta") and payload.get("use_pickle")
            for config in configs
            for payload in self._payload_config(config).values()
        )

    def _payload_config(self, entry: str) -> dict[str, Any]:
        config = self.json(entry).get("config")
        if not isinstance(config, dict) or not all(
            isinstance(p, dict) and isinstance(p.get("path_name"), str) for p in config.values()
        ):
            raise self.error(
                f"entry {entry} does not map names to payloads; expected {{'config': {{name: {{'path_name': ...}}}}}}"
            )
        return config

    def tied_names(self) -> dict[str, str]:
        """Return name -> the first name with the same bytes."""
        first: dict[tuple[str, str], str] = {}
        return {
            name: first.setdefault((entry, json.dumps(p["tensor_meta"])), name) for name, entry, p in self.payloads()
        }

    def span(self, name: str) -> tuple[int, int]:
        """Return the position of an entry's bytes in the file: (offset, length).

        Args:
            name: An entry, without the archive's top folder.
        """
        info = self._stored(name)
        header = b""
        if 0 <= info.header_offset < self.size:
            self._file.seek(info.header_offset)
            header = self._file.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size:
            raise self.error(f"entry {name} should start at byte {info.header_offset}, but the file ends before it")
        signature, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        if signature != _LOCAL_SIGNATURE:
            raise self.error(f"entry {name} should start at byte {info.header_offset}, but there is no zip entry")
        return info.header_offset + _LOCAL_HEADER.size + name_length + extra_length, info.file_size

    def _stored(self, name: str) -> zipfile.ZipInfo:
        info = self._entries.get(name)
        if info is None:
            raise self.error(f"entry {name} is missing; the archive has {len(self.names)} entries")
        if info.compress_type != zipfile.ZIP_STORED:
            raise self.error(
                f"entry {name} is compressed (method {info.compress_type}); expected stored, as "
                "torch.export.save never compresses"
            )
        if info.compress_size != info.file_size:
            raise self.error(
                f"entry {name} has {info.file_size:,} bytes, stored in {info.compress_size:,}; expected as many: "
                "the archive is damaged"
            )
        return info


def weights(path: str | os.PathLike[str]) -> Mapping[str, Weight]:
    """Return the parameters, buffers and constants of a `.pt2` file, without reading them.

    Args:
        path: Path of the file.

    Returns:
        Name -> `Weight`. Tied weights have the same bytes under each of their names.

    Raises:
        ArchiveError: The file is damaged, or a weight exceeds its entry.
    """
    with Archive(path) as archive:
        payloads = list(archive.payloads())
        if not payloads:
            if archive.has_pickled_payloads():
                raise archive.error("stores all its weights as pickles, which are not opened; expected raw entries")
            pickled = [name for name in archive.names if name.startswith(_WEIGHTS) and name.endswith(".pt")]
            if pickled:
                raise archive.error(
                    f"stores its weights in a pickle, {pickled[0]}; expected raw entries, so save it again with a "
                    "newer torch"
                )
            return {}
        spans: dict[str, tuple[int, int]] = {}
        found = {}
        for name, entry, payload in payloads:
            if entry not in spans:
                spans[entry] = archive.span(entry)
            found[name] = _weight(archive, spans[entry], entry, payload)
        return found


def _weight(archive: Archive, span: tuple[int, int], entry: str, payload: dict[str, Any]) -> Weight:
    meta = payload["tensor_meta"]
    try:
        dtype, width = _SCALAR_TYPES[meta["dtype"]]
        shape, strides = (tuple(int(s["as_int"]) for s in meta[key]) for key in ("sizes", "strides"))
        first = int(meta["storage_offset"]["as_int"])
        # Extent of a strided view, in elements.
        reach = 0 if 0 in shape else 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
        if min((first, *shape, *strides)) < 0 or max((first, *shape, *strides)) > _LONGEST:
            raise InputError("a size, stride or offset is not from 0 to 2^48")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise archive.error(
            f"entry {entry} has metadata {excerpt(repr(meta))}; expected a dtype, integer sizes, strides and an offset"
        ) from error
    offset, length = span
    size = archive.size
    start, stop = first * width, (first + reach) * width
    if stop > length or offset + length > size:
        raise archive.error(f"entry {entry} has {min(length, max(0, size - offset))} bytes; expected at least {stop}")
    return Weight(
        archive.path, offset + start, stop - start, dtype, shape, strides, is_parameter=bool(payload.get("is_param"))
    )
