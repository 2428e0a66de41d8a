"""Gauges of the last minute, against their definitions by hand."""

from __future__ import annotations

import itertools
import threading

import pytest

from pyinfercost.monitor.window import Window, WindowError
from pyinfercost.results.live import Series, series

KEYS = {
    "requests": series("requests", outcome="ok"),
    "failed": series("requests", outcome="error"),
    "tokens": series("output_tokens"),
    "busy": series("reserved_s", use="busy"),
    "idle": series("reserved_s", use="idle"),
    "cost": series("cost_usd", use="busy"),
    "idle_cost": series("cost_usd", use="idle"),
    "energy": series("energy_j"),
    "flops": series("model_flops"),
    "bytes": series("model_bytes"),
    "measured": series("measured_s", part="tpot"),
    "predicted": series("predicted_s", part="tpot"),
}


def counters(**values: float) -> dict[Series, float]:
    return {KEYS[name]: value for name, value in values.items()}


def test_gauges_are_ratios_of_changes() -> None:
    window = Window(100.0, window_s=60.0, flop_per_s=1e12, byte_per_s=1e11)
    window.lately(
        counters(requests=5, failed=1, tokens=100, busy=10, idle=10, cost=1, idle_cost=1, energy=1e3, flops=1e12,
                 bytes=1e11, measured=3, predicted=2),
        110.0,
    )  # fmt: skip
    window.lately(counters(requests=6), 130.0)
    found = window.lately(
        counters(requests=25, failed=11, tokens=1100, busy=40, idle=100, cost=4, idle_cost=8, energy=7e3, flops=13e12,
                 bytes=4e11, measured=9, predicted=6),
        170.0,
    )  # fmt: skip
    # From 110 to 170: the state at 110 is the newest one that is 60 s old.
    assert found == pytest.approx(
        {
            series("busy_share"): 30 / 120,
            series("power_w"): 6000 / 60,
            series("mfu_share"): 12e12 / (120 * 1e12),
            series("mbu_share"): 3e11 / (120 * 1e11),
            series("usd_per_request"): 10 / 20,
            series("usd_per_million_tokens"): 10 / 1000 * 1e6,
            series("joules_per_token"): 6000 / 1000,
            series("measured_to_predicted", part="tpot"): 6 / 4,
        }
    )


def test_the_whole_time_counts_while_less_than_a_window_has_passed() -> None:
    window = Window(1000.0)
    assert window.lately(counters(energy=50), 1010.0) == {series("power_w"): 5.0}
    assert window.lately(counters(energy=90), 1020.0) == {series("power_w"): 4.5}


def test_after_a_long_pause_the_time_since_the_last_state_counts() -> None:
    window = Window(0.0)
    window.lately(counters(energy=100), 10.0)
    assert window.lately(counters(energy=700), 610.0) == {series("power_w"): 1.0}


def test_what_did_not_move_has_no_ratio() -> None:
    window = Window(0.0)
    found = window.lately(counters(requests=0, tokens=0, cost=3, busy=0, idle=0, measured=0, predicted=0), 5.0)
    assert found == {}


def test_a_share_of_no_busy_time_is_zero() -> None:
    assert Window(0.0).lately(counters(busy=0, idle=7), 5.0) == {series("busy_share"): 0.0}


@pytest.mark.slow
def test_memory_is_bounded_and_the_window_keeps_its_length() -> None:
    window = Window(0.0, window_s=60.0)
    for tick in range(1, 100_001):
        at_s = tick * 0.01
        # 2 W for 500 s, then 10 W.
        found = window.lately(counters(energy=2 * at_s if at_s <= 500 else 1000 + 10 * (at_s - 500)), at_s)
        assert len(window._states) <= 14
    assert found[series("power_w")] == pytest.approx(10.0)
    assert 60.0 <= 1000.0 - window._states[0][0] <= 65.0


def test_no_time_has_no_gauges() -> None:
    """A thread that was held up brings a state from before the window."""
    window = Window(5.0)
    assert window.lately(counters(energy=0, busy=0), 5.0) == {}
    assert window.lately(counters(energy=3, busy=1), 4.0) == {}
    assert window.lately(counters(energy=3, busy=1), 6.0) == {series("power_w"): 3.0, series("busy_share"): 1.0}


def test_threads_share_a_window() -> None:
    window = Window(0.0, window_s=1.0)
    ticks = itertools.count(1)
    found = []

    def ask() -> None:
        while (at_s := next(ticks) * 0.01) < 80.0:
            found.append(window.lately(counters(energy=7 * at_s), at_s).get(series("power_w"), 7.0))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == pytest.approx([7.0] * 7999)
    times = [at_s for at_s, _ in window._states]
    assert times == sorted(times)
    assert len(times) <= 14


@pytest.mark.parametrize("bad", [{"window_s": 0}, {"window_s": "60"}, {"flop_per_s": -1}, {"byte_per_s": float("nan")}])
def test_lengths_and_peaks_are_checked(bad: dict[str, float]) -> None:
    with pytest.raises(WindowError, match=next(iter(bad))):
        Window(0.0, **bad)
