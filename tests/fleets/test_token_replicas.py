"""Replicas that take steps with prompts only against replicas that take each step of the same engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support import fleet_cases as cases
from support import fleet_engines as engines
from support.fleet_traces import azure_hour
from support.step_costs import step_costs_like_an_h100

from pyinfercost import _core

COSTS = step_costs_like_an_h100().core
COUNT = 4000
# Requests per second that one replica serves, up to near its highest rate.
RATES = (2.0, 8.0, 11.0)


def lengths(rng: np.random.Generator, count: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Tokens of prompts (mean 920) and of answers (mean 200)."""
    prompt = np.maximum(1, rng.lognormal(6.5, 0.8, count)).astype(np.int32)
    return prompt, np.maximum(1, rng.lognormal(5.0, 0.8, count)).astype(np.int32)


def means(result: dict[str, Any]) -> dict[str, float]:
    """Mean times, and joules."""
    found = {name: result[name]["sum"] / result[name]["count"] for name in ("ttft_s", "tpot_s", "e2e_s")}
    return {**found, "energy_j": sum(each["energy_j"] for each in result["pools"])}


def served(replica: Any, rate: float, seed: int, count: int = COUNT) -> dict[str, Any]:
    """Serve Poisson arrivals by one replica."""
    rng = np.random.default_rng(seed)
    arrival = np.cumsum(rng.exponential(1 / rate, count))
    settings = cases.fleet(cases.pool(replica, cases.fixed(1)), keeps_requests=True)
    return cases.run(settings, cases.requests(arrival, None, *lengths(rng, count)))


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
@pytest.mark.parametrize("rate", RATES)
def test_requests_have_the_times_of_each_step(engine: str, rate: float) -> None:
    # Memory for all: the steps are the same ones, but for the rounding of sums.
    full = served(_core.EngineReplica(engines.server(COSTS, engine)), rate, 1)
    fast = served(engines.sequences(COSTS, engine), rate, 1)
    for name in ("started_s", "first_token_s", "finish_s"):
        np.testing.assert_allclose(fast["requests"][name], full["requests"][name], atol=1e-6)
    assert fast["pools"][0]["energy_j"] == pytest.approx(full["pools"][0]["energy_j"], rel=1e-9)
    assert fast["events"] < 0.75 * full["events"]


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
def test_memory_that_runs_out_costs_as_much_time(engine: str) -> None:
    # About 25 sequences fit. Memory counts in tokens, and half a block for each sequence.
    full = served(_core.EngineReplica(engines.server(COSTS, engine, 30_000)), 8.0, 2)
    fast = served(engines.sequences(COSTS, engine, 30_000), 8.0, 2)
    ample = served(engines.sequences(COSTS, engine), 8.0, 2)
    expected, found = means(full), means(fast)
    assert expected["ttft_s"] > 2 * means(ample)["ttft_s"]
    assert found["ttft_s"] == pytest.approx(expected["ttft_s"], rel=0.02)
    for name in ("e2e_s", "tpot_s", "energy_j"):
        assert found[name] == pytest.approx(expected[name], rel=0.005)


@pytest.mark.parametrize("rate", RATES)
def test_drafts_by_their_mean(rate: float) -> None:
    count = 20_000
    full = served(
        _core.EngineReplica(engines.server(COSTS, "vllm", drafts=3, acceptance=engines.ACCEPTANCE)), rate, 3, count
    )
    fast = served(engines.sequences(COSTS, "vllm", tokens_each=4.0, yield_tokens=engines.YIELD), rate, 3, count)
    expected, found = means(full), means(fast)
    for name in ("ttft_s", "tpot_s", "e2e_s", "energy_j"):
        assert found[name] == pytest.approx(expected[name], rel=0.01)


def test_stages_of_a_pipeline_delay_tokens() -> None:
    full = served(_core.EngineReplica(engines.server(COSTS, "vllm", prefill_fill=2.5)), 8.0, 4)
    fast = served(engines.sequences(COSTS, "vllm", prefill_fill=2.5), 8.0, 4)
    for name in ("first_token_s", "finish_s"):
        np.testing.assert_allclose(fast["requests"][name], full["requests"][name], atol=1e-6)
    without = served(engines.sequences(COSTS, "vllm"), 8.0, 4)
    assert means(fast)["ttft_s"] > 1.5 * means(without)["ttft_s"]


def test_prompts_that_a_step_has_no_room_for() -> None:
    # 9,000 tokens: two steps, or refused where prompts are not divided. 500,000 do not fit the cache.
    arrival = [0.0, 100.0, 200.0]
    given = cases.requests(arrival, None, [9000, 500_000, 100], [10, 10, 10])
    for engine in ("vllm", "trtllm"):
        found = []
        for replica in (_core.EngineReplica(engines.server(COSTS, engine)), engines.sequences(COSTS, engine)):
            settings = cases.fleet(cases.pool(replica, cases.fixed(1)), keeps_requests=True)
            found.append(cases.run(settings, given))
        full, fast = found
        assert (full["failed"], full["finished"]) == ((1, 2) if engine == "vllm" else (2, 1))
        np.testing.assert_allclose(
            fast["requests"]["finish_s"], full["requests"]["finish_s"], atol=1e-9, equal_nan=True
        )
        np.testing.assert_array_equal(fast["requests"]["outcome"], full["requests"]["outcome"])


LATE = {"code": {"ttft_s": 1.0, "tpot_s": 0.05}, "conv": {"ttft_s": 0.4, "tpot_s": 0.03}}
SCALERS = {
    "knative": lambda: cases.knative(target=22.4),
    "kubernetes": lambda: cases.kubernetes(target=22.4),
    "ray": lambda: cases.ray(target_ongoing_requests=22.4),
}


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow, id="every")])
@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
@pytest.mark.parametrize("hour", ["code", "conv"])
@pytest.mark.sample(1)
def test_fleets_of_both_cost_the_same_on_real_traces(hour: str, engine: str, every: bool) -> None:
    # Replicas that 32 requests fill at 70 %; requests of the trace 1, 3 and 10 times. Of the cold starts an autoscaler
    # has each once, unless it is every one with every number of requests.
    arrival, prompt, output = azure_hour(hour)
    late = []
    for place, times in enumerate((1, 3, 10)):
        given = cases.requests(*(np.repeat(arrival, times), None, np.repeat(prompt, times), np.repeat(output, times)))
        for number, cold_s in enumerate((0.0, 30.0, 120.0)):
            for other, scaler in enumerate(SCALERS.values()):
                if not every and (place + number + other) % 3:
                    continue
                full, fast = (
                    cases.run(
                        cases.fleet(
                            cases.pool(replica, scaler(), min_replicas=1, start_replicas=2, cold_start_s=cold_s),
                            late=LATE[hour],
                        ),
                        given,
                    )
                    for replica in (
                        _core.EngineReplica(engines.server(COSTS, engine)),
                        engines.sequences(COSTS, engine),
                    )
                )
                assert full["finished"] == fast["finished"] >= 0.999 * arrival.size * times
                assert cases.paid_s(fast) == pytest.approx(cases.paid_s(full), rel=0.03)
                assert fast["late"] == pytest.approx(full["late"], abs=0.02 * full["arrived"])
                late.append(full["late"] / full["arrived"])
    assert min(late) < 0.3
    assert 0.01 < max(late) < 0.9
