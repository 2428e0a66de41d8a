"""Scans of memory-mapped files, which release the pages behind the scan.

Mapped pages count as memory of the process once they are read. Releasing them allows files larger than memory.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from ..results.sparsity import Figures, Magnitudes
from .arrays import BAND_ROWS, WINDOW_BYTES, Layout, figures_of, packed_bytes


class MappedFile:
    """A file mapped for reading. Empty files are allowed, although operating systems cannot map them.

    Args:
        path: Path of the file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        with self.path.open("rb") as file:
            self.size = os.fstat(file.fileno()).st_size
            self.map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if self.size else None
        self.view = memoryview(self.map) if self.map is not None else memoryview(b"")
        if self.map is not None and hasattr(mmap, "MADV_SEQUENTIAL"):
            self.map.madvise(mmap.MADV_SEQUENTIAL)

    def __enter__(self) -> MappedFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.view.release()
        if self.map is not None:
            self.map.close()

    def drop(self, start: int, stop: int) -> None:
        """Release the pages of a range; they are read again on the next access."""
        drop_pages(self.map, start, stop)


def drop_pages(mapped: mmap.mmap | None, start: int, stop: int) -> None:
    """Release the pages of a range of a map, if the system supports it; the content stays the same."""
    if mapped is None or not hasattr(mmap, "MADV_DONTNEED"):
        return
    first = start // mmap.PAGESIZE * mmap.PAGESIZE
    if stop > first:
        mapped.madvise(mmap.MADV_DONTNEED, first, min(stop, len(mapped)) - first)


def scan_file_view(
    layout: Layout, view: memoryview, mapped: mmap.mmap | None, offset: int, threads: int
) -> tuple[Figures, Magnitudes]:
    """Scan a weight with contiguous rows, window by window.

    Args:
        layout: Layout of the weight, without strides between its rows.
        view: Bytes of the whole map.
        mapped: The map whose windows are released.
        offset: Offset of the weight in the map.
        threads: Number of threads.

    Returns:
        The counts and magnitudes.
    """
    scan = layout.new_scan(flat=True)
    rows, columns = layout.rows, layout.columns
    row_bytes = packed_bytes(layout.dtype, columns)
    if rows and columns:
        band_bytes = row_bytes * min(BAND_ROWS, rows)
        if band_bytes <= WINDOW_BYTES:
            step = max(1, WINDOW_BYTES // (row_bytes * BAND_ROWS)) * BAND_ROWS
            for first in range(0, rows, step):
                count = min(step, rows - first)
                start = offset + first * row_bytes
                scan.add(view, offset=start, first_row=first, rows=count, threads=threads)
                drop_pages(mapped, start, start + count * row_bytes)
        else:  # a band of rows exceeds a window: scan column ranges of each band
            _scan_stretches(scan, layout, view, mapped, offset, threads)
    return figures_of(layout, scan)


def _scan_stretches(
    scan: Any, layout: Layout, view: memoryview, mapped: mmap.mmap | None, offset: int, threads: int
) -> None:
    rows, columns = layout.rows, layout.columns
    row_bytes = packed_bytes(layout.dtype, columns)
    for first in range(0, rows, BAND_ROWS):
        count = min(BAND_ROWS, rows - first)
        window = max(1, columns * WINDOW_BYTES // (row_bytes * count) // BAND_ROWS) * BAND_ROWS
        for column in range(0, columns, window):
            width = min(window, columns - column)
            start = offset + first * row_bytes + packed_bytes(layout.dtype, column)
            scan.add(
                view,
                offset=start,
                first_row=first,
                rows=count,
                first_column=column,
                columns=width,
                row_stride=row_bytes,
                threads=threads,
            )
            for row in range(count):
                piece = start + row * row_bytes
                drop_pages(mapped, piece, piece + packed_bytes(layout.dtype, width))
