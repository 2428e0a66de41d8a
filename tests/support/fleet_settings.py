"""Random fleets and traffic, for properties that all of them have."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
from support import fleet_cases as cases
from support import fleet_engines as engines
from support.step_costs import step_costs_like_an_h100

from pyinfercost import _core

COSTS = step_costs_like_an_h100().core
METRICS = ("in_flight", "running", "waiting", "utilization")


@st.composite
def autoscalers(draw: st.DrawFn, target: float, from_zero: bool = False) -> Any:
    """Any autoscaler, or one that starts from zero, with times that a simulation of some minutes meets."""
    kinds = ["knative", "keda", "ray", "on_demand", "binds", "cloud_run", "seasonal"]
    kind = draw(st.sampled_from(kinds if from_zero else [*kinds, "schedule", "kubernetes", "tracking"]))
    metric = "in_flight" if from_zero else draw(st.sampled_from(METRICS))
    goal = 0.7 if metric == "utilization" else target
    if kind == "schedule":
        times = [0.0, *sorted(draw(st.lists(st.floats(1, 900), max_size=4, unique=True)))]
        counts = draw(st.lists(st.integers(0, 5), min_size=len(times), max_size=len(times)))
        return cases.schedule(from_s=times, replicas=counts, period_s=draw(st.sampled_from([1000.0, 1e8])))
    if kind == "knative":
        return cases.knative(
            metric=metric, target=goal, stable_window_s=30, panic_window_s=draw(st.integers(1, 30)), tick_s=2.0
        )
    if kind in ("kubernetes", "keda"):
        return cases.kubernetes(
            metric=metric, target=goal, keda=kind == "keda", cooldown_s=60.0, down_stabilization_s=60.0
        )
    if kind == "ray":
        return cases.ray(target_ongoing_requests=target, upscale_delay_s=3.0, downscale_delay_s=20.0)
    if kind == "tracking":
        return cases.target_tracking(target=20 * target, out_periods=1, in_periods=2, scale_in_cooldown_s=60.0)
    if kind in ("on_demand", "binds"):
        return cases.on_demand(
            idle_timeout_s=draw(st.sampled_from([0.0, 5.0, 60.0])),
            burst=draw(st.sampled_from([1, 20])),
            binds=kind == "binds",
        )
    if kind == "cloud_run":
        return cases.cloud_run(concurrency=max(1.0, target / 0.6), idle_timeout_s=60.0)
    return cases.seasonal(metric=metric, target=goal, period_s=300.0, bin_s=30.0, ahead_s=20.0, hold_s=30.0)


@st.composite
def replicas(draw: st.DrawFn, kinds: tuple[str, ...] = ("slots", "batches", "tokens", "engine")) -> tuple[Any, float]:
    """A replica of any kind, and the requests that it serves at once."""
    kind = draw(st.sampled_from(kinds))
    if kind == "slots":
        count = draw(st.integers(1, 8))
        return cases.slots(count, draw(st.sampled_from([0.5, 5.0, 30.0])), joules=1.0), count
    if kind == "batches":
        largest, instances = draw(st.integers(1, 4)), draw(st.integers(1, 2))
        latency = (1.0 + 0.2 * np.arange(largest)).tolist()
        replica = cases.batches(
            latency_s=latency, joules=latency, instances=instances, delay_s=draw(st.sampled_from([0.0, 0.5]))
        )
        return replica, largest * instances
    engine = draw(st.sampled_from(["vllm", "sglang"]))
    most = draw(st.sampled_from([4, 32]))
    # The smaller cache holds two or three of the longest requests.
    pool_tokens = draw(st.sampled_from([8_000, 100_000]))
    if kind == "tokens":
        return engines.sequences(COSTS, engine, pool_tokens, max_sequences=most), most
    return _core.EngineReplica(engines.server(COSTS, engine, pool_tokens, max_sequences=most)), most


@st.composite
def pools(
    draw: st.DrawFn, kinds: tuple[str, ...] = ("slots", "batches", "tokens", "engine"), breaks: bool = False
) -> tuple[_core.FleetPool, float]:
    """A pool, and the requests that a replica of it serves at once."""
    replica, slots = draw(replicas(kinds))
    copies = draw(st.sampled_from([1, 1, 2]))
    least = draw(st.sampled_from([0, 1, 2]))
    settings: dict[str, Any] = {
        "copies": copies,
        "concurrency": draw(st.sampled_from([0, int(slots), int(3 * slots)])),
        "min_replicas": least,
        "max_replicas": draw(st.sampled_from([max(1, least), 6, 60])),
        "start_replicas": draw(st.integers(1, 3)),
        "cold_start_s": draw(st.sampled_from([0.0, 3.0, 40.0])),
        "cold_start_spread": draw(st.sampled_from([0.0, 0.5])),
        "max_drain_s": draw(st.sampled_from([float("inf"), 0.0, 4.0])) if breaks else float("inf"),
    }
    if breaks:
        settings["interruptions_per_h"] = draw(st.sampled_from([0.0, 60.0]))
        settings["notice_s"] = draw(st.sampled_from([0.0, 10.0]))
        settings["failures_per_h"] = draw(st.sampled_from([0.0, 60.0]))
    scaler = draw(autoscalers(max(0.5, 0.7 * slots), least == 0))
    return cases.pool(replica, scaler, **settings), slots * copies


@st.composite
def traffic(draw: st.DrawFn) -> dict[str, Any]:
    """Columns of requests of some minutes, with bursts."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(1, 150))
    span_s = draw(st.sampled_from([1.0, 100.0, 800.0]))
    times = rng.random(count) * span_s
    if draw(st.booleans()):
        times[rng.random(count) < 0.4] = span_s / 3
    own = draw(st.booleans())
    return {
        "arrival_s": np.sort(times),
        "prompt": rng.integers(1, 1500, count),
        "output": rng.integers(1, 1000, count),
        "service_s": np.maximum(0.01, rng.exponential(5.0, count)) if own else None,
    }
