"""Files of weights, mapped while they are scanned.

The core maps cached pages, about 128 MB at a time, so that no byte is copied. It reads other pages, about a
megabyte per thread at a time. A scan needs little memory for any size of file. The maps are guarded: a file that is
truncated during a scan, or a disk that fails, is an error. Without the guard, the process would end by a signal.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import TracebackType

from .._checks import open_file
from .._core import FileBytes
from ..results.sparsity import Figures, Magnitudes
from . import SparsityError
from .arrays import Layout, figures_of, packed_bytes


class WeightsFile:
    """A file open for reading at any offset.

    Args:
        path: Path of the file.

    Raises:
        MissingFileError: There is no such file.
        FileAccessError: It cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file = open_file(self.path, buffering=0)
        self._lock = threading.Lock()
        self._opened = self._state()
        self.size = self._opened[0]

    def __enter__(self) -> WeightsFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None and self._state() != self._opened:
                raise SparsityError(f"{self.path} was written to while it was scanned; scan it again")
        finally:
            self._file.close()

    def _state(self) -> tuple[int, int]:
        status = os.fstat(self._file.fileno())
        return status.st_size, status.st_mtime_ns

    def read(self, start: int, stop: int) -> bytes:
        """Return a range of bytes.

        Args:
            start: Offset of the first byte.
            stop: Offset behind the last byte.

        Raises:
            SparsityError: The file ends before `stop`.
        """
        parts = []
        with self._lock:
            self._file.seek(start)
            while start < stop:
                part = self._file.read(min(stop - start, 2**30))
                if not part:
                    raise SparsityError(f"{self.path} ends at byte {start}; expected {stop}: it was truncated")
                parts.append(part)
                start += len(part)
        return b"".join(parts)

    def scan(self, layout: Layout, offset: int, threads: int) -> tuple[Figures, Magnitudes]:
        """Scan a weight with contiguous elements.

        Args:
            layout: Layout of the weight, without strides.
            offset: Offset of its first byte.
            threads: Number of threads.

        Returns:
            The counts and magnitudes.

        Raises:
            InputError: The file ends before the weight does, or a part of it cannot be read.
        """
        scan = layout.new_scan(flat=True)
        source = FileBytes(self._file.fileno(), str(self.path))
        stride = packed_bytes(layout.dtype, layout.columns)
        scan.add(source, offset=offset, row_stride=stride, threads=threads)
        return figures_of(layout, scan)
