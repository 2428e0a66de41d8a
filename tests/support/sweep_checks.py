"""A grid, misbehaving executors, and comparisons, for tests of sweeps that run in parts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np

import pyinfercost as ic
from pyinfercost.sources.captured import Captured
from pyinfercost.sweeps.axes import make_spec
from pyinfercost.sweeps.spec import SweepSpec

AXES: dict[str, Any] = {
    "hardware": ["a100-sxm-80gb", "t4"],
    "precision": ["fp32", "fp16"],
    "scale": {"bandwidth": [1, 1.5, 2]},
    "price": 2.5,
}
BATCH = range(1, 1001)
POINTS = 2 * 2 * 3 * 1000
WHERE = "latency_s < 2.05e-5 and batch % 7 != 3"


def spec_of(graph: ic.Graph) -> SweepSpec:
    return make_spec(Captured(graph, {"batch": BATCH}, {}, graph.model), **AXES)


def guarded(batch_above: int) -> ic.Graph:
    """Return a graph that does not allow a batch of 1."""
    builder = ic.GraphBuilder("guarded")
    batch = builder.size("batch", default=2, maximum=10**6)
    x, y = (builder.tensor("float32", (batch, 8), role=role) for role in ("input", "activation"))
    builder.node("aten.relu.default", {"self": x}, [y])
    builder.guard(batch, "!=", batch_above)
    return builder.build([x], [y])


def check_equal(sweep: ic.results.Sweep, expected: ic.results.Sweep) -> None:
    assert sweep.columns == expected.columns
    assert len(sweep) == len(expected)
    for name in expected.columns:
        assert sweep[name].dtype.kind == expected[name].dtype.kind
        assert (sweep[name] == expected[name]).all(), name


def places(sweep: ic.results.Sweep) -> Any:
    """Return the indices of the points of a part of the grid; they must be in order."""
    points = sweep.data.points  # type: ignore[attr-defined]
    points = np.arange(points.start, points.stop) if isinstance(points, slice) else points
    assert (np.diff(points) > 0).all()
    return points


class Reversed(Executor):
    """Waits for several tasks, and then runs the last one first."""

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
