"""Parts of a stored sweep: Parquet files that hold the sweep they belong to and checksums."""

from __future__ import annotations

import hashlib
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .._checks import open_file
from ..errors import Error, InputError, StateError, UnknownNameError
from .columns import TEXTS
from .condition_syntax import unknown_column
from .execute import sizes_of
from .files import file_errors
from .frames import ROWS_PER_GROUP, library, write_parquet
from .result import Sweep

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .columns import GridColumns
    from .spec import SweepSpec

SEAL = "pyinfercost"
"""Key of the seal in the metadata of a Parquet file."""

_HEX = 32
_BLANK = b"0" * _HEX
_SEAL = re.compile(
    rb'\{"sweep": "([0-9a-f]{32})", "part": ([0-9]{1,8}), "rows": ([0-9]{1,19}), '
    rb'"pages": "([0-9a-f]{8})", "footer": "([0-9a-f]{32})"\}'
)
_END = 8  # bytes after the footer: its length, and the name of the format
_MOST_FOOTER = 2**26
_STRETCH = 2**20


class DamagedPartError(InputError):
    """A part of a stored sweep is damaged, or belongs to another sweep.

    Attributes:
        path: The file.
        reason: Its defect.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} is damaged: {reason}; run the same sweep with out={str(path.parent)!r} again, which computes this "
            "part anew"
        )
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.reason)


def part_file(path: Path, number: int) -> Path:
    """Return the file of a part."""
    return path / f"part-{number:08d}.parquet"


def part_numbers(path: Path, parts: int) -> list[int]:
    """Return the numbers of the parts that a folder has, finished or damaged, in order."""
    with file_errors(path, "pass a folder that can be read"):
        names = [re.fullmatch(r"part-(\d{8})\.parquet", entry.name) for entry in os.scandir(path)]
    return sorted(number for name in names if name and (number := int(name[1])) < parts)


# ---- writing ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PartEncoder:
    """Encodes the results of a chunk as a part, where they are computed.

    Attributes:
        sweep_id: As in `Manifest`.
        chunk_points: Points of the grid in a part.
    """

    sweep_id: str
    chunk_points: int

    def __call__(self, spec: SweepSpec, stretch: slice, columns: GridColumns) -> tuple[Any, bytes]:
        """Return the pages and the footer of a Parquet file."""
        arrow = library("pyarrow", "out=FOLDER")
        file = arrow.BufferOutputStream()
        number = stretch.start // self.chunk_points
        blank = _seal(self.sweep_id, number, columns.rows, 0, _BLANK)
        part = Sweep(spec.model, sizes_of(spec), columns)
        try:
            write_parquet((part.data for part in part.in_stretches(ROWS_PER_GROUP)), file, {SEAL: blank.decode()})
        except arrow.ArrowException as error:
            if isinstance(error, MemoryError):
                raise
            raise StateError(f"part {number} of a sweep cannot be written as Parquet: {error}") from error
        data = file.getvalue()
        end = data.size - _END - int.from_bytes(data.slice(data.size - _END, 4), "little")
        pages, footer = data.slice(0, end), bytes(data.slice(end))
        if footer.count(blank) != 1:
            raise StateError("pyarrow wrote no metadata into a part; install another version of it")
        seal = _seal(self.sweep_id, number, columns.rows, zlib.crc32(pages), _BLANK)
        footer = footer.replace(blank, seal)
        return pages, footer.replace(seal, seal.replace(_BLANK, _digest(footer)))


def _seal(sweep_id: str, number: int, rows: int, pages: int, footer: bytes) -> bytes:
    """Return the seal of a part; all seals of a part have one length, so that a digest can be put in afterwards."""
    return (
        f'{{"sweep": "{sweep_id}", "part": {number}, "rows": {rows}, '
        f'"pages": "{pages:08x}", "footer": "{footer.decode()}"}}'
    ).encode()


def _digest(data: Any) -> bytes:
    return hashlib.blake2b(data, digest_size=_HEX // 2).hexdigest().encode()


# ---- reading ---------------------------------------------------------------------------------------------------------


class Footer(NamedTuple):
    """The seal of a part whose footer is undamaged.

    Attributes:
        rows: Number of points.
        pages: CRC-32 of all before the footer.
        start: Offset of the footer.
    """

    rows: int
    pages: int
    start: int


def read_footer(path: Path, sweep_id: str) -> Footer:
    """Return the seal of a part. A few kilobytes at the end of the file are read.

    Args:
        path: The file, with the name that `part_file` gives it.
        sweep_id: Identity of the sweep that the part must belong to.

    Raises:
        DamagedPartError: The end of the file is damaged or absent, or the part belongs to another sweep.
        MissingFileError: There is no such file.
        FileAccessError: It cannot be read.
    """
    with file_errors(path, "pass a folder that can be read"), open_file(path) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - _END, 0))
        end = file.read()
        length = int.from_bytes(end[:4], "little") + _END
        if len(end) < _END or end[4:] != b"PAR1" or not _END < length <= min(size - 4, _MOST_FOOTER):
            raise DamagedPartError(path, "it does not end as a Parquet file")
        file.seek(size - length)
        footer = file.read()
    seals = list(_SEAL.finditer(footer))
    if len(seals) != 1:
        raise DamagedPartError(path, "its metadata names no sweep")
    sweep, number, rows, pages, digest = seals[0].groups()
    start, stop = seals[0].span(5)
    if _digest(footer[:start] + _BLANK + footer[stop:]) != digest:
        raise DamagedPartError(path, "its metadata does not have the digest that it was written with")
    if sweep.decode() != sweep_id or path.name != part_file(path.parent, int(number)).name:
        raise DamagedPartError(path, f"it is part {int(number)} of the sweep {sweep.decode()}, not of {sweep_id}")
    return Footer(int(rows), int(pages, 16), size - length)


def check_part(path: Path, sweep_id: str) -> None:
    """Read a part in full and check it.

    Raises:
        DamagedPartError: Any byte of it differs from the written one.
        MissingFileError: There is no such file.
        FileAccessError: It cannot be read.
    """
    footer = read_footer(path, sweep_id)
    checksum = 0
    with file_errors(path, "pass a folder that can be read"), open_file(path) as file:
        for first in range(0, footer.start, _STRETCH):
            checksum = zlib.crc32(file.read(min(_STRETCH, footer.start - first)), checksum)
    if checksum != footer.pages:
        raise DamagedPartError(path, "its columns do not have the checksum that they were written with")


def is_whole(path: Path, sweep_id: str) -> bool:
    """Return whether a part exists and is as it was written.

    Raises:
        FileAccessError: It cannot be read.
    """
    try:
        check_part(path, sweep_id)
    except (DamagedPartError, FileNotFoundError):
        return False
    return True


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Convert exceptions of pyarrow while it reads a part into errors of the package."""
    try:
        yield
    except Error:
        raise
    except (FileNotFoundError, PermissionError) as error:
        with file_errors(path, "pass a folder that can be read"):
            raise error
    except Exception as error:  # pyarrow raises built-in exceptions of many kinds, also for damaged pages
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DamagedPartError(path, f"a column cannot be read ({ascii(reason)[1:-1]})") from error


