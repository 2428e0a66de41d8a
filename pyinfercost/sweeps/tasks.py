"""Tasks on an executor: a bounded window of them, their results as they come, and what no worker could do."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any

from .. import _core
from .columns import GridColumns
from .process_pools import Watch
from .spec import COMPUTED, SweepSpec

if TYPE_CHECKING:
    from .conditions import Condition

OF_A_POINT = (ValueError, ArithmeticError)
"""What a point raises, wherever it is computed."""

NO_WORKERS_S = 20.0
"""How long a cluster may be without any worker, once it has had some: they are started anew in less."""

_LOOK_AGAIN_S = 1.0


class Refused(Exception):
    """What a point raised on a worker, as the worker returns it.

    An exception that a future has itself is trouble of the executor's, whatever its type: dask's has a ValueError when
    a result is lost with its worker.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class Tasks:
    """Tasks by number, at most `window` of them submitted at a time, so that results do not pile up.

    Attributes:
        failed: why a task was not done, by its number; filled while results are taken.
    """

    def __init__(
        self,
        submit: Callable[[int], Future[Any]],
        numbers: Iterable[int],
        window: int,
        fatal: tuple[type[BaseException], ...],
    ) -> None:
        """Nothing is submitted before the first result is asked for.

        Args:
            submit: starts a task.
            numbers: which ones, in the order in which they start.
            window: how many may be on their way.
            fatal: exceptions of a task that end everything; after others the rest goes on.
        """
        self.failed: dict[int, BaseException] = {}
        self._submit = submit
        self._waiting = iter(numbers)
        self._window = window
        self._fatal = fatal
        self._running: dict[Future[Any], int] = {}

    def results(self) -> Iterator[tuple[int, Any]]:
        """Numbers and results, as they are done. Before an exception leaves here, what is done comes out.

        Raises:
            Exception: a fatal one of a task. Of several, that of the lowest number, so that it does not depend on
                which worker is faster.
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
        except Exception as error:  # a pool that is broken or shut down takes no more
            self.failed.update(dict.fromkeys((number, *self._waiting), error))

    def _finished(self) -> Collection[Future[Any]]:
        # One that was cancelled by someone else may never wake us: `wait` counts it only once a worker has seen it.
        return self._done() or wait(self._running, timeout=_LOOK_AGAIN_S, return_when=FIRST_COMPLETED).done

    def _done(self) -> list[Future[Any]]:
        return [future for future in self._running if future.done()]

    def _take(self, futures: Iterable[Future[Any]]) -> Iterator[tuple[int, BaseException | None, Any]]:
        """What came of futures that are done; lowest numbers first."""
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


class RemoteTasks(Tasks):
    """Stretches of a sweep on any executor.

    The sweep travels as bytes with the first tasks; later ones name it by its key, and a worker that does not know it
    yet asks for the bytes.
    """

    def __init__(
        self, executor: Executor, spec: SweepSpec, stretches: Iterable[tuple[int, slice]], job: Any, window: int
    ) -> None:
        """As `Tasks`.

        Args:
            executor: where to compute.
            spec: the sweep.
            stretches: numbers of tasks and the points of each.
            job: what `do` takes behind the stretch.
            window: as in `Tasks`.
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
        """As of `Tasks`; what a point raised is raised as it was."""
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
        # A cluster whose last worker is gone would keep its tasks for ever.
        now = time.monotonic()
        self._alone_since = self._alone_since or now
        if now - self._alone_since > NO_WORKERS_S:
            lost = RuntimeError(f"the executor has had no workers for {NO_WORKERS_S:.0f} s")
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


def do(
    version: str,
    key: str,
    data: bytes | None,
    stretch: slice,
    condition: Condition | None,
    encode: Callable[..., Any],
) -> Any:
    """What a worker does: one stretch of a sweep, on one thread.

    Returns:
        What `encode` makes of it; None where this process does not know the sweep and got no data; `Refused` where a
        point raises.
    """
    if version != _core.__version__:
        raise RuntimeError(f"the worker has pyinfercost {_core.__version__}, the caller {version}")
    spec = _spec(key, data)
    try:
        return None if spec is None else encode(spec, compute(spec, condition, stretch, 1))
    except OF_A_POINT as error:
        return Refused(error)


def _spec(key: str, data: bytes | None) -> SweepSpec | None:
    """A process reads a sweep once, so that its plans are made once, however many threads ask."""
    with _lock:
        spec = _known.pop(key, None)
        if spec is None and data is not None:
            spec = SweepSpec.from_bytes(data)
        if spec is not None:
            _known[key] = spec  # the latest is last
            while len(_known) > _KNOWN_AT_MOST:
                del _known[next(iter(_known))]
        return spec


def worker_count(executor: Executor) -> int | None:
    """How many tasks an executor runs at a time just now; None where it does not say."""
    facts: tuple[Callable[[Any], Any], ...] = (
        lambda pool: pool._max_workers,  # concurrent.futures, loky
        lambda pool: sum(pool._client.nthreads().values()),  # dask
        lambda pool: pool.num_workers,  # mpi4py
    )
    for fact in facts:
        with suppress(Exception):
            return int(fact(executor))
    return None
