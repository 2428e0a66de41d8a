"""Sinks without a library: lines of text, functions, CSV and JSON Lines."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from math import isfinite
from os import PathLike
from pathlib import Path
from typing import TextIO

from ..._checks import errors_of_writing, file_in_folder, is_file
from ..._escapes import spreadsheet_cell, visible
from ...errors import InputError

_STEP = "step"

# Suffix of a name -> unit. The first match applies, so longer suffixes come first.
_UNITS = (
    ("_flops_per_s", "FLOP/s"),
    ("_bytes_per_s", "B/s"),
    ("_per_s", "/s"),
    ("_flops", "FLOP"),
    ("_bytes", "B"),
    ("_s", "s"),
    ("_j", "J"),
    ("_w", "W"),
    ("_g", "g"),
)
_COST = "cost_usd"  # of one item: a number that nobody can read
_MILLION = 1e6
_SHARES = ("_share", "mfu", "hfu", "mbu")
BRIEF = (
    "cost/*/latency_s",
    "cost/*/cost_usd",
    "converted/*/latency_s",
    "sparsity/zero_share",
    "training/step_s",
    "training/items_per_s",
    "training/tokens_per_s",
    "training/mfu",
)
"""Figures of the sink `"stdout"`, which fit on one line of a terminal."""


class Stdout:
    """Write one line per record: `step 120 | cost/l4: latency 1.234 ms, energy 80.00 mJ | training: mfu 41.2 %`.

    Args:
        stream: The destination; None is `sys.stdout` at the time of writing. It is never closed.
        only: Names to show, with shell wildcards: `"cost/*"`. None shows all.
    """

    def __init__(self, stream: TextIO | None = None, only: str | Iterable[str] | None = None) -> None:
        self._stream = stream
        self._only = (only,) if isinstance(only, str) else None if only is None else tuple(only)

    def write(self, step: int, metrics: Mapping[str, float | int]) -> None:
        """Write the line, or nothing if no name matches."""
        groups: dict[str, list[str]] = {}
        for name, value in metrics.items():
            if self._only is None or any(fnmatchcase(name, pattern) for pattern in self._only):
                group, _, figure = name.rpartition("/")
                groups.setdefault(group, []).append(figure_text(figure, value))
        if groups:
            parts = [f"step {step}"]
            for group, figures in groups.items():
                parts.append((f"{group}: " if group else "") + ", ".join(figures))
            stream = sys.stdout if self._stream is None else self._stream
            stream.write(visible(" | ".join(parts)) + "\n")
            stream.flush()

    def close(self) -> None:
        """Do nothing: each line is flushed."""


class Callback:
    """Call a function with the step and the figures.

    Args:
        function: Called with `(step, metrics)`.
    """

    def __init__(self, function: Callable[[int, Mapping[str, float | int]], object]) -> None:
        self._function = function

    def write(self, step: int, metrics: Mapping[str, float | int]) -> None:
        """Call the function."""
        self._function(step, metrics)

    def close(self) -> None:
        """Do nothing: no record is buffered."""


class Csv:
    """Write one row per record; the columns are `step` and the names of the first record.

    A later name without a column adds one: the file is rewritten next to the old one and replaces it. Cells of figures
    that are not finite are empty. A partial last row of an interrupted run is dropped.

    Args:
        path: The file. An existing one must be of this kind; rows are appended to it.

    Raises:
        InputError: The first column of an existing file is not `step`.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self._path = file_in_folder(path)
        self._columns: list[str] | None = None  # None until a row was written, and after one that failed
        if is_file(self._path) and self._path.stat().st_size:
            self._header()

    def write(self, step: int, metrics: Mapping[str, float | int]) -> None:
        """Append a row."""
        cells = {_STEP: step, **{spreadsheet_cell(name): value for name, value in metrics.items()}}
        columns, self._columns = self._columns, None  # after a failed write, the next one reads the file
        with errors_of_writing(self._path):
            if columns is None:
                columns = self._begin()
            new = [name for name in cells if name not in (_STEP, *columns)]
            if new and columns:
                columns = self._widen(columns, new)
            elif new:
                columns = [_STEP, *new]
                self._append(columns)
            self._append([_cell(cells.get(name)) for name in columns])
            self._columns = columns

    def close(self) -> None:
        """Do nothing: each row is written at once."""

    def _begin(self) -> list[str]:
        """Prepare the file for rows and return its columns, none for a new one."""
        if not self._path.is_file() or not _truncate_partial_line(self._path):
            return []
        return self._header()

    def _header(self) -> list[str]:
        try:
            with self._path.open(encoding="utf-8", newline="") as file:
                columns = next(csv.reader(file), [])
        except (UnicodeError, csv.Error):
            columns = ["(no text)"]
        if columns[:1] != [_STEP]:
            raise InputError(
                f"{self._path} is not a file of an earlier run: its first column is {columns[:1]}, expected "
                f"{_STEP!r}; pass another path, or remove the file"
            )
        return columns

    def _append(self, cells: Iterable[object]) -> None:
        with self._path.open("a", encoding="utf-8", newline="") as file:
            file.write(_line(cells))

    def _widen(self, columns: list[str], new: list[str]) -> list[str]:
        """Rewrite the file with more columns, and return all; readers see the old file until it is replaced."""
        columns = [*columns, *new]
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
        return columns


class Jsonl:
    """Write one JSON object per record and line: `{"step": 10, "cost/l4/latency_s": 0.001}`; null if not finite.

    Args:
        path: The file; lines are appended to an existing one.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self._path = file_in_folder(path)
        self._begun = False

    def write(self, step: int, metrics: Mapping[str, float | int]) -> None:
        """Append a line."""
        entry = {_STEP: step, **{name: value if isfinite(value) else None for name, value in metrics.items()}}
        with errors_of_writing(self._path):
            if not self._begun and self._path.is_file():
                _truncate_partial_line(self._path)
            self._begun = False  # if the disk is full, a part of the line may be there, which the next record removes
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry, allow_nan=False) + "\n")
            self._begun = True

    def close(self) -> None:
        """Do nothing: each line is written at once."""


def figure_text(name: str, value: float) -> str:
    """Return a figure with the unit that its name ends in: `latency 1.234 ms` for `latency_s` and 0.001234."""
    from ...results.units import quantity, significant

    if name.endswith(_SHARES):
        return f"{name} {100 * value:.3g} %"
    sign, size = ("-", -value) if value < 0 else ("", value)
    for suffix, unit in _UNITS:
        if f"_{name}".endswith(suffix):
            return f"{name.removesuffix(suffix)} {sign}{quantity(size, unit)}"
    if name == _COST:
        return f"cost {sign}{significant(_MILLION * size)} USD per million"
    if name.endswith("_usd"):
        return f"{name.removesuffix('_usd')} {sign}{significant(size)} USD"
    return f"{name} {value if isinstance(value, int) else significant(value)}"


def _cell(value: float | None) -> object:
    return value if value is not None and isfinite(value) else ""


def _line(cells: Iterable[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _truncate_partial_line(path: Path) -> int:
    """Remove a last line without an end, left by an interrupted run; return the bytes that remain."""
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
