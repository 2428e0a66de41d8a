"""Fleets of the core with the defaults of its structures, and requests for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pyinfercost import _core

DEFAULTS: dict[str, dict[str, Any]] = {
    "ScheduleAutoscaler": {"from_s": [0.0], "replicas": [1], "period_s": math.inf},
    "KnativeAutoscaler": {
        "metric": "in_flight",
        "target": 70.0,
        "stable_window_s": 60,
        "panic_window_s": 6,
        "panic_threshold": 2.0,
        "max_scale_up_rate": 1000.0,
        "max_scale_down_rate": 2.0,
        "scale_down_delay_s": 0.0,
        "scale_to_zero_grace_s": 30.0,
        "activation_scale": 1,
        "tick_s": 2.0,
    },
    "KubernetesAutoscaler": {
        "metric": "in_flight",
        "target": 70.0,
        "metric_window_s": 0,
        "tolerance": 0.1,
        "sync_s": 15.0,
        "up_percent": 100.0,
        "up_pods": 4,
        "up_period_s": 15.0,
        "up_stabilization_s": 0.0,
        "down_percent": 100.0,
        "down_period_s": 15.0,
        "down_stabilization_s": 300.0,
        "keda": False,
        "polling_s": 30.0,
        "cooldown_s": 300.0,
    },
    "RayAutoscaler": {
        "target_ongoing_requests": 2.0,
        "look_back_s": 30,
        "upscale_delay_s": 30.0,
        "downscale_delay_s": 600.0,
        "upscaling_factor": 1.0,
        "downscaling_factor": 1.0,
        "loop_s": 0.1,
    },
    "TargetTrackingAutoscaler": {
        "target": 600.0,
        "period_s": 60.0,
        "out_periods": 3,
        "in_periods": 15,
        "in_share": 0.9,
        "scale_out_cooldown_s": 300.0,
        "scale_in_cooldown_s": 300.0,
    },
    "OnDemandAutoscaler": {"places": 1.0, "idle_timeout_s": 60.0, "burst": 1000, "burst_s": 10.0, "binds": False},
    "CloudRunAutoscaler": {
        "concurrency": 80.0,
        "target_utilization": 0.6,
        "window_s": 60,
        "idle_timeout_s": 900.0,
        "tick_s": 1.0,
    },
    "SeasonalAutoscaler": {
        "metric": "in_flight",
        "target": 70.0,
        "period_s": 86400.0,
        "bin_s": 300.0,
        "ahead_s": 60.0,
        "headroom": 1.0,
        "window_s": 60,
        "hold_s": 300.0,
        "tick_s": 15.0,
    },
    "SlotReplica": {"slots": 1, "service_s": 1.0, "joules": 0.0},
    "BatchReplica": {"latency_s": [1.0], "joules": [0.0], "instances": 1, "delay_s": 0.0},
    "TokenReplica": {
        "max_sequences": 256,
        "max_tokens": 8192,
        "pool_tokens": math.inf,
        "block_tokens": 1,
        "tokens_each": 1.0,
        "yield_tokens": 1.0,
        "mixes": True,
        "chunked_prefill": True,
        "reserves": 0.0,
        "least_reserves": 0.0,
        "reserve_steps": 0,
        "prefill_fill": 1.0,
    },
    "FleetPool": {
        "copies": 1,
        "concurrency": 0,
        "min_replicas": 0,
        "max_replicas": 1 << 20,
        "start_replicas": 1,
        "cold_start_s": 0.0,
        "cold_start_spread": 0.0,
        "max_drain_s": math.inf,
        "interruptions_per_h": 0.0,
        "notice_s": 0.0,
        "failures_per_h": 0.0,
    },
    "FleetLimits": {"wait_s": math.inf, "ttft_s": math.inf, "tpot_s": math.inf, "e2e_s": math.inf},
    "Fleet": {
        "routing": "least_loaded",
        "timeout_s": math.inf,
        "bin_s": 3600.0,
        "horizon_s": 0.0,
        "seed": 0,
        "keeps_requests": False,
    },
}


def _made(kind: str, changes: dict[str, Any]) -> Any:
    return getattr(_core, kind)(**{**DEFAULTS[kind], **changes})


def schedule(**changes: Any) -> _core.ScheduleAutoscaler:
    """Replicas by time."""
    return _made("ScheduleAutoscaler", changes)


def fixed(replicas: int) -> _core.ScheduleAutoscaler:
    """Always as many replicas."""
    return schedule(replicas=[replicas])


def knative(**changes: Any) -> _core.KnativeAutoscaler:
    """Knative's pod autoscaler."""
    return _made("KnativeAutoscaler", changes)


