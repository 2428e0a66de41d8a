"""Python threads beside the core: long calls release the interpreter's lock, and results do not depend on threads."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.toy_graphs import transformer

import pyinfercost as ic
from pyinfercost import _core

THREADS = 4


@pytest.fixture(scope="module")
def large() -> ic.Graph:
    return transformer(layers=400)


@pytest.fixture
def ticks() -> Iterator[Callable[[], int]]:
    """How often another thread has run so far.

    The switch interval is longer than any test: that thread gets the lock only from a call that releases it.
    """
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(3600.0)
    count = 0
    stopped = False

    def tick() -> None:
        nonlocal count
        while not stopped:
            count += 1
            time.sleep(1e-5)

    thread = threading.Thread(target=tick)
    thread.start()
    yield lambda: count
    stopped = True
    thread.join()
    sys.setswitchinterval(interval_s)


def fresh_plan(graph: ic.Graph, **sizes: int) -> _core.Plan:
    return _core.PlanFamily(graph, execution="compiled").plan_for(sizes)


LONG_CALLS: dict[str, Callable[[ic.Graph], Any]] = {
    "count": lambda graph: _core.count(graph, {}),
    "by_module": lambda graph: _core.count(graph, {}).by_module(),
    "plan": lambda graph: _core.plan(graph, {}),
    "plan_for": lambda graph: fresh_plan(graph, batch=2, sequence=64),
    "boundary": lambda graph: _core.boundary(graph.without_lifetimes()),
    "to_json": lambda graph: graph.to_json(),
}
ATTEMPTS = 200
"""The other thread may be slow to wake where a processor is busy; that it wakes once is enough."""


@pytest.mark.parametrize("name", LONG_CALLS)
@pytest.mark.sample(3)
def test_another_thread_runs_during_a_long_call(name: str, large: ic.Graph, ticks: Callable[[], int]) -> None:
    call = LONG_CALLS[name]
    for _ in range(ATTEMPTS):
        before = ticks()
        call(large)
        if ticks() > before:
            return
    pytest.fail(f"no other thread ran during {ATTEMPTS} calls: {name} holds the interpreter's lock")


def test_another_thread_runs_while_a_graph_is_read(large: ic.Graph, ticks: Callable[[], int]) -> None:
    text = large.to_json()
    for _ in range(ATTEMPTS):
        before = ticks()
        ic.Graph.from_json(text)
        if ticks() > before:
            return
    pytest.fail("no other thread ran: from_json holds the interpreter's lock")


def test_a_call_that_keeps_the_lock_is_noticed(ticks: Callable[[], int]) -> None:
    """What the tests above rest on: without a release the other thread does not run."""
    before = ticks()
    until_s = time.perf_counter() + 0.05
    while time.perf_counter() < until_s:
        pass
    assert ticks() == before


def test_threads_give_the_results_of_one(large: ic.Graph) -> None:
    hardware = ic.hardware.load("a100-sxm-80gb")
    family = _core.PlanFamily(large, precision="fp16", execution="compiled")

    def results(number: int) -> tuple[Any, ...]:
        batch = 1 + number % 3  # a batch of 1 has a plan of its own
        sizes = {"batch": batch, "sequence": 64}
        counts = _core.count(large, {"batch": batch})
        point = _core.evaluate_point(family.plan_for(sizes), sizes, hardware)
        return counts.total.to_dict(), counts.memory.peak_node, point

    alone = [results(number) for number in range(3)]
    with ThreadPoolExecutor(THREADS) as pool:
        together = list(pool.map(results, range(4 * THREADS)))
    assert together == [alone[number % 3] for number in range(4 * THREADS)]
