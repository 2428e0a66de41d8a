"""Running a sweep: chunk by chunk, here or on an executor, with progress, and with what was computed kept."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from .columns import GridColumns
from .result import Sweep
from .spec import COMPUTED, SweepSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..conditions import Condition

CHUNK_POINTS = 2**20
"""Points of a chunk: some tenths of a second, and 50 MB of results."""

ProgressCallback: TypeAlias = Callable[[int, int], None]
Computed: TypeAlias = "dict[str, NDArray[np.float64]]"
Encode: TypeAlias = "Callable[[SweepSpec, GridColumns], Any]"


class SweepInterrupted(KeyboardInterrupt):
    """A sweep was stopped by Ctrl-C.

    Attributes:
        partial: what was computed before, as a `Sweep` or a `StoredSweep`; at a prompt also `sys.last_value.partial`.
    """

    def __init__(self, partial: Any, done: int, total: int) -> None:
        super().__init__(f"stopped after {done:,} of {total:,} points; what was computed is in .partial")
        self.partial = partial


@dataclass
class Run:
    """One call of `sweep`.

    Attributes:
        spec: what to compute.
        condition: which points to keep; None keeps all.
        executor: where to compute; None is this process.
        workers: threads of this process; None takes all cores.
        progress: as in `sweep`.
        chunk_points: points of a chunk.
    """

    spec: SweepSpec
    condition: Condition | None
    executor: Executor | None = None
    workers: int | None = None
    progress: bool | ProgressCallback | None = None
    chunk_points: int = field(default=CHUNK_POINTS)

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers must be at least 1, got {self.workers}")

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return -(-len(self.spec) // self.chunk_points)

    @property
    def threads(self) -> int:
        """Threads of this process to compute with."""
        return self.workers or os.cpu_count() or 1

    def stretch(self, chunk: int) -> slice:
        """The points of a chunk."""
        return slice(chunk * self.chunk_points, min((chunk + 1) * self.chunk_points, len(self.spec)))

    def points_of(self, chunks: Mapping[int, Any]) -> int:
        """How many points these chunks have."""
        return sum(self.stretch(chunk).stop - self.stretch(chunk).start for chunk in chunks)

    @contextmanager
    def reporting(self, done: int = 0) -> Iterator[Callable[[int], None]]:
        """A function to call with the number of points done; it shows what the caller wants to see."""
        from ...report.progress import reporting

        with reporting(self.progress, len(self.spec), done) as report:
            yield report

    def results(self, wanted: list[int], encode: Encode) -> Iterator[tuple[int, Any]]:
        """The chunks' encoded results, in the order in which they are done.

        Args:
            wanted: numbers of chunks.
            encode: makes of a chunk's columns what is passed on; runs where the chunk is computed.
        """
        if self.executor is None:
            for chunk in wanted:
                yield chunk, encode(self.spec, compute(self.spec, self.condition, self.stretch(chunk), self.threads))
        else:
            yield from self._remote(self.executor, wanted, encode)

    def _remote(self, executor: Executor, wanted: list[int], encode: Encode) -> Iterator[tuple[int, Any]]:
        data, key = self.spec.to_bytes(), self.spec.key
        waiting = iter(wanted)
        running: dict[Future[Any], int] = {}
        left: list[int] = []
        reason: BaseException | None = None

        def submit() -> bool:
            chunk = next(waiting, None)
            if chunk is None:
                return False
            try:
                running[executor.submit(work, data, key, self.condition, self.stretch(chunk), encode)] = chunk
            except RuntimeError as error:  # a pool that is broken, or shut down
                nonlocal reason
                reason = error
                left.extend((chunk, *waiting))
                return False
            return True

        try:
            # A window of tasks: enough to keep all workers busy, and no more results than fit.
            window = 2 * (getattr(executor, "_max_workers", None) or os.cpu_count() or 1) + 2
            while len(running) < window and submit():
                pass
            while running:
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    chunk = running.pop(future)
                    submit()
                    error = future.exception() if not future.cancelled() else RuntimeError("the task was cancelled")
                    if error is None:
                        yield chunk, future.result()
                    elif isinstance(error, (ValueError, ArithmeticError, MemoryError)):
                        raise error  # of the point, and the same anywhere
                    else:
                        reason = error
                        left.append(chunk)
        finally:
            for future in running:
                future.cancel()
        if not left:
            return
        warnings.warn(
            f"{len(left)} of {len(wanted)} parts of the sweep failed on the executor "
            f"({type(reason).__name__}: {reason}); they are computed in this process",
            RuntimeWarning,
            stacklevel=2,
        )
        for chunk in sorted(left):
            yield chunk, encode(self.spec, compute(self.spec, self.condition, self.stretch(chunk), self.threads))


def compute(spec: SweepSpec, condition: Condition | None, stretch: slice, threads: int) -> GridColumns:
    """The results of a stretch of the grid, those that satisfy the condition."""
    import numpy as np

    points = stretch.stop - stretch.start
    out = {name: np.empty(points) for name in COMPUTED}
    spec.compute(stretch.start, out, threads=threads)
    columns = GridColumns(spec.grid, spec.facts(), stretch, out)
    return columns if condition is None else columns.take(condition.mask(columns, rows=points))


def work(data: bytes, key: str, condition: Condition | None, stretch: slice, encode: Encode) -> Any:
    """What a worker does: one stretch of a sweep that it got as data, on one thread."""
    spec = _spec(key, data)
    return encode(spec, compute(spec, condition, stretch, 1))


@lru_cache(maxsize=4)
def _known_spec(key: str) -> list[SweepSpec]:
    return []


def _spec(key: str, data: bytes) -> SweepSpec:
    """A worker reads a sweep once, and its plans are made once."""
    held = _known_spec(key)
    if not held:
        held.append(SweepSpec.from_bytes(data))
    return held[0]


def plain(spec: SweepSpec, columns: GridColumns) -> tuple[Any, Computed]:
    """Columns as they are."""
    return columns.points, columns.computed


def run_in_memory(run: Run) -> Sweep:
    """Computes all points of a sweep into one result.

    Raises:
        SweepInterrupted: on Ctrl-C, with what was computed.
        MemoryError: where the grid is larger than this machine's memory.
    """
    if run.condition is None:
        _check_memory(len(run.spec))
    done: dict[int, tuple[Any, Computed]] = {}
    try:
        if run.condition is None and run.executor is None:
            return _run_in_place(run)
        with run.reporting() as report:
            for chunk, result in run.results(list(range(run.chunks)), plain):
                done[chunk] = result
                report(run.points_of(done))
    except _Stopped as stopped:
        raise stopped.error from stopped.error.__cause__
    except KeyboardInterrupt:
        raise SweepInterrupted(_joined(run, done), run.points_of(done), len(run.spec)) from None
    except Exception as error:
        error.partial = _joined(run, done)  # type: ignore[attr-defined]
        raise
    return _joined(run, done)


class _Stopped(Exception):
    """Carries an exception that has its partial result past the handlers above."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _run_in_place(run: Run) -> Sweep:
    """Without a filter, and in this process, results are written to where they stay."""
    import numpy as np

    spec = run.spec
    columns = {name: np.empty(len(spec)) for name in COMPUTED}
    done = 0

    def so_far() -> Sweep:
        computed = {name: column[:done] for name, column in columns.items()}
        data = GridColumns(spec.grid, spec.facts(), slice(0, done), computed)
        return Sweep(spec.model, sizes_of(spec), data, complete=done == len(spec))

    try:
        with run.reporting() as report:
            for chunk in range(run.chunks):
                stretch = run.stretch(chunk)
                part = {name: column[stretch] for name, column in columns.items()}
                spec.compute(stretch.start, part, threads=run.threads)
                done = stretch.stop
                report(done)
    except KeyboardInterrupt:
        raise _Stopped(SweepInterrupted(so_far(), done, len(spec))) from None
    except Exception as error:
        error.partial = so_far()  # type: ignore[attr-defined]
        raise _Stopped(error) from None
    return so_far()


