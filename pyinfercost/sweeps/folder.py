"""The folder of a stored sweep: its manifest, and its parts, each written whole or not at all."""

from __future__ import annotations

import json
import os
import time
import uuid
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .columns import column_names
from .frames import library, write_parquet
from .result_buffer import sizes_of
from .result import Sweep
from .run import CHUNK_POINTS, Run, SweepInterrupted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .columns import GridColumns
    from .spec import SweepSpec
    from .store import StoredSweep

MANIFEST = "_sweep.json"
SCHEMA_VERSION = 1

STALE_S = 60.0
"""A temporary file that nobody has written to for so long was left by a run that is gone; a part takes less."""


def run_to_folder(run: Run, path: Path) -> StoredSweep:
    """Computes a sweep into a folder; parts that are there already are kept.

    A part is written under another name and then renamed, so that what is there is whole. Parts are encoded where
    they are computed; only this process writes. Their size does not depend on the number of workers, so that a run
    goes on with what another one wrote.

    Raises:
        FileExistsError: where the folder holds something else.
        SweepInterrupted: on Ctrl-C; the same call goes on from there.
    """
    from .store import StoredSweep

    library("pyarrow.parquet", "out=FOLDER")
    run = replace(run, chunk_points=run.chunk_points or CHUNK_POINTS)
    open_folder(run, path)
    absent = [number for number in range(run.chunks) if not whole(part_file(path, number))]
    done = len(run.spec) - run.points_of(absent)

    def missing() -> Iterator[int]:
        nonlocal done
        for number in absent:
            if whole(part_file(path, number)):  # by now, of another run into this folder
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
    """A part as the bytes of a Parquet file, in a buffer."""
    arrow = library("pyarrow", "out=FOLDER")
    file = arrow.BufferOutputStream()
    write_parquet(Sweep(spec.model, sizes_of(spec), columns), file)
    return file.getvalue()


def open_folder(run: Run, path: Path) -> None:
    """Makes the folder, or sees that it holds this very sweep."""
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
    # Read back in any case: another run may have been faster.
    held = read_manifest(path)
    if held != manifest:
        raise FileExistsError(
            f"{path} holds another sweep (of {held['model']!r}; a graph, an axis, a filter or the version differs); "
            "give another folder, or remove this one"
        )
    for file in path.iterdir():
        with suppress(FileNotFoundError):
            if _is_temporary(file) and time.time() - file.stat().st_mtime > STALE_S:
                file.unlink()


def check_folder(path: Path) -> None:
    """Sees that a folder may hold a sweep: it is not there, is empty, or holds one.

    Raises:
        FileExistsError: where it holds something else.
    """
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"{path} is a file; expected a folder for the parts of a sweep")
    if path.is_dir() and not (path / MANIFEST).exists():
        others = any(not _is_temporary(file) for file in path.iterdir())
        if others and not (path / MANIFEST).exists():  # of another run that began meanwhile
            raise FileExistsError(f"{path} is not empty and holds no sweep; give another folder")


def read_manifest(path: Path) -> dict[str, Any]:
    """What a folder says of its sweep.

    Raises:
        FileNotFoundError: where there is no sweep.
        ValueError: for a manifest of another version.
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
    """The file of a part."""
    return path / f"part-{number:08d}.parquet"


def whole(part: Path) -> bool:
    """Whether a part is there with the end that every Parquet file has: a machine that stops may cut a file short."""
    try:
        with part.open("rb") as file:
            file.seek(-4, os.SEEK_END)
            return file.read() == b"PAR1"
    except OSError:
        return False


def write_whole(target: Path, data: Any, *, overwrite: bool = True) -> None:
    """Writes a file that is there either with all its content or not at all.

    Args:
        target: the file.
        data: its bytes.
        overwrite: whether to overwrite one that is there; if not, the first of several writers wins.
    """
    # A leading dot hides it from readers of data sets.
    temporary = target.parent / f".{target.name}.{uuid.uuid4().hex}.tmp"
    try:
        with temporary.open("wb") as file:
            file.write(data)
        if overwrite:
            try:
                temporary.replace(target)
            except FileNotFoundError:  # another run took it for one left behind
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
