"""Sinks that are files: CSV and JSON lines. A run that goes on appends to the file that it has."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from math import isfinite
from os import PathLike
from pathlib import Path

_STEP = "step"


class Csv:
    """A row a record; the columns are `step` and the names of the first record.

    A later name that has no column gets one: the file is written anew beside the old one, and takes its place. What is
    not finite is empty. A row that a stopped run has written only in part is dropped.

    Args:
        path: The file. One that is there must be of this kind, and is appended to.

    Raises:
        ValueError: There is such a file, and its first column is not `step`.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self._path = Path(path)
        self._columns: list[str] | None = None  # None until the file was looked at for writing
        if self._path.is_file() and self._path.stat().st_size:
            self._header()

    def write(self, step: int, metrics: Mapping[str, float | int]) -> None:
        """Appends a row."""
        if self._columns is None:
            self._columns = self._begun()
        new = [name for name in metrics if name not in self._columns]
        if new and self._columns:
            self._widen(new)
        elif new:
            self._columns = [_STEP, *new]
            self._append(self._columns)
        cells = {_STEP: step, **metrics}
        self._append([_cell(cells.get(name)) for name in self._columns])

    def close(self) -> None:
        """Nothing is held back."""

    def _begun(self) -> list[str]:
        """Makes the file ready for rows; its columns, none where it is new."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if not self._path.is_file() or not _whole_lines(self._path):
            return []
        return self._header()

    def _header(self) -> list[str]:
        with self._path.open(encoding="utf-8", newline="") as file:
            columns = next(csv.reader(file), [])
        if columns[:1] != [_STEP]:
            raise ValueError(
                f"{self._path} is no file of an earlier run: its first column is {columns[:1]}, expected "
                f"{_STEP!r}. Give another path, or remove the file"
            )
        return columns

    def _append(self, cells: Iterable[object]) -> None:
        with self._path.open("a", encoding="utf-8", newline="") as file:
            file.write(_line(cells))

    def _widen(self, new: list[str]) -> None:
        """Writes the file anew with more columns: whoever reads it meanwhile has the old one, whole."""
        columns = [*(self._columns or []), *new]
        handle, name = tempfile.mkstemp(prefix=self._path.name, suffix=".tmp", dir=self._path.parent)
        try:
            with (
                os.fdopen(handle, "w", encoding="utf-8", newline="") as target,
                self._path.open(encoding="utf-8", newline="") as source,
            ):
                rows = csv.reader(source)
                next(rows)
                target.write(_line(columns))
                target.writelines(_line(row + [""] * (len(columns) - len(row))) for row in rows)
            shutil.copymode(self._path, name)
            Path(name).replace(self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        self._columns = columns


class Jsonl:
    """An object a record, on a line of its own: `{"step": 10, "cost/l4/latency_s": 0.001}`; null is not finite.

    Args:
        path: The file; one that is there is appended to.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self._path = Path(path)
        self._begun = False

    def write(self, step: int, metrics: Mapping[str, float | int]) -> None:
        """Appends a line."""
        if not self._begun:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.is_file():
                _whole_lines(self._path)
            self._begun = True
        entry = {_STEP: step, **{name: value if isfinite(value) else None for name, value in metrics.items()}}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, allow_nan=False) + "\n")

    def close(self) -> None:
        """Nothing is held back."""


def _cell(value: float | None) -> object:
    return value if value is not None and isfinite(value) else ""


def _line(cells: Iterable[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _whole_lines(path: Path) -> int:
    """Cuts off a last line without an end, which was being written when a run was stopped; bytes that are left."""
    end = size = path.stat().st_size
    with path.open("r+b") as file:
        while end:
            start = max(end - 2**16, 0)
            file.seek(start)
            place = file.read(end - start).rfind(b"\n")
            if place >= 0:
                end = start + place + 1
                break
            end = start
        if end < size:
            file.truncate(end)
    return end