def kubernetes(**changes: Any) -> _core.KubernetesAutoscaler:
    """HorizontalPodAutoscaler."""
    return _made("KubernetesAutoscaler", changes)


def ray(**changes: Any) -> _core.RayAutoscaler:
    """Ray Serve's autoscaler."""
    return _made("RayAutoscaler", changes)


def target_tracking(**changes: Any) -> _core.TargetTrackingAutoscaler:
    """Target tracking of invocations."""
    return _made("TargetTrackingAutoscaler", changes)


def on_demand(**changes: Any) -> _core.OnDemandAutoscaler:
    """A replica for each request without room."""
    return _made("OnDemandAutoscaler", changes)


def cloud_run(**changes: Any) -> _core.CloudRunAutoscaler:
    """Cloud Run's autoscaler."""
    return _made("CloudRunAutoscaler", changes)


def seasonal(**changes: Any) -> _core.SeasonalAutoscaler:
    """Replicas for the load of the last period."""
    return _made("SeasonalAutoscaler", changes)


def slots(slots: int = 1, service_s: float = 1.0, **changes: Any) -> _core.SlotReplica:
    """A replica of slots."""
    return _made("SlotReplica", {"slots": slots, "service_s": service_s, **changes})


def batches(**changes: Any) -> _core.BatchReplica:
    """A replica of dynamic batches."""
    return _made("BatchReplica", changes)


def tokens(costs: _core.StepCosts, **changes: Any) -> _core.TokenReplica:
    """A replica of sequences."""
    return _made("TokenReplica", {"costs": costs, **changes})


def pool(replica: Any, autoscaler: Any, **changes: Any) -> _core.FleetPool:
    """A pool of replicas."""
    return _made("FleetPool", {"replica": replica, "autoscaler": autoscaler, **changes})


def limits(**changes: Any) -> _core.FleetLimits:
    """Limits beyond which requests are late."""
    return _made("FleetLimits", changes)


def fleet(*pools: _core.FleetPool, late: dict[str, float] | None = None, **changes: Any) -> _core.Fleet:
    """Pools behind a router; `late` are its limits."""
    return _made("Fleet", {"pools": list(pools), "limits": limits(**(late or {})), **changes})


def requests(
    arrival_s: ArrayLike, service_s: ArrayLike | None = None, prompt: ArrayLike = 1, output: ArrayLike = 1
) -> _core.SimulatedRequests:
    """Requests at some times, with service times or tokens."""
    arrival = np.asarray(arrival_s, dtype=np.float64)
    shaped = [np.broadcast_to(np.asarray(each, dtype=np.int32), arrival.shape) for each in (prompt, output)]
    if service_s is None:
        return _core.SimulatedRequests(arrival, *shaped)
    return _core.SimulatedRequests(arrival, *shaped, service_s=np.broadcast_to(service_s, arrival.shape))


def run(settings: _core.Fleet, given: _core.SimulatedRequests | _core.RequestStream) -> dict[str, Any]:
    """Simulate one fleet."""
    return _core.simulate_fleets([(settings, given)])[0]


def paid_s(result: dict[str, Any]) -> float:
    """Replica-seconds from creation to removal."""
    return float(sum(each[name].sum() for each in result["pools"] for name in ("starting_s", "ready_s", "draining_s")))


def decisions(result: dict[str, Any], pool: int = 0) -> list[tuple[float, int, int]]:
    """Changes of the replicas that a pool should have: time, before, after."""
    found = result["decisions"]
    rows: Sequence[tuple[float, int, int, int]] = list(
        zip(*(found[name].tolist() for name in ("time_s", "pool", "before", "after")), strict=True)
    )
    return [(time, before, after) for time, which, before, after in rows if which == pool]