def _joined(run: Run, done: Mapping[int, tuple[Any, Computed]]) -> Sweep:
    """The chunks in the order of the grid, whatever the order in which they came."""
    import numpy as np

    spec = run.spec
    chunks = [done[chunk] for chunk in sorted(done)]
    empty: list[NDArray[np.int64]] = [np.empty(0, dtype=np.int64)]
    points = [np.arange(p.start, p.stop) if isinstance(p, slice) else p for p, _ in chunks]
    computed = {name: np.concatenate([part[name] for _, part in chunks] or [np.empty(0)]) for name in COMPUTED}
    data = GridColumns(spec.grid, spec.facts(), np.concatenate(points or empty), computed)
    return Sweep(spec.model, sizes_of(spec), data, complete=len(done) == run.chunks)


def sizes_of(spec: SweepSpec) -> tuple[str, ...]:
    """The columns of a sweep that are sizes, open ones and fixed ones."""
    return tuple(name for name in spec.grid.names if name not in spec.way_names)


def _check_memory(points: int) -> None:
    """Refuses a grid whose results cannot be in memory, before hours of work show it."""
    needed = points * 8 * len(COMPUTED)
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return
    if needed > 0.8 * there:
        raise MemoryError(
            f"{points:,} points take {needed / 1e9:.0f} GB, and this machine has {there / 1e9:.0f} GB: give out=FOLDER "
            "to write them to disk, or where= to keep fewer"
        )
