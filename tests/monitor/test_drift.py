"""Drift from the start, under a simulated clock."""

from __future__ import annotations

import math
import random
import threading

import pytest

from pyinfercost.monitor.drift import Drift, DriftError
from pyinfercost.results.live import series

INTERVAL_S = 15.0


class Engine:
    """A part whose requests take `speed(t)` times as long as before, and 0.8 of what was predicted before."""

    def __init__(self, slow_from_s: float, factor: float = 1.5, requests_per_s: float = 4.0, seed: int = 1) -> None:
        chance = random.Random(seed)
        self.requests = []
        at_s = 0.0
        while at_s < slow_from_s + 600.0:
            at_s += chance.expovariate(requests_per_s)
            slower = factor if at_s >= slow_from_s else 1.0
            if at_s < 8.0:
                slower *= 20.0  # the first requests compile
            self.requests.append((at_s, 0.08 * slower * chance.uniform(0.95, 1.05)))

    def totals(self, at_s: float) -> tuple[float, float, int]:
        done = [seconds for ended_s, seconds in self.requests if ended_s <= at_s]
        return sum(done), 0.1 * len(done), len(done)


@pytest.mark.parametrize("phase_s", [0.1, 3.0, 7.5, 12.0, 14.9])
@pytest.mark.parametrize("counted", [True, False])
def test_a_slowdown_shows_within_two_intervals(phase_s: float, counted: bool) -> None:
    slow_from_s = 300.0 + phase_s
    engine, drift = Engine(slow_from_s), Drift()
    ratios: dict[float, float | None] = {}
    for number in range(60):
        at_s = number * INTERVAL_S
        measured_s, predicted_s, count = engine.totals(at_s)
        ratios[at_s] = drift.update("tpot", measured_s, predicted_s, at_s + 1000.0, count if counted else None)
    before = [ratio for at_s, ratio in ratios.items() if ratio is not None and at_s <= slow_from_s]
    assert len(before) >= 10
    assert all(ratio == pytest.approx(1.0, abs=0.03) for ratio in before)
    second = max(at_s for at_s in ratios if at_s <= slow_from_s + 2 * INTERVAL_S)
    for at_s, ratio in ratios.items():
        if at_s >= second:
            assert ratio == pytest.approx(1.5, rel=0.03)


@pytest.mark.parametrize("interval_s", [0.5, 5.0, 60.0])
def test_other_intervals(interval_s: float) -> None:
    engine, drift = Engine(400.0), Drift()
    found = {}
    for number in range(int(700 / interval_s)):
        at_s = number * interval_s
        found[at_s] = drift.update("a", *engine.totals(at_s)[:2], at_s)
    late = 400.0 + max(2 * interval_s, 15.0)
    assert all(ratio == pytest.approx(1.5, rel=0.04) for at_s, ratio in found.items() if at_s > late)
    assert any(ratio == pytest.approx(1.0, abs=0.04) for at_s, ratio in found.items() if at_s < 400.0)


def test_warm_up_is_no_part_of_the_start() -> None:
    drift = Drift(warm_up_s=10.0, warm_up_number=5, first_s=20.0, first_number=5, lately_s=5.0, lately_number=1)
    # Five requests of 9 s each, then requests as predicted.
    assert drift.update("a", 9.0, 1.0, 0.0, 1) is None
    assert drift.update("a", 36.0, 4.0, 10.0, 4) is None  # 10 s, but 4 requests
    assert drift.update("a", 45.0, 5.0, 20.0, 5) is None
    assert drift.update("a", 48.0, 8.0, 35.0, 8) is None
    assert drift.update("a", 49.0, 9.0, 45.0, 9) is None  # 25 s, but 4 requests
    assert drift.update("a", 50.0, 10.0, 55.0, 10) == 1.0
    assert drift.update("a", 53.0, 11.0, 61.0, 11) == 3.0


def test_little_traffic_needs_a_longer_stretch() -> None:
    drift = Drift(warm_up_s=0.0, warm_up_number=0, first_s=0.0, first_number=10, lately_s=10.0, lately_number=10)
    found = [drift.update("a", 1.0 * n, 1.0 * n, 15.0 * n, n) for n in range(1, 31)]
    slow = [drift.update("a", 30.0 + 2.0 * n, 30.0 + n, 15.0 * (30 + n), 30 + n) for n in range(1, 12)]
    assert found[-1] == 1.0
    assert slow[0] == pytest.approx(1.1)  # one slow request of ten is no slowdown
    assert slow[-1] == 2.0


def test_nothing_measured_has_no_ratio() -> None:
    drift = Drift(warm_up_s=0.0, warm_up_number=0, first_s=10.0, first_number=0, lately_number=0)
    for at_s in range(0, 100, 10):
        drift.update("a", 1.0 + at_s, 1.0 + at_s, float(at_s))
    assert drift.update("a", 101.0, 101.0, 100.0) == 1.0
    assert drift.update("a", 101.0, 101.0, 130.0) is None
    assert drift.update("a", 101.0, 101.0, 190.0) is None
    for bad in ((math.nan, 1.0), (1.0, math.inf), (1.0, 0.0), (0.0, 1.0)):
        assert drift.update("b", *bad, 1.0) is None
    assert drift.update("a", 50.0, 50.0, 210.0) is None  # totals that fell


def test_a_clock_that_stands_or_jumps_raises_nothing() -> None:
    drift = Drift(warm_up_s=0.0, first_s=1.0)
    for at_s in (5.0, 5.0, -100.0, 1e6, 0.0, 1e6 + 1):
        drift.update("a", 1.0, 1.0, at_s)


def test_memory_is_bounded() -> None:
    drift = Drift()
    for number in range(3000):
        drift.update("a", 1.0 + number, 1.0 + number, 100.0 * number)
        drift.update(str(number), 1.0, 1.0, 1.0)
    assert len(drift._parts["a"].states) <= 240
    assert len(drift._parts) <= 1024


def test_gauges_of_counters() -> None:
    drift = Drift(warm_up_s=0.0, warm_up_number=0, first_s=10.0, first_number=0, lately_number=0)
    for at_s in (0.0, 10.0, 20.0, 30.0, 40.0):
        values = {
            series("measured_s", part="tpot"): 2.0 + at_s + max(0.0, at_s - 20.0),
            series("predicted_s", part="tpot"): 1.0 + at_s,
            series("predicted_s", part="ttft"): 1.0 + at_s,
            series("output_tokens"): 7.0,
        }
        found = drift.gauges(values, at_s, {"tpot": at_s})
    assert found == {series("measured_to_first", part="tpot"): 2.0}


def test_threads() -> None:
    drift = Drift(warm_up_s=0.0, first_s=1.0)
    errors = []

    def work() -> None:
        try:
            for number in range(2000):
                drift.update("a", 1.0 + number, 1.0 + number, float(number), number)
        except Exception as error:  # pragma: no cover
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


@pytest.mark.parametrize("bad", [{"warm_up_s": -1}, {"lately_s": 0}, {"first_number": float("nan")}, {"first_s": "x"}])
def test_settings_are_checked(bad: dict[str, float]) -> None:
    with pytest.raises(DriftError, match=next(iter(bad))):
        Drift(**bad)
