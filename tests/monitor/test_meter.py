"""The core's meter against plain Python: sums, busy time, distributions, sizes, kept requests."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinfercost import _core

NAMES = ("items", "prompt_tokens", "cached_tokens", "output_tokens")


def union_ns(intervals: list[tuple[int, int]]) -> int:
    """Length of the union of intervals."""
    total, until = 0, -1
    for start, end in sorted(intervals):
        total += max(0, end - max(start, until))
        until = max(until, end)
    return total


SPANS = st.lists(
    st.tuples(st.integers(0, 1000), st.integers(0, 50), st.integers(0, 500)), min_size=1, max_size=60
)  # arrival, queue, service


@given(SPANS)
def test_busy_time_is_the_union_of_services(spans: list[tuple[int, int, int]]) -> None:
    meter = _core.Meter()
    events = []
    for arrival, queue, service in spans:
        start, end = arrival + queue, arrival + queue + service
        events += [(start, 0, (arrival, start, end)), (end, 1, (arrival, start, end))]
    for now, what, (arrival, start, end) in sorted(events):
        if what == 0:
            meter.begin(now, False)
        else:
            meter.end(arrival, start, 0, end, 1, 0, 0, 0, 0)
    totals = meter.totals(10_000)
    assert totals["busy_ns"] == union_ns([(a + q, a + q + s) for a, q, s in spans])
    assert totals["service_ns"] == sum(s for _, _, s in spans)
    assert totals["queue_ns"] == sum(q for _, q, _ in spans)
    assert totals["in_flight"] == totals["waiting"] == 0
    assert totals["requests"] == [len(spans), 0, 0]


@given(SPANS)
def test_recorded_services_are_busy_as_their_union(spans: list[tuple[int, int, int]]) -> None:
    meter = _core.Meter()
    ended = sorted((a + q + s, a + q, a) for a, q, s in spans)
    # Those of one stream do not overlap: each begins when the one before has ended.
    until, services = 0, []
    for end, start, arrival in ended:
        start = max(start, until)  # noqa: PLW2901
        end = max(end, start)  # noqa: PLW2901
        until = end
        services.append((start, end))
        meter.record(arrival, start, 0, end, 1, 0, 0, 0, 0)
    assert meter.totals(until)["busy_ns"] == union_ns(services)


def test_a_running_request_is_busy_until_now() -> None:
    meter = _core.Meter()
    meter.arrive()
    assert meter.totals(5)["waiting"] == 1
    meter.begin(100, True)
    totals = meter.totals(350)
    assert (totals["busy_ns"], totals["in_flight"], totals["waiting"], totals["service_ns"]) == (250, 1, 0, 0)
    meter.arrive()
    meter.leave()
    assert meter.totals(350)["waiting"] == 0


REQUESTS = st.lists(
    st.tuples(st.integers(1, 64), st.integers(0, 5000), st.integers(0, 800), st.integers(1, 10**10), st.integers(0, 2)),
    min_size=1,
    max_size=200,
)


@given(REQUESTS)
def test_sums_and_sizes_are_those_of_the_requests(requests: list[tuple[int, int, int, int, int]]) -> None:
    meter = _core.Meter(len(requests))
    for items, prompt, output, took, outcome in requests:
        meter.begin(0, False)
        meter.end(0, 0, 0, took, items, prompt, prompt // 2, output, outcome)
    totals = meter.totals(0)
    sums = np.array([(i, p, p // 2, o) for i, p, o, _, _ in requests]).sum(axis=0).tolist()
    assert [totals[name] for name in NAMES] == sums
    assert totals["requests"] == [sum(r[4] == k for r in requests) for k in range(3)]
    sizes = meter.sizes()
    answered = [r for r in requests if r[4] == 0]
    assert sizes["requests"].sum() == len(answered)
    assert sizes["service_ns"].sum() == sum(r[3] for r in answered)
    for row in range(len(sizes["requests"])):
        count = sizes["requests"][row]
        size = tuple(int(sizes[name][row]) // int(count) for name in ("items", "prompt_tokens", "output_tokens"))
        assert count == sum((i, p, o) == size for i, p, o, _, _ in answered)
    kept = meter.take()
    assert kept["end_ns"].tolist() == [r[3] for r in requests]
    assert kept["outcome"].tolist() == [r[4] for r in requests]
    assert meter.take()["end_ns"].size == 0


def test_memory_is_bounded_and_nothing_is_lost_in_sums() -> None:
    meter = _core.Meter(10)
    rng = np.random.default_rng(0)
    prompts, outputs = rng.integers(1, 10**6, 60_000), rng.integers(1, 10**6, 60_000)
    for prompt, output in zip(prompts.tolist(), outputs.tolist(), strict=True):
        meter.begin(0, False)
        meter.end(0, 0, 0, 7, 1, prompt, 0, output, 0)
    sizes = meter.sizes()
    assert len(sizes["requests"]) <= 4097
    assert sizes["requests"].sum() == 60_000
    assert sizes["service_ns"].sum() == 7 * 60_000
    totals = meter.totals(0)
    assert totals["prompt_tokens"] == prompts.sum()
    assert totals["dropped"] == 60_000 - 10
    grouped = sizes["items"] > 0  # others are of sizes that were not kept
    mean = sizes["prompt_tokens"][grouped] / sizes["requests"][grouped]
    assert (mean > 0).all()


def test_percentiles_are_within_a_percent() -> None:
    meter = _core.Meter()
    took = np.random.default_rng(1).lognormal(np.log(2e7), 1.3, 20_000).astype(np.int64)
    for each in took.tolist():
        meter.begin(0, False)
        meter.end(0, 0, 0, each, 1, 0, 0, 0, 0)
    edges = _core.histogram_edges()
    places, counts, total = meter.histograms()["request_s"]
    assert total == pytest.approx(took.sum() * 1e-9, rel=1e-12)
    upper = edges[np.array(places) + 1]
    cumulative = np.cumsum(counts)
    for percent in (1, 10, 50, 90, 99, 99.9):
        exact = np.percentile(took * 1e-9, percent)
        found = upper[np.searchsorted(cumulative, np.ceil(percent / 100 * len(took)))]
        assert found == pytest.approx(exact, rel=0.016)  # the width of an interval; half of it in the middle


def test_a_value_at_an_edge_lies_below_it() -> None:
    meter = _core.Meter()
    for items in (1, 2, 8, 64):
        meter.begin(0, False)
        meter.end(0, 0, 0, 1, items, 0, 0, 0, 0)
    places, counts, total = meter.histograms()["batch_items"]
    assert _core.histogram_edges()[np.array(places) + 1].tolist() == [1, 2, 8, 64]
    assert (counts, total) == ([1, 1, 1, 1], 75.0)


def test_threads_lose_nothing() -> None:
    meter = _core.Meter()

    def work() -> None:
        for _ in range(5000):
            meter.begin(0, False)
            meter.end(0, 0, 0, 3, 2, 5, 1, 4, 0)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    totals = meter.totals(0)
    assert [totals[name] for name in NAMES] == [80_000, 200_000, 40_000, 160_000]
    assert totals["requests"] == [40_000, 0, 0]
    assert totals["in_flight"] == 0


def test_an_unknown_outcome_is_refused() -> None:
    with pytest.raises(ValueError, match="outcome is 3; expected 0, 1 or 2"):
        _core.Meter().end(0, 0, 0, 0, 0, 0, 0, 0, 3)
