"""A file of lines that several processes append to, which is renamed when it is full and deleted when it is old."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from ..errors import FileAccessError

_TAIL_BYTES = 1
_MODE = 0o644
_DAY_S = 86_400


@dataclass
class RotatedFile:
    """The file, open or closed in this process.

    Attributes:
        path: The file.
        rotate_bytes: Most bytes.
        rotate_daily: Whether each day of UTC has a file.
        keep: Most renamed files.
    """

    path: Path
    rotate_bytes: int
    rotate_daily: bool
    keep: int
    _file: int | None = None
    _marks: set[tuple[int, int, str]] = field(default_factory=set)  # device and inode of a file, and a mark in it
    _torn: bool = False  # whether the last line is incomplete
    _day: int | None = None

    def has(self, mark: str) -> bool:
        """Return whether the open file has a mark."""
        return (*self._place(), mark) in self._marks

    def mark(self, mark: str) -> None:
        """Mark the open file."""
        self._marks.add((*self._place(), mark))

    def open(self) -> None:
        """Open or create the file."""
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        self.path.parent.mkdir(parents=True, exist_ok=True)  # it may have been deleted since
        self._file = os.open(self.path, flags, _MODE)
        self._day = None
        size = os.fstat(self._file).st_size
        # A process that was killed may have left a part of a line.
        if not size:  # a new file may have the inode of one that was deleted
            self._marks = {each for each in self._marks if each[:2] != self._place()}
        self._torn = bool(size) and _last_byte(self._file, size) != b"\n"

    def close(self) -> None:
        """Close the file; it can be opened again."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
        self._file = None

    def _place(self) -> tuple[int, int]:
        """Return the device and inode of the open file."""
        found = os.fstat(self._file)  # type: ignore[arg-type]
        return found.st_dev, found.st_ino

    def prepare(self, time_s: float, length: int) -> None:
        """Open the file if it is closed, gone, or was renamed by another process; rename it if it is full."""
        if self._file is not None and not self._is_current():
            self.close()
        if self._file is None:
            self.open()
        day = int(time_s // _DAY_S)
        size = os.fstat(self._file).st_size  # type: ignore[arg-type]
        ended = self.rotate_daily and self._day is not None and day != self._day
        if size and (ended or size + length > self.rotate_bytes):
            with contextlib.suppress(OSError):  # a folder that became read-only: the file grows
                self._rotate(time_s)
            if self._file is None:
                self.open()
        self._day = day

    def _is_current(self) -> bool:
        try:
            found = self.path.stat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._place()

    def _rotate(self, time_s: float) -> None:
        with _exclusive(self._file):
            if not self._is_current():  # another process was faster
                self.close()
                self.open()
                return
            self.path.rename(self._free_name(time_s))
            self.close()
            self.open()
        for old in rotated_files(self.path)[: -self.keep]:
            with contextlib.suppress(OSError):
                old.unlink()

    def _free_name(self, time_s: float) -> Path:
        stamp = datetime.fromtimestamp(time_s, timezone.utc).strftime("%Y-%m-%dT%H%M%SZ")
        for number_ in range(1, 1000):
            # Ordered by name: the number has three digits.
            name = self.path.with_name(f"{self.path.stem}-{stamp}.{number_:03}{self.path.suffix}")
            if not name.exists():
                return name
        raise FileAccessError(f"{self.path.stem}-{stamp} has 999 files; expected fewer in a second")

    def write(self, content: bytes) -> None:
        """Write a line in one call, so that lines of other processes are not mixed in."""
        content = b"\n" + content if self._torn else content
        written = os.write(self._file, content)  # type: ignore[arg-type]
        if written != len(content):
            self._torn = written > 0 or self._torn
            raise FileAccessError(f"only {written} of {len(content)} bytes could be written")
        self._torn = False


def _last_byte(file: int, size: int) -> bytes:
    os.lseek(file, size - _TAIL_BYTES, os.SEEK_SET)
    return os.read(file, _TAIL_BYTES)


def rotated_files(path: Path) -> list[Path]:
    """Return the renamed files of a log, the oldest first."""
    stem = len(path.stem)
    return sorted(
        each
        for each in path.parent.glob(f"{_escaped(path.stem)}-*{_escaped(path.suffix)}")
        if _is_stamp(each.name[stem + 1 : len(each.name) - len(path.suffix)])
    )


def _escaped(name: str) -> str:
    return "".join(f"[{each}]" if each in "*?[" else each for each in name)


def _is_stamp(text_: str) -> bool:
    stamp, _, count = text_.partition(".")
    try:
        datetime.strptime(stamp, "%Y-%m-%dT%H%M%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        return False
    return count.isdigit()


@contextlib.contextmanager
def _exclusive(file: int | None) -> Iterator[None]:
    """Hold a lock on an open file, where the system has one; raise an error if another process has it."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    fcntl.flock(-1 if file is None else file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    # The lock ends when the descriptor is closed.
    yield
