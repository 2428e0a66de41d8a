"""Execution of a sweep: chunk by chunk, in this process or on an executor; computed points survive an exception."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

from .. import _core
from .._checks import whole
from ..errors import Error, InputTypeError, TooLargeError
from .columns import GridColumns
from .result import Sweep
from .spec import COMPUTED, SweepSpec
from .tasks import OF_A_POINT, RemoteTasks, Tasks, compute, worker_count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .conditions import Condition

CHUNK_POINTS = 2**20
"""Maximum points of a chunk: some tenths of a second on one core, and 50 MB of results."""

SMALL_CHUNK_POINTS = 2**16
"""Minimum points of a chunk, if the grid has more: the overhead of smaller chunks is noticeable."""

IN_PLACE_POINTS = 2**18
"""Points between two reports of progress, and checks for Ctrl-C, if results are written in place."""

TASKS_PER_WORKER = 4
"""Chunks per worker, so that workers finish at about the same time."""

WORKERS_PER_CORE = 4
"""Maximum threads per core: more are not faster, and each has a chunk in memory."""

ProgressCallback: TypeAlias = Callable[[int, int], None]
Encode: TypeAlias = "Callable[[SweepSpec, slice, GridColumns], Any]"
"""Converts the points of a chunk and their columns to a result, where the chunk is computed."""


class SweepInterrupted(KeyboardInterrupt):
    """A sweep was stopped by Ctrl-C.

    Attributes:
        partial: The computed points, as a `Sweep` or a `StoredSweep`; at a prompt also `sys.last_value.partial`.
    """

    def __init__(self, partial: Any, done: int, total: int) -> None:
        super().__init__(f"stopped after {done:,} of {total:,} points; .partial has the computed ones")
        self.partial = partial
        self._counts = (done, total)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.partial, *self._counts)


@dataclass
class Run:
    """One call of `sweep`.

    Attributes:
        spec: The sweep.
        condition: Condition on the points to keep; None keeps all.
        executor: The executor; None computes in this process.
        workers: Threads of this process; None takes all cores.
        progress: As in `sweep`.
        chunk_points: Points of a chunk; None chooses by the number of workers. Results do not depend on it.
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
            hint = "; pass client.get_executor() of a dask client" if hasattr(given, "get_executor") else ""
            raise InputTypeError(f"executor is {given!r}; expected a concurrent.futures.Executor{hint}")
        if self.workers is not None:
            self.workers = whole(self.workers, "workers")
        self.parallel = self.threads if self.executor is None else worker_count(self.executor) or cores()
        share = -(-len(self.spec) // (TASKS_PER_WORKER * self.parallel))
        self.size = self.chunk_points or min(max(share, SMALL_CHUNK_POINTS), CHUNK_POINTS)

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return -(-len(self.spec) // self.size)

    @property
    def threads(self) -> int:
        """Threads of this process."""
        return min(self.workers or cores(), WORKERS_PER_CORE * cores())

    def stretch(self, chunk: int) -> slice:
        """Return the points of a chunk."""
        return slice(chunk * self.size, min((chunk + 1) * self.size, len(self.spec)))

    def points_of(self, chunks: Iterable[int]) -> int:
        """Return the number of points of some chunks."""
        return sum(self.stretch(chunk).stop - self.stretch(chunk).start for chunk in chunks)

    @contextmanager
    def reporting(self, done: int = 0) -> Iterator[Callable[[int], None]]:
        """Yield a function to call with the number of points done, which shows the progress that the caller wants."""
        on_terminal = sys.stderr is not None and sys.stderr.isatty()
        if self.progress is False or (self.progress is None and not on_terminal):
            yield lambda now: None
            return
        from .progress import reporting

        with reporting(self.progress, len(self.spec), done) as report:
            yield report

    def results(self, wanted: Iterable[int], encode: Encode) -> Generator[tuple[int, Any], None, None]:
        """Yield numbers of chunks and their encoded results, in order of completion.

        Args:
            wanted: Numbers of chunks.
            encode: As in `Encode`.
        """
        if self.executor is not None:
            yield from self._on_executor(self.executor, wanted, encode)
        elif self.threads > 1 and self.chunks > 1:
            yield from self._on_threads(wanted, encode)
        else:
            yield from self._here(wanted, encode)

    def _here(self, wanted: Iterable[int], encode: Encode) -> Iterator[tuple[int, Any]]:
        for chunk in wanted:
            stretch = self.stretch(chunk)
            yield chunk, encode(self.spec, stretch, compute(self.spec, self.condition, stretch, self.threads))

    def _on_threads(self, wanted: Iterable[int], encode: Encode) -> Iterator[tuple[int, Any]]:
        """Compute chunks on threads. Evaluation, filters and encoding release the GIL and run concurrently."""

        def task(chunk: int) -> Any:
            stretch = self.stretch(chunk)
            return encode(self.spec, stretch, compute(self.spec, self.condition, stretch, 1))

        stop = _core.StopFlag()  # Ctrl-C reaches the main thread alone
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="sweep", initializer=stop.watch)
        wait = True
        try:
            tasks = Tasks(lambda chunk: pool.submit(task, chunk), wanted, self.threads + 1, (BaseException,))
            yield from tasks.results()
        except (KeyboardInterrupt, GeneratorExit):
            wait = False  # a thread may be in pyarrow for half a second
            raise
        finally:
            stop.set()
            pool.shutdown(wait, cancel_futures=True)

    def _on_executor(self, executor: Executor, wanted: Iterable[int], encode: Encode) -> Iterator[tuple[int, Any]]:
        # Some more than workers, so that no worker waits for its next task.
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


def plain(spec: SweepSpec, stretch: slice, columns: GridColumns) -> tuple[Any, Mapping[str, Any]]:
    """Return the points of a chunk and its computed columns, unchanged."""
    return columns.points, columns.computed


class ResultBuffer:
    """Results of a sweep in memory, which arrive in any order.

    If all points are kept, each column is one array from the start, and chunks are written into it. Otherwise chunks
    are kept and joined at the end.

    Attributes:
        points_done: Computed points of the grid, including those that a filter left out.
    """

    POINT_BYTES: Final = 8 * len(COMPUTED)

    def __init__(self, run: Run, memory_bytes: float) -> None:
        import numpy as np

        self.points_done = 0
        self._run = run
        self._memory_bytes = memory_bytes
        self._done: dict[int, tuple[Any, Mapping[str, NDArray[np.float64]]]] = {}
        self._kept = 0
        self._columns: dict[str, NDArray[np.float64]] = {}
        if run.condition is None:
            self._columns = {name: np.empty(len(run.spec)) for name in COMPUTED}

    def views(self, stretch: slice) -> dict[str, NDArray[np.float64]]:
        """Return views of the columns to write a stretch of the grid into; `up_to` or `add` then counts it as done."""
        return {name: column[stretch] for name, column in self._columns.items()}

    def up_to(self, point: int) -> None:
        """Count all points before this one as done."""
        self.points_done = point

    def add(self, chunk: int, points: Any, computed: Mapping[str, NDArray[np.float64]]) -> None:
        """Add the results of a chunk.

        Raises:
            TooLargeError: The points that a filter keeps need more than the memory.
        """
        stretch = self._run.stretch(chunk)
        if self._columns:
            for name, view in self.views(stretch).items():
                view[:] = computed[name]
            self._done[chunk] = (stretch, {})
        else:
            self._kept += len(computed["latency_s"])
            self._done[chunk] = (points, computed)
        self.points_done += stretch.stop - stretch.start
        # Twice, since chunks and joined columns exist at the same time; 8 bytes are the number of a point.
        needed = 2 * self._kept * (self.POINT_BYTES + 8)
        if needed > self._memory_bytes:
            raise TooLargeError(
                f"{self._kept:,} points satisfy the condition so far, and need {needed / 1e9:,.0f} GB of memory; pass "
                "out=FOLDER to write them to disk, or a narrower condition"
            )

    def sweep(self) -> Sweep:
        """Return the computed points, in the order of the grid."""
        import numpy as np

        spec = self._run.spec
        chunks = [self._done[chunk] for chunk in sorted(self._done)]
        points: Any
        if not self._columns:
            none: list[NDArray[np.int64]] = [np.empty(0, dtype=np.int64)]
            points = np.concatenate(
                [np.arange(p.start, p.stop) if isinstance(p, slice) else p for p, _ in chunks] or none
            )
            computed = {name: np.concatenate([part[name] for _, part in chunks] or [np.empty(0)]) for name in COMPUTED}
        elif self.points_done == len(spec) or not chunks:
            points = slice(0, self.points_done)
            computed = self.views(points)
        else:
            points = np.concatenate([np.arange(stretch.start, stretch.stop) for stretch, _ in chunks])
            computed = {name: column[points] for name, column in self._columns.items()}
        data = GridColumns(spec.grid, spec.facts, points, computed)
        complete = self.points_done == len(spec)
        return Sweep(spec.model, sizes_of(spec), data, complete=complete, condition=self._run.condition)


def sizes_of(spec: SweepSpec) -> tuple[str, ...]:
    """Return the columns of a sweep that are sizes, open and fixed ones."""
    return tuple(name for name in spec.grid.names if name not in spec.way_names)


def run_in_memory(run: Run) -> Sweep:
    """Compute all points of a sweep in memory.

    Raises:
        SweepInterrupted: Ctrl-C was pressed; the exception has the computed points.
        TooLargeError: The results do not fit into memory.
    """
    memory = _memory_bytes()
    points = len(run.spec) if run.condition is None else 0
    if points * ResultBuffer.POINT_BYTES > memory:
        raise TooLargeError(
            f"{points:,} points need {points * ResultBuffer.POINT_BYTES / 1e9:,.0f} GB of memory, and "
            f"{memory / 1e9:.0f} GB may be used; pass out=FOLDER to write them to disk, or where= to keep fewer"
        )
    try:
        buffer = ResultBuffer(run, memory)
    except MemoryError:
        raise TooLargeError(
            f"{points:,} points need {points * ResultBuffer.POINT_BYTES / 1e9:,.1f} GB of memory, which the system "
            "does not give; pass out=FOLDER to write them to disk, or where= to keep fewer"
        ) from None
    steps = _in_place(run, buffer) if run.executor is None and run.condition is None else _by_chunks(run, buffer)
    try:
        with run.reporting() as report, closing(steps):
            for _ in steps:
                report(buffer.points_done)
    except KeyboardInterrupt:
        raise SweepInterrupted(buffer.sweep(), buffer.points_done, len(run.spec)) from None
    except Exception as error:
        raise_with_partial(error, buffer.sweep)
    return buffer.sweep()


def raise_with_partial(error: Exception, partial: Callable[[], Any]) -> NoReturn:
    """Raise an exception of a sweep with the computed points as `partial`; too little memory as a `TooLargeError`."""
    if isinstance(error, MemoryError) and not isinstance(error, Error):
        error = TooLargeError("the sweep needs more memory than the system gives; pass fewer workers, or fewer points")
    with suppress(MemoryError, Error):
        error.partial = partial()  # type: ignore[attr-defined]
    raise error


def _by_chunks(run: Run, buffer: ResultBuffer) -> Generator[None, None, None]:
    with closing(run.results(range(run.chunks), plain)) as results:
        for chunk, (points, computed) in results:
            buffer.add(chunk, points, computed)
            yield


def _in_place(run: Run, buffer: ResultBuffer) -> Generator[None, None, None]:
    """Compute all points in this process, without a filter: results are written to their final place."""
    for first in range(0, len(run.spec), IN_PLACE_POINTS):
        stretch = slice(first, min(first + IN_PLACE_POINTS, len(run.spec)))
        try:
            run.spec.compute(first, buffer.views(stretch), threads=run.threads)
        except OF_A_POINT:
            _up_to_the_error(run.spec, stretch, buffer)
            raise
        buffer.up_to(stretch.stop)
        yield


def _up_to_the_error(spec: SweepSpec, stretch: slice, buffer: ResultBuffer) -> None:
    """Compute the points before the first one that raises, by bisection."""
    first, last = stretch.start, stretch.stop  # the point is in between
    while last - first > 1:
        middle = (first + last) // 2
        try:
            spec.compute(first, buffer.views(slice(first, middle)))
            first = middle
        except OF_A_POINT:
            last = middle
    buffer.up_to(first)


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_bytes() -> float:
    """Return the share of the memory that results may use: of the machine's, the container's or the process's limit."""
    limits = [float("inf")]
    with suppress(AttributeError, ValueError, OSError):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with suppress(ImportError, ValueError, OSError):
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        limits.append(float("inf") if limit == resource.RLIM_INFINITY else limit)
    for name in ("memory.max", "memory/memory.limit_in_bytes"):  # of control groups, versions 2 and 1
        with suppress(ValueError, OSError):
            limits.append(int(Path("/sys/fs/cgroup", name).read_text(encoding="ascii")))
    return 0.8 * min(limits)
