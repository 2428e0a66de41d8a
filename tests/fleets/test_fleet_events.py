"""What happens to replicas and their requests: cold starts, losses, timeouts, and pools behind each other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from support import fleet_cases as cases
from support import fleet_engines as engines
from support.step_costs import step_costs_like_an_h100

from pyinfercost import _core

TIMED_OUT = 6


def columns(result: dict[str, Any], *names: str) -> list[list[float]]:
    """Columns of the requests."""
    return [result["requests"][name].tolist() for name in names]


def test_cold_starts_are_spread_around_their_median() -> None:
    # 2,000 replicas that start for 2,000 requests: the logarithms of their times are normal.
    pool = cases.pool(
        cases.slots(1),
        cases.on_demand(burst=2000),
        concurrency=1,
        start_replicas=0,
        cold_start_s=20.0,
        cold_start_spread=0.5,
    )
    settings = cases.fleet(pool, keeps_requests=True)
    found = cases.run(settings, cases.requests(np.zeros(2000), 1000.0))
    logs = np.log(found["requests"]["started_s"] / 20.0)
    assert np.median(logs) == pytest.approx(0.0, abs=4 * 0.5 * 1.2533 / math.sqrt(2000))
    assert logs.std() == pytest.approx(0.5, rel=4 / math.sqrt(2 * 2000))
    # Paid from their creation.
    starting = found["pools"][0]["starting_s"].sum()
    assert starting == pytest.approx(found["requests"]["started_s"].sum(), rel=1e-9)
    other = cases.run(cases.fleet(pool, keeps_requests=True, seed=1), cases.requests(np.zeros(2000), 1000.0))
    assert not np.array_equal(other["requests"]["started_s"], found["requests"]["started_s"])


@pytest.mark.parametrize(("rate", "counted"), [("interruptions_per_h", "interrupted"), ("failures_per_h", "failed")])
def test_replicas_are_lost_at_their_rate(rate: str, counted: str) -> None:
    # 200 replicas for 10 hours at 2 losses an hour each: Poisson with mean 4,000 but for the time of cold starts.
    settings = {"start_replicas": 200, "cold_start_s": 36.0, rate: 2.0}
    pool = cases.pool(cases.slots(1), cases.fixed(200), **settings)
    found = cases.run(cases.fleet(pool, horizon_s=36_000.0), cases.requests([]))["pools"][0]
    mean = found["ready_s"].sum() / 1800
    assert found[counted] == pytest.approx(mean, abs=4 * math.sqrt(mean))
    # Each is replaced at once, and the new one starts for 36 s, at the end perhaps less.
    assert found["starts"] == found[counted]
    assert found["starting_s"].sum() == pytest.approx(36 * found["starts"], rel=0.005)
    assert (found["ready_s"] + found["starting_s"]).sum() == pytest.approx(200 * 36_000.0)


def test_requests_of_failed_replicas_start_again() -> None:
    # 50 requests of 1,000 s on replicas that fail about each 600 s: attempts until one lasts.
    pool = cases.pool(cases.slots(1, 1000.0, joules=2.0), cases.fixed(50), start_replicas=50, failures_per_h=6.0)
    found = cases.run(cases.fleet(pool, keeps_requests=True), cases.requests(np.zeros(50)))
    assert found["finished"] == 50
    assert found["restarted"] > 50
    started, finish = columns(found, "started_s", "finish_s")
    np.testing.assert_allclose(np.subtract(finish, started), 1000.0)
    # The energy is that of all attempts.
    running_s = found["pools"][0]["running_s"].sum()
    assert running_s > 2 * 50 * 1000
    assert found["pools"][0]["energy_j"] == pytest.approx(2.0 * running_s, rel=1e-9)


def test_replicas_that_drain_finish_their_requests_or_give_them_back() -> None:
    # At 100 s one of two replicas leaves, the newest, with a request of 300 s from 50 s on.
    scaler = cases.schedule(from_s=[0.0, 100.0], replicas=[2, 1])
    requests = cases.requests([0.0, 50.0], 300.0)
    settings = {"concurrency": 1, "start_replicas": 2}
    patient = cases.run(cases.fleet(cases.pool(cases.slots(1), scaler, **settings), keeps_requests=True), requests)
    assert columns(patient, "started_s", "finish_s") == [[0.0, 50.0], [300.0, 350.0]]
    assert patient["pools"][0]["draining_s"].sum() == pytest.approx(250.0)
    assert patient["restarted"] == 0
    # After 60 s it ends: the request waits for the other replica and starts again there.
    hasty = cases.run(
        cases.fleet(cases.pool(cases.slots(1), scaler, max_drain_s=60.0, **settings), keeps_requests=True), requests
    )
    assert columns(hasty, "started_s", "finish_s") == [[0.0, 300.0], [300.0, 600.0]]
    assert hasty["pools"][0]["draining_s"].sum() == pytest.approx(60.0)
    assert hasty["restarted"] == 1
    assert hasty["pools"][0]["removed"] == 1


@pytest.mark.parametrize("kind", ["tokens", "engine"])
def test_engines_give_their_requests_back_in_the_order_of_arrival(kind: str) -> None:
    costs = step_costs_like_an_h100().core
    replica = (
        engines.sequences(costs, "vllm", max_sequences=4)
        if kind == "tokens"
        else _core.EngineReplica(engines.server(costs, "vllm", max_sequences=4))
    )
    # All ten are at the replica that ends at 1 s; then they start again, four at a time, on one of another pool.
    arrival = np.linspace(0.55, 0.6, 10)
    lost = cases.schedule(from_s=[0.0, 1.0], replicas=[1, 0])
    pool = cases.pool(replica, lost, start_replicas=1, max_drain_s=0.0)
    behind = cases.pool(replica, cases.fixed(1), start_replicas=1)
    again = cases.run(cases.fleet(pool, behind, keeps_requests=True), cases.requests(arrival, None, 100, 200))
    started, finish = (np.asarray(each) for each in columns(again, "started_s", "finish_s"))
    assert again["restarted"] == 10
    assert (started >= 1.0).all()
    assert (np.diff(started) >= 0).all()
    assert (started[:4] == 1.0).all()
    assert started[4] >= finish[:4].min()
    assert set(again["requests"]["pool"]) == {1}


def test_requests_time_out_while_no_replica_takes_them() -> None:
    # One slot: of requests each second that take 3 s, those that wait 5 s leave.
    pool = cases.pool(cases.slots(1, 3.0), cases.fixed(1), concurrency=1)
    settings = cases.fleet(pool, timeout_s=5.0, keeps_requests=True)
    found = cases.run(settings, cases.requests(np.arange(30.0)))
    outcome = found["requests"]["outcome"]
    started = found["requests"]["started_s"]
    assert found["failed"] == (outcome == TIMED_OUT).sum() > 10
    assert np.isnan(started[outcome == TIMED_OUT]).all()
    assert (started - np.arange(30.0))[outcome != TIMED_OUT].max() <= 5.0
    assert found["wait_s"]["most"] <= 5.0
    # What a replica has taken waits for as long as it takes.
    inside = cases.pool(cases.slots(1, 3.0), cases.fixed(1))
    patient = cases.run(cases.fleet(inside, timeout_s=5.0), cases.requests(np.arange(30.0)))
    assert (patient["finished"], patient["failed"]) == (30, 0)


def test_requests_that_come_back_too_late_time_out() -> None:
    # A replica that ends at 20 s gives back requests from 0, 1 and 2 s; they have waited longer than 10 s already, and
    # nothing takes them.
    scaler = cases.schedule(from_s=[0.0, 20.0], replicas=[1, 0])
    pool = cases.pool(cases.slots(3, 100.0), scaler, max_drain_s=0.0)
    found = cases.run(cases.fleet(pool, timeout_s=10.0, keeps_requests=True), cases.requests([0.0, 1.0, 2.0]))
    assert found["failed"] == 3
    assert found["request_seconds"] == pytest.approx(20 + 19 + 18)


def test_requests_that_come_back_time_out_in_the_order_of_arrival() -> None:
    # The newer replica has the request from 0.5 s, the older one that from 2 s. They end at 10 and at 12 s, and the
    # requests time out 20 s after they came.
    scaler = cases.schedule(from_s=[0.0, 10.0, 12.0], replicas=[2, 1, 0])
    pool = cases.pool(cases.slots(1), scaler, concurrency=1, start_replicas=2, max_drain_s=0.0)
    found = cases.run(cases.fleet(pool, timeout_s=20.0), cases.requests([0.0, 0.5, 2.0], [1.0, 99.0, 99.0]))
    assert (found["finished"], found["failed"], found["restarted"]) == (1, 2, 2)
    assert found["request_seconds"] == pytest.approx(1 + 20 + 20)
    assert found["end_s"] == 22.0


def test_requests_go_to_the_first_pool_with_room() -> None:
    # Two replicas of 2 slots that are always there, and others for what they have no room for.
    base = cases.pool(cases.slots(2, 10.0), cases.fixed(2), concurrency=2, start_replicas=2)
    burst = cases.pool(
        cases.slots(1, 10.0), cases.on_demand(idle_timeout_s=30.0), concurrency=1, start_replicas=0, cold_start_s=3.0
    )
    arrival = [0.0] * 7 + [20.0] * 3
    found = cases.run(cases.fleet(base, burst, keeps_requests=True), cases.requests(arrival))
    started, pools = columns(found, "started_s", "pool")
    assert started == [0.0] * 4 + [3.0] * 3 + [20.0] * 3
    assert pools == [0] * 4 + [1] * 3 + [0] * 3
    assert [each["requests"] for each in found["pools"]] == [7, 3]
    assert found["pools"][1]["starts"] == 3
    assert cases.decisions(found, 0) == []
    # The second pool's autoscaler is the one that knows of requests without room.
    assert [after for _, _, after in cases.decisions(found, 1)][:3] == [1, 2, 3]


def test_results_last_until_the_horizon() -> None:
    pool = cases.pool(cases.slots(1), cases.fixed(2), start_replicas=2)
    found = cases.run(cases.fleet(pool, horizon_s=7300.0), cases.requests([1.0]))
    assert found["end_s"] == 7300.0
    assert found["pools"][0]["ready_s"].tolist() == [7200.0, 7200.0, 200.0]
    assert found["pools"][0]["seconds_with"].tolist() == [0.0, 0.0, 7300.0]
    nothing = cases.run(cases.fleet(pool), cases.requests([]))
    assert (nothing["end_s"], nothing["arrived"]) == (0.0, 0)


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (cases.fleet, "0 pools; expected 1 to 64"),
        (lambda: cases.fleet(cases.pool(cases.slots(0), cases.fixed(1))), "slots is 0"),
        (lambda: cases.fleet(cases.pool(cases.slots(1, 0.0), cases.fixed(1))), "service_s is 0"),
        (lambda: cases.fleet(cases.pool(cases.batches(latency_s=[]), cases.fixed(1))), "0 latencies and 1 energies"),
        (lambda: cases.fleet(cases.pool(cases.slots(), cases.fixed(1), copies=0)), "copies is 0"),
        (
            lambda: cases.fleet(cases.pool(cases.slots(), cases.fixed(1), min_replicas=3, max_replicas=2)),
            "max_replicas",
        ),
        (lambda: cases.fleet(cases.pool(cases.slots(), cases.fixed(1)), bin_s=0.0), "bin_s is 0"),
        (lambda: cases.fleet(cases.pool(cases.slots(), cases.fixed(1)), timeout_s=math.nan), "timeout_s is nan"),
    ],
)
def test_settings_that_are_out_of_range_are_refused(made: Any, problem: str) -> None:
    with pytest.raises(_core.InputError, match=problem):
        cases.run(made(), cases.requests([0.0]))


@pytest.mark.parametrize(
    ("kind", "settings", "problem"),
    [
        ("none", {}, "autoscaler is 'none'; expected one of static, scheduled, kpa, hpa"),
        ("kpa", {"speed": 1}, "kpa has no setting 'speed'"),
        ("static", {"max_replicas": 0}, "max_replicas of static is 0, below min_replicas 1"),
        ("static", {"min_replicas": None}, "min_replicas of static is none; expected a whole number from 0 to"),
        ("scheduled", {"replicas": [(5.0, 1), (1.0, 2)]}, "2 counts by time; expected times that ascend"),
        ("scheduled", {"replicas": [(0.0, 1), (24.0, 2)]}, "the hour 24; expected hours within period_s"),
        ("kpa", {"target": 0.0}, "target of kpa is 0; expected a number from"),
        ("kpa", {"target": "much"}, "target of kpa is 'much'; expected a number from"),
        ("kpa", {"metric": "arrivals"}, "expected one of in_flight, running, waiting, utilization"),
        ("kpa", {"panic_window_s": 61}, "panic_window_s of kpa is 61; expected at most stable_window_s, 60"),
        ("hpa", {"min_replicas": 0}, "pass keda=true"),
        ("hpa", {"keda": 1}, "keda of hpa is 1; expected true or false"),
        ("hpa", {"down_percent": 101.0}, "down_percent of hpa is 101"),
        ("ray", {"loop_s": 0.0}, "loop_s of ray is 0"),
        ("sagemaker", {"in_share": 1.1}, "in_share of sagemaker is 1.1"),
        ("zero", {"burst": 0}, "burst of zero is 0"),
        ("cloudrun", {"concurrency": math.nan}, "concurrency of cloudrun is nan"),
        ("seasonal", {"period_s": 1.0}, "period_s of seasonal is 1, and bin_s 300; expected 1 to 10,000,000 bins"),
    ],
)
def test_autoscalers_that_make_no_sense_are_refused(kind: str, settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(_core.InputError, match=problem):
        cases.loaded(kind, **settings)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"reserves": 1.5}, "reserves is 1.5"),
        ({"block_tokens": 0}, "block_tokens is 0"),
        ({"yield_tokens": 2.0}, "yield is 2"),
        ({"pool_tokens": math.nan}, "pool_tokens is nan"),
        ({"max_sequences": 0}, "max_sequences is 0"),
    ],
)
def test_sequences_that_are_out_of_range_are_refused(changes: dict[str, Any], problem: str) -> None:
    replica = cases.tokens(step_costs_like_an_h100().core, **changes)
    with pytest.raises(_core.InputError, match=problem):
        cases.run(cases.fleet(cases.pool(replica, cases.fixed(1))), cases.requests([0.0]))
