"""Sweeps on executors: the same results anywhere, in any order, and with failing workers."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.sweep_checks import AXES, BATCH, POINTS, WHERE, Reversed, check_equal, spec_of
from support.toy_graphs import blocks

import pyinfercost as ic
from pyinfercost.sources.captured import Captured
from pyinfercost.sweeps import tasks
from pyinfercost.sweeps.axes import make_spec
from pyinfercost.sweeps.conditions import Condition
from pyinfercost.sweeps.execute import Run, run_in_memory
from pyinfercost.sweeps.spec import SweepSpec
from pyinfercost.sweeps.tasks import compute


@pytest.fixture(scope="module")
def graph() -> ic.Graph:
    return blocks()


@pytest.fixture(scope="module")
def spec(graph: ic.Graph) -> SweepSpec:
    return spec_of(graph)


@pytest.fixture(scope="module")
def expected(spec: SweepSpec) -> ic.results.Sweep:
    return run_in_memory(Run(spec, None, workers=1))


# ---- the same results ----


@pytest.mark.parametrize("workers", [1, 2, 3, 10**6])
@pytest.mark.parametrize("chunk_points", [None, 37, 4096])
@pytest.mark.parametrize("where", [None, WHERE])
@pytest.mark.sample(10)
def test_results_depend_neither_on_workers_nor_on_chunks(
    spec: SweepSpec, expected: ic.results.Sweep, workers: int, chunk_points: int | None, where: str | None
) -> None:
    condition = Condition.all_of(where)
    sweep = run_in_memory(Run(spec, condition, workers=workers, chunk_points=chunk_points))
    check_equal(sweep, expected.where(where))
    assert sweep.complete


@pytest.mark.parametrize("where", [None, WHERE])
def test_threads_give_the_same(spec: SweepSpec, expected: ic.results.Sweep, where: str | None) -> None:
    with ThreadPoolExecutor(3) as executor:
        sweep = run_in_memory(Run(spec, Condition.all_of(where), executor=executor, chunk_points=500))
    check_equal(sweep, expected.where(where))


def test_results_are_in_the_order_of_the_grid_whatever_comes_first(spec: SweepSpec, expected: ic.results.Sweep) -> None:
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
            assert sweep.to_rows() == []


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
    check_equal(
        ic.results.Sweep("toy", (), check), ic.results.Sweep("toy", (), compute(spec, Condition(WHERE), stretch, 2))
    )


def test_the_key_is_of_all_that_results_depend_on(graph: ic.Graph, spec: SweepSpec) -> None:
    assert spec_of(blocks()).key == spec.key
    others = [
        make_spec(Captured(graph, {"batch": batch}, {}, name), **{**AXES, **more})
        for batch, name, more in [
            (range(1, 1002), "toy", {}),
            (BATCH, "other", {}),
            (BATCH, "toy", {"price": 3}),
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


def test_a_sweep_travels_with_the_first_tasks_only(graph: ic.Graph, expected: ic.results.Sweep) -> None:
    spec = spec_of(graph)
    with Recording(2) as executor:
        check_equal(run_in_memory(Run(spec, None, executor=executor, chunk_points=500)), expected)
    assert len(executor.sent) == POINTS / 500
    assert sum(size > len(spec.to_bytes()) for size in executor.sent) == 4
    assert min(executor.sent) < 500


def test_a_worker_that_does_not_know_a_sweep_asks_for_it(
    spec: SweepSpec, expected: ic.results.Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "_KNOWN_AT_MOST", 0)  # forgets each sweep at once
    with ThreadPoolExecutor(2) as executor:
        check_equal(run_in_memory(Run(spec, None, executor=executor, chunk_points=500)), expected)


# ---- processes ----


@pytest.mark.slow
def test_processes_give_the_same_and_one_that_dies_is_replaced_by_this_one(
    graph: ic.Graph, spec: SweepSpec, expected: ic.results.Sweep, tmp_path: Path
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


def dies_while_sending() -> None:
    """Writes the start of a result into the pool's pipe, as a worker does that is killed there."""
    frame = sys._getframe()
    while "result_queue" not in frame.f_locals:
        frame = frame.f_back  # type: ignore[assignment]
    os.write(frame.f_locals["result_queue"]._writer.fileno(), struct.pack("!i", 1000) + b"the start")
    os.kill(os.getpid(), signal.SIGKILL)


class Dying(ProcessPoolExecutor):
    """One whose third task is the last of its worker."""

    submitted = 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.submitted += 1
        return super().submit(dies_while_sending) if self.submitted == 3 else super().submit(fn, *args, **kwargs)


@pytest.mark.slow
def test_a_process_may_die_while_it_sends(
    spec: SweepSpec, expected: ic.results.Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "SILENT_S", 0.5)
    with Dying(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        with pytest.warns(RuntimeWarning, match="parts of the sweep failed on the executor .BrokenProcessPool"):
            check_equal(run_in_memory(Run(spec, None, executor=executor, chunk_points=500)), expected)
        with pytest.raises(BrokenExecutor):
            executor.submit(os.getpid)


# ---- dask ----

# A result that is on its way when its worker dies is lost to dask's executor; then it is computed here, with a warning.
may_lose_a_result = pytest.mark.filterwarnings("ignore:.* failed on the executor:RuntimeWarning")


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, processes=True, threads_per_worker=1, dashboard_address=":0", silence_logs="ERROR"
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


@may_lose_a_result
@pytest.mark.slow
def test_dask_gives_the_same_though_a_worker_is_killed(
    client: Any, spec: SweepSpec, expected: ic.results.Sweep
) -> None:
    executor = client.get_executor()
    assert tasks.worker_count(executor) == 2
    kill = killing(client)
    sweep = run_in_memory(Run(spec, None, executor=executor, chunk_points=200, progress=kill))
    assert kill.victims == []  # type: ignore[attr-defined]
    check_equal(sweep, expected)


@pytest.mark.slow
@may_lose_a_result
def test_dask_writes_a_folder_though_a_worker_is_killed(
    client: Any, spec: SweepSpec, expected: ic.results.Sweep, tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow")
    from pyinfercost.sweeps.storage import run_to_folder

    client.wait_for_workers(2, timeout=30)
    kill = killing(client)
    run = Run(spec, None, executor=client.get_executor(), chunk_points=400, progress=kill)
    stored = run_to_folder(run, tmp_path / "grid")
    assert kill.victims == []  # type: ignore[attr-defined]
    assert stored.complete
    check_equal(stored.where(None), expected)
