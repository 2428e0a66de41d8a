"""The callable of the core that takes the place of a function: transparent, without leaks, exact."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import sys
import threading
import weakref
from typing import Any

import numpy as np
import pytest

from pyinfercost import Monitor
from pyinfercost.monitor import Served


def quiet(**settings: Any) -> Monitor:
    return Monitor(energy=None, **settings)


def double(x: Any, /, factor: int = 2, *, extra: int = 0) -> Any:
    """Double it."""
    return x * factor + extra


def test_it_looks_like_its_function() -> None:
    counted = quiet().instrument(double)
    assert counted.__name__ == "double"
    assert counted.__doc__ == "Double it."
    assert counted.__module__ == __name__
    assert counted.__wrapped__ is double
    assert inspect.signature(counted) == inspect.signature(double)
    assert "double" in repr(counted)
    assert counted(3) == 6
    assert counted(3, 4, extra=1) == 13
    assert counted(*[3], **{"factor": 5}) == 15
    with pytest.raises(AttributeError, match="nothing"):
        _ = counted.nothing
    assert copy.deepcopy(counted) is counted
    assert copy.copy(counted) is counted


def test_arguments_reach_the_function_and_its_errors_the_caller() -> None:
    monitor = quiet()

    @monitor.instrument
    def function(*args: Any, **kwargs: Any) -> Any:
        if "error" in kwargs:
            raise kwargs["error"]
        return args, kwargs

    assert function() == ((), {})
    assert function(1, 2, a=3) == ((1, 2), {"a": 3})
    with pytest.raises(KeyError, match="mine") as caught:
        function(error=KeyError("mine"))
    assert caught.traceback[-1].name == "function"
    with pytest.raises(KeyboardInterrupt):
        function(error=KeyboardInterrupt())
    found = monitor.snapshot()
    assert [found.value("requests", outcome=each) for each in ("ok", "error", "cancelled")] == [2, 1, 1]
    assert found.value("in_flight") == 0


def test_a_counted_function_of_a_class_is_a_method() -> None:
    monitor = quiet()

    class Model:
        scale = 3

        @monitor.instrument(count=lambda args, kwargs, result: Served(len(args[1])))
        def predict(self, rows: list[int]) -> list[int]:
            return [self.scale * row for row in rows]

    assert Model().predict([1, 2]) == [3, 6]
    assert Model.predict(Model(), [1]) == [3]
    assert monitor.snapshot().value("items") == 3


@pytest.mark.parametrize(
    ("argument", "items"),
    [
        ([1, 2, 3], 3),
        ((1, 2), 2),
        (np.zeros((4, 2)), 4),
        (np.float64(3), 1),
        ({"x": np.zeros((5, 1))}, 5),
        ("text", 1),
        (b"bytes", 1),
        (None, 1),
        (7, 1),
        ([], 0),
    ],
)
def test_items_are_those_of_the_first_argument(argument: Any, items: int) -> None:
    monitor = quiet()
    monitor.instrument(lambda x: None)(argument)
    monitor.instrument(lambda *, x: None)(x=argument)
    assert monitor.snapshot().value("items") == 2 * items


@pytest.mark.parametrize(
    "served", [None, 3, (1, 2), (1, 2, 3, 4, 5), (-1, 0, 0, 0), (1, 0, 0, 10**11), ("a", 0, 0, 0), (1.5, 0, 0, 0)]
)
def test_a_count_that_is_wrong_counts_no_items_and_reaches_no_caller(served: Any) -> None:
    monitor = quiet()
    assert monitor.instrument(lambda: 5, count=lambda args, kwargs, result: served)() == 5
    found = monitor.snapshot()
    assert found.value("requests", outcome="ok") == 1
    assert found.value("items") == 0
    assert found.value("dropped_records", kind="counts") == 1


def test_a_count_that_fails_does_not_hide_an_error_of_the_model() -> None:
    monitor = quiet()

    def count(args: Any, kwargs: Any, result: Any) -> Served:
        raise ValueError("of the count")

    def function(fails: bool) -> int:
        if fails:
            raise OSError("of the model")
        return 1

    counted = monitor.instrument(function, count=count)
    assert counted(False) == 1
    with pytest.raises(OSError, match="of the model"):
        counted(True)


def test_nothing_is_kept_alive() -> None:
    monitor = quiet()

    class Held:
        pass

    def make() -> list[weakref.ref[Any]]:
        held, result = Held(), Held()
        function = lambda x, **kwargs: result  # noqa: E731
        counted = monitor.instrument(function)
        counted(held, named=held)
        with pytest.raises(TypeError):
            monitor.instrument(lambda: None)(held)
        held.cycle = counted  # type: ignore[attr-defined]
        return [weakref.ref(each) for each in (held, result, function)]

    references = make()
    gc.collect()
    assert [reference() for reference in references] == [None, None, None]


def test_counts_of_references_stay() -> None:
    monitor = quiet()
    argument, result = object(), object()
    counted = monitor.instrument(lambda x, y=None: result)
    lazy = monitor.instrument(iter_of)
    before = sys.getrefcount(argument), sys.getrefcount(result)
    for _ in range(1000):
        counted(argument)
        counted(argument, y=argument)
        list(lazy(argument))
    gc.collect()
    after = sys.getrefcount(argument), sys.getrefcount(result)
    assert abs(after[0] - before[0]) < 5
    assert abs(after[1] - before[1]) < 5


def iter_of(x: Any) -> Any:
    yield x


def test_results_that_go_on_are_known_by_their_type_each_time() -> None:
    monitor = quiet()

    async def later(x: int) -> int:
        return x

    counted = monitor.instrument(
        lambda kind: later(1) if kind == "awaitable" else iter_of(1) if kind == "pieces" else 1
    )
    for _ in range(3):
        assert counted("plain") == 1
        assert list(counted("pieces")) == [1]
        assert asyncio.run(counted("awaitable")) == 1
    found = monitor.snapshot()
    assert found.value("requests", outcome="ok") == 9
    assert found.value("output_tokens") == 3


def test_calls_within_calls_and_recursion() -> None:
    monitor = quiet()

    def fall(depth: int) -> int:
        return 0 if depth == 0 else 1 + counted(depth - 1)

    counted = monitor.instrument(fall)
    assert counted(50) == 50
    found = monitor.snapshot()
    assert found.value("requests", outcome="ok") == 51
    with pytest.raises(RecursionError):
        counted(10**6)
    assert monitor.snapshot().value("in_flight") == 0


def test_threads_count_exactly() -> None:
    monitor = quiet()
    counted = monitor.instrument(lambda rows: None)

    def work(place: int) -> None:
        for step in range(5000):
            counted([0] * (1 + (step + place) % 3))

    threads = [threading.Thread(target=work, args=(place,)) for place in range(8)]
    for each in threads:
        each.start()
    for _ in range(50):
        monitor.snapshot()  # while they count
    for each in threads:
        each.join()
    expected = sum(1 + (step + place) % 3 for place in range(8) for step in range(5000))
    found = monitor.snapshot()
    assert found.value("requests", outcome="ok") == 40_000
    assert found.value("items") == expected
    histogram = found.distribution("batch_items")
    assert histogram is not None
    assert histogram.count == 40_000
