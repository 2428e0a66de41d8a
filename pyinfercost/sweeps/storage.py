"""Sweeps on disk: a folder of Parquet files with a manifest, written part by part, and selection of points in it."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..results.result import Result
from .choosing import NothingFitsError, best_rows, objectives
from .columns import TEXTS, column_names
from .condition_syntax import unknown_column
from .conditions import Condition
from .execute import CHUNK_POINTS, Run, SweepInterrupted, sizes_of
from .frames import ROWS_PER_GROUP, library, write_parquet
from .result import Sweep, front_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .columns import GridColumns
    from .result import Where
    from .spec import SweepSpec

MANIFEST = "_sweep.json"
SCHEMA_VERSION = 1

STALE_S = 60.0
"""Seconds after which an unchanged temporary file counts as left by a stopped run; a part takes less."""


class StoredSweep(Result):
    """A sweep in a folder: Parquet files, which any reader of data sets accepts, and a manifest.

    Iterating yields the parts, each as a `Sweep` that reads columns on demand. `where`, `pareto` and `best` first read
    the columns that they need, part by part, and then the other columns of the chosen points.

    Attributes:
        path: The folder.
        model: Name of the model.
        sizes: The columns that are sizes.
        parts: The files of finished parts.
        complete: Whether all parts are finished.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open a folder of `sweep(..., out=path)`, finished or not.

        Raises:
            FileNotFoundError: The folder has no sweep.
        """
        self.path = Path(path)
        self._manifest = read_manifest(self.path)
        self.model: str = self._manifest["model"]
        self.sizes: tuple[str, ...] = tuple(self._manifest["sizes"])
        self.parts = [part for n in range(self._manifest["parts"]) if whole(part := part_file(self.path, n))]
        self.complete = len(self.parts) == self._manifest["parts"]

    def __len__(self) -> int:
        return sum(data.rows for data in self._data)

    def __repr__(self) -> str:
        partial = "" if self.complete else f", {len(self.parts)} of {self._manifest['parts']} parts"
        return f"<StoredSweep {self.model or 'graph'} in {self.path}{partial}>"

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(self._manifest["columns"])

    def __iter__(self) -> Iterator[Sweep]:
        """Yield the parts in order, each as a `Sweep`."""
        for part in self.parts:
            yield Sweep(self.model, self.sizes, PartColumns(part, self.columns), complete=self.complete)

    def dataset(self) -> Any:
        """Return the files as a `pyarrow.dataset.Dataset`.

        Raises:
            ValueError: No part is finished.
        """
        self._check_parts()
        datasets = library("pyarrow.dataset", "a stored sweep")
        return datasets.dataset([str(part) for part in self.parts], format="parquet")

    def head(self, rows: int) -> Sweep:
        """Return the first points, in memory."""
        return self._table(self.dataset().head(rows))

    def tail(self, rows: int) -> Sweep:
        """Return the last points of the last part, in memory; of a part of several row groups, of its last one."""
        file = library("pyarrow.parquet", "a stored sweep").ParquetFile(self.parts[-1])
        last = file.read_row_group(file.num_row_groups - 1) if file.num_row_groups else file.read()
        return self._table(last.slice(max(len(last) - rows, 0)))

    def _table(self, table: Any) -> Sweep:
        """Return the rows of an Arrow table as a Sweep; null is NaN."""
        import numpy as np

        columns = {
            name: np.asarray(table.column(name).to_pylist(), dtype=str)
            if name in TEXTS
            else table.column(name).to_numpy()
            for name in self.columns
        }
        return Sweep(self.model, self.sizes, columns, complete=self.complete)

    def where(self, condition: Where) -> Sweep:
        """Return the points that satisfy a condition, in memory."""
        self._check_parts()
        parsed = Condition.all_of(condition)
        return self._taken((data, _rows_of(data, parsed)) for data in self._each())

    def pareto(self, *names: str, maximize: str | Iterable[str] = (), minimize: str | Iterable[str] = ()) -> Sweep:
        """Return the Pareto front as `Sweep.pareto` does, from the fronts of the parts."""
        import numpy as np

        self._check_parts()
        said = {"maximize": maximize, "minimize": minimize}
        chosen = objectives(names, known=self._data[0], **said)
        rows, found = [], []
        for data in self._each():
            rows.append(front_rows(data, chosen))
            found.append([data.at(name, rows[-1]) for name, _ in chosen])
        columns = {
            name: np.concatenate(values) for (name, _), values in zip(chosen, zip(*found, strict=True), strict=True)
        }
        kept = np.zeros(len(columns[chosen[0][0]]), dtype=np.bool_)
        kept[front_rows(columns, chosen)] = True
        masks = np.split(kept, np.cumsum([len(part) for part in rows])[:-1])
        front = self._taken((data, part[mask]) for data, part, mask in zip(self._each(), rows, masks, strict=True))
        return front.pareto(*names, **said)

    def best(
        self, objective: str, *, where: Where = None, per: str | Iterable[str] = (), maximize: bool | None = None
    ) -> Any:
        """Return the best point as `Sweep.best` does, from the best points of the parts."""
        self._check_parts()
        given = {} if maximize is None else {"maximize" if maximize else "minimize": (objective,)}
        ((name, most),) = objectives((objective,), known=self._data[0], **given)
        condition = Condition.all_of(where)
        per = (per,) if isinstance(per, str) else tuple(per)
        rows, values = [], []
        for number, data in enumerate(self._each()):
            rows.append(best_rows(data, name, most, condition, per))
            if not per and len(rows[-1]):
                values.append((data[name][rows[-1][0]].item(), number))
        if per:
            found = self._taken(zip(self._each(), rows, strict=True))
            return found.take(best_rows(found.data, name, most, None, per))
        if not values:
            raise NothingFitsError(self._nothing_fits(name, condition))
        _, number = min(values, key=lambda pair: (-pair[0] if most else pair[0], pair[1]))
        return self._taken([(self._data[number], rows[number])]).row(0)

    @cached_property
    def _data(self) -> list[PartColumns]:
        return [PartColumns(part, self.columns) for part in self.parts]

    def _each(self) -> Iterator[PartColumns]:
        """Yield the columns of the parts, and release those of one before the next."""
        for data in self._data:
            yield data
            data.forget()

    def _check_parts(self) -> None:
        if not self.parts:
            raise ValueError(f"{self!r} has no finished part; run the sweep again to continue it")

    def _taken(self, chosen: Iterable[tuple[PartColumns, NDArray[Any]]]) -> Sweep:
        """Return rows of parts as one Sweep; without any row, one part is read for the types."""
        import numpy as np

        read = [{name: data.at(name, rows) for name in self.columns} for data, rows in chosen if len(rows)]
        if not read:
            data = self._data[0]
            read = [{name: data.at(name, np.empty(0, dtype=np.int64)) for name in self.columns}]
            data.forget()
        columns = {name: np.concatenate([part[name] for part in read]) for name in self.columns}
        return Sweep(self.model, self.sizes, columns, complete=self.complete)

    def _nothing_fits(self, objective: str, condition: Condition | None) -> str:
        points = len(self)
        if not points:
            return "there are no points to choose from"
        if condition is None:
            return f"{objective} is nan at each of {points:,} points"
        last = next(data for data in reversed(self._data) if data.rows)
        shortfall = condition.shortfall(last, rows=last.rows)
        last.forget()
        among = f"; of the {last.rows:,} in the last part:" if len(self.parts) > 1 else ""
        return f"none of {points:,} points satisfies {condition}{among}\n{shortfall}"


class PartColumns(Mapping[str, "NDArray[Any]"]):
    """The columns of one part, each read on demand."""

    def __init__(self, path: Path, names: tuple[str, ...]) -> None:
        self.path = path
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
            raise KeyError(unknown_column(name, self._names))
        if name not in self._read:
            self._read[name] = self._column(name)
        return self._read[name]

    @cached_property
    def rows(self) -> int:
        """Number of points."""
        parquet = library("pyarrow.parquet", "a stored sweep")
        return int(parquet.read_metadata(self.path).num_rows)

    def at(self, name: str, rows: NDArray[Any]) -> NDArray[Any]:
        """Return a column at some rows, without keeping the column."""
        taken: NDArray[Any] = (self._read[name] if name in self._read else self._column(name))[rows]
        return taken

    def forget(self) -> None:
        """Release the columns that were read."""
        self._read.clear()

    def _column(self, name: str) -> NDArray[Any]:
        import numpy as np

        parquet = library("pyarrow.parquet", "a stored sweep")
        with parquet.ParquetFile(self.path) as file:
            chunks = file.read(columns=[name]).column(name).chunks
        if name not in TEXTS:
            values = [chunk.to_numpy(zero_copy_only=False) for chunk in chunks]
            column = np.concatenate(values) if len(values) != 1 else values[0]
        else:
            texts = [np.asarray(c.dictionary.to_pylist() or [""], dtype=str)[c.indices.to_numpy()] for c in chunks]
            column = np.concatenate(texts) if texts else np.empty(0, dtype=str)
        column.flags.writeable = False
        return column


def _rows_of(data: PartColumns, condition: Condition | None) -> NDArray[np.int64]:
    """Return the rows that satisfy a condition."""
    import numpy as np

    return np.arange(data.rows) if condition is None else np.flatnonzero(condition.mask(data, rows=data.rows))


def run_to_folder(run: Run, path: Path) -> StoredSweep:
    """Compute a sweep into a folder; finished parts are kept.

    A part is written under another name and then renamed, so that every part is complete. Parts are encoded where they
    are computed, and written by this process. Their size does not depend on the number of workers, so that a run can
    continue another one.

    Raises:
        FileExistsError: The folder has other content.
        SweepInterrupted: Ctrl-C was pressed; the same call continues the sweep.
    """
    library("pyarrow.parquet", "out=FOLDER")
    run = replace(run, chunk_points=run.chunk_points or CHUNK_POINTS)
    open_folder(run, path)
    absent = [number for number in range(run.chunks) if not whole(part_file(path, number))]
    done = len(run.spec) - run.points_of(absent)

    def missing() -> Iterator[int]:
        nonlocal done
        for number in absent:
            if whole(part_file(path, number)):  # another run into this folder has finished it
                done += run.points_of([number])
            else:
                yield number

    try:
        with run.reporting(done) as report, closing(run.results(missing(), encoded)) as results:
            for number, data in results:
                write_whole(part_file(path, number), data)
                done += run.points_of([number])
                report(done)
    except KeyboardInterrupt:
        raise SweepInterrupted(StoredSweep(path), done, len(run.spec)) from None
    except Exception as error:
        error.partial = StoredSweep(path)  # type: ignore[attr-defined]
        raise
    return StoredSweep(path)


def encoded(spec: SweepSpec, columns: GridColumns) -> Any:
    """Return a part as a buffer with a Parquet file."""
    arrow = library("pyarrow", "out=FOLDER")
    file = arrow.BufferOutputStream()
    whole_part = Sweep(spec.model, sizes_of(spec), columns)
    write_parquet((part.data for part in whole_part.in_stretches(ROWS_PER_GROUP)), file)
    return file.getvalue()


def open_folder(run: Run, path: Path) -> None:
    """Make the folder, or check that it holds this sweep."""
    spec = run.spec
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "key": spec.key,
        "where": None if run.condition is None else run.condition.text,
        "model": spec.model,
        "points": len(spec),
        "chunk_points": run.size,
        "parts": run.chunks,
        "columns": list(column_names(spec.grid, spec.facts)),
        "sizes": list(sizes_of(spec)),
    }
    check_folder(path)
    path.mkdir(parents=True, exist_ok=True)
    if not (path / MANIFEST).exists():
        write_whole(path / MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode(), overwrite=False)
    # Read back, since another run may have written it first.
    held = read_manifest(path)
    if held != manifest:
        raise FileExistsError(
            f"{path} holds another sweep (of {held['model']!r}; a graph, an axis, a filter or the version differs); "
            "pass another folder, or remove this one"
        )
    for file in path.iterdir():
        with suppress(FileNotFoundError):
            if _is_temporary(file) and time.time() - file.stat().st_mtime > STALE_S:
                file.unlink()


def check_folder(path: Path) -> None:
    """Check that a folder does not exist, is empty, or holds a sweep.

    Raises:
        FileExistsError: It has other content.
    """
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"{path} is a file; expected a folder for the parts of a sweep")
    if path.is_dir() and not (path / MANIFEST).exists():
        others = any(not _is_temporary(file) for file in path.iterdir())
        if others and not (path / MANIFEST).exists():  # another run may have begun meanwhile
            raise FileExistsError(f"{path} is not empty and holds no sweep; pass another folder")


def read_manifest(path: Path) -> dict[str, Any]:
    """Return the manifest of a folder.

    Raises:
        FileNotFoundError: The folder has no sweep.
        ValueError: The manifest is invalid, or of another version.
    """
    file = path / MANIFEST
    if not file.exists():
        raise FileNotFoundError(f"{path} holds no sweep: it has no {MANIFEST}")
    try:
        manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        version = manifest.get("schema_version")
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{file} is no manifest of a sweep: {error}") from None
    if version != SCHEMA_VERSION:
        raise ValueError(f"{file} has schema_version {version!r}; expected {SCHEMA_VERSION}")
    return manifest


def part_file(path: Path, number: int) -> Path:
    """Return the file of a part."""
    return path / f"part-{number:08d}.parquet"


def whole(part: Path) -> bool:
    """Return whether a part exists with the end of a Parquet file; a crash of the machine may truncate a file."""
    try:
        with part.open("rb") as file:
            file.seek(-4, os.SEEK_END)
            return file.read() == b"PAR1"
    except OSError:
        return False


def write_whole(target: Path, data: Any, *, overwrite: bool = True) -> None:
    """Write a file atomically.

    Args:
        target: The file.
        data: Its bytes.
        overwrite: Whether to replace an existing file; if not, the first of several writers wins.
    """
    # Readers of data sets skip names with a leading dot.
    temporary = target.parent / f".{target.name}.{uuid.uuid4().hex}.tmp"
    try:
        with temporary.open("wb") as file:
            file.write(data)
        if overwrite:
            try:
                temporary.replace(target)
            except FileNotFoundError:  # another run removed it as stale
                with temporary.open("wb") as file:
                    file.write(data)
                temporary.replace(target)
        else:
            try:
                target.hardlink_to(temporary)
            except FileExistsError:
                pass
            except OSError:  # a file system without links
                temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _is_temporary(file: Path) -> bool:
    return file.name.startswith(".") and file.name.endswith(".tmp")
