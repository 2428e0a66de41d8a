"""Many sizes at once: a column of batches through one plan, on one core."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from interleaved import NOTES, race
from models import make
from parameters import SLOW_ROUNDS, SWEEP_HARDWARE, SWEEP_POINTS

from pyinfercost import _core
from pyinfercost.hardware import load

pytest.importorskip("torch", reason="needs torch: pip install 'pyinfercost[models]'")

SAMPLE = 100


def bench_evaluate_column(benchmark: Any) -> None:
    """ResNet-50 at 100,000 batch sizes, against the same evaluator called for one point at a time."""
    from pyinfercost.capture.trace import trace_graph

    model = make("resnet50")
    graph = trace_graph(model.module, model.args, {}, {0: {0: "batch"}})
    plan = _core.plan(graph, {})
    machine = load(SWEEP_HARDWARE)
    batches = np.arange(1, SWEEP_POINTS + 1, dtype=np.int64)
    sample = np.linspace(0, SWEEP_POINTS - 1, SAMPLE, dtype=np.int64)

    def column() -> Any:
        return _core.evaluate(plan, {"batch": batches}, machine, points=SWEEP_POINTS)

    def one_by_one() -> Any:
        return [_core.evaluate(plan, {"batch": batches[i : i + 1]}, machine, points=1) for i in sample]

    peer = f"{SAMPLE} points one by one, scaled up"
    answers = race(
        benchmark,
        f"evaluate {SWEEP_POINTS:,} points",
        column,
        {peer: one_by_one},
        rounds=SLOW_ROUNDS,
        scale={peer: SWEEP_POINTS / SAMPLE},
    )
    # One evaluator: a point of a column and a column of one point agree to the last bit.
    for name, values in answers["ours"].items():
        singles = np.concatenate([point[name] for point in answers[peer]])
        np.testing.assert_array_equal(values[sample], singles, err_msg=name)
    latency_s = answers["ours"]["latency_s"]
    assert latency_s[-1] > latency_s[0] > 0
    if benchmark.enabled:
        points_per_s = SWEEP_POINTS / benchmark.extra_info["median_s"]["ours"]
        benchmark.extra_info["points_per_s"] = points_per_s
        NOTES.append(f"evaluate: {points_per_s:,.0f} points per second, {plan.kernel_count} kernels each")
