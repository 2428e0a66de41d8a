"""Tasks on executors: a bounded window of submitted tasks, their results in order of completion, and failures."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, ProcessPoolExecutor, wait
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any

from .. import _core
from ..errors import StateError
from .columns import GridColumns
from .spec import COMPUTED, SweepSpec

if TYPE_CHECKING:
    from .conditions import Condition

OF_A_POINT = (ValueError, ArithmeticError)
"""Exceptions that a point may raise."""

NO_WORKERS_S = 20.0
"""Seconds after which a cluster that lost all its workers counts as gone; a restart of workers takes less."""

SILENT_S = 5.0
"""Seconds after which a process pool that has not noticed a dead worker is broken."""

_LOOK_AGAIN_S = 1.0


class Refused(Exception):
    """An exception of a point, as a worker returns it.

    Exceptions that a future raises are failures of the executor, whatever their type: dask raises a ValueError for a
    result that is lost with its worker.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class Tasks:
    """Numbered tasks, of which at most `window` are submitted at a time, so that results do not accumulate.

    Attributes:
        failed: Number of a failed task -> its exception; filled while results are taken.
    """

    def __init__(
        self,
        submit: Callable[[int], Future[Any]],
        numbers: Iterable[int],
        window: int,
        fatal: tuple[type[BaseException], ...],
    ) -> None:
        """Prepare the tasks; none is submitted before `results` is iterated.

        Args:
            submit: Starts a task.
            numbers: Numbers of the tasks, in the order of their submission.
            window: Maximum number of submitted tasks.
            fatal: Exceptions that end all tasks; after others the rest continues.
        """
        self.failed: dict[int, BaseException] = {}
        self._submit = submit
        self._waiting = iter(numbers)
        self._window = window
        self._fatal = fatal
        self._running: dict[Future[Any], int] = {}

    def results(self) -> Iterator[tuple[int, Any]]:
        """Yield numbers and results in order of completion. Finished results are yielded before an exception is raised.

        Raises:
            Exception: A fatal exception of a task; of several, the exception of the task with the lowest number,
                whatever the speed of workers.
        """
        fatal: tuple[int, BaseException] | None = None
        try:
            self._fill()
            while self._running:
                for number, error, result in self._take(self._finished()):
                    if error is None:
                        yield number, result
                    elif not isinstance(error, self._fatal):
                        self.failed[number] = error
                    elif fatal is None or number < fatal[0]:
                        fatal = number, error
                        self._cancel(above=number)
                if fatal is None:
                    self._fill()
        except KeyboardInterrupt:
            self._cancel()
            for number, error, result in self._take(self._done()):
                if error is None:
                    yield number, result
            raise
        finally:
            self._cancel()
        if fatal is not None:
            raise fatal[1]

    def _fill(self) -> None:
        while len(self._running) < self._window:
            number = next(self._waiting, None)
            if number is None:
                return
            self._start(number)

    def _start(self, number: int) -> None:
        try:
            self._running[self._submit(number)] = number
        except Exception as error:  # a broken or closed pool accepts no tasks
            self.failed.update(dict.fromkeys((number, *self._waiting), error))

    def _finished(self) -> Collection[Future[Any]]:
        # A task that the caller cancelled may not end `wait`, which counts it only after a worker has taken it.
        return self._done() or wait(self._running, timeout=_LOOK_AGAIN_S, return_when=FIRST_COMPLETED).done

    def _done(self) -> list[Future[Any]]:
        return [future for future in self._running if future.done()]

    def _take(self, futures: Iterable[Future[Any]]) -> Iterator[tuple[int, BaseException | None, Any]]:
        """Yield number, exception and result of finished futures, lowest numbers first."""
        for future in sorted(futures, key=self._running.__getitem__):
            number = self._running.pop(future)
            try:
                error = future.exception()
            except CancelledError as cancelled:
                error = cancelled
            yield number, error, None if error is not None else future.result()

    def _cancel(self, above: int = -1) -> None:
        for future, number in list(self._running.items()):
            if number > above and future.cancel():
                del self._running[future]


class Watch:
    """Watch a process pool for a dead worker that the pool does not notice.

    If a worker is killed, for lack of memory for example, `concurrent.futures` ends all tasks with
    `BrokenProcessPool`. But if it dies while it sends a result, the pool waits for the rest of the result, and neither
    its tasks nor its `shutdown` ever end.
    """

    def __init__(self, executor: Executor) -> None:
        """Watch an executor; only process pools of the standard library are ever changed."""
        self._executor: Any = executor if isinstance(executor, ProcessPoolExecutor) else None
        self._since: float | None = None

    def look(self, finished: Collection[object]) -> None:
        """Break the pool if a worker has been dead for `SILENT_S` seconds and nothing has finished since.

        Args:
            finished: Tasks that have finished since the last call.
        """
        if self._executor is None:
            return
        now = time.monotonic()
        if finished or not self._has_a_dead_worker():
            self._since = None
        elif self._since is None:
            self._since = now
        elif now - self._since > SILENT_S:
            self._since = None
            self._break()

    def _has_a_dead_worker(self) -> bool:
        processes = getattr(self._executor, "_processes", None)  # None once the pool has shut down
        return any(process.exitcode for process in list((processes or {}).values()))

    def _break(self) -> None:
        # The standard library also ends the other workers if one dies. Once no process has the writing end of the
        # pipe, its reader gets an end of file, and the pool breaks as usual.
        for process in list((self._executor._processes or {}).values()):
            process.kill()
        with suppress(AttributeError, OSError):
            self._executor._result_queue._writer.close()


