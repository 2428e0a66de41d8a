"""Fleets of the core with the defaults of its structures, and requests for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pyinfercost import _core

DEFAULTS: dict[str, dict[str, Any]] = {
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


def loaded(kind: str, places: float = 1.0, **settings: Any) -> _core.LoadedAutoscaler:
    """An autoscaler of replicas that serve so many requests at once, and start in a minute."""
    load = _core.ReplicaLoad(
        concurrency=places, rate_per_s=1.0, mean_in_flight=0.0, peak_in_flight=0.0, cold_start_s=60.0
    )
    return _core.Autoscaler(kind, settings).loaded(load)


def schedule(
    from_s: Sequence[float] = (0.0,), replicas: Sequence[int] = (1,), period_s: float = 1e8
) -> _core.LoadedAutoscaler:
    """Replicas by time."""
    hours = [(time_s / 3600, count) for time_s, count in zip(from_s, replicas, strict=True)]
    return loaded("scheduled", min_replicas=0, replicas=hours, period_s=period_s)


def fixed(replicas: int) -> _core.LoadedAutoscaler:
    """Always as many replicas."""
    return loaded("static", min_replicas=0, replicas=replicas)


def knative(**changes: Any) -> _core.LoadedAutoscaler:
    """Knative's pod autoscaler."""
    return loaded("kpa", **{"target": 70.0, **changes})


def kubernetes(**changes: Any) -> _core.LoadedAutoscaler:
    """HorizontalPodAutoscaler."""
    return loaded("hpa", **{"target": 70.0, **changes})


def ray(**changes: Any) -> _core.LoadedAutoscaler:
    """Ray Serve's autoscaler."""
    return loaded("ray", **{"target_ongoing_requests": 2.0, **changes})


def target_tracking(**changes: Any) -> _core.LoadedAutoscaler:
    """Target tracking of invocations."""
    return loaded("sagemaker", **{"target": 600.0, **changes})


def on_demand(places: float = 1.0, *, binds: bool = False, **changes: Any) -> _core.LoadedAutoscaler:
    """Replicas for requests without room, each bound to the one that started it or not."""
    return loaded("lambda" if binds else "zero", places, **{"idle_timeout_s": 60.0, **changes})


def cloud_run(**changes: Any) -> _core.LoadedAutoscaler:
    """Cloud Run's autoscaler."""
    return loaded("cloudrun", **{"concurrency": 80.0, **changes})


def seasonal(**changes: Any) -> _core.LoadedAutoscaler:
    """Replicas for the load of the last period."""
    return loaded("seasonal", **{"target": 70.0, **changes})


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
