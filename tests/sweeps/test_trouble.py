"""Failures during sweeps: workers, points, memory, options, Ctrl-C."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.sweep_checks import POINTS, Reversed, check_equal, guarded, places, spec_of
from support.toy_graphs import blocks

import pyinfercost as ic
from pyinfercost import _core
from pyinfercost.errors import Error
from pyinfercost.sources.captured import Captured
from pyinfercost.sweeps import tasks
from pyinfercost.sweeps.axes import make_spec
from pyinfercost.sweeps.conditions import Condition
from pyinfercost.sweeps.execute import ResultBuffer, Run, plain, run_in_memory
from pyinfercost.sweeps.spec import SweepSpec


@pytest.fixture(scope="module")
def graph() -> ic.Graph:
    return blocks()


@pytest.fixture(scope="module")
def spec(graph: ic.Graph) -> SweepSpec:
    return spec_of(graph)


@pytest.fixture(scope="module")
def expected(spec: SweepSpec) -> ic.results.Sweep:
    return run_in_memory(Run(spec, None, workers=1))


# ---- trouble ----


class Unreliable(ThreadPoolExecutor):
    """Its `submit` fails after some tasks, or some of its tasks do, or are cancelled without a word."""

    def __init__(
        self,
        *,
        submits: int = 10**9,
        failing: tuple[int, ...] = (),
        losing: tuple[int, ...] = (),
        cancelled: tuple[int, ...] = (),
    ) -> None:
        super().__init__(2)
        self.submits, self.number = submits, -1
        self.failing, self.losing, self.cancelled = failing, losing, cancelled

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.number += 1
        if self.number >= self.submits:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if self.number in self.cancelled:
            future: Future[Any] = Future()
            future.cancel()
            return future
        if self.number in self.losing:
            return super().submit(int, "no result")
        if self.number in self.failing:
            return super().submit(os.stat, "/no such file")
        return super().submit(fn, *args, **kwargs)


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        ({"submits": 5}, "19 of 24 parts .* failed on the executor .RuntimeError: cannot schedule"),
        ({"submits": 0}, "24 of 24 parts"),
        ({"failing": (0, 7)}, "2 of 24 parts .*FileNotFoundError"),
        ({"losing": (5,)}, "1 of 24 parts .*ValueError"),  # as dask's executor does when a result goes with its worker
        ({"cancelled": (3,)}, "1 of 24 parts .*CancelledError"),
    ],
)
def test_what_an_executor_cannot_do_is_done_here(
    spec: SweepSpec, expected: ic.results.Sweep, trouble: dict[str, Any], message: str
) -> None:
    seen: list[int] = []
    with Unreliable(**trouble) as executor:
        run = Run(spec, None, executor=executor, chunk_points=500, progress=lambda done, total: seen.append(done))
        with pytest.warns(RuntimeWarning, match=message) as warned:
            sweep = run_in_memory(run)
    check_equal(sweep, expected)
    assert len(warned) == 1
    assert seen == list(range(500, POINTS + 1, 500))


def test_a_worker_of_another_version_is_not_asked(spec: SweepSpec) -> None:
    with pytest.raises(RuntimeError, match=r"the worker has pyinfercost .*, the caller 0\.0"):
        tasks.do("0.0", spec.key, spec.to_bytes(), slice(0, 10), None, plain)


def test_a_cluster_without_workers_is_given_up(
    spec: SweepSpec, expected: ic.results.Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Deserted(Executor):
        _max_workers = 2

        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            self._max_workers = 0
            return Future()

    monkeypatch.setattr(tasks, "NO_WORKERS_S", 0.05)
    monkeypatch.setattr(tasks, "_LOOK_AGAIN_S", 0.05)
    with pytest.warns(RuntimeWarning, match="24 of 24 parts .* has had no workers"):
        check_equal(run_in_memory(Run(spec, None, executor=Deserted(), chunk_points=500)), expected)


@pytest.mark.parametrize("kind", ["in place", "filter", "threads", "reversed"])
def test_a_point_that_is_not_allowed_keeps_what_was_computed(kind: str) -> None:
    graph = guarded(700)
    axes: dict[str, Any] = {"hardware": "t4", "batch": range(2, 1002)}
    spec = make_spec(Captured(graph, {"batch": range(2, 1002)}, {}, "guarded"), hardware="t4")
    executor = {"threads": ThreadPoolExecutor(2), "reversed": Reversed()}.get(kind)
    condition = Condition("latency_s > 0") if kind == "filter" else None
    with pytest.raises(ValueError, match="700") as caught:
        run_in_memory(Run(spec, condition, executor=executor, chunk_points=100, workers=2))
    partial = caught.value.partial  # type: ignore[attr-defined]
    assert not partial.complete
    batches = partial["batch"].tolist()
    assert batches == sorted(set(batches))
    assert 700 not in batches
    # All chunks before that of the point, which is 602 .. 701; in place, all points before it.
    assert batches[: 600 if kind != "in place" else 698] == list(range(2, 602 if kind != "in place" else 700))
    whole = ic.sweep(graph, **{**axes, "batch": batches})
    check_equal(partial, whole)
    if executor is not None:
        executor.shutdown()


def test_of_several_wrong_points_the_first_is_named() -> None:
    builder = ic.GraphBuilder("guarded")
    batch = builder.size("batch", default=2, maximum=10**6)
    x, y = (builder.tensor("float32", (batch, 8), role=role) for role in ("input", "activation"))
    builder.node("aten.relu.default", {"self": x}, [y])
    builder.guard(batch, "<=", 500)
    spec = make_spec(Captured(builder.build([x], [y]), {"batch": range(2, 1002)}, {}, "guarded"), hardware="t4")
    messages = set()
    for run in (
        Run(spec, None),
        Run(spec, None, executor=Reversed(), chunk_points=100),
        Run(spec, Condition("latency_s > 0"), workers=3, chunk_points=100),
    ):
        with pytest.raises(ValueError, match="501") as caught:
            run_in_memory(run)
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_too_many_points_are_refused_before_and_on_the_way(spec: SweepSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyinfercost.sweeps.execute._memory_bytes", lambda: 100 * ResultBuffer.POINT_BYTES)
    with pytest.raises(MemoryError, match="pass out=FOLDER"):
        run_in_memory(Run(spec, None))
    with pytest.raises(MemoryError, match="satisfy the condition so far") as caught:
        run_in_memory(Run(spec, Condition("latency_s > 0"), chunk_points=30, workers=1))
    assert len(caught.value.partial) == 60  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"workers": 0}, ValueError, "workers is 0; expected a whole number from 1 to 1000000"),
        ({"workers": 1.5}, ValueError, "workers is 1.5; expected a whole number"),
        ({"executor": 4}, TypeError, "executor is 4; expected a concurrent.futures.Executor"),
        (
            {"executor": type("C", (), {"get_executor": 1})()},
            TypeError,
            r"pass client.get_executor\(\)",
        ),
    ],
)
def test_wrong_options_are_refused(
    graph: ic.Graph, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ic.sweep(graph, hardware="t4", **options)


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (lambda sweep: sweep.best(5), TypeError, "a column is named 5; expected a text"),
        (lambda sweep: sweep.best("latency_s", per=5), TypeError, "a column is named 5"),
        (
            lambda sweep: sweep.best("latency_s", maximize="x"),
            TypeError,
            "maximize is 'x'; expected True",
        ),
        (lambda sweep: sweep.best("latency"), ValueError, "unknown column 'latency'"),
        (lambda sweep: sweep.pareto(None), TypeError, "a column is named None"),
        (lambda sweep: sweep.pareto(maximize=[["batch"]]), TypeError, r"a column is named \['batch'\]"),
        (lambda sweep: sweep.where(5), TypeError, "where is 5; expected a condition"),
        (lambda sweep: sweep.where(np.asarray(5)), TypeError, "expected a condition"),
        (lambda sweep: sweep.where("latency_s <"), ValueError, "expected one like"),
    ],
)
def test_wrong_choices_are_refused_in_memory_and_in_folders(
    graph: ic.Graph, tmp_path: Path, use: Callable[[Any], Any], error: type[Exception], message: str
) -> None:
    pytest.importorskip("pyarrow")
    axes: dict[str, Any] = {"hardware": "t4", "batch": range(1, 9)}
    for sweep in (ic.sweep(graph, **axes), ic.sweep(graph, **axes, out=tmp_path / "grid")):
        with pytest.raises(error, match=message) as caught:
            use(sweep)
        assert isinstance(caught.value, Error)


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (lambda sweep: sweep["nothing"], KeyError, "no column 'nothing'; the columns are"),
        (lambda sweep: sweep[5], TypeError, "a column is named 5"),
        (lambda sweep: sweep.row(8), IndexError, "rows has 8 to 8; there are 8 points"),
        (lambda sweep: sweep.row(-9), IndexError, "rows has -9 to -9; there are 8 points"),
        (lambda sweep: sweep.row("x"), ValueError, "row is 'x'; expected a whole number"),
        (lambda sweep: sweep.take(None), TypeError, r"expected row numbers, or a mask of shape \(8,\)"),
        (lambda sweep: sweep.take(np.ones(7, dtype=bool)), TypeError, "mask of shape"),
        (lambda sweep: sweep.take([0, -9]), IndexError, "rows has -9 to 0; there are 8 points"),
        (lambda sweep: sweep.knee("hardware"), ValueError, "'hardware' is a column of text"),
        (lambda sweep: sweep.batch_tradeoff(5), TypeError, "a column is named 5"),
        (lambda sweep: sweep.to_text(limit=-1), ValueError, "limit is -1; expected a whole number from 0 to"),
        (lambda sweep: sweep.to_parquet("/no/such/folder/x.parquet"), FileNotFoundError, "No such file"),
    ],
)
def test_wrong_uses_of_a_sweep_are_refused(
    graph: ic.Graph, use: Callable[[Any], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        use(ic.sweep(graph, hardware="t4", batch=range(1, 9)))
    assert isinstance(caught.value, Error)


def test_rows_are_taken_by_number_from_either_end_or_by_a_mask(graph: ic.Graph) -> None:
    sweep = ic.sweep(graph, hardware="t4", batch=range(1, 9))
    assert sweep.take(np.asarray([-1, 0]))["batch"].tolist() == [8, 1]
    assert sweep.take(np.arange(8) % 4 == 1)["batch"].tolist() == [2, 6]
    assert sweep.row(-2)["batch"] == 7


@pytest.mark.parametrize("rows", [-1, "x", 2**70])
def test_head_and_tail_take_no_nonsense(graph: ic.Graph, tmp_path: Path, rows: Any) -> None:
    pytest.importorskip("pyarrow")
    stored = ic.sweep(graph, hardware="t4", batch=range(1, 9), out=tmp_path / "grid")
    for use in (stored.head, stored.tail):
        with pytest.raises(Error, match=f"rows is {rows!r}"):
            use(rows)


# ---- Ctrl-C ----


@pytest.mark.parametrize("kind", ["in place", "filter", "threads"])
def test_an_interrupt_keeps_what_was_computed(spec: SweepSpec, expected: ic.results.Sweep, kind: str) -> None:
    def stop(done: int, total: int) -> None:
        assert total == POINTS
        if done >= POINTS // 2:
            raise KeyboardInterrupt

    points = POINTS if kind == "in place" else 6000  # in place there is one chunk
    condition = Condition("latency_s > 0") if kind == "filter" else None
    with ThreadPoolExecutor(2) as executor, pytest.raises(ic.SweepInterrupted, match="stopped after") as caught:
        run_in_memory(
            Run(spec, condition, executor=executor if kind == "threads" else None, chunk_points=500, progress=stop)
        )
    partial = caught.value.partial
    assert isinstance(caught.value, KeyboardInterrupt)
    assert len(partial) == points
    assert partial.best("latency_s")["batch"] >= 1
    check_equal(partial, expected.take(places(partial)))
    assert pickle.loads(pickle.dumps(caught.value)).partial.columns == partial.columns


def test_an_interrupt_does_not_wait_for_threads(spec: SweepSpec) -> None:
    started, release = threading.Event(), threading.Event()

    def encode(*_: object) -> None:
        started.set()
        release.wait(60)

    def interrupt() -> None:
        started.wait(60)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    run = Run(spec, None, workers=2, chunk_points=500)
    with pytest.raises(KeyboardInterrupt):
        next(run.results(range(run.chunks), encode))
    assert not release.is_set()
    release.set()
    thread.join()


def test_a_stop_flag_ends_calculations_of_the_threads_that_watch_it() -> None:
    columns = list(np.random.default_rng(0).random((3, 3_000_000)))
    flag = _core.StopFlag()
    ends: list[type[BaseException] | None] = []

    def work(watches: bool) -> None:
        if watches:
            flag.watch()
        for call in (lambda: _core.pareto_front(columns, [False] * 3), _core.raise_if_stopped):
            try:
                call()
                ends.append(None)
            except BaseException as error:
                ends.append(type(error))

    for is_set, watches in ((False, True), (True, False), (True, True)):
        if is_set:
            flag.set()
        thread = threading.Thread(target=work, args=(watches,))
        thread.start()
        thread.join()
    assert ends == [None] * 4 + [KeyboardInterrupt] * 2


def test_an_interrupt_while_waiting_takes_what_is_done() -> None:
    futures: dict[int, Future[int]] = {}

    def submit(number: int) -> Future[int]:
        futures[number] = Future()
        if number == 0:
            futures[0].set_result(0)
        return futures[number]

    waiting = tasks.Tasks(submit, range(10), 3, ())
    results = waiting.results()
    assert next(results) == (0, 0)
    futures[2].set_result(2)
    main = threading.main_thread().ident
    assert main is not None
    futures[1].set_running_or_notify_cancel()
    assert next(results) == (2, 2)
    interrupted = threading.Event()

    def interrupt() -> None:
        futures[4].set_result(4)
        # Again where one was lost: Python drops an exception that is raised inside a finaliser.
        while not interrupted.is_set():
            signal.pthread_kill(main, signal.SIGINT)
            interrupted.wait(1.0)

    timer = threading.Timer(0.1, interrupt)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    timer.start()
    taken = []
    try:
        with pytest.raises(KeyboardInterrupt):
            taken.extend(results)
        interrupted.set()
        timer.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert futures[3].cancelled()
    assert not futures[1].cancelled()  # it runs, and nobody waits for it
    assert 5 not in futures or futures[5].cancelled()