class RemoteTasks(Tasks):
    """Stretches of a sweep on any executor.

    The first tasks carry the sweep as bytes. Later ones carry its key, and a worker without that sweep requests the
    bytes.
    """

    def __init__(
        self, executor: Executor, spec: SweepSpec, stretches: Iterable[tuple[int, slice]], job: Any, window: int
    ) -> None:
        """Prepare the tasks.

        Args:
            executor: The executor.
            spec: The sweep.
            stretches: Numbers of tasks, each with its points.
            job: The last arguments of `do`.
            window: As in `Tasks`.
        """
        self._stretches: dict[int, slice] = {}

        def numbers() -> Iterator[int]:
            for number, stretch in stretches:
                self._stretches[number] = stretch
                yield number

        super().__init__(self._to_executor, numbers(), window, (Refused,))
        self._executor, self._job = executor, job
        self._watch = Watch(executor)
        self._key, self._data = spec.key, spec.to_bytes()
        self._with_data = window
        self._had_workers = bool(worker_count(executor))
        self._alone_since: float | None = None

    def results(self) -> Iterator[tuple[int, Any]]:
        """Yield results as `Tasks` does; an exception of a point is raised as the worker raised it."""
        try:
            yield from super().results()
        except Refused as refused:
            raise refused.error from None

    def _to_executor(self, number: int, data: bytes | None = None) -> Future[Any]:
        if data is None and self._with_data > 0:
            self._with_data -= 1
            data = self._data
        return self._executor.submit(do, _core.__version__, self._key, data, self._stretches[number], *self._job)

    def _finished(self) -> Collection[Future[Any]]:
        finished = super()._finished()
        self._watch.look(finished)
        if finished or not self._had_workers or worker_count(self._executor) != 0:
            self._alone_since = None
            return finished
        # A cluster without workers keeps its tasks forever.
        now = time.monotonic()
        self._alone_since = self._alone_since or now
        if now - self._alone_since > NO_WORKERS_S:
            lost = StateError(f"the executor has had no workers for {NO_WORKERS_S:.0f} s")
            self.failed.update(dict.fromkeys((*self._running.values(), *self._waiting), lost))
            for future in self._running:
                future.cancel()
            self._running.clear()
        return ()

    def _take(self, futures: Iterable[Future[Any]]) -> Iterator[tuple[int, BaseException | None, Any]]:
        for number, error, result in super()._take(futures):
            if error is None and result is None:
                try:
                    self._running[self._to_executor(number, self._data)] = number
                except Exception as broken:
                    self.failed[number] = broken
            else:
                del self._stretches[number]
                refused = isinstance(result, Refused)
                yield (number, result, None) if refused else (number, error, result)


def compute(spec: SweepSpec, condition: Condition | None, stretch: slice, threads: int) -> GridColumns:
    """Return the results of a stretch of the grid, those that satisfy the condition."""
    import numpy as np

    points = stretch.stop - stretch.start
    out = {name: np.empty(points) for name in COMPUTED}
    spec.compute(stretch.start, out, threads=threads)
    columns = GridColumns(spec.grid, spec.facts, stretch, out)
    return columns if condition is None else columns.take(condition.mask(columns, rows=points))


_known: dict[str, SweepSpec] = {}
_KNOWN_AT_MOST = 4
_lock = Lock()


def _forget() -> None:
    """Start anew in a forked child: a thread of the parent may have held the lock."""
    global _lock  # noqa: PLW0603
    _lock = Lock()
    _known.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def do(
    version: str,
    key: str,
    data: bytes | None,
    stretch: slice,
    condition: Condition | None,
    encode: Callable[..., Any],
) -> Any:
    """Compute one stretch of a sweep in a worker, on one thread.

    Returns:
        The result of `encode`; None if the process has no such sweep and got no data; `Refused` if a point raises.
    """
    if version != _core.__version__:
        raise StateError(
            f"the worker has pyinfercost {_core.__version__}, the caller {version}; install one version on both"
        )
    spec = _spec(key, data)
    try:
        return None if spec is None else encode(spec, stretch, compute(spec, condition, stretch, 1))
    except OF_A_POINT as error:
        return Refused(error)


def _spec(key: str, data: bytes | None) -> SweepSpec | None:
    """Return a sweep that the process keeps, so that its plans are made once for all threads."""
    with _lock:
        spec = _known.pop(key, None)
        if spec is None and data is not None:
            spec = SweepSpec.from_bytes(data)
        if spec is not None:
            _known[key] = spec  # ordered by last use
            while len(_known) > _KNOWN_AT_MOST:
                del _known[next(iter(_known))]
        return spec


def worker_count(executor: Executor) -> int | None:
    """Return the current number of workers of an executor; None if it is unknown."""
    facts: tuple[Callable[[Any], Any], ...] = (
        lambda pool: pool._max_workers,  # concurrent.futures, loky
        lambda pool: sum(pool._client.nthreads().values()),  # dask
        lambda pool: pool.num_workers,  # mpi4py
    )
    for fact in facts:
        with suppress(Exception):
            return int(fact(executor))
    return None
