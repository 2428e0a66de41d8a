"""What holds for every fleet: conservation, Little's law, and results that do not depend on how they are computed."""

from __future__ import annotations

import math
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from support import fleet_cases as cases
from support.fleet_settings import autoscalers, pools, traffic

from pyinfercost import _core

FINISHED = ("finished", "truncated")
OUTCOMES = ("unfinished", "finished", "truncated", "too_long", "too_large", "too_many_tokens", "timed_out")

ANY = st.lists(pools(), min_size=1, max_size=3)
BREAKING = st.lists(pools(breaks=True), min_size=1, max_size=3)
WITHOUT_RETURNS = st.lists(pools(kinds=("slots", "batches")), min_size=1, max_size=3)
ROUTINGS = st.sampled_from(["first", "least_loaded"])
BINS = st.sampled_from([1.0, 7.5, 60.0, 3600.0])


def close(found: Any, expected: Any) -> None:
    """Equal but for the rounding of sums."""
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-6)


def outcomes(result: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Names of what became of each request."""
    return np.asarray(OUTCOMES)[result["requests"]["outcome"]]


def check_sums(result: dict[str, Any], slots: list[float]) -> None:
    """Bins, pools, histograms and times are parts of the same whole."""
    assert result["arrived"] == result["finished"] + result["failed"] + result["unfinished"]
    demand = result["demand"]
    for name in ("arrived", "finished", "late", "failed"):
        assert demand[name].sum() == result[name]
    close(demand["waiting_s"].sum(), result["waiting_seconds"])
    close(demand["wait_s"].sum(), result["wait_s"]["sum"])
    assert demand["most_wait_s"].max() == result["wait_s"]["most"]
    for name in ("wait_s", "e2e_s"):
        assert result[name]["count"] == result[name]["counts"].sum() == result["finished"]
    assert sum(each["requests"] for each in result["pools"]) == result["finished"]
    running = sum(each["running_s"].sum() for each in result["pools"])
    close(running + result["waiting_seconds"], result["request_seconds"])
    for each, most in zip(result["pools"], slots, strict=True):
        serving = each["ready_s"] + each["draining_s"]
        assert (each["busy_s"] <= serving + 1e-6).all()
        # Paid time is at least that of the work.
        assert (each["running_s"] <= most * serving + 1e-6).all()
        seconds = each["seconds_with"]
        close(seconds.sum(), result["end_s"])
        close(np.arange(seconds.size) @ seconds, serving.sum() + each["starting_s"].sum())
        assert each["peak"] >= np.flatnonzero(seconds > 0).max(initial=0)
        assert each["peak"] >= each["most"].max()
        assert each["energy_j"] >= 0


def sojourn_s(result: dict[str, Any], timeout_s: float) -> float:
    """Sum of the times of all requests in the fleet."""
    rows = result["requests"]
    names = outcomes(result)
    left = np.where(np.isin(names, FINISHED), rows["finish_s"], result["end_s"])
    left = np.where(names == "timed_out", rows["arrival_s"] + timeout_s, left)
    return math.fsum(left - rows["arrival_s"])


@hypothesis.given(
    ANY, traffic(), ROUTINGS, BINS, st.sampled_from([math.inf, 3.0, 40.0]), st.sampled_from([0.0, 1200.0])
)
def test_requests_and_time_are_conserved(
    given: list[tuple[_core.FleetPool, float]],
    requests: dict[str, Any],
    routing: str,
    bin_s: float,
    timeout_s: float,
    horizon_s: float,
) -> None:
    settings = cases.fleet(
        *(pool for pool, _ in given),
        routing=routing,
        bin_s=bin_s,
        timeout_s=timeout_s,
        horizon_s=horizon_s,
        keeps_requests=True,
        late={"wait_s": 1.0, "ttft_s": 1.0},
    )
    result = cases.run(settings, cases.requests(**requests))
    check_sums(result, [slots for _, slots in given])
    assert result["arrived"] == requests["arrival_s"].size
    assert result["end_s"] >= horizon_s
    # Little's law, with sums in place of means.
    close(result["request_seconds"], sojourn_s(result, timeout_s))
    rows = result["requests"]
    done = np.isin(outcomes(result), FINISHED)
    assert (rows["started_s"][done] >= rows["arrival_s"][done]).all()
    assert (rows["finish_s"][done] > rows["started_s"][done]).all()
    late = (rows["started_s"] - rows["arrival_s"])[done] > 1.0
    late |= (rows["first_token_s"] - rows["arrival_s"])[done] > 1.0
    assert result["late"] == late.sum()


@hypothesis.given(BREAKING, traffic(), ROUTINGS, BINS, st.integers(0, 99))
def test_requests_and_time_are_conserved_when_replicas_are_lost(
    given: list[tuple[_core.FleetPool, float]], requests: dict[str, Any], routing: str, bin_s: float, seed: int
) -> None:
    settings = cases.fleet(*(pool for pool, _ in given), routing=routing, bin_s=bin_s, seed=seed, keeps_requests=True)
    result = cases.run(settings, cases.requests(**requests))
    check_sums(result, [slots for _, slots in given])
    close(result["request_seconds"], sojourn_s(result, math.inf))


@hypothesis.given(WITHOUT_RETURNS, traffic(), ROUTINGS)
def test_littles_law_of_those_that_wait(
    given: list[tuple[_core.FleetPool, float]], requests: dict[str, Any], routing: str
) -> None:
    settings = cases.fleet(*(pool for pool, _ in given), routing=routing, keeps_requests=True)
    result = cases.run(settings, cases.requests(**requests))
    rows = result["requests"]
    started = np.where(np.isnan(rows["started_s"]), result["end_s"], rows["started_s"])
    close(result["waiting_seconds"], math.fsum(started - rows["arrival_s"]))


def same(one: Any, other: Any, inexact: tuple[str, ...] = ()) -> None:
    """Equal in every number, those of some names but for rounding."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            if name in inexact:
                close(one[name], other[name])
            else:
                same(one[name], other[name], inexact)
    elif isinstance(one, list):
        for a, b in zip(one, other, strict=True):
            same(a, b, inexact)
    else:
        np.testing.assert_array_equal(one, other)


@hypothesis.given(BREAKING, traffic(), traffic(), st.integers(0, 99))
@hypothesis.settings(max_examples=30)
def test_results_do_not_depend_on_threads(
    given: list[tuple[_core.FleetPool, float]], one: dict[str, Any], two: dict[str, Any], seed: int
) -> None:
    settings = cases.fleet(*(pool for pool, _ in given), seed=seed, keeps_requests=True)
    jobs = [(settings, cases.requests(**each)) for each in (one, two, one)]
    alone = _core.simulate_fleets(jobs, 1)
    same(alone, _core.simulate_fleets(jobs, 3))
    same(alone[0], alone[2])


@hypothesis.given(BREAKING, traffic(), st.integers(1, 40), st.integers(0, 99))
@hypothesis.settings(max_examples=30)
def test_results_do_not_depend_on_the_pieces_of_a_stream(
    given: list[tuple[_core.FleetPool, float]], requests: dict[str, Any], piece: int, seed: int
) -> None:
    settings = cases.fleet(*(pool for pool, _ in given), seed=seed, keeps_requests=True)
    count = requests["arrival_s"].size
    starts = iter(range(0, count, piece))

    def following() -> _core.SimulatedRequests | None:
        start = next(starts, None)
        if start is None:
            return None
        part = slice(start, start + piece)
        return cases.requests(**{name: None if each is None else each[part] for name, each in requests.items()})

    streamed = cases.run(settings, _core.RequestStream(count, following))
    same(cases.run(settings, cases.requests(**requests)), streamed)


@hypothesis.given(BREAKING, traffic(), st.tuples(BINS, BINS), st.integers(0, 99))
@hypothesis.settings(max_examples=30)
def test_results_do_not_depend_on_bins(
    given: list[tuple[_core.FleetPool, float]], requests: dict[str, Any], bins: tuple[float, float], seed: int
) -> None:
    one, other = (
        cases.run(
            cases.fleet(*(pool for pool, _ in given), seed=seed, keeps_requests=True, bin_s=bin_s),
            cases.requests(**requests),
        )
        for bin_s in bins
    )
    for result in (one, other):
        del result["demand"]
        for each in result["pools"]:
            each["most"] = each["most"].max()
            for name in ("starting_s", "ready_s", "draining_s", "busy_s", "running_s"):
                each[name] = each[name].sum()
    sums = ("starting_s", "ready_s", "draining_s", "busy_s", "running_s", "request_seconds", "waiting_seconds")
    same(one, other, sums)


@hypothesis.given(traffic(), st.integers(1, 5), autoscalers(2.0, True), st.sampled_from([0.0, 20.0]))
def test_no_policy_without_waits_costs_less_than_what_is_in_service(
    requests: dict[str, Any], slots: int, scaler: Any, cold_s: float
) -> None:
    arrival = requests["arrival_s"]
    service = np.full(arrival.size, 6.0) if requests["service_s"] is None else requests["service_s"]
    # Requests in service if none waits, over time.
    times = np.concatenate([arrival, arrival + service])
    order = np.argsort(times, kind="stable")
    count = np.cumsum(np.repeat([1, -1], arrival.size)[order])
    least_s = float((np.ceil(count[:-1] / slots) * np.diff(times[order])).sum())
    for replicas in (1, 20):
        pool = cases.pool(cases.slots(slots), scaler, concurrency=slots, start_replicas=replicas, cold_start_s=cold_s)
        result = cases.run(cases.fleet(pool), cases.requests(arrival, service))
        if result["wait_s"]["most"] == 0 and result["finished"] == arrival.size:
            assert cases.paid_s(result) >= least_s * (1 - 1e-9)


@pytest.mark.parametrize("tick_s", [1.0, 0.25, 0.01])
@pytest.mark.parametrize("places", [1.0, 3.0])
def test_load_profiles_by_counting(tick_s: float, places: float) -> None:
    """Requests of each tick, and replicas that it and the next one need, tick by tick."""
    rng = np.random.default_rng(1)
    arrival = np.sort(rng.random(200) * 60)
    service = rng.exponential(4.0, 200)
    for own in (None, service):
        found = _core.load_profile(cases.requests(arrival, own), places=places, tick_s=tick_s, service_s=2.5)
        first = np.floor(arrival / tick_s)
        last = np.floor((arrival + (2.5 if own is None else service)) / tick_s)
        ticks = int(last.max()) + 1
        inside = np.array([np.sum((first <= tick) & (last >= tick)) for tick in range(ticks)])
        need = np.maximum(1, np.ceil(np.maximum(inside, np.append(inside[1:], 0)) / places))
        seconds = np.floor(np.arange(ticks) * tick_s + 1e-9).astype(int)
        assert found["end_s"] == pytest.approx(ticks * tick_s)
        assert found["most_replicas"] == need.max()
        assert found["running_s"] == pytest.approx(np.bincount(seconds, weights=inside * tick_s))
        assert found["replicas_s"] == pytest.approx(np.bincount(seconds, weights=need * tick_s))
        most = np.zeros(seconds.max() + 1, dtype=np.int64)
        np.maximum.at(most, seconds, inside)
        assert found["most"].tolist() == most.tolist()


def test_load_profiles_count_tokens() -> None:
    requests = _core.SimulatedRequests([0.0, 1.0], [10, 20], [5, 10])
    found = _core.load_profile(requests, places=1.0, tick_s=0.5, service_s=1.0, prompt_s=0.1, output_s=0.2)
    # 2 s and 4 s: ticks 0 to 4 and 2 to 10.
    assert found["running_s"].tolist() == [1.0, 2.0, 1.5, 1.0, 1.0, 0.5]
    assert found["end_s"] == 5.5


SMOOTH = {
    "knative": cases.knative(target=7.0),
    "kubernetes": cases.kubernetes(target=7.0),
    "keda": cases.kubernetes(target=7.0, keda=True),
    "ray": cases.ray(target_ongoing_requests=7.0),
    "tracking": cases.target_tracking(target=7.0 * 60 / 5),
    "on_demand": cases.on_demand(),
    "cloud_run": cases.cloud_run(concurrency=10.0, target_utilization=0.7),
    "seasonal": cases.seasonal(target=7.0, period_s=3600.0),
}


@pytest.mark.parametrize("scaler", SMOOTH.values(), ids=list(SMOOTH))
def test_smooth_load_without_cold_starts_is_never_late(scaler: Any) -> None:
    # From 2 to 14 requests of 5 s a second and back within two hours; replicas have 10 slots, and two always stay.
    spans = np.linspace(0, 2 * np.pi, 2_000_001)
    rates = 8 - 6 * np.cos(spans)
    passed = np.concatenate([[0], np.cumsum((rates[1:] + rates[:-1]) / 2 * 7200 / 2_000_000)])
    arrival = np.interp(np.arange(1, int(passed[-1])), passed, np.linspace(0, 7200, 2_000_001))
    pool = cases.pool(cases.slots(10, 5.0), scaler, concurrency=10, min_replicas=2, start_replicas=2)
    result = cases.run(cases.fleet(pool, late={"wait_s": 1e-9}), cases.requests(arrival))
    assert result["finished"] == arrival.size > 50_000
    assert result["late"] == 0
    assert result["pools"][0]["peak"] >= 7
    assert cases.paid_s(result) >= result["pools"][0]["running_s"].sum() / 10
