"""Sweeps on executors: the same results anywhere, in any order, and with workers that die."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_graphs import blocks

import pyinfercost as ic
from pyinfercost.analysis.conditions import Condition
from pyinfercost.analysis.models import Captured
from pyinfercost.analysis.sweeps import tasks
from pyinfercost.analysis.sweeps.axes import make_spec
from pyinfercost.analysis.sweeps.gathered import Gathered
from pyinfercost.analysis.sweeps.run import Run, compute, plain, run_in_memory
from pyinfercost.analysis.sweeps.spec import SweepSpec

AXES: dict[str, Any] = {
    "hardware": ["a100-sxm-80gb", "t4"],
    "precision": ["fp32", "fp16"],
    "scale": {"bandwidth": [1, 1.5, 2]},
    "usd_per_h": 2.5,
}
BATCH = range(1, 1001)
POINTS = 2 * 2 * 3 * 1000
WHERE = "latency_s < 2.05e-5 and batch % 7 != 3"


@pytest.fixture(scope="module")
def graph() -> ic.Graph:
    return blocks()


@pytest.fixture(scope="module")
def spec(graph: ic.Graph) -> SweepSpec:
    return spec_of(graph)


@pytest.fixture(scope="module")
def expected(spec: SweepSpec) -> ic.Sweep:
    return run_in_memory(Run(spec, None, workers=1))


def spec_of(graph: ic.Graph) -> SweepSpec:
    return make_spec(Captured(graph, {"batch": BATCH}, {}, graph.model), **AXES)


def guarded(batch_above: int) -> ic.Graph:
    """A graph that allows no batch of 1."""
    builder = ic.GraphBuilder("guarded")
    batch = builder.size("batch", default=2, maximum=10**6)
    x, y = (builder.tensor("float32", (batch, 8), role=role) for role in ("input", "activation"))
    builder.node("aten.relu.default", {"self": x}, [y])
    builder.guard(batch, "!=", batch_above)
    return builder.build([x], [y])


def check_equal(sweep: ic.Sweep, expected: ic.Sweep) -> None:
    assert sweep.columns == expected.columns
    assert len(sweep) == len(expected)
    for name in expected.columns:
        assert sweep[name].dtype.kind == expected[name].dtype.kind
        assert (sweep[name] == expected[name]).all(), name


def places(sweep: ic.Sweep) -> Any:
    """The numbers of the points of a sweep of part of the grid; they must be in order."""
    points = sweep.data.points  # type: ignore[attr-defined]
    points = np.arange(points.start, points.stop) if isinstance(points, slice) else points
    assert (np.diff(points) > 0).all()
    return points


class Reversed(Executor):
    """Runs nothing before several tasks are there, and then the last one first."""

    _max_workers = 3

    def __init__(self) -> None:
        self.held: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.held.append((future, lambda: fn(*args, **kwargs)))
        threading.Timer(0.02, self.run).start()
        return future

    def run(self) -> None:
        while self.held:
            future, task = self.held.pop()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(task())
                except BaseException as error:
                    future.set_exception(error)


# ---- the same results ----


@pytest.mark.parametrize("workers", [1, 2, 3, 10**9])
@pytest.mark.parametrize("chunk_points", [None, 37, 4096])
@pytest.mark.parametrize("where", [None, WHERE])
def test_results_depend_neither_on_workers_nor_on_chunks(
    spec: SweepSpec, expected: ic.Sweep, workers: int, chunk_points: int | None, where: str | None
) -> None:
    condition = Condition.all_of(where)
    sweep = run_in_memory(Run(spec, condition, workers=workers, chunk_points=chunk_points))
    check_equal(sweep, expected.where(where))
    assert sweep.complete


@pytest.mark.parametrize("where", [None, WHERE])
def test_threads_give_the_same(spec: SweepSpec, expected: ic.Sweep, where: str | None) -> None:
    with ThreadPoolExecutor(3) as executor:
        sweep = run_in_memory(Run(spec, Condition.all_of(where), executor=executor, chunk_points=500))
    check_equal(sweep, expected.where(where))


def test_results_are_in_the_order_of_the_grid_whatever_comes_first(spec: SweepSpec, expected: ic.Sweep) -> None:
    check_equal(run_in_memory(Run(spec, None, executor=Reversed(), chunk_points=500)), expected)
    filtered = run_in_memory(Run(spec, Condition(WHERE), executor=Reversed(), chunk_points=500))
    check_equal(filtered, expected.where(WHERE))


def test_a_filter_may_leave_nothing(graph: ic.Graph) -> None:
    with ThreadPoolExecutor(2) as executor:
        for sweep in (
            ic.sweep(graph, batch=BATCH, where="latency_s < 0", **AXES),
            ic.sweep(graph, batch=BATCH, where="latency_s < 0", executor=executor, **AXES),
        ):
            assert len(sweep) == 0
            assert sweep.complete
            assert sweep["hardware"].tolist() == []
            assert sweep.rows() == []


def test_an_executor_gets_some_tasks_for_each_worker_where_there_are_points_enough(graph: ic.Graph) -> None:
    axes = {"hardware": ["a100-sxm-80gb"], "scale": {"bandwidth": np.linspace(1, 2, 4096)}}
    large = make_spec(Captured(graph, {"batch": range(1, 257)}, {}, "toy"), **axes)
    with ThreadPoolExecutor(2) as two, ThreadPoolExecutor(16) as many:
        assert len(large) == 2**20
        assert Run(large, None, executor=two).chunks == 8
        assert Run(large, None, executor=many).chunks == 16  # of 2^16 points: fewer are not worth a task
        assert Run(large, None, executor=two, chunk_points=2**19).chunks == 2


# ---- what travels ----


def test_a_spec_is_small_and_holds_no_module(spec: SweepSpec) -> None:
    builder = ic.GraphBuilder("long")
    x = first = builder.tensor("float32", (builder.size("batch", default=1, maximum=4096), 8), role="input")
    for number in range(150):
        y = builder.tensor("float32", (ic.Expr("batch"), 8))
        builder.node("aten.relu.default", {"self": x}, [y], module=f"layers.{number}")
        x = y
    long = spec_of(builder.build([first], [x]))
    assert len(long.to_bytes()) < len(long.graph.to_json()) / 2
    assert b"torch" not in pickle.dumps(long)
    data = spec.to_bytes()
    again = SweepSpec.from_bytes(data)
    assert again.key == spec.key
    assert again.__dict__["_families"] == {}  # plans are made where they are needed
    stretch = slice(1234, 2345)
    check = compute(again, Condition(WHERE), stretch, 1)
    check_equal(ic.Sweep("toy", (), check), ic.Sweep("toy", (), compute(spec, Condition(WHERE), stretch, 2)))


def test_the_key_is_of_all_that_results_depend_on(graph: ic.Graph, spec: SweepSpec) -> None:
    assert spec_of(blocks()).key == spec.key
    others = [
        make_spec(Captured(graph, {"batch": batch}, {}, name), **{**AXES, **more})
        for batch, name, more in [
            (range(1, 1002), "toy", {}),
            (BATCH, "other", {}),
            (BATCH, "toy", {"usd_per_h": 3}),
            (BATCH, "toy", {"scale": {"bandwidth": [1, 1.5, 2.5]}}),
            (BATCH, "toy", {"hardware": ["t4", "a100-sxm-80gb"]}),
        ]
    ]
    assert len({spec.key, *(other.key for other in others)}) == 6


class Recording(ThreadPoolExecutor):
    """Counts the bytes of each task."""

    sent: list[int]

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.sent = [*getattr(self, "sent", []), len(pickle.dumps((fn, args, kwargs)))]
        return super().submit(fn, *args, **kwargs)


def test_a_sweep_travels_with_the_first_tasks_only(graph: ic.Graph, expected: ic.Sweep) -> None:
    spec = spec_of(graph)
    with Recording(2) as executor:
        check_equal(run_in_memory(Run(spec, None, executor=executor, chunk_points=500)), expected)
    assert len(executor.sent) == POINTS / 500
    assert sum(size > len(spec.to_bytes()) for size in executor.sent) == 4
    assert min(executor.sent) < 500


def test_a_worker_that_does_not_know_a_sweep_asks_for_it(
    spec: SweepSpec, expected: ic.Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "_KNOWN_AT_MOST", 0)  # forgets each sweep at once
    with ThreadPoolExecutor(2) as executor:
        check_equal(run_in_memory(Run(spec, None, executor=executor, chunk_points=500)), expected)


# ---- trouble ----


class Unreliable(ThreadPoolExecutor):
    """Its `submit` fails after some tasks, or some of its tasks do, or are cancelled without a word."""

    def __init__(self, *, submits: int = 10**9, failing: tuple[int, ...] = (), cancelled: tuple[int, ...] = ()) -> None:
        super().__init__(2)
        self.submits, self.failing, self.cancelled, self.number = submits, failing, cancelled, -1

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.number += 1
        if self.number >= self.submits:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if self.number in self.cancelled:
            future: Future[Any] = Future()
            future.cancel()
            return future
        if self.number in self.failing:
            return super().submit(os.stat, "/no such file")
        return super().submit(fn, *args, **kwargs)


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        ({"submits": 5}, "19 of 24 parts .* failed on the executor .RuntimeError: cannot schedule"),
        ({"submits": 0}, "24 of 24 parts"),
        ({"failing": (0, 7)}, "2 of 24 parts .*FileNotFoundError"),
        ({"cancelled": (3,)}, "1 of 24 parts .*CancelledError"),
    ],
)
def test_what_an_executor_cannot_do_is_done_here(
    spec: SweepSpec, expected: ic.Sweep, trouble: dict[str, Any], message: str
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
    spec: SweepSpec, expected: ic.Sweep, monkeypatch: pytest.MonkeyPatch
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
    monkeypatch.setattr("pyinfercost.analysis.sweeps.run._memory_bytes", lambda: 100 * Gathered.POINT_BYTES)
    with pytest.raises(MemoryError, match="give out=FOLDER"):
        run_in_memory(Run(spec, None))
    with pytest.raises(MemoryError, match="satisfy the condition so far") as caught:
        run_in_memory(Run(spec, Condition("latency_s > 0"), chunk_points=30, workers=1))
    assert len(caught.value.partial) == 60  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"workers": 0}, ValueError, "workers must be at least 1, got 0"),
        ({"workers": 1.5}, ValueError, "workers must be a whole number, got 1.5"),
        ({"executor": 4}, TypeError, "executor must be a concurrent.futures.Executor, got 4"),
        ({"executor": type("C", (), {"get_executor": 1})()}, TypeError, r"of a dask client, client.get_executor\(\)"),
    ],
)
def test_wrong_options_are_refused(
    graph: ic.Graph, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ic.sweep(graph, hardware="t4", **options)


# ---- Ctrl-C ----


@pytest.mark.parametrize("kind", ["in place", "filter", "threads"])
def test_an_interrupt_keeps_what_was_computed(spec: SweepSpec, expected: ic.Sweep, kind: str) -> None:
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
    threading.Timer(0.1, lambda: (futures[4].set_result(4), signal.pthread_kill(main, signal.SIGINT))).start()
    taken = []
    with pytest.raises(KeyboardInterrupt):
        taken.extend(results)
    assert futures[3].cancelled()
    assert not futures[1].cancelled()  # it runs, and nobody waits for it
    assert 5 not in futures or futures[5].cancelled()


# ---- processes ----


def test_processes_give_the_same_and_one_that_dies_is_replaced_by_this_one(
    graph: ic.Graph, spec: SweepSpec, expected: ic.Sweep, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        check_equal(run_in_memory(Run(spec, None, executor=executor, chunk_points=1000)), expected)
        filtered = run_in_memory(Run(spec, Condition(WHERE), executor=executor, chunk_points=1000))
        check_equal(filtered, expected.where(WHERE))
        victims = list(executor._processes)

        def kill(done: int, total: int) -> None:
            if victims and done >= 2000:
                os.kill(victims[0], signal.SIGKILL)
                victims.clear()
                time.sleep(0.2)

        with pytest.warns(
            RuntimeWarning, match="parts of the sweep failed on the executor .BrokenProcessPool"
        ) as warned:
            sweep = run_in_memory(Run(spec, None, executor=executor, chunk_points=500, progress=kill))
        assert len(warned) == 1
        check_equal(sweep, expected)


# ---- dask ----


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, processes=True, threads_per_worker=1, dashboard_address=None, silence_logs="ERROR"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def killing(client: Any) -> Callable[[int, int], None]:
    """A progress callback that kills one worker once the first results are there."""
    victims = list(client.run(os.getpid).values())[:1]

    def kill(done: int, total: int) -> None:
        if victims and 0 < done < total:
            os.kill(victims.pop(), signal.SIGKILL)

    kill.victims = victims  # type: ignore[attr-defined]
    return kill


def test_dask_gives_the_same_though_a_worker_is_killed(client: Any, spec: SweepSpec, expected: ic.Sweep) -> None:
    executor = client.get_executor()
    assert tasks.worker_count(executor) == 2
    kill = killing(client)
    sweep = run_in_memory(Run(spec, None, executor=executor, chunk_points=200, progress=kill))
    assert kill.victims == []  # type: ignore[attr-defined]
    check_equal(sweep, expected)


def test_dask_writes_a_folder_though_a_worker_is_killed(
    client: Any, spec: SweepSpec, expected: ic.Sweep, tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow")
    from pyinfercost.analysis.sweeps.folder import run_to_folder

    client.wait_for_workers(2, timeout=30)
    kill = killing(client)
    run = Run(spec, None, executor=client.get_executor(), chunk_points=400, progress=kill)
    stored = run_to_folder(run, tmp_path / "grid")
    assert kill.victims == []  # type: ignore[attr-defined]
    assert stored.complete
    check_equal(stored.where(None), expected)
