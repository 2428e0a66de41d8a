"""Costs of autoscalers on real traces against a table of an independent replay.

First come, first served; a request takes 10 s of one slot; targets are 70 % of the slots; fleets begin with as many
replicas as the mean work at 70 % needs, and replicas are paid from their creation. Costs are in units of the work of
replicas whose slots are always used. Late requests waited for more than 5 s.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support import fleet_cases as cases
from support.fleet_traces import azure_hour, coding_week

from pyinfercost import _core

SERVICE_S = 10.0
COLD_S = 30.0
TRACES = {"code": 64, "conv": 64, "week": 8}
# trace: oracle, static peak, and cost and share of late requests of each autoscaler, with tolerances where the table
# states fewer digits.
TABLE: dict[str, dict[str, Any]] = {
    "code": {"oracle": 1.356, "static": 16.505, "knative": (5.610, 0.4150), "hpa": (8.6, 0.112), "ray": (7.4, 0.114)},
    "conv": {"oracle": 1.181, "static": 2.205, "knative": (1.55, 0.012), "hpa": (2.13, 0.012), "ray": (1.76, 0.0)},
    "week": {"oracle": 1.26, "static": 4.90, "knative": (1.60, 0.0003), "hpa": (2.00, 0.0001), "ray": (1.79, 0.0)},
}


@pytest.fixture(scope="module", params=list(TRACES))
def trace(request: pytest.FixtureRequest) -> tuple[str, NDArray[np.float64]]:
    name = str(request.param)
    return name, coding_week() if name == "week" else np.repeat(azure_hour(name)[0], 10)


def autoscaler(name: str, target: float) -> Any:
    if name == "knative":
        return cases.knative(target=target)
    if name == "hpa":
        return cases.kubernetes(target=target)
    return cases.ray(target_ongoing_requests=target)


def replay(arrival: NDArray[np.float64], slots: int, scaler: Any, start: int, cold_s: float) -> tuple[float, float]:
    """Cost, and share of late requests."""
    pool = cases.pool(
        cases.slots(slots, SERVICE_S),
        scaler,
        concurrency=slots,
        min_replicas=1,
        start_replicas=start,
        cold_start_s=cold_s,
    )
    result = cases.run(cases.fleet(pool, routing="first", late={"wait_s": 5.0}), cases.requests(arrival))
    assert result["finished"] == arrival.size
    return cases.paid_s(result) / (arrival.size * SERVICE_S / slots), result["late"] / arrival.size


def needed(arrival: NDArray[np.float64], slots: int) -> NDArray[np.int64]:
    """Replicas that serve the requests of each second and of the next without waiting."""
    profile = _core.load_profile(cases.requests(arrival), places=slots, tick_s=1.0, service_s=SERVICE_S)
    found: NDArray[np.int64] = np.rint(profile["replicas_s"]).astype(np.int64)
    assert np.allclose(found, profile["replicas_s"])
    assert found.max() == profile["most_replicas"]
    return found


@pytest.mark.sample(1)
def test_oracle_and_static_peak(trace: tuple[str, NDArray[np.float64]]) -> None:
    name, arrival = trace
    slots = TRACES[name]
    need = needed(arrival, slots)
    work = arrival.size * SERVICE_S / slots
    assert need.sum() / work == pytest.approx(TABLE[name]["oracle"], rel=0.005)
    assert need.max() * (arrival[-1] + SERVICE_S) / work == pytest.approx(TABLE[name]["static"], rel=0.005)
    # Its schedule lets nothing be late; replicas that drain cost a little more.
    planned = cases.schedule(from_s=np.arange(float(need.size)).tolist(), replicas=need.tolist())
    cost, late = replay(arrival, slots, planned, int(need[0]), 0.0)
    assert need.sum() / work <= cost * (1 + 1e-9)
    assert cost == pytest.approx(need.sum() / work, rel=0.15)
    assert late == 0


@pytest.mark.parametrize("product", ["knative", "hpa", "ray"])
@pytest.mark.sample(3)
def test_costs_of_autoscalers(trace: tuple[str, NDArray[np.float64]], product: str) -> None:
    name, arrival = trace
    slots = TRACES[name]
    mean = arrival.size * SERVICE_S / slots / (arrival[-1] + SERVICE_S)
    cost, late = replay(arrival, slots, autoscaler(product, 0.7 * slots), math.ceil(mean / 0.7), COLD_S)
    expected, expected_late = TABLE[name][product]
    exact = name == "code" and product == "knative"
    assert cost == pytest.approx(expected, rel=0.02 if exact else 0.1)
    assert late == pytest.approx(expected_late, rel=0.1, abs=0.01 if exact else 0.002)
    # No policy costs less than the oracle, for which nothing is late.
    assert cost >= needed(arrival, slots).sum() * slots / (arrival.size * SERVICE_S)
