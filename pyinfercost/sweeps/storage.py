"""Sweeps on disk: a folder of Parquet files with a manifest, written part by part, and selection of points in it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .._checks import ROWS, whole
from ..errors import InputError
from ..results.result import Result
from .columns import TEXTS
from .conditions import Condition
from .execute import CHUNK_POINTS, Run, SweepInterrupted, raise_with_partial
from .files import as_path, file_errors, write_whole
from .frames import library
from .manifest import open_folder, read_manifest
from .parts import (
    DamagedPartError,
    PartColumns,
    PartEncoder,
    is_whole,
    part_file,
    part_numbers,
    read_footer,
    reading,
    rows_where,
)
from .result import Sweep, front_rows
from .selection import NothingFitsError, best_rows, direction, objectives, several

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from .result import Where


class StoredSweep(Result):
    """A sweep in a folder: Parquet files, which any reader of data sets accepts, and a manifest.

    Iterating yields the parts, each as a `Sweep` that reads columns on demand. `where`, `pareto` and `best` first read
    the columns that they need, part by part, and then the other columns of the chosen points. Several threads may use
    one object.

    A part that is damaged, or of another sweep, is named by a `DamagedPartError` as soon as points are read. The call
    that made the folder computes such parts anew, and no others.

    Attributes:
        path: The folder.
        model: Name of the model.
        sizes: The columns that are sizes.
        parts: The files of finished parts, without damaged ones.
        complete: Whether all parts are finished.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open a folder of `sweep(..., out=path)`, finished or not.

        Raises:
            MissingFileError: The folder has no sweep.
            InputError: The manifest is damaged; the message names its key.
            FileAccessError: The folder cannot be read.
        """
        self.path = as_path("path", path)
        self._manifest = manifest = read_manifest(self.path)
        self.model: str = manifest.model
        self.sizes: tuple[str, ...] = manifest.sizes
        self.parts: list[Path] = []
        self._rows: list[int] = []
        self._damage: DamagedPartError | None = None
        for number in part_numbers(self.path, manifest.parts):
            part = part_file(self.path, number)
            try:
                rows = read_footer(part, manifest.sweep_id).rows
                most = min(manifest.chunk_points, manifest.points - number * manifest.chunk_points)
                if rows > most:
                    raise DamagedPartError(part, f"it has {rows:,} points; expected {most:,} at the most")
            except DamagedPartError as error:
                self._damage = self._damage or error
            except FileNotFoundError:  # another run replaces it
                pass
            else:
                self.parts.append(part)
                self._rows.append(rows)
        self.complete = len(self.parts) == manifest.parts

    def __len__(self) -> int:
        return sum(self._rows)

    def __repr__(self) -> str:
        partial = "" if self.complete else f", {len(self.parts)} of {self._manifest.parts} parts"
        return f"<StoredSweep {self.model or 'graph'} in {self.path}{partial}>"

    @property
    def _condition(self) -> Condition | None:
        """Selection of its points."""
        return Condition.all_of(self._manifest.where)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return self._manifest.columns

    def __iter__(self) -> Iterator[Sweep]:
        """Yield the parts in order, each as a `Sweep`.

        Raises:
            DamagedPartError: A part is damaged; columns raise it too.
        """
        for data in self._each():
            yield Sweep(self.model, self.sizes, data, complete=self.complete, condition=self._condition)

    def dataset(self) -> Any:
        """Return the files as a `pyarrow.dataset.Dataset`, which raises errors of pyarrow for damaged pages.

        Raises:
            InputError: No part is finished.
            DamagedPartError: The end of a part is damaged.
        """
        self._check_parts()
        datasets = library("pyarrow.dataset", "a stored sweep")
        options = datasets.ParquetFragmentScanOptions(page_checksum_verification=True)
        parquet = datasets.ParquetFileFormat(default_fragment_scan_options=options)
        return datasets.dataset([str(part) for part in self.parts], format=parquet)

    def head(self, rows: int) -> Sweep:
        """Return the first points, in memory."""
        self._check_parts()
        rows = min(whole(rows, "rows", ROWS), len(self))
        try:
            with reading(self.path):
                return self._table(self.dataset().head(rows))
        except DamagedPartError as error:
            for part in self.parts:
                if not is_whole(part, self._manifest.sweep_id):
                    raise DamagedPartError(part, error.reason) from error
            raise

    def tail(self, rows: int) -> Sweep:
        """Return the last points of the last part, in memory; of a part of several row groups, of its last one."""
        self._check_parts()
        rows = whole(rows, "rows", ROWS)
        parquet = library("pyarrow.parquet", "a stored sweep")
        with reading(self.parts[-1]), parquet.ParquetFile(self.parts[-1], page_checksum_verification=True) as file:
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
        return Sweep(self.model, self.sizes, columns, complete=self.complete, condition=self._condition)

    def where(self, condition: Where) -> Sweep:
        """Return the points that satisfy a condition, in memory."""
        self._check_parts()
        parsed = Condition.all_of(condition)
        return self._taken((data, rows_where(data, parsed)) for data in self._each())

    def pareto(self, *names: str, maximize: str | Iterable[str] = (), minimize: str | Iterable[str] = ()) -> Sweep:
        """Return the Pareto front as `Sweep.pareto` does, from the fronts of the parts."""
        import numpy as np

        self._check_parts()
        said = {"maximize": maximize, "minimize": minimize}
        chosen = objectives(names, known=self._part(0), **said)
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
        ((name, most),) = objectives((objective,), known=self._part(0), **direction(objective, maximize))
        condition = Condition.all_of(where)
        per = several(per)
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
        return self._taken([(self._part(number), rows[number])]).row(0)

    def _part(self, number: int) -> PartColumns:
        """Return the columns of a part; each call returns an object of its own, for this thread."""
        return PartColumns(self.parts[number], self.columns, self._rows[number])

    def _each(self) -> Iterator[PartColumns]:
        """Yield the columns of the parts."""
        if self._damage is not None:
            raise DamagedPartError(self._damage.path, self._damage.reason)
        for number in range(len(self.parts)):
            yield self._part(number)

    def _check_parts(self) -> None:
        if self._damage is not None:
            raise DamagedPartError(self._damage.path, self._damage.reason)
        if not self.parts:
            raise InputError(f"{self!r} has no finished part; run the sweep again to continue it")

    def _taken(self, chosen: Iterable[tuple[PartColumns, NDArray[Any]]]) -> Sweep:
        """Return rows of parts as one Sweep; without any row, one part is read for the types."""
        import numpy as np

        read = [{name: data.at(name, rows) for name in self.columns} for data, rows in chosen if len(rows)]
        if not read:
            data = self._part(0)
            read = [{name: data.at(name, np.empty(0, dtype=np.int64)) for name in self.columns}]
        columns = {name: np.concatenate([part[name] for part in read]) for name in self.columns}
        return Sweep(self.model, self.sizes, columns, complete=self.complete, condition=self._condition)

    def _nothing_fits(self, objective: str, condition: Condition | None) -> str:
        points = len(self)
        if not points:
            return "there are no points to choose from"
        if condition is None:
            return f"{objective} is nan at each of {points:,} points"
        last = next(data for number in reversed(range(len(self.parts))) if (data := self._part(number)).rows)
        shortfall = condition.shortfall(last, rows=last.rows)
        among = f"; of the {last.rows:,} in the last part:" if len(self.parts) > 1 else ""
        return f"none of {points:,} points satisfies {condition}{among}\n{shortfall}"


def run_to_folder(run: Run, path: Path) -> StoredSweep:
    """Compute a sweep into a folder; finished parts are kept, damaged ones are computed anew.

    A part is written under another name, synchronized with the disk and then renamed, so that every part is complete.
    Parts are encoded where they are computed, and written by this process. Their size does not depend on the number of
    workers, so that a run can continue another one.

    Raises:
        ExistingFileError: The folder has other content.
        FileAccessError: A file cannot be written; the finished parts are kept.
        TooLargeError: There are more parts than a folder takes.
        SweepInterrupted: Ctrl-C was pressed; the same call continues the sweep.
    """
    library("pyarrow.parquet", "out=FOLDER")
    run = replace(run, chunk_points=run.chunk_points or CHUNK_POINTS)
    manifest = open_folder(run, path)
    encoder = PartEncoder(manifest.sweep_id, manifest.chunk_points)

    def finished(number: int) -> bool:
        return is_whole(part_file(path, number), manifest.sweep_id)

    present = {number for number in part_numbers(path, manifest.parts) if finished(number)}
    absent = [number for number in range(run.chunks) if number not in present]
    done = len(run.spec) - run.points_of(absent)

    def missing() -> Iterator[int]:
        nonlocal done
        for number in absent:
            if finished(number):  # another run into this folder has finished it
                done += run.points_of([number])
            else:
                yield number

    try:
        with run.reporting(done) as report, closing(run.results(missing(), encoder)) as results:
            for number, pieces in results:
                with file_errors(path, "make room or access, and repeat the call, which keeps the finished parts"):
                    write_whole(part_file(path, number), pieces)
                done += run.points_of([number])
                report(done)
    except KeyboardInterrupt:
        raise SweepInterrupted(StoredSweep(path), done, len(run.spec)) from None
    except Exception as error:
        raise_with_partial(error, lambda: StoredSweep(path))
    return StoredSweep(path)
