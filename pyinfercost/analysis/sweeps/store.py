"""Sweeps on disk: a folder of Parquet files, written part by part, which a later call can complete."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..choosing import NothingFitsError, objectives
from ..conditions import Condition
from .frames import library, write_parquet
from .result import Sweep
from .run import Run, SweepInterrupted, sizes_of

if TYPE_CHECKING:
    from .columns import GridColumns
    from .result import Where
    from .spec import SweepSpec

MANIFEST = "_sweep.json"
SCHEMA_VERSION = 1


class StoredSweep:
    """A sweep in a folder: Parquet files that any reader of data sets takes, and a manifest.

    Attributes:
        path: the folder.
        model: what the model is called.
        sizes: the columns that are sizes.
        complete: whether all parts are there.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Opens a folder that `sweep(..., out=path)` wrote.

        Raises:
            FileNotFoundError: where there is no sweep.
        """
        self.path = Path(path)
        self._manifest = _read_manifest(self.path)
        self.model: str = self._manifest["model"]
        self.sizes: tuple[str, ...] = tuple(self._manifest["sizes"])
        self.parts = [part for n in range(self._manifest["parts"]) if (part := _part(self.path, n)).exists()]
        self.complete = len(self.parts) == self._manifest["parts"]

    def __len__(self) -> int:
        parquet = library("pyarrow.parquet", "a stored sweep")
        return sum(parquet.read_metadata(part).num_rows for part in self.parts)

    def __repr__(self) -> str:
        partial = "" if self.complete else f", {len(self.parts)} of {self._manifest['parts']} parts"
        return f"<StoredSweep {self.model or 'graph'} in {self.path}{partial}>"

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(self._manifest["columns"])

    def __iter__(self) -> Iterator[Sweep]:
        """The parts, one after the other, each as a `Sweep`."""
        for part in self.parts:
            yield self._read(part)

    def dataset(self) -> Any:
        """The files as a `pyarrow.dataset.Dataset`."""
        datasets = library("pyarrow.dataset", "a stored sweep")
        return datasets.dataset([str(part) for part in self.parts], format="parquet")

    def where(self, condition: Where) -> Sweep:
        """The points that satisfy a condition, in memory."""
        parsed = Condition.all_of(condition)
        return _joined([part.where(parsed) for part in self], self)

    def pareto(self, *names: str, maximize: str | Iterable[str] = (), minimize: str | Iterable[str] = ()) -> Sweep:
        """As `Sweep.pareto`: the front of the parts' fronts."""
        fronts = [part.pareto(*names, maximize=maximize, minimize=minimize) for part in self]
        return _joined(fronts, self).pareto(*names, maximize=maximize, minimize=minimize)

    def best(self, objective: str, *, where: Where = None, maximize: bool | None = None) -> dict[str, Any]:
        """As `Sweep.best`: the best of the parts' best points."""
        found: dict[str, Any] | None = None
        failure: NothingFitsError | None = None
        for part in self:
            try:
                point = part.best(objective, where=where, maximize=maximize)
            except NothingFitsError as error:
                failure = error
                continue
            given = {} if maximize is None else {"maximize" if maximize else "minimize": (objective,)}
            ((_, most),) = objectives((objective,), known=part.data, **given)
            if found is None or (point[objective] > found[objective] if most else point[objective] < found[objective]):
                found = point
        if found is None:
            raise failure or NothingFitsError(f"{self!r} has no points")
        return found

    def _read(self, part: Path) -> Sweep:
        import numpy as np

        parquet = library("pyarrow.parquet", "a stored sweep")
        table = parquet.read_table(part, partitioning=None)
        data = {}
        for name in table.column_names:
            column = table.column(name)
            text = name in ("hardware", "precision", "execution")
            data[name] = np.asarray(column.to_pylist(), dtype=str) if text else column.to_numpy()
        return Sweep(self.model, self.sizes, data, complete=self.complete)


def run_to_folder(run: Run, path: Path) -> StoredSweep:
    """Computes a sweep into a folder; parts that are there already are kept.

    A part is written under another name and then renamed, so that what is there is whole. Parts are encoded where
    they are computed; only this process writes.

    Raises:
        FileExistsError: where the folder holds something else.
        SweepInterrupted: on Ctrl-C; the same call goes on from there.
    """
    library("pyarrow.parquet", "out=FOLDER")
    _open_folder(run, path)
    missing = [number for number in range(run.chunks) if not _part(path, number).exists()]
    there = {number: None for number in range(run.chunks) if number not in set(missing)}
    try:
        with run.reporting(run.points_of(there)) as report:
            for number, data in run.results(missing, encoded):
                target = _part(path, number)
                partial = target.with_suffix(f".{os.getpid()}.tmp")
                partial.write_bytes(data)
                partial.replace(target)
                there[number] = None
                report(run.points_of(there))
    except KeyboardInterrupt:
        raise SweepInterrupted(StoredSweep(path), run.points_of(there), len(run.spec)) from None
    except Exception as error:
        error.partial = StoredSweep(path)  # type: ignore[attr-defined]
        raise
    return StoredSweep(path)


def encoded(spec: SweepSpec, columns: GridColumns) -> bytes:
    """A part as the bytes of a Parquet file."""
    file = io.BytesIO()
    write_parquet(Sweep(spec.model, sizes_of(spec), columns), file)
    return file.getvalue()


def _open_folder(run: Run, path: Path) -> None:
    """Makes the folder, or sees that it holds this very sweep."""
    from .columns import column_names

    spec = run.spec
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "key": spec.key,
        "where": None if run.condition is None else run.condition.text,
        "model": spec.model,
        "points": len(spec),
        "chunk_points": run.chunk_points,
        "parts": run.chunks,
        "columns": list(column_names(spec.grid, priced=bool(spec.usd_per_h))),
        "sizes": list(sizes_of(spec)),
    }
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"{path} is a file; expected a folder for the parts of a sweep")
    if (path / MANIFEST).exists():
        if _read_manifest(path) != manifest:
            raise FileExistsError(
                f"{path} holds another sweep (of {_read_manifest(path)['model']!r}; a graph, an axis, a filter or the "
                "version differs); give another folder, or remove this one"
            )
        return
    if path.exists() and any(path.iterdir()):
        raise FileExistsError(f"{path} is not empty and holds no sweep; give another folder")
    path.mkdir(parents=True, exist_ok=True)
    (path / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / MANIFEST
    if not file.exists():
        raise FileNotFoundError(f"{path} holds no sweep: it has no {MANIFEST}")
    manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"{file} has schema_version {manifest.get('schema_version')!r}; expected {SCHEMA_VERSION}")
    return manifest


def _part(path: Path, number: int) -> Path:
    return path / f"part-{number:08d}.parquet"


def _joined(parts: list[Sweep], stored: StoredSweep) -> Sweep:
    import numpy as np

    if not parts:
        raise ValueError(f"{stored!r} has no points yet")
    data = {name: np.concatenate([part[name] for part in parts]) for name in stored.columns}
    return Sweep(stored.model, stored.sizes, data, complete=stored.complete)
