"""Fleets of a fixed size against queueing theory and against the simulations of single servers."""

from __future__ import annotations

import math
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from numpy.typing import NDArray
from support import fleet_cases as cases
from support import fleet_engines as engines
from support.step_costs import step_costs_like_an_h100

from pyinfercost import _core

ARRIVALS = 4_000_000
COSTS = step_costs_like_an_h100().core


def fixed_fleet(replica: Any, replicas: int, **changes: Any) -> _core.Fleet:
    """As many replicas all the time, whose requests are kept."""
    pool = cases.pool(replica, cases.fixed(replicas), start_replicas=replicas, **changes)
    return cases.fleet(pool, keeps_requests=True)


def half_width(values: NDArray[np.float64]) -> float:
    """Half of a 99.9 % confidence interval of the mean, from means of 50 long batches."""
    means = values[: values.size // 50 * 50].reshape(50, -1).mean(axis=1)
    return float(3.5 * means.std(ddof=1) / math.sqrt(50))


# The waits are those of Erlang's C, in service times: C(c, a) / (c (1 - load)); M/D/1: load / 2 / (1 - load).
@pytest.mark.parametrize(
    ("slots", "replicas", "load", "deterministic", "expected"),
    [
        (1, 1, 0.8, False, 4.0),
        (1, 1, 0.8, True, 2.0),
        (1, 10, 0.8, False, 0.20459),
        (10, 1, 0.8, False, 0.20459),
        (8, 8, 0.9, False, 0.04854),
    ],
)
@pytest.mark.slow
def test_waits_are_those_of_the_closed_forms(
    slots: int, replicas: int, load: float, deterministic: bool, expected: float
) -> None:
    rng = np.random.default_rng(7)
    arrival = np.cumsum(rng.exponential(1 / (load * slots * replicas), ARRIVALS))
    service = np.ones(ARRIVALS) if deterministic else rng.exponential(1.0, ARRIVALS)
    # One queue before all: replicas are handed no more than they serve.
    found = cases.run(fixed_fleet(cases.slots(slots), replicas, concurrency=slots), cases.requests(arrival, service))
    wait = found["requests"]["started_s"] - arrival
    assert found["wait_s"]["sum"] == pytest.approx(wait.sum(), rel=1e-9)
    assert wait.mean() == pytest.approx(expected, abs=max(0.01 * expected, half_width(wait)))
    assert half_width(wait) < 0.1 * expected


@pytest.mark.parametrize(("slots", "replicas"), [(1, 1), (1, 7), (7, 1), (3, 4)])
def test_one_queue_before_all_is_the_plain_queue(slots: int, replicas: int) -> None:
    rng = np.random.default_rng(slots)
    arrival = np.cumsum(rng.exponential(1 / (0.95 * slots * replicas), 20_000))
    service = rng.exponential(1.0, arrival.size)
    expected = _core.simulate_queue(arrival, service, slots * replicas)
    for routing in ("first", "least_loaded"):
        pool = cases.pool(cases.slots(slots), cases.fixed(replicas), start_replicas=replicas, concurrency=slots)
        found = cases.run(cases.fleet(pool, routing=routing, keeps_requests=True), cases.requests(arrival, service))
        np.testing.assert_array_equal(found["requests"]["started_s"], expected["start_s"])
        np.testing.assert_array_equal(found["requests"]["finish_s"], expected["finish_s"])
        assert found["pools"][0]["running_s"].sum() == pytest.approx(expected["busy_s"], rel=1e-9)


def test_joules_are_those_of_slots_in_use() -> None:
    found = cases.run(fixed_fleet(cases.slots(2, joules=7.0), 1), cases.requests([0.0, 0.0, 0.0], [1.0, 2.0, 3.0]))
    assert found["pools"][0]["energy_j"] == pytest.approx(7.0 * 6)


@hypothesis.given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 6),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.05, 1.0]),
    st.sampled_from([0.3, 0.9, 1.5]),
)
def test_batches_are_those_of_dynamic_batching(
    seed: int, largest: int, instances: int, delay_s: float, load: float
) -> None:
    rng = np.random.default_rng(seed)
    batch_s = 0.5 + 0.1 * np.arange(largest)
    batch_j = 3.0 + np.arange(largest)
    rate = load * instances * largest / batch_s[-1]
    arrival = np.cumsum(rng.exponential(1 / rate, 300))
    expected = _core.simulate_batches(
        arrival, batch_s=batch_s, batch_j=batch_j, max_delay_s=delay_s, instances=instances
    )
    replica = cases.batches(latency_s=batch_s.tolist(), joules=batch_j.tolist(), instances=instances, delay_s=delay_s)
    found = cases.run(fixed_fleet(replica, 1), cases.requests(arrival))
    np.testing.assert_array_equal(found["requests"]["started_s"], expected["start_s"])
    np.testing.assert_array_equal(found["requests"]["finish_s"], expected["finish_s"])
    assert found["pools"][0]["energy_j"] == pytest.approx(expected["energy_j"], rel=1e-12)


def traffic(rate: float, count: int = 1500) -> tuple[Any, Any, Any]:
    """Times, prompts and answers."""
    rng = np.random.default_rng(5)
    prompt = np.maximum(1, rng.lognormal(6.0, 1.0, count)).astype(np.int32)
    answer = np.maximum(1, rng.lognormal(4.5, 1.0, count)).astype(np.int32)
    return np.cumsum(rng.exponential(1 / rate, count)), prompt, answer


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
@pytest.mark.parametrize(("servers", "pool_tokens"), [(1, 400_000), (1, 20_000), (4, 400_000), (4, 20_000)])
def test_engines_are_those_of_the_simulation_of_servers(engine: str, servers: int, pool_tokens: int) -> None:
    arrival, prompt, answer = traffic(9.0 * servers)
    server = engines.server(COSTS, engine, pool_tokens)
    cluster = _core.SimulatedCluster([server] * servers, routing="least_loaded")
    given = cases.requests(arrival, None, prompt, answer)
    expected = _core.simulate([(cluster, given)])[0]
    found = cases.run(fixed_fleet(_core.EngineReplica(server), servers), given)
    rows = found["requests"]
    for ours, theirs in (("started_s", "scheduled_s"), ("first_token_s", "first_token_s"), ("finish_s", "finish_s")):
        np.testing.assert_array_equal(rows[ours], getattr(expected, theirs))
    np.testing.assert_array_equal(rows["outcome"], expected.outcome)
    assert found["pools"][0]["energy_j"] == pytest.approx(expected.servers["energy_j"].sum(), rel=1e-9)


def test_copies_share_a_replica() -> None:
    # Two copies of one model in a replica are two replicas of it, when both hand requests to the one with the fewest.
    arrival, prompt, answer = traffic(15.0)
    given = cases.requests(arrival, None, prompt, answer)
    replica = _core.EngineReplica(engines.server(COSTS, "vllm"))
    together = cases.run(fixed_fleet(replica, 1, copies=2), given)
    apart = cases.run(fixed_fleet(replica, 2), given)
    for name in ("started_s", "first_token_s", "finish_s"):
        np.testing.assert_array_equal(together["requests"][name], apart["requests"][name])
