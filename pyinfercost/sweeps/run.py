"""Running a sweep: chunk by chunk, here or on an executor, with progress, and with what was computed kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from operator import index
from typing import TYPE_CHECKING, Any, TypeAlias

from .columns import GridColumns
from .result_buffer import Gathered
from .spec import COMPUTED, SweepSpec
from .tasks import OF_A_POINT, RemoteTasks, Tasks, cores, workers_of

if TYPE_CHECKING:
    from .conditions import Condition
    from .result import Sweep

CHUNK_POINTS = 2**20
"""Points of a chunk at most: some tenths of a second on one core, and 50 MB of results."""

SMALL_CHUNK_POINTS = 2**16
"""Points of a chunk at least, where there is a choice: below, what a chunk costs by itself begins to show."""

IN_PLACE_POINTS = 2**18
"""Points between two looks at progress and at Ctrl-C, where nothing is handed over."""

TASKS_PER_WORKER = 4
"""Chunks for each worker, so that none of them waits long for the last one."""

WORKERS_PER_CORE = 4
"""Threads for each core at most: more of them compute no faster, and each holds a chunk."""

ProgressCallback: TypeAlias = Callable[[int, int], None]
Encode: TypeAlias = "Callable[[SweepSpec, GridColumns], Any]"


class SweepInterrupted(KeyboardInterrupt):
    """A sweep was stopped by Ctrl-C.

    Attributes:
        partial: what was computed before, as a `Sweep` or a `StoredSweep`; at a prompt also `sys.last_value.partial`.
    """

    def __init__(self, partial: Any, done: int, total: int) -> None:
        super().__init__(f"stopped after {done:,} of {total:,} points; what was computed is in .partial")
        self.partial = partial
        self._counts = (done, total)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.partial, *self._counts)


@dataclass
class Run:
    """One call of `sweep`.

    Attributes:
        spec: what to compute.
        condition: which points to keep; None keeps all.
        executor: where to compute; None is this process.
        workers: threads of this process; None takes all cores.
        progress: as in `sweep`.
        chunk_points: points of a chunk; None takes what suits the number of workers. Results do not depend on it.
    """

    spec: SweepSpec
    condition: Condition | None
    executor: Executor | None = None
    workers: int | None = None
    progress: bool | ProgressCallback | None = None
    chunk_points: int | None = None

    def __post_init__(self) -> None:
        given: object = self.executor
        if given is not None and not isinstance(given, Executor):
            hint = "; of a dask client, client.get_executor()" if hasattr(given, "get_executor") else ""
            raise TypeError(f"executor must be a concurrent.futures.Executor{hint}, got {given!r}")
        if self.workers is not None:
            try:
                self.workers = index(self.workers)
            except TypeError:
                raise ValueError(f"workers must be a whole number, got {self.workers!r}") from None
            if self.workers < 1:
                raise ValueError(f"workers must be at least 1, got {self.workers}")
        self.parallel = self.threads if self.executor is None else workers_of(self.executor)
        share = -(-len(self.spec) // (TASKS_PER_WORKER * self.parallel))
        self.size = self.chunk_points or min(max(share, SMALL_CHUNK_POINTS), CHUNK_POINTS)

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return -(-len(self.spec) // self.size)

    @property
    def threads(self) -> int:
        """Threads of this process to compute with."""
        return min(self.workers or cores(), WORKERS_PER_CORE * cores())

    def stretch(self, chunk: int) -> slice:
        """The points of a chunk."""
        return slice(chunk * self.size, min((chunk + 1) * self.size, len(self.spec)))

    def points_of(self, chunks: Iterable[int]) -> int:
        """How many points these chunks have."""
        return sum(self.stretch(chunk).stop - self.stretch(chunk).start for chunk in chunks)

    @contextmanager
    def reporting(self, done: int = 0) -> Iterator[Callable[[int], None]]:
        """A function to call with the number of points done; it shows what the caller wants to see."""
        from ..report.progress import reporting

        with reporting(self.progress, len(self.spec), done) as report:
            yield report

    def results(self, wanted: Iterable[int], encode: Encode) -> Generator[tuple[int, Any], None, None]:
        """The chunks' encoded results, in the order in which they are done.

        Args:
            wanted: numbers of chunks.
            encode: makes of a chunk's columns what is passed on; runs where the chunk is computed.
        """
        if self.executor is not None:
            yield from self._on_executor(self.executor, wanted, encode)
        elif self.threads > 1 and self.chunks > 1:
            yield from self._on_threads(wanted, encode)
        else:
            yield from self._here(wanted, encode)

    def _here(self, wanted: Iterable[int], encode: Encode) -> Iterator[tuple[int, Any]]:
        for chunk in wanted:
            yield chunk, encode(self.spec, compute(self.spec, self.condition, self.stretch(chunk), self.threads))

    def _on_threads(self, wanted: Iterable[int], encode: Encode) -> Iterator[tuple[int, Any]]:
        """Filters and encodings run beside the evaluation of other chunks: all of them let go of Python's lock."""

        def task(chunk: int) -> Any:
            return encode(self.spec, compute(self.spec, self.condition, self.stretch(chunk), 1))

        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="sweep")
        try:
            tasks = Tasks(lambda chunk: pool.submit(task, chunk), wanted, self.threads + 1, (BaseException,))
            yield from tasks.results()
        finally:
            pool.shutdown(cancel_futures=True)

    def _on_executor(self, executor: Executor, wanted: Iterable[int], encode: Encode) -> Iterator[tuple[int, Any]]:
        # Some more than there are workers, so that none of them waits for the next task to arrive.
        window = self.parallel + max(self.parallel // 4, 2)
        stretches = ((chunk, self.stretch(chunk)) for chunk in wanted)
        tasks = RemoteTasks(executor, self.spec, stretches, (self.condition, encode), window)
        yield from tasks.results()
        if tasks.failed:
            import warnings

            reason = next(iter(tasks.failed.values()))
            warnings.warn(
                f"{len(tasks.failed)} of {self.chunks} parts of the sweep failed on the executor "
                f"({type(reason).__name__}: {reason}); they are computed in this process",
                RuntimeWarning,
                stacklevel=2,
            )
            left = Run(self.spec, self.condition, workers=self.workers, chunk_points=self.size)
            yield from left.results(sorted(tasks.failed), encode)


def compute(spec: SweepSpec, condition: Condition | None, stretch: slice, threads: int) -> GridColumns:
    """The results of a stretch of the grid, those that satisfy the condition."""
    import numpy as np

    points = stretch.stop - stretch.start
    out = {name: np.empty(points) for name in COMPUTED}
    spec.compute(stretch.start, out, threads=threads)
    columns = GridColumns(spec.grid, spec.facts, stretch, out)
    return columns if condition is None else columns.take(condition.mask(columns, rows=points))


def plain(spec: SweepSpec, columns: GridColumns) -> tuple[Any, Mapping[str, Any]]:
    """Columns as they are."""
    return columns.points, columns.computed


def run_in_memory(run: Run) -> Sweep:
    """Computes all points of a sweep into one result.

    Raises:
        SweepInterrupted: on Ctrl-C, with what was computed.
        MemoryError: where the results are larger than this machine's memory.
    """
    memory = _memory_bytes()
    points = len(run.spec) if run.condition is None else 0
    if points * Gathered.POINT_BYTES > memory:
        raise MemoryError(
            f"{points:,} points take {points * Gathered.POINT_BYTES / 1e9:.0f} GB, and this machine has "
            f"{memory / 1e9:.0f} GB to give: give out=FOLDER to write them to disk, or where= to keep fewer"
        )
    gathered = Gathered(run, memory)
    steps = _in_place(run, gathered) if run.executor is None and run.condition is None else _by_chunks(run, gathered)
    try:
        with run.reporting() as report, closing(steps):
            for _ in steps:
                report(gathered.points_done)
    except KeyboardInterrupt:
        raise SweepInterrupted(gathered.sweep(), gathered.points_done, len(run.spec)) from None
    except Exception as error:
        error.partial = gathered.sweep()  # type: ignore[attr-defined]
        raise
    return gathered.sweep()


def _by_chunks(run: Run, gathered: Gathered) -> Generator[None, None, None]:
    with closing(run.results(range(run.chunks), plain)) as results:
        for chunk, (points, computed) in results:
            gathered.add(chunk, points, computed)
            yield


def _in_place(run: Run, gathered: Gathered) -> Generator[None, None, None]:
    """Without a filter, and in this process, results are written to where they stay."""
    for first in range(0, len(run.spec), IN_PLACE_POINTS):
        stretch = slice(first, min(first + IN_PLACE_POINTS, len(run.spec)))
        try:
            run.spec.compute(first, gathered.views(stretch), threads=run.threads)
        except OF_A_POINT:
            _up_to_the_error(run.spec, stretch, gathered)
            raise
        gathered.up_to(stretch.stop)
        yield


def _up_to_the_error(spec: SweepSpec, stretch: slice, gathered: Gathered) -> None:
    """Computes what lies before the first point that raises: twice what a chunk costs."""
    first, last = stretch.start, stretch.stop  # the point lies in between
    while last - first > 1:
        middle = (first + last) // 2
        try:
            spec.compute(first, gathered.views(slice(first, middle)))
            first = middle
        except OF_A_POINT:
            last = middle
    gathered.up_to(first)


def _memory_bytes() -> float:
    """What results may take of this machine's memory, before hours of work show that they do not fit."""
    try:
        return 0.8 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return float("inf")
