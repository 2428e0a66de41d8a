"""Tables of measurements as columns of text, and what could not be used of them."""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


class MeasuredError(ValueError):
    """A folder or a table that cannot be judged at all."""


@dataclass
class Problems:
    """Rows that are left out, by table and reason: counted and named, so that nothing vanishes without a word."""

    found: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    skipped: dict[str, str] = field(default_factory=dict)

    def add(self, table: str, reason: str, subject: str, rows: int = 1) -> None:
        """Notes rows that are not predicted.

        Args:
            table: the table.
            reason: why, the same words for the same cause.
            subject: what the rows measured, such as the model.
            rows: how many rows.
        """
        self.found[table, reason].extend([subject] * rows)

    def skip(self, table: str, reason: str) -> None:
        """Notes a table that is left out whole."""
        self.skipped[table] = reason

    def lines(self) -> Iterator[str]:
        """One line for each table and reason."""
        for table, reason in self.skipped.items():
            yield f"{table}: skipped, {reason}"
        for (table, reason), subjects in sorted(self.found.items()):
            named = list(dict.fromkeys(subjects))
            shown = ", ".join(named[:8]) + (f" and {len(named) - 8} more" if len(named) > 8 else "")
            yield f"{table}: {len(subjects)} rows not predicted, {reason}: {shown}"


@dataclass
class Table:
    """One file of measurements.

    Attributes:
        name: the file's stem.
        path: the file.
        columns: values by column, as text.
        problems: where rows that cannot be used are noted.
    """

    name: str
    path: Path
    columns: dict[str, list[str]]
    problems: Problems
    _integers: dict[str, Rows] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def text(self, name: str, default: str | None = None) -> list[str]:
        """A column as text; without a default it has to be there."""
        if name in self.columns:
            return self.columns[name]
        if default is None:
            raise MeasuredError(f"{self.path} has no column {name!r}; it has {', '.join(self.columns)}")
        return [default] * len(self)

    def integers(self, name: str, default: int | None = None) -> Rows:
        """A column of whole numbers."""
        values = self.text(name, None if default is None else str(default))
        if name not in self._integers:
            try:
                self._integers[name] = np.array([int(float(value)) for value in values], dtype=np.int64)
            except ValueError as error:
                raise MeasuredError(f"{self.path}: column {name!r} must hold whole numbers ({error})") from None
        return self._integers[name]

    def seconds(self) -> NDArray[np.float64]:
        """The measured latencies."""
        for name, factor in (("latency_us", 1e-6), ("latency_ms", 1e-3), ("latency_s", 1.0)):
            if name in self.columns:
                return np.array(self.columns[name], dtype=np.float64) * factor
        raise MeasuredError(f"{self.path} has no latency_us, latency_ms or latency_s")

    def watts(self) -> NDArray[np.float64] | None:
        """What the board drew meanwhile, where the table says so."""
        return np.array(self.columns["power_w"], dtype=np.float64) if "power_w" in self.columns else None

    def groups(self, *names: str) -> Iterator[tuple[tuple[str, ...], Rows]]:
        """Row numbers by the values of some columns, in the order of their first rows; absent columns are ''."""
        columns = [self.text(name, "") for name in names]
        found: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for row, key in enumerate(zip(*columns, strict=True)):
            found[key].append(row)
        for key, rows in found.items():
            yield key, np.array(rows, dtype=np.int64)

    def only(self, rows: Sequence[int] | Rows) -> Table:
        """The same table with some of its rows."""
        kept = {name: [values[row] for row in rows] for name, values in self.columns.items()}
        return Table(self.name, self.path, kept, self.problems)


def read_table(path: Path, problems: Problems) -> Table:
    """A CSV file with a header; rows without a positive latency are noted and left out."""
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        lines = [line for line in reader if line]
    if any(len(line) != len(header) for line in lines):
        raise MeasuredError(f"{path}: every line must have {len(header)} values, as the header has")
    columns = {name: [line[i] for line in lines] for i, name in enumerate(header)}
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
    """Some rows of a table, the same in every run: those whose key comes first in the order of its hash.

    Args:
        table: the table.
        count: how many keys are kept.
        by: columns that make a key; all rows of a key are kept. Without them every row is its own key, and `count` of
            each group are kept.
        groups: columns that make a group.
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
