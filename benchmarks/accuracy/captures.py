"""Graphs of whole models: captured once by several processes, and stored on disk.

A model is a `Wanted`: a description of what to build, in plain data. The name of a graph's file contains a digest of
all inputs of the capture: the model, the library that builds it, torch, and the sources of this package's capture and
of the recipe. A model that cannot be captured with a symbolic batch is captured at each batch of its rows.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import logging
import multiprocessing
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import pyinfercost as ic
from pyinfercost import Graph

from .measured import Rows
from .predict import reason_of

BATCH = "batch"


def default_cache() -> Path:
    """Return the folder of the user's cache for graphs and fits."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "pyinfercost" / "accuracy"


@dataclass(frozen=True)
class Wanted:
    """A model to capture.

    Attributes:
        library: Library that builds it, such as `timm`; its version is part of the digest.
        model: Name of the model.
        recipe: Further inputs of its builder, as (name, value) pairs.
        batches: Batches of its rows, for a capture at fixed batches.
    """

    library: str
    model: str
    recipe: tuple[tuple[str, Any], ...]
    batches: tuple[int, ...] = field(default=(), compare=False)

    def name(self, batch: int | None = None) -> str:
        """Return the name of the file for its graph."""
        made_by = (self.library, _version(self.library), _version("torch"), _sources(self.library))
        digest = hashlib.sha256(repr((*made_by, self.model, self.recipe, batch)).encode()).hexdigest()[:20]
        return f"{re.sub(r'[^A-Za-z0-9_.-]', '_', self.model)[:60]}-{digest}.json.gz"


@dataclass(frozen=True)
class Capturing:
    """Settings of captures.

    Attributes:
        folder: Folder for graphs.
        workers: Number of processes.
        progress: Called with (done, total) after each capture.
    """

    folder: Path
    workers: int = 2
    progress: Callable[[int, int], None] = lambda done, total: None


Build = Callable[[Wanted, "int | None"], Graph]
"""Captures a model with a symbolic batch, or at a batch. A module-level function, since other processes call it."""


class Captured:
    """Graphs by model and batch, loaded on first use and then cached."""

    def __init__(self, folder: Path, failed: Mapping[Wanted, str]) -> None:
        self._folder = folder
        self._loaded: dict[str, Graph | None] = {}
        self._failed = failed

    def graph(self, wanted: Wanted, batch: int) -> Graph | None:
        """Return the graph of a model: with a symbolic batch, else at this batch, else None."""
        for name in (wanted.name(), wanted.name(batch)):
            if name not in self._loaded:
                path = self._folder / name
                self._loaded[name] = _read(path) if path.is_file() else None
            if self._loaded[name] is not None:
                return self._loaded[name]
        return None

    def by_graph(self, wanted: Wanted, batches: Rows, rows: Rows) -> list[tuple[Rows, Graph | None]]:
        """Return rows of one model with the graph of each: one for all of them if the batch is symbolic."""
        graph = self.graph(wanted, int(batches[rows[0]]))
        if graph is None or BATCH in graph.sizes:
            return [(rows, graph)]
        return [(rows[batches[rows] == batch], self.graph(wanted, int(batch))) for batch in np.unique(batches[rows])]

    def reason(self, wanted: Wanted) -> str:
        """Return the reason why a model has no graph."""
        return self._failed.get(wanted, "it could not be captured")


def captured(models: Iterable[Wanted], build: Build, capturing: Capturing) -> Captured:
    """Capture all models that are not in the folder yet.

    Args:
        models: The models.
        build: Captures one model.
        capturing: Settings.

    Returns:
        The graphs.
    """
    folder = capturing.folder
    folder.mkdir(parents=True, exist_ok=True)
    missing = [wanted for wanted in dict.fromkeys(models) if not _is_kept(wanted, folder)]
    failed: dict[Wanted, str] = {}
    if missing:
        capturing.progress(0, len(missing))
    for done, (wanted, reason) in enumerate(_results(missing, build, folder, capturing.workers), 1):
        if reason is not None:
            failed[wanted] = reason
        capturing.progress(done, len(missing))
    return Captured(folder, failed)


def _is_kept(wanted: Wanted, folder: Path) -> bool:
    if (folder / wanted.name()).is_file():
        return True
    return bool(wanted.batches) and all((folder / wanted.name(batch)).is_file() for batch in wanted.batches)


def _results(missing: list[Wanted], build: Build, folder: Path, workers: int) -> Iterator[tuple[Wanted, str | None]]:
    """Yield each model with the reason for a missing graph, or None; workers hold only a few models at a time."""
    # Variants of a model are sent to one process in sequence, which builds it once.
    together: dict[tuple[str, str], list[Wanted]] = {}
    for wanted in missing:
        together.setdefault((wanted.library, wanted.model), []).append(wanted)
    if len(together) <= 1 or workers <= 1:
        for wanted in missing:
            yield wanted, capture_to(wanted, build, folder)
        return
    waiting = iter(together.values())
    # Spawned, because torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin) as pool:
        running: dict[Future[list[str | None]], list[Wanted]] = {}
        try:
            while True:
                while len(running) < 2 * workers and (some := next(waiting, None)) is not None:
                    running[pool.submit(_capture_all, some, build, folder)] = some
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    some = running.pop(future)
                    try:
                        yield from zip(some, future.result(), strict=True)
                    except BrokenProcessPool:
                        for lost in (some, *running.values(), *waiting):
                            yield from ((wanted, "a capturing process died") for wanted in lost)
                        return
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _capture_all(some: list[Wanted], build: Build, folder: Path) -> list[str | None]:
    return [capture_to(wanted, build, folder) for wanted in some]


def _begin() -> None:
    """Initialize a capturing process: one thread, no downloads, and no messages about missing optional libraries."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C; running captures are finished
    logging.disable(logging.WARNING)
    import torch

    torch.set_num_threads(1)


def capture_to(wanted: Wanted, build: Build, folder: Path) -> str | None:
    """Capture a model into the folder.

    Returns:
        None, or the reason why there is no graph.
    """
    try:
        _keep(build(wanted, None), folder / wanted.name())
        return None
    except Exception as error:
        reason = reason_of(error)
    for batch in wanted.batches:
        try:
            _keep(build(wanted, batch), folder / wanted.name(batch))
        except Exception:
            return reason
    return None if wanted.batches else reason


def _read(path: Path) -> Graph:
    return Graph.from_json(gzip.decompress(path.read_bytes()).decode())


def _keep(graph: Graph, path: Path) -> None:
    """Write a graph to a temporary file, which is renamed when complete."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(gzip.compress(graph.to_json().encode(), compresslevel=1))
    Path(file.name).replace(path)


@cache
def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"


@cache
def _sources(library: str) -> str:
    """Return a digest of the sources that determine a graph: the package's capture, and the recipe of the library."""
    digest = hashlib.sha256()
    capture = sorted((Path(ic.__file__).parent / "sources").rglob("*.py"))
    for path in [*capture, *sorted((Path(__file__).parent / "recipes").glob(f"{library}_models.*"))]:
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
