"""Tables of measurements as columns of text, and rows that cannot be used."""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
_UNITS = {
    "latency_us": 1e-6,
    "latency_ms": 1e-3,
    "latency_s": 1.0,
    "published_ms": 1e-3,
    "tpot_ms": 1e-3,
    "loading_time_s": 1.0,
}
"""Columns of measured times -> seconds of their unit."""
_SPAN = "arrival_s", "last_token_s"
"""Columns of stamps, instead of these."""


class MeasuredError(ValueError):
    """A folder or a table cannot be judged."""


@dataclass
class Problems:
    """Omitted rows by table and reason, which are counted and reported."""

    found: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    skipped: dict[str, str] = field(default_factory=dict)

    def add(self, table: str, reason: str, subject: str, rows: int = 1) -> None:
        """Record rows that are not predicted.

        Args:
            table: Name of the table.
            reason: The reason, with the same text for the same cause.
            subject: Subject of the rows, such as the model.
            rows: Number of rows.
        """
        self.found[table, reason].extend([subject] * rows)

    def skip(self, table: str, reason: str) -> None:
        """Record a table that is skipped."""
        self.skipped[table] = reason

    def to_dict(self) -> dict[str, Any]:
        """Return skipped tables with their reasons, and omitted rows by table and reason, as plain data."""
        omitted = [
            {"table": table, "reason": reason, "rows": len(subjects), "subjects": list(dict.fromkeys(subjects))}
            for (table, reason), subjects in sorted(self.found.items())
        ]
        return {"skipped": dict(self.skipped), "omitted": omitted}

    def lines(self) -> Iterator[str]:
        """Yield one line per table and reason."""
        for table, reason in self.skipped.items():
            yield f"{table}: skipped, {reason}"
        for omitted in self.to_dict()["omitted"]:
            named = shown(omitted["subjects"])
            yield f"{omitted['table']}: {omitted['rows']} rows not predicted, {omitted['reason']}: {named}"


def shown(names: Sequence[str], most: int = 8) -> str:
    """Return some names in one line."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


@dataclass
class Table:
    """One file of measurements.

    Attributes:
        name: Stem of the file.
        path: Path of the file.
        columns: Values by column, as text.
        problems: Receives rows that cannot be used.
    """

    name: str
    path: Path
    columns: dict[str, list[str]]
    problems: Problems
    _integers: dict[str, Rows] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def text(self, name: str, default: str | None = None) -> list[str]:
        """Return a column as text; without a default it must exist."""
        if name in self.columns:
            return self.columns[name]
        if default is None:
            raise MeasuredError(f"{self.path} has no column {name!r}; it has {', '.join(self.columns)}")
        return [default] * len(self)

    def integers(self, name: str, default: int | None = None) -> Rows:
        """Return a column of integers."""
        values = self.text(name, None if default is None else str(default))
        if name not in self._integers:
            try:
                self._integers[name] = np.array([int(float(value)) for value in values], dtype=np.int64)
            except ValueError as error:
                raise MeasuredError(f"{self.path}: column {name!r} must hold integers ({error})") from None
        return self._integers[name]

    def seconds(self) -> NDArray[np.float64]:
        """Return the measured latencies."""
        for name, factor in _UNITS.items():
            if name in self.columns:
                return np.array(self.columns[name], dtype=np.float64) * factor
        if all(name in self.columns for name in _SPAN):
            begin, end = (np.array(self.columns[name], dtype=np.float64) for name in _SPAN)
            return end - begin
        raise MeasuredError(f"{self.path} has none of {', '.join(_UNITS)}")

    def watts(self) -> NDArray[np.float64] | None:
        """Return the power of the board, if the table has it."""
        return np.array(self.columns["power_w"], dtype=np.float64) if "power_w" in self.columns else None

    def groups(self, *names: str) -> Iterator[tuple[tuple[str, ...], Rows]]:
        """Yield row numbers by the values of some columns, in the order of first rows; missing columns are ''."""
        columns = [self.text(name, "") for name in names]
        found: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for row, key in enumerate(zip(*columns, strict=True)):
            found[key].append(row)
        for key, rows in found.items():
            yield key, np.array(rows, dtype=np.int64)

    def joined(self, other: Table) -> Table:
        """Return this table with the rows of another file of the same table behind its own."""
        names = dict.fromkeys([*self.columns, *other.columns])
        columns = {name: [*self.text(name, ""), *other.text(name, "")] for name in names}
        return Table(self.name, self.path, columns, self.problems)

    def only(self, rows: Sequence[int] | Rows) -> Table:
        """Return the table with some of its rows."""
        kept = {name: [values[row] for row in rows] for name, values in self.columns.items()}
        return Table(self.name, self.path, kept, self.problems)


def read_table(path: Path, problems: Problems, renamed: Mapping[str, str] = MappingProxyType({})) -> Table:
    """Read a CSV file with a header; rows without a positive latency are reported and left out.

    Args:
        path: The file.
        problems: Receives the rows that are left out.
        renamed: Names of columns in the file -> theirs in the schema.
    """
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        lines = [line for line in reader if line]
    if any(len(line) != len(header) for line in lines):
        raise MeasuredError(f"{path}: every line must have {len(header)} values, like the header")
    columns = {renamed.get(name, name): [line[i] for line in lines] for i, name in enumerate(header)}
    table = Table(path.stem, path, columns, problems)
    if not lines:
        return table
    if "device" not in columns:
        raise MeasuredError(f"{path} has no column 'device'")
    usable = np.flatnonzero(table.seconds() > 0)
    if len(usable) < len(table):
        problems.add(table.name, "no latency above zero", table.name, len(table) - len(usable))
        table = table.only(usable)
    return table


def sampled(table: Table, count: int, by: Sequence[str], groups: Sequence[str]) -> Table:
    """Return a reproducible sample of rows: those whose keys come first in the order of their hashes.

    Args:
        table: The table.
        count: Number of keys to keep.
        by: Columns that form a key; all rows of a key are kept. Without them every row is its own key, and `count` of
            each group are kept.
        groups: Columns that form a group.
    """

    def digest(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    if by:
        keys = {key for key, _ in table.groups(*by)}
        chosen = set(sorted(keys, key=lambda key: digest("\n".join(key)))[:count])
        kept = [rows for key, rows in table.groups(*by) if key in chosen]
    else:
        every = list(table.columns.values())

        def line(row: int) -> str:
            return digest("\n".join(column[row] for column in every))

        kept = [np.array(sorted(rows.tolist(), key=line)[:count]) for _, rows in table.groups(*groups)]
    return table.only(np.sort(np.concatenate(kept)) if kept else [])
