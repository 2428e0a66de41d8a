"""The monitor in a process: its figures against the book-keeping of whoever sends the requests."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import random
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.fake_meters import SteadyCounter
from support.live_clock import Clock
from support.toy_graphs import blocks

import pyinfercost as ic
from pyinfercost import Monitor
from pyinfercost.measuring import energy
from pyinfercost.monitor import Served, Snapshot, count_generated, count_items, current_request
from pyinfercost.monitor.log_reader import read_log
from pyinfercost.monitor.planned import PlanError
from pyinfercost.monitor.request_columns import RequestColumns
from pyinfercost.results.live import series


def quiet(**settings: Any) -> Monitor:
    """A monitor without a counter of energy."""
    return Monitor(energy=None, **settings)


def requests_of(snapshot: Snapshot) -> list[float]:
    """Requests by outcome."""
    return [snapshot.value("requests", outcome=outcome) or 0 for outcome in ("ok", "error", "cancelled")]


def test_ten_thousand_requests_equal_the_book_keeping() -> None:
    clock = Clock()
    on = ic.Deployment(hardware="l4", price=0.81)
    monitor = quiet(on=on, clock=clock)
    rng = random.Random(3)
    book = dict.fromkeys(("items", "prompt_tokens", "output_tokens", "cached_prompt_tokens"), 0)
    outcomes = [0, 0, 0]
    times: dict[str, list[float]] = {"request_s": [], "queue_wait_s": [], "ttft_s": [], "tpot_s": []}
    began_ns, busy_ns, service_ns, queue_ns = clock.now_ns, 0, 0, 0
    for _ in range(10_000):
        clock.sleep(rng.expovariate(40.0))
        queue, first, rest = (rng.expovariate(rate) for rate in (500.0, 100.0, 50.0))
        served = Served(rng.randint(1, 9), rng.randint(1, 4000), rng.randint(2, 300), rng.randint(0, 50))
        outcome = rng.choices((0, 1, 2), (96, 3, 1))[0]
        arrival_ns = clock.now_ns
        try:
            with monitor.request(items=served.items, prompt_tokens=served.prompt_tokens, waiting=True) as request:
                clock.sleep(queue)
                start_ns = clock.now_ns
                request.start()
                clock.sleep(first)
                first_ns = clock.now_ns
                request.first_token()
                clock.sleep(rest)
                request.output_tokens = served.output_tokens
                request.cached_tokens = served.cached_tokens
                if outcome:
                    raise (ValueError if outcome == 1 else asyncio.CancelledError)
        except (ValueError, asyncio.CancelledError):
            pass
        outcomes[outcome] += 1
        busy_ns += clock.now_ns - start_ns
        service_ns += clock.now_ns - start_ns
        queue_ns += start_ns - arrival_ns
        for name, value in zip(book, (*served[:3], served.cached_tokens), strict=True):
            book[name] += value
        if not outcome:
            times["request_s"].append((clock.now_ns - arrival_ns) * 1e-9)
            times["queue_wait_s"].append((start_ns - arrival_ns) * 1e-9)
            times["ttft_s"].append((first_ns - arrival_ns) * 1e-9)
            times["tpot_s"].append((clock.now_ns - first_ns) * 1e-9 / (served.output_tokens - 1))
    found = monitor.snapshot()
    assert requests_of(found) == outcomes
    assert {name: found.value(name) for name in book} == book
    assert found.value("service_s") == pytest.approx(service_ns * 1e-9, rel=1e-15)
    assert found.value("queue_s") == pytest.approx(queue_ns * 1e-9, rel=1e-15)
    reserved_s = (clock.now_ns - began_ns) * 1e-9
    assert found.value("reserved_s", use="busy") == pytest.approx(busy_ns * 1e-9, rel=1e-15)
    assert found.value("reserved_s") == pytest.approx(reserved_s, rel=1e-12)
    assert round(found.value("cost_usd") or 0, 4) == round(reserved_s * 0.81 / 3600, 4)
    assert found.value("cost_usd", use="busy") == pytest.approx(busy_ns * 1e-9 * 0.81 / 3600, rel=1e-12)
    for name, values in times.items():
        distribution = found.distribution(name)
        assert distribution is not None
        assert distribution.count == len(values)
        assert distribution.total == pytest.approx(sum(values), rel=1e-9)
        for percent in (1, 25, 50, 90, 99):
            low, high = (np.percentile(values, percent, method=side) for side in ("lower", "higher"))
            assert low * 0.99 < distribution.percentile(percent) < high * 1.01


def test_threads_and_tasks_lose_nothing() -> None:
    monitor = quiet()

    @monitor.instrument
    def call(x: np.ndarray[Any, Any]) -> int:
        return len(x)

    @monitor.instrument
    async def call_later(x: np.ndarray[Any, Any]) -> int:
        await asyncio.sleep(0)
        return len(x)

    x = np.zeros((3, 2))
    threads = [threading.Thread(target=lambda: [call(x) for _ in range(500)]) for _ in range(8)]
    for thread in threads:
        thread.start()

    async def tasks() -> None:
        await asyncio.gather(*(call_later(x) for _ in range(500)))

    asyncio.run(tasks())
    for thread in threads:
        thread.join()
    found = monitor.snapshot()
    assert requests_of(found) == [4500, 0, 0]
    assert found.value("items") == 13_500
    assert found.value("in_flight") == 0
    assert found.value("reserved_s", use="busy") <= found.value("reserved_s")  # type: ignore[operator]


def test_errors_pass_and_are_counted() -> None:
    monitor = quiet()

    @monitor.instrument()
    def wrong(x: int) -> None:
        raise LookupError(f"no {x}")

    with pytest.raises(LookupError, match="no 3"):
        wrong(3)

    @monitor.instrument
    async def stopped() -> None:
        await asyncio.sleep(60)

    async def cancel() -> None:
        task = asyncio.create_task(stopped())
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(cancel())
    with monitor.request() as request:
        request.fail()
    assert requests_of(monitor.snapshot()) == [0, 2, 1]


def test_pieces_are_tokens_and_the_first_one_is_the_first_token() -> None:
    clock = Clock()
    monitor = quiet(clock=clock)

    @monitor.instrument(count=lambda args, kwargs, result: Served(1, len(args[0])))
    def stream(prompt: str) -> Iterator[str]:
        clock.sleep(0.2)
        for word in ("a", "b", "c"):
            yield word
            clock.sleep(0.1)

    assert list(stream("four")) == ["a", "b", "c"]
    found = monitor.snapshot()
    assert (found.value("prompt_tokens"), found.value("output_tokens")) == (4, 3)
    ttft, tpot = found.distribution("ttft_s"), found.distribution("tpot_s")
    assert ttft is not None
    assert tpot is not None
    assert ttft.total == pytest.approx(0.2)
    assert tpot.total == pytest.approx(0.3 / 2)

    pieces = stream("four")
    next(pieces)
    pieces.close()  # the reader leaves
    assert requests_of(monitor.snapshot()) == [1, 0, 1]


def test_asynchronous_pieces_and_their_sizes() -> None:
    monitor = quiet()

    @monitor.instrument(tokens_of=len)
    async def stream(count: int) -> AsyncIterator[str]:
        for _ in range(count):
            yield "xy"

    async def read() -> list[str]:
        return [piece async for piece in stream(5)]

    assert asyncio.run(read()) == ["xy"] * 5
    found = monitor.snapshot()
    assert found.value("output_tokens") == 10
    assert requests_of(found) == [1, 0, 0]


def test_what_is_never_begun_does_not_stay_in_flight() -> None:
    monitor = quiet()

    @monitor.instrument
    def stream() -> Iterator[int]:
        yield 1

    stream()
    gc.collect()
    found = monitor.snapshot()
    assert found.value("in_flight") == 0
    assert requests_of(found) == [0, 0, 1]


def test_a_failing_count_reaches_no_request(caplog: pytest.LogCaptureFixture) -> None:
    monitor = quiet()

    @monitor.instrument(count=lambda *_: 1 // 0)
    def call(x: int) -> int:
        return x

    with caplog.at_level(logging.WARNING, logger="pyinfercost.monitor"):
        assert [call(3) for _ in range(5)] == [3] * 5
    assert len(caplog.records) == 1
    assert "could not count the size of a call; requests are unaffected" in caplog.text
    found = monitor.snapshot()
    assert requests_of(found) == [5, 0, 0]
    assert found.value("dropped_records", kind="counts") == 5


@pytest.mark.parametrize("wrong", [{"items": "eight"}, {"prompt_tokens": None}, {"items": 2**70}])
def test_wrong_sizes_of_a_request_reach_no_request(wrong: dict[str, Any]) -> None:
    monitor = quiet()
    with monitor.request() as request:
        for name, value in wrong.items():
            setattr(request, name, value)
    found = monitor.snapshot()
    assert found.value("in_flight") == 0
    assert found.value("dropped_records", kind="counts") == 1
    assert sum(requests_of(found)) == 1


def test_sizes_can_be_set_from_inside() -> None:
    monitor = quiet()
    assert current_request() is None
    with monitor.request() as request:
        assert current_request() is request
        request.items = 7
        with monitor.request() as inner:
            assert current_request() is inner
        assert current_request() is request
    assert current_request() is None
    assert monitor.snapshot().value("items") == 8


def test_cold_busy_and_idle_time_are_the_reserved_time() -> None:
    clock = Clock()
    monitor = quiet(on=ic.Deployment(hardware="h100-sxm-80gb", devices=2, price=3.0), share=0.5, clock=clock)
    with monitor.starting():
        clock.sleep(30)
        with monitor.request():
            clock.sleep(10)  # a warm-up call is part of the start
    clock.sleep(50)
    with monitor.request():
        clock.sleep(5)
    found = monitor.snapshot()
    used = {use: found.value("reserved_s", use=use) for use in ("busy", "idle", "cold")}
    assert used == pytest.approx({"busy": 15.0, "idle": 40.0, "cold": 40.0})
    assert found.value("price_usd_per_h") == pytest.approx(3.0)
    assert found.value("cost_usd", use="cold") == pytest.approx(3.0 * 40 / 3600)
    assert found.value("cold_starts") == 1
    monitor.close()
    clock.sleep(1000)
    assert monitor.snapshot().value("reserved_s") == pytest.approx(95.0)


def test_the_wall_clock_may_jump(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monitor = quiet(clock=clock)
    first = monitor.snapshot().time_s
    monkeypatch.setattr("time.time", lambda: 0.0)
    clock.sleep(10)
    assert monitor.snapshot().time_s == pytest.approx(first + 10)


def test_energy_is_that_of_the_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = SteadyCounter(watts=40)
    monkeypatch.setattr("pyinfercost.monitor.power.energy_counter", lambda *_: counter)
    monitor = Monitor(energy="cpu")
    first = monitor.snapshot().value("energy_j")
    with monitor.request():
        threading.Event().wait(0.05)
    second = monitor.snapshot().value("energy_j")
    assert first is not None
    assert second is not None
    assert second - first > 40 * 0.04
    monitor.close()
    assert counter.closed == 1


def test_without_a_counter_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise energy.NoCounterError("a counter", "there is none", "Buy one.")

    monkeypatch.setattr("pyinfercost.monitor.power.energy_counter", none)
    found = Monitor(energy="cpu").snapshot()
    assert found.value("energy_j") is None
    assert "energy is not measured: a counter not available: there is none. Buy one." in found.notes


def test_measured_and_predicted_times_of_the_sizes_that_came() -> None:
    graph = blocks()
    on = ic.Deployment(hardware="l4", precision="fp32", price=0.8)
    clock = Clock()
    monitor = quiet(model=graph, on=on, clock=clock)
    assert monitor.name == graph.model
    sizes = [1, 2, 2, 3, 8, 8, 8]
    for items in sizes:
        with monitor.request(items=items):
            clock.sleep(0.004 * items)
    found = monitor.snapshot()
    estimates = {items: ic.estimate(graph, on=on, batch=items) for items in set(sizes)}
    for part, members in {"batch<=1": [1], "batch<=2": [2, 2], "batch<=4": [3], "batch<=8": [8, 8, 8]}.items():
        assert found.value("predicted_s", part=part) == pytest.approx(sum(estimates[i].latency_s for i in members))
        assert found.value("predicted_low_s", part=part) == pytest.approx(
            sum(estimates[i].latency_low_s for i in members)
        )
        assert found.value("measured_s", part=part) == pytest.approx(0.004 * sum(members))
    counted = [ic.count(graph, batch=items).total for items in sizes]
    flops = sum(total.contraction_flops + total.pointwise_flops for total in counted)
    assert found.value("model_flops") == flops
    assert found.value("model_bytes") == sum(total.bytes_read + total.bytes_written for total in counted)
    reserved_s = 0.004 * sum(sizes)
    peak = max(on.machine.matrix_flop_per_s.get("float32", 0), on.machine.vector_flop_per_s["float32"])
    assert found.value("mfu_share") == pytest.approx(float(flops) / reserved_s / peak)
    ratio = found.value("measured_to_predicted", part="batch<=8")
    assert ratio == pytest.approx(0.032 / estimates[8].latency_s)


def test_a_size_without_a_prediction_is_told() -> None:
    monitor = quiet(model=blocks(), on=ic.Deployment(hardware="l4"))
    with monitor.request(items=10**10):
        pass
    with monitor.request(items=4):
        pass
    found = monitor.snapshot()
    assert found.value("predicted_s", part="batch<=4") is not None
    assert any("10000000000 items" in note and "has no prediction" in note for note in found.notes)


def test_what_a_call_serves() -> None:
    x = np.zeros((5, 3))
    assert count_items((x,), {}, None) == Served(5)
    assert count_items(("a",), {"feed": {"x": x}}, None) == Served(5)
    assert count_items(([1, 2],), {}, None) == Served(2)
    assert count_items((), {}, None) == count_items((np.float64(3),), {}, None) == Served(1)
    prompts, made = np.zeros((2, 10)), np.zeros((6, 17))
    assert count_generated((), {"input_ids": prompts}, SimpleNamespace(sequences=made)) == Served(2, 20, 42)
    assert count_generated((prompts,), {}, made) == Served(2, 20, 42)


class Session:
    """An object in the manner of an ONNX Runtime session."""

    def __init__(self) -> None:
        self.providers = ["CPU"]

    def run(self, output_names: list[str] | None, input_feed: dict[str, Any]) -> list[Any]:
        return [sum(len(value) for value in input_feed.values())]


def test_a_session_keeps_all_but_its_run() -> None:
    monitor = quiet()
    session = Session()
    wrapped = monitor.instrument(session)
    assert wrapped.run(None, {"x": np.zeros((4, 2))}) == [4]
    assert wrapped.run(output_names=None, input_feed={"x": np.zeros((2, 2))}) == [2]
    assert wrapped.providers is session.providers
    wrapped.providers = ["other"]
    assert session.providers == ["other"]
    assert "Session" in repr(wrapped)
    assert monitor.snapshot().value("items") == 6


def test_an_object_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="target is a int; expected a torch module, a session with run"):
        quiet().instrument(3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"share": 0}, "share is 0"),
        ({"share": 1.5}, "share is 1.5"),
        ({"interval_s": 0}, "interval_s is 0"),
        ({"name": 3}, "name is 3"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        quiet(**settings)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # threads of other tests may run
def test_the_child_of_a_fork_counts_from_zero() -> None:
    monitor = quiet()

    @monitor.instrument
    def call(x: list[int]) -> int:
        return len(x)

    call([1, 2])
    ours = monitor.snapshot().info["run"]
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        call([1, 2, 3])
        found = monitor.snapshot()
        told = json.dumps([found.value("items"), found.info["run"], sum(requests_of(found))])
        os.write(writing, told.encode())
        os._exit(0)
    os.waitpid(child, 0)
    items, run, requests = json.loads(os.read(reading, 1000))
    os.close(reading)
    os.close(writing)
    assert (items, requests) == (3, 1)
    assert run != ours
    assert monitor.snapshot().value("items") == 2


def test_snapshots_of_one_run_have_differences() -> None:
    monitor = quiet()
    with monitor.request(items=3):
        pass
    first = monitor.snapshot()
    with monitor.request(items=4):
        pass
    change = monitor.snapshot().since(first)
    assert change.value("items") == 4
    distribution = change.distributions[series("batch_items")]
    assert distribution.count == 1
    assert distribution.total == 4
    with pytest.raises(ValueError, match="different runs"):
        quiet().snapshot().since(first)


def test_figures_of_the_plan_stand_beside_the_measured(tmp_path: Path) -> None:
    with Monitor(plan={"usd_per_h": 2.5, "replicas": 3}, energy=None) as monitor:
        found = monitor.snapshot()
    assert found.value("planned_usd_per_h") == 2.5
    assert found.value("planned_replicas") == 3
    assert found.value("planned_requests_per_s") is None
    with pytest.raises(PlanError, match="expected the output of `pyinfercost fleet --plan"):
        Monitor(plan={"dollars": 2.5})


def test_the_log_has_every_request_once(tmp_path: Path) -> None:
    path = tmp_path / "monitor.jsonl"
    with Monitor(log=path, energy=None, interval_s=0.05) as monitor:
        for step in range(500):
            with monitor.request(items=2, prompt_tokens=10 + step) as request:
                request.first_token()
                request.output_tokens = 3
            if step % 100 == 0:
                time.sleep(0.06)
    (run,) = read_log(path).runs
    told = [each.requests for each in run.intervals if each.requests is not None]  # an interval may be idle
    requests = RequestColumns.joined(told)
    assert sorted(requests.prompt_tokens.tolist()) == [10 + step for step in range(500)]
    assert (requests.output_tokens == 3).all()
    assert (requests.items == 2).all()
    assert (requests.arrival_s <= requests.start_s).all()
    assert (requests.first_token_s <= requests.end_s).all()
    assert abs(requests.arrival_s[0] - time.time()) < 60


def test_exporters_see_the_last_figures() -> None:
    records: list[dict[str, float]] = []
    monitor = Monitor(exporters=lambda step, metrics: records.append(dict(metrics)), energy=None, interval_s=3600)
    for _ in range(7):
        with monitor.request():
            pass
    monitor.close()
    monitor.close()
    assert records[-1]["live/requests/ok"] == 7


def test_a_page_and_prometheus_beside_the_model() -> None:
    monitor = Monitor(exporters=["page:0", "prometheus:0"], energy=None)
    with monitor, monitor.request():
        pass
    assert monitor.snapshot().value("requests", outcome="ok") == 1


def test_an_exporter_that_fails_reaches_no_request(caplog: pytest.LogCaptureFixture) -> None:
    def broken(step: int, metrics: object) -> None:
        raise OSError("the disk is full")

    with Monitor(exporters=broken, log="/dev/full", energy=None, interval_s=0.02) as monitor:
        for _ in range(50):
            with monitor.request():
                time.sleep(0.002)
    assert monitor.snapshot().value("requests", outcome="ok") == 50
    assert "disk is full" in caplog.text
