"""The history of an observer: sums, levels of age, memory, clocks that jump, observers that restart or fail."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from support.live_cases import MIDNIGHT_S, Day, Scripted, Times, day_history, distribution_of

from pyinfercost.errors import InputError
from pyinfercost.monitor.history import History, HistoryError
from pyinfercost.results.live import Distribution, Snapshot, series
from pyinfercost.results.live_history import LiveHistory, joined

HOUR_S = 3600.0


def sampled(observer: Scripted, steps: int, *, interval_s: float = 15.0, **amounts: float) -> History:
    """A history of `steps` intervals in each of which counters grow by `amounts`."""
    history = History(observer, interval_s=interval_s, clock=observer.times.clock())
    history.sample()
    for _ in range(steps):
        observer.times.go(interval_s)
        for name, amount in amounts.items():
            observer.add(name, amount)
        history.sample()
    return history


def test_rates_and_sums_of_a_steady_observer() -> None:
    observer = Scripted(Times())
    history = sampled(observer, 40, output_tokens=30.0, energy_j=150.0)
    read = history.read()
    assert [each.per_s("output_tokens") for each in read.intervals] == pytest.approx([2.0] * len(read.intervals))
    assert [each.power_w for each in read.intervals] == pytest.approx([10.0] * len(read.intervals))
    assert read.whole is not None
    assert read.lately is not None
    assert read.whole.count("output_tokens") == 1200.0
    assert read.whole.duration_s == pytest.approx(600.0)
    assert read.lately.duration_s == pytest.approx(300.0)
    assert read.state == "live"
    assert read.whole.joules_per_token == pytest.approx(5.0)


def test_counts_before_the_history_are_not_in_it() -> None:
    observer = Scripted(Times())
    observer.add("output_tokens", 1e9)
    read = sampled(observer, 2, output_tokens=1.0).read()
    assert read.whole is not None
    assert read.whole.count("output_tokens") == 2.0


def test_without_a_sample_and_with_one() -> None:
    observer = Scripted(Times())
    history = History(observer, clock=observer.times.clock())
    assert history.read().state == "waiting"
    history.sample()
    read = history.read()
    assert (read.state, read.intervals, read.whole) == ("live", (), None)


def test_percentiles_of_joined_intervals_are_those_of_all_values() -> None:
    observer = Scripted(Times())
    history = History(observer, clock=observer.times.clock())
    history.sample()
    values: list[float] = []
    for number in range(1, 200):
        found = [0.001 * (1 + (7 * number + 13 * at) % 97) for at in range(5)]
        observer.took("ttft_s", *found)
        values += found
        observer.times.go(15)
        history.sample()
    whole = history.read().whole
    assert whole is not None
    expected = distribution_of(values)
    for percent in (1, 50, 90, 99):
        found_s = whole.percentile("ttft_s", percent)
        assert found_s == pytest.approx(expected.percentile(percent), rel=0.05)


@pytest.mark.slow
def test_a_day_keeps_every_cent_and_its_intervals_follow_each_other() -> None:
    day = Day()
    history = day_history(24.0, day=day)
    read = history.read()
    assert read.whole is not None
    assert 280 <= len(read.intervals) <= 300
    for one, other in pairwise(read.intervals):
        assert other.start_s == pytest.approx(one.end_s, abs=1e-3)
        assert other.number > one.number
    spent = sum(value for name, value in day.values.items() if name.figure == "cost_usd")
    assert sum(read.spent_usd.values()) == pytest.approx(spent, rel=1e-9)
    assert sum(each.count("requests") or 0.0 for each in read.intervals) == read.whole.count("requests")
    gap = [each for each in read.intervals if each.reason == "samples are missing"]
    assert len(gap) == 1
    assert gap[0].duration_s == pytest.approx(0.6 * HOUR_S, abs=60)
    assert gap[0].usd_per_h() is None
    slow = [each.in_band("decode") for each in read.intervals if 10.6 < (each.start_s - MIDNIGHT_S) / HOUR_S < 11.9]
    assert slow
    assert not any(slow)


@pytest.mark.slow
def test_memory_does_not_grow_over_weeks() -> None:
    observer = Scripted(Times())
    history = History(observer, interval_s=60.0, window_h=4.0, clock=observer.times.clock())
    kept = tuple(1e-3 * 1.05**number for number in range(240))
    counts = [0] * 241
    sizes: dict[int, int] = {}
    lengths: dict[int, int] = {}
    values: dict[Any, float] = {}
    for minute in range(21 * 24 * 60):
        observer.times.go(60)
        for at in range(4):
            counts[(minute * 7 + 31 * at) % 240] += 1
        for name in ("prompt_tokens", "output_tokens", "items"):
            values[series(name)] = values.get(series(name), 0.0) + 1.0
        found = {series("ttft_s"): Distribution(kept, tuple(counts), float(sum(counts)))}
        snapshot = Snapshot(observer.times.unix_s, dict(values), found, {"run": "1"})
        history._add(snapshot)
        if minute % (24 * 60) == 24 * 60 - 1 and minute // (24 * 60) % 5 == 0:
            sizes[minute // (24 * 60)] = history.size_bytes
            lengths[minute // (24 * 60)] = sum(len(level.intervals) for level in history._levels)
    days = sorted(sizes)
    assert len(days) == 5
    settled = [sizes[day] for day in days[1:]]  # seven windows of 4 hours have passed on the second day
    assert max(settled) <= 1.02 * min(settled), sizes
    assert max(lengths.values()) <= 1000, lengths
    assert max(settled) < 8e6, sizes


def test_a_restarted_observer_leaves_a_gap_and_nothing_is_counted_twice() -> None:
    observer = Scripted(Times())
    history = sampled(observer, 4, output_tokens=10.0)
    observer.info = {**observer.info, "run": "2"}
    observer.values = {series("output_tokens"): 3.0}
    observer.times.go(15)
    history.sample()
    observer.times.go(15)
    observer.add("output_tokens", 10.0)
    history.sample()
    read = history.read()
    assert [each.reason for each in history._levels[0].intervals if each.reason] == ["the observer was started again"]
    assert read.whole is not None
    assert read.whole.count("output_tokens") == 50.0
    assert read.whole.unknown_s == pytest.approx(15.0)


def test_a_counter_that_falls_is_a_restart() -> None:
    observer = Scripted(Times())
    history = sampled(observer, 2, output_tokens=10.0, energy_j=1.0)
    observer.values[series("output_tokens")] = 1.0
    observer.times.go(15)
    history.sample()
    assert history._levels[0].intervals[-1].reason == "the observer was started again"
    assert history._levels[0].intervals[-1].count("energy_j") is None


@pytest.mark.parametrize("steady", [False, True], ids=["wall time", "time since the start"])
@pytest.mark.parametrize("jump_s", [-7 * 86400.0, -40.0, 40.0, 3 * 86400.0])
def test_a_wall_clock_that_jumps_moves_the_history_and_changes_no_rate(jump_s: float, steady: bool) -> None:
    observer = Scripted(Times())
    if steady:  # as monitors do: the wall time of the start and a clock that never jumps
        real, times = observer.snapshot, observer.times
        began_s = times.unix_s - times.elapsed_s
        observer.snapshot = lambda: replace(real(), time_s=began_s + times.elapsed_s)  # type: ignore[method-assign]
    history = sampled(observer, 20, output_tokens=30.0)
    observer.times.unix_s += jump_s
    for _ in range(20):
        observer.times.go(15)
        observer.add("output_tokens", 30.0)
        history.sample()
    read = history.read()
    assert all(each.known for each in read.intervals)
    assert [each.per_s("output_tokens") for each in read.intervals] == pytest.approx([2.0] * len(read.intervals))
    assert read.intervals[-1].end_s == pytest.approx(observer.times.unix_s)
    assert read.intervals[0].start_s == pytest.approx(observer.times.unix_s - 600.0)
    assert read.state == "live"


def test_a_machine_that_sleeps_leaves_a_gap() -> None:
    observer = Scripted(Times())
    history = sampled(observer, 10, output_tokens=30.0)
    observer.times.go(7200)
    observer.add("output_tokens", 60.0)
    history.sample()
    read = history.read()
    assert read.intervals[-1].reason == "samples are missing"
    assert read.intervals[-1].per_s("output_tokens") is None
    assert read.whole is not None
    assert read.whole.count("output_tokens") == 360.0
    assert read.whole.unknown_s == pytest.approx(7200.0)


def test_a_server_that_does_not_answer_has_no_rates() -> None:
    observer = Scripted(Times())
    observer.gauge("up", 1.0)
    history = sampled(observer, 3, output_tokens=30.0)
    observer.gauge("up", 0.0)
    observer.times.go(15)
    history.sample()
    read = history.read()
    assert read.state == "down"
    assert history._levels[0].intervals[-1].reason == "the observed server did not answer"


def test_an_observer_that_fails_is_the_reason_and_becomes_stale() -> None:
    observer = Scripted(Times())
    history = sampled(observer, 3, output_tokens=30.0)
    observer.fails = RuntimeError("no \x1b[31mway")
    observer.times.go(15)
    history.sample()
    read = history.read()
    assert "\x1b" not in read.failure
    assert "RuntimeError" in read.failure
    assert read.state == "live"
    observer.times.go(60)
    assert history.read().state == "stale"
    observer.fails = None
    history.sample()
    assert (history.read().failure, history.read().state) == ("", "live")


def test_an_observer_without_a_new_snapshot_adds_nothing_and_becomes_stale() -> None:
    observer = Scripted(Times())
    history = sampled(observer, 3, output_tokens=30.0)
    before = history.read().last
    old = observer.snapshot()
    observer.snapshot = lambda: old  # type: ignore[method-assign]
    for _ in range(5):
        observer.times.go(15)
        history.sample()
    assert history.read().last == before
    assert history.read().state == "stale"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "much", 10**400, b"\0"])
def test_garbage_of_a_figure_leaves_the_others(value: Any) -> None:
    observer = Scripted(Times())
    history = sampled(observer, 2, output_tokens=30.0)
    observer.values[series("power_w")] = value
    observer.values[series("energy_j")] = value
    observer.times.go(15)
    observer.add("output_tokens", 30.0)
    history.sample()
    read = history.read()
    assert read.failure == ""
    assert read.whole is not None
    assert read.whole.count("output_tokens") == 90.0
    assert read.whole.power_w is None


@pytest.mark.parametrize(
    "snapshot",
    [
        None,
        "snapshot",
        Snapshot(float("nan"), {}),
        Snapshot(None, {}),  # type: ignore[arg-type]
        Snapshot(1.0, {1: 2.0}),  # type: ignore[dict-item]
        Snapshot(1.0, {}, {series("ttft_s"): None}),  # type: ignore[dict-item]
    ],
)
def test_a_garbage_snapshot_is_a_failure_and_sampling_goes_on(snapshot: Any) -> None:
    observer = Scripted(Times())
    history = sampled(observer, 2, output_tokens=30.0)
    good = observer.snapshot
    observer.snapshot = lambda: snapshot  # type: ignore[method-assign]
    observer.times.go(15)
    history.sample()
    assert history.read().failure
    observer.snapshot = good  # type: ignore[method-assign]
    observer.times.go(15)
    history.sample()
    assert history.read().failure == ""


def test_many_series_and_unknown_figures_are_bounded() -> None:
    observer = Scripted(Times())
    history = sampled(observer, 1)
    for number in range(5000):
        observer.add("measured_s", 1.0, part=f"part {number}")
    observer.values[series("items")._replace(figure="of_another_version")] = 1.0
    observer.times.go(15)
    history.sample()
    assert len(history._levels[0].intervals[-1].counts) == 200
    assert history.read().failure == ""


def test_reading_with_since_completes_an_earlier_reading() -> None:
    observer = Scripted(Times())
    history = sampled(observer, 700, output_tokens=30.0)
    rows = list(history.read().intervals)
    last = history.read().last
    for _ in range(37):
        observer.times.go(15)
        observer.add("output_tokens", 45.0)
        history.sample()
    new = history.read(since=last).intervals
    assert new
    assert len(new) < len(rows)
    whole = history.read()
    seen = [each for each in rows if each.end_s <= new[0].start_s + 1e-3] + list(new)
    assert [each.end_s for each in seen[-40:]] == pytest.approx([each.end_s for each in whole.intervals[-40:]])
    assert history.read(since=history.read().last).intervals == ()


@pytest.mark.parametrize("hours", [0.5, 1, 6, 24, 168])
def test_hours_are_covered_with_a_bounded_number_of_intervals(hours: float) -> None:
    observer = Scripted(Times())
    history = History(observer, interval_s=60.0, clock=observer.times.clock())
    history.sample()
    for _ in range(26 * 60):
        observer.times.go(60)
        observer.add("output_tokens", 60.0)
        history.sample()
    read = history.read(hours)
    assert len(read.intervals) <= 300
    assert read.whole is not None
    covered_h = read.whole.duration_s / HOUR_S
    assert min(hours, 26) - 1e-6 <= covered_h <= min(hours, 26) + 1.0
    assert read.whole.count("output_tokens") == pytest.approx(read.whole.duration_s)


@pytest.mark.parametrize("hours", [0, -1, float("nan"), float("inf"), "6", 1e9])
def test_hours_that_are_no_hours(hours: Any) -> None:
    history = History(Scripted(Times()))
    with pytest.raises((HistoryError, InputError)):
        history.read(hours)


@pytest.mark.parametrize("settings", [{"interval_s": 0}, {"interval_s": "x"}, {"window_h": -1}, {"window_h": 1e9}])
def test_settings_that_are_out_of_range(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        History(Scripted(Times()), **settings)


def test_the_thread_samples_and_ends() -> None:
    observer = Scripted(Times())
    taken = threading.Event()
    number = [0]
    real = observer.snapshot

    def snapshot() -> Snapshot:
        number[0] += 1
        if number[0] > 3:
            taken.set()
        return replace(real(), time_s=time.time())

    observer.snapshot = snapshot  # type: ignore[method-assign]
    with History(observer, interval_s=0.02) as history:
        assert taken.wait(20)
        assert history.start() is history  # a second start has no effect
    assert history._thread is not None
    assert not history._thread.is_alive()
    assert isinstance(history.read(), LiveHistory)


@pytest.mark.slow
def test_an_observer_that_hangs_does_not_hold_up_readers_or_the_end() -> None:
    inside, go = threading.Event(), threading.Event()

    class Hanging:
        def snapshot(self) -> Snapshot:
            inside.set()
            go.wait(60)
            raise RuntimeError("late")

    history = History(Hanging(), interval_s=0.02).start()
    try:
        assert inside.wait(20)
        assert history.read().state == "waiting"
        history.close()
        assert history._thread is not None
        assert history._thread.is_alive()  # it was left behind, and did not hold up `close`
    finally:
        go.set()


def test_readers_and_the_sampler_at_once() -> None:
    observer = Scripted(Times())
    history = sampled(observer, 600, output_tokens=30.0)
    failed: list[BaseException] = []
    ended = threading.Event()

    def read() -> None:
        try:
            while not ended.is_set():
                found = history.read()
                assert found.whole is not None
                tokens = found.whole.count("output_tokens")
                assert tokens == pytest.approx(2.0 * found.whole.duration_s)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for each in threads:
        each.start()
    for _ in range(300):
        observer.times.go(15)
        observer.add("output_tokens", 30.0)
        history.sample()
    ended.set()
    for each in threads:
        each.join()
    assert not failed, failed


def test_joined_gauges_are_means_over_time() -> None:
    observer = Scripted(Times())
    history = History(observer, clock=observer.times.clock())
    observer.gauge("in_flight", 0)
    history.sample()
    for seconds, value in ((10, 1.0), (30, 5.0)):
        observer.times.go(seconds)
        observer.gauge("in_flight", value)
        history.sample()
    assert joined(list(history._levels[0].intervals)).gauge("in_flight") == pytest.approx(4.0)


def test_history_has_every_form() -> None:
    read = day_history(0.5).read()
    document = read.to_dict()["live_history"]
    assert len(document["rows"][0]) == len(document["columns"])
    assert "llama-3.1-8b" in read.to_text()
    assert "<script" in read.to_html()
    assert len(document["alerts"]) == 1
    assert document["alerts"][0].startswith("cost per 1M tokens: 2.")
    assert ", plan 1.3 (+" in document["alerts"][0]
