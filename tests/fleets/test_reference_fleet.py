"""Fleets of the core against a plain simulation with autoscalers written from their documentation."""

from __future__ import annotations

from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from support import fleet_cases as cases
from support.examples import examples
from support.fleet_reference import KnativeRule, KubernetesRule, RayRule, ReferenceFleet, Rule

# Times are multiples of 1/64 s, so that integrals over time are exact and ties are ties in both.
GRID = 64


@st.composite
def traffic(draw: st.DrawFn) -> tuple[list[float], list[float]]:
    """Quiet and busy times and bursts, for up to half an hour."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    times: list[float] = []
    now = 0.0
    for _ in range(draw(st.integers(1, 5))):
        length = draw(st.sampled_from([5.0, 40.0, 200.0, 700.0]))
        rate = draw(st.sampled_from([0.0, 0.05, 0.5, 2.0, 8.0]))
        count = min(int(rng.poisson(rate * length)), 400)
        times += sorted(now + rng.random(count) * length)
        if draw(st.booleans()):
            times += [now + length] * draw(st.sampled_from([1, 5, 60]))
        now += length
    if not times:
        times = [now]
    arrival = np.round(np.sort(times) * GRID) / GRID
    mean_s = draw(st.sampled_from([0.5, 4.0, 20.0]))
    fixed = draw(st.booleans())
    service = np.full(arrival.size, mean_s) if fixed else rng.exponential(mean_s, arrival.size)
    service = np.maximum(1, np.round(service * GRID)) / GRID
    return arrival.tolist(), service.tolist()


@st.composite
def pools(draw: st.DrawFn) -> dict[str, Any]:
    """Settings of a pool that both simulations have."""
    slots = draw(st.sampled_from([1, 3, 8]))
    least = draw(st.sampled_from([0, 1, 2]))
    return {
        "slots": slots,
        "concurrency": slots * draw(st.sampled_from([1, 2])),
        "min_replicas": least,
        "max_replicas": draw(st.sampled_from([least + 1, 7, 1000])),
        "start_replicas": draw(st.sampled_from([0, 1, 4])),
        "cold_start_s": draw(st.sampled_from([0.0, 1.0, 30.0, 100.0])),
        "routing": draw(st.sampled_from(["first", "least_loaded"])),
    }


def compare(rule: Rule, scaler: Any, pool: dict[str, Any], requests: tuple[list[float], list[float]]) -> None:
    """Both simulations take the same decisions at the same times, and serve each request at the same times."""
    reference = ReferenceFleet(rule, **pool)
    expected = reference.run(*requests)
    others = {name: value for name, value in pool.items() if name not in ("slots", "routing")}
    settings = cases.fleet(
        cases.pool(cases.slots(pool["slots"]), scaler, **others), routing=pool["routing"], keeps_requests=True
    )
    found = cases.run(settings, cases.requests(*requests))
    assert cases.decisions(found) == reference.decisions
    rows = found["requests"]
    np.testing.assert_array_equal(rows["started_s"], [each.started_s for each in expected])
    np.testing.assert_array_equal(rows["finish_s"], [each.finish_s for each in expected])
    assert cases.paid_s(found) == pytest.approx(reference.paid_s, rel=1e-9)


@hypothesis.given(
    traffic(),
    pools(),
    st.sampled_from([0.7, 1.0, 5.6]),
    st.sampled_from([(60, 6), (20, 3)]),
    st.sampled_from([0.0, 5.0, 30.0]),
    st.sampled_from([1, 3]),
    st.sampled_from([2.0, 1.1]),
)
@hypothesis.settings(max_examples=examples(60))
def test_knative(
    requests: tuple[list[float], list[float]],
    pool: dict[str, Any],
    target: float,
    windows: tuple[int, int],
    delay_s: float,
    activation: int,
    down: float,
) -> None:
    stable, panic = windows
    rule = KnativeRule(target, stable, panic, down=down, delay_s=delay_s, activation=activation)
    scaler = cases.knative(
        target=target,
        stable_window_s=stable,
        panic_window_s=panic,
        max_scale_down_rate=down,
        scale_down_delay_s=delay_s,
        activation_scale=activation,
    )
    compare(rule, scaler, pool, requests)


@hypothesis.given(
    traffic(),
    pools(),
    st.sampled_from([0.7, 1.0, 5.6]),
    st.sampled_from([(100.0, 4, 15.0), (50.0, 1, 60.0), (10.0, 0, 40.0)]),
    st.sampled_from([(100.0, 15.0), (10.0, 60.0)]),
    st.sampled_from([(0.0, 300.0), (45.0, 60.0), (30.0, 0.0)]),
)
@hypothesis.settings(max_examples=examples(60))
def test_kubernetes(
    requests: tuple[list[float], list[float]],
    pool: dict[str, Any],
    target: float,
    up: tuple[float, int, float],
    down: tuple[float, float],
    windows: tuple[float, float],
) -> None:
    pool = {**pool, "min_replicas": max(1, pool["min_replicas"])}
    rule = KubernetesRule(target, 0.1, *up, windows[0], *down, windows[1])
    scaler = cases.kubernetes(
        target=target,
        up_percent=up[0],
        up_pods=up[1],
        up_period_s=up[2],
        up_stabilization_s=windows[0],
        down_percent=down[0],
        down_period_s=down[1],
        down_stabilization_s=windows[1],
    )
    compare(rule, scaler, pool, requests)


@hypothesis.given(
    traffic(),
    pools(),
    st.sampled_from([0.7, 1.0, 5.6]),
    st.sampled_from([(30.0, 600.0), (0.0, 5.0), (3.0, 20.0)]),
    st.sampled_from([(1.0, 1.0), (1.5, 0.3), (0.5, 0.9)]),
)
@hypothesis.settings(max_examples=examples(40))
@pytest.mark.slow
def test_ray_serve(
    requests: tuple[list[float], list[float]],
    pool: dict[str, Any],
    target: float,
    delays: tuple[float, float],
    factors: tuple[float, float],
) -> None:
    rule = RayRule(target, 30, *delays, *factors)
    scaler = cases.ray(
        target_ongoing_requests=target,
        upscale_delay_s=delays[0],
        downscale_delay_s=delays[1],
        upscaling_factor=factors[0],
        downscaling_factor=factors[1],
    )
    compare(rule, scaler, pool, requests)


def test_panic_ends_after_a_whole_stable_window() -> None:
    # 4 requests of 30 s at a replica with 1 slot and target 1: 4 replicas are wanted from the tick at 2 s on, and ready
    # at 7 s. The threshold is passed for the last time at 6 s; 60 s later panic ends. The stable window then holds
    # 4 x 24 s / 60 s, so that 2 replicas do.
    pool = {"concurrency": 1, "min_replicas": 1, "max_replicas": 9, "start_replicas": 1, "cold_start_s": 5.0}
    arrival = [0.0] * 4 + [200.0]
    scaler = cases.knative(target=1.0)
    compare(KnativeRule(1.0), scaler, {**pool, "slots": 1, "routing": "first"}, (arrival, [30.0] * 5))
    found = cases.run(cases.fleet(cases.pool(cases.slots(1), scaler, **pool)), cases.requests(arrival, 30.0))
    assert cases.decisions(found)[:2] == [(2.0, 1, 4), (66.0, 4, 2)]