class PartColumns(Mapping[str, "NDArray[Any]"]):
    """The columns of one part, each read on demand and checked with the checksums of its pages."""

    def __init__(self, path: Path, names: tuple[str, ...], rows: int) -> None:
        """Name a part; nothing is read.

        Args:
            path: The file.
            names: The names of the columns.
            rows: Number of points.
        """
        self.path = path
        self.rows = rows
        self._names = names
        self._read: dict[str, NDArray[Any]] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self:
            raise UnknownNameError(unknown_column(name, self._names))
        column = self._read.get(name)
        return self._read.setdefault(name, self._column(name)) if column is None else column

    def at(self, name: str, rows: NDArray[Any]) -> NDArray[Any]:
        """Return a column at some rows, without keeping the column."""
        column = self._read.get(name)
        taken: NDArray[Any] = (self._column(name) if column is None else column)[rows]
        return taken

    def forget(self) -> None:
        """Release the columns that were read."""
        self._read.clear()

    def _column(self, name: str) -> NDArray[Any]:
        import numpy as np

        parquet = library("pyarrow.parquet", "a stored sweep")
        with reading(self.path):
            with parquet.ParquetFile(self.path, page_checksum_verification=True) as file:
                chunks = file.read(columns=[name]).column(name).chunks
            if name not in TEXTS:
                values = [chunk.to_numpy(zero_copy_only=False) for chunk in chunks]
                column = np.concatenate(values) if len(values) != 1 else values[0]
            else:
                texts = [np.asarray(c.dictionary.to_pylist() or [""], dtype=str)[c.indices.to_numpy()] for c in chunks]
                column = np.concatenate(texts) if texts else np.empty(0, dtype=str)
            column.flags.writeable = False
        if len(column) != self.rows:
            raise DamagedPartError(self.path, f"column {name!r} has {len(column)} rows; expected {self.rows}")
        found: NDArray[Any] = column
        return found


def rows_where(data: PartColumns, condition: Any) -> NDArray[np.int64]:
    """Return the rows of a part that satisfy a condition; all without one."""
    import numpy as np

    if condition is None:
        return np.arange(len(data[next(iter(data))]))  # rows in the file, not rows that it claims
    return np.flatnonzero(condition.mask(data, rows=data.rows))
