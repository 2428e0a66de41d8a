"""A sidecar beside an engine that restarts, vanishes, hangs and publishes garbage, against the engine's own books."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.engine_server import Handler, PageServer, VllmProcess, serving_pages
from support.examples import examples
from support.step_costs import step_costs_like_an_h100

from pyinfercost import Deployment
from pyinfercost.monitor import scraping
from pyinfercost.monitor.engine_totals import EngineTotals
from pyinfercost.monitor.engines import ENGINES
from pyinfercost.monitor.log import MonitorLog
from pyinfercost.monitor.sidecar import Sidecar, SidecarError
from pyinfercost.results.live import Snapshot, series

server = pytest.mark.server
INTERVAL_S = 15.0
UNIX_S = 1_790_000_000.0


@dataclass
class Books:
    """What the engine did, as its driver counted it."""

    requests: int = 0
    prompt: int = 0
    output: int = 0
    latencies: list[float] = field(default_factory=list)


@dataclass
class Bench:
    """A sidecar, its clocks, the server of its engine, and the engine's process."""

    pages: PageServer
    now_s: float = 100.0
    wall_shift_s: float = UNIX_S - 100.0
    process: VllmProcess = field(default_factory=lambda: VllmProcess(UNIX_S - 5000.0))
    books: Books = field(default_factory=Books)
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    def wall_s(self) -> float:
        return self.now_s + self.wall_shift_s

    def sidecar(self, **given: object) -> Sidecar:
        options = {"engine": "vllm", "interval_s": INTERVAL_S, "timeout_s": 5.0, **given}
        return Sidecar(self.pages.url, clock=lambda: self.now_s, wall=self.wall_s, **options)  # type: ignore[arg-type]

    def serve(self, requests: int, **times: float) -> None:
        for _ in range(requests):
            prompt, output = self.chance.randint(1, 500), self.chance.randint(1, 9)
            self.process.answer(prompt, output, **times)  # type: ignore[arg-type]
            self.books.requests += 1
            self.books.prompt += prompt
            self.books.output += output
        self.publish()

    def publish(self) -> None:
        self.pages.page = self.process.page()

    def restart(self, **settings: object) -> None:
        self.process = VllmProcess(self.wall_s(), **settings)  # type: ignore[arg-type]
        self.publish()

    def read(self, sidecar: Sidecar, after_s: float = INTERVAL_S) -> Snapshot:
        self.now_s += after_s
        sidecar.read()
        return sidecar.snapshot()

    def assert_equal(self, snapshot: Snapshot) -> None:
        """Assert that totals are those of the books."""
        assert snapshot.value("requests", outcome="ok") == self.books.requests
        assert snapshot.value("prompt_tokens") == self.books.prompt
        assert snapshot.value("output_tokens") == self.books.output
        for name, total in (("request_prompt_tokens", self.books.prompt), ("request_output_tokens", self.books.output)):
            found = snapshot.distribution(name)
            assert found is not None
            assert (found.count, found.total) == (self.books.requests, total)
        ttft = snapshot.distribution("ttft_s")
        assert ttft is not None
        assert ttft.count == self.books.requests


@pytest.fixture
def bench() -> Iterator[Bench]:
    with serving_pages() as pages:
        bench = Bench(pages)
        bench.publish()
        yield bench


def uses(snapshot: Snapshot) -> dict[str, float]:
    return {use: snapshot.value("reserved_s", use=use) or 0.0 for use in ("busy", "idle", "cold")}


# ---- restarts --------------------------------------------------------------------------------------------------------


@server
@pytest.mark.parametrize("is_old", [False, True])
@pytest.mark.slow
def test_ten_thousand_requests_over_four_lives_are_counted_once(bench: Bench, is_old: bool) -> None:
    bench.restart(is_old=is_old)
    sidecar = bench.sidecar()
    bench.read(sidecar)
    for life in range(4):
        for _ in range(5):
            bench.serve(500)
            snapshot = bench.read(sidecar)
            bench.assert_equal(snapshot)
        assert snapshot.value("restarts") == snapshot.value("cold_starts") == life
        if life < 3:
            bench.restart(is_old=is_old)
            bench.serve(1)
    assert bench.books.requests == 10_003
    assert sum(uses(snapshot).values()) == pytest.approx(21 * INTERVAL_S)


@server
def test_what_the_engine_did_before_the_sidecar_is_not_counted(bench: Bench) -> None:
    bench.serve(50)
    bench.books = Books()
    sidecar = bench.sidecar()
    assert bench.read(sidecar).value("prompt_tokens") == 0
    bench.serve(3)
    bench.assert_equal(bench.read(sidecar))


@server
def test_a_process_that_has_counted_more_than_the_one_before_is_recognized_by_its_start(bench: Bench) -> None:
    sidecar = bench.sidecar()
    bench.read(sidecar)
    bench.serve(10)
    bench.read(sidecar)
    bench.restart()
    bench.serve(200)
    snapshot = bench.read(sidecar, after_s=60.0)
    bench.assert_equal(snapshot)
    assert snapshot.value("restarts") == 1
    # It started at the reading before, and its counters exist since then.
    assert uses(snapshot)["cold"] <= 60.0


@server
def test_what_a_killed_process_counted_last_is_lost_and_said(bench: Bench) -> None:
    sidecar = bench.sidecar()
    bench.read(sidecar)
    bench.serve(20)
    bench.read(sidecar)
    known = Books(bench.books.requests, bench.books.prompt, bench.books.output)
    bench.serve(5)  # and is killed before the next reading
    bench.books = known
    bench.restart()
    bench.serve(2)
    snapshot = bench.read(sidecar)
    bench.assert_equal(snapshot)
    assert [note for note in snapshot.notes if "between its last reading and its end are unknown" in note]


@server
def test_one_of_two_engines_behind_a_page_restarts(bench: Bench) -> None:
    other = VllmProcess(UNIX_S, engine="1", is_old=True)
    bench.restart(is_old=True)

    def publish() -> None:
        bench.pages.page = bench.process.page() + other.page()

    sidecar = bench.sidecar()
    publish()
    bench.read(sidecar)
    bench.serve(10)
    other.answer(1000, 5)
    publish()
    assert bench.read(sidecar).value("prompt_tokens") == bench.books.prompt + 1000
    other = VllmProcess(UNIX_S + 60, engine="1", is_old=True)
    other.answer(7, 1)
    bench.serve(1)
    publish()
    snapshot = bench.read(sidecar)
    assert snapshot.value("prompt_tokens") == bench.books.prompt + 1007
    assert snapshot.value("restarts") == 1


# ---- an engine that is gone ------------------------------------------------------------------------------------------


@server
def test_a_server_that_vanishes_is_paid_as_cold_and_loses_nothing(bench: Bench) -> None:
    sidecar = bench.sidecar(on=Deployment(hardware="l4", price="1.80/h"))
    bench.read(sidecar)
    bench.serve(10)
    bench.read(sidecar)
    bench.pages.stop()
    gone = bench.read(sidecar)
    assert gone.value("up") == 0
    assert gone.value("scrapes", outcome="error") == 1
    assert gone.value("in_flight") is None
    assert [note for note in gone.notes if "nothing listens there" in note]
    bench.assert_equal(gone)
    bench.read(sidecar)
    assert uses(bench.read(sidecar))["cold"] == 3 * INTERVAL_S
    bench.pages.start()
    bench.serve(4)  # it was the network: the process went on
    back = bench.read(sidecar)
    bench.assert_equal(back)
    assert (back.value("up"), back.value("restarts")) == (1, 0)
    assert sum(uses(back).values()) == pytest.approx(6 * INTERVAL_S)
    assert back.value("cost_usd") == pytest.approx(6 * INTERVAL_S * 1.80 / 3600, abs=0.005)
    assert back.value("cost_usd") == pytest.approx(0.045, rel=1e-12)


@server
def test_an_engine_that_starts_after_the_sidecar_counts_from_its_first_request(bench: Bench) -> None:
    bench.pages.stop()
    sidecar = bench.sidecar()
    assert bench.read(sidecar).value("up") == 0
    bench.restart()
    bench.serve(6)
    bench.pages.start()
    snapshot = bench.read(sidecar)
    bench.assert_equal(snapshot)
    assert (snapshot.value("cold_starts"), snapshot.value("restarts")) == (1, 0)


@server
@pytest.mark.parametrize("is_old", [False, True])
def test_a_restart_during_a_gap(bench: Bench, is_old: bool) -> None:
    bench.restart(is_old=is_old)
    sidecar = bench.sidecar()
    bench.read(sidecar)
    bench.serve(30)
    bench.read(sidecar)
    bench.pages.stop()
    bench.read(sidecar)
    bench.restart(is_old=is_old)
    bench.serve(3)
    bench.pages.start()
    snapshot = bench.read(sidecar)
    bench.assert_equal(snapshot)
    assert snapshot.value("restarts") == 1


@server
@pytest.mark.slow
def test_a_server_that_hangs_is_given_up_and_goes_on_later(bench: Bench) -> None:
    sidecar = bench.sidecar(timeout_s=1.0)
    bench.read(sidecar)

    def hang(_: Handler) -> None:
        time.sleep(4)

    def endless(request: Handler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        for _ in range(100):
            request.wfile.write(b"vllm:prompt_tokens_total{} 1\n")
            time.sleep(0.02)

    for place, misbehaves in enumerate((hang, endless), 1):
        bench.pages.page = misbehaves
        snapshot = bench.read(sidecar)
        assert snapshot.value("up") == 0
        assert snapshot.value("scrapes", outcome="error") == place
        assert [note for note in snapshot.notes if "no whole answer in 1 s" in note]
        # It answers no metrics, yet it may serve: this time is not taken for a cold start.
        assert uses(snapshot)["cold"] == 0
    bench.serve(9)
    bench.assert_equal(bench.read(sidecar))


# ---- garbage ---------------------------------------------------------------------------------------------------------


def damaged(page: bytes) -> dict[str, bytes]:
    text = page.decode()
    line = next(each for each in text.split("\n") if each.startswith("vllm:prompt_tokens_total"))
    name = line.rpartition(" ")[0]
    return {
        "binary": bytes(range(256)) * 100,
        "empty": b"",
        "half": page[: len(page) // 2],
        "html": b"<!doctype html><html><body><h1>502</h1></body></html>\n",
        "json": b'{"error": "overloaded"}\n',
        "no number": text.replace(line, f"{name} NaN").encode(),
        "negative": text.replace(line, f"{name} -5").encode(),
        "infinite": text.replace(line, f"{name} +Inf").encode(),
        "twice": text.replace(line, f"{line}\n{name} 1e12").encode(),
        "a word": text.replace(line, f"{name} many").encode(),
        "labels": text.replace(line, 'vllm:prompt_tokens_total{engine="0" 5').encode(),
        "deep": b"[" * 100_000,
        "long line": b'vllm:prompt_tokens_total{x="' + b"a" * 1_000_000 + b"\n",
        "shuffled buckets": text.replace('le="0.1"', 'le="zero"').encode(),
        "fell": text.replace(line, f"{name} 1").encode(),
        "no names": b"other_total 5\n",
    }


@server
@pytest.mark.parametrize("kind", list(damaged(VllmProcess(0.0).page())))
def test_garbage_raises_nothing_and_loses_nothing(bench: Bench, kind: str) -> None:
    sidecar = bench.sidecar()
    bench.read(sidecar)
    bench.serve(40)
    bench.read(sidecar)
    bench.serve(10)
    bench.pages.page = damaged(bench.process.page())[kind]
    between = bench.read(sidecar)
    counted = between.value("prompt_tokens")
    assert counted is not None
    assert counted <= bench.books.prompt
    failed = [between.value("scrapes", outcome=each) or 0.0 for each in ("partial", "error")]
    is_noted = any(words in note for note in between.notes for words in ("fell", "no longer read", "no metrics"))
    assert sum(failed) == 1 or is_noted
    bench.serve(5)
    after = bench.read(sidecar)
    bench.assert_equal(after)
    assert after.value("up") == 1
    assert after.value("restarts") == 0
    assert sum(uses(after).values()) == pytest.approx(4 * INTERVAL_S)


@server
def test_a_huge_page_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    sidecar = bench.sidecar()
    bench.read(sidecar)
    bench.pages.page, bench.pages.packed = b"# " + b"a" * (scraping.MOST_BYTES + 10), True  # 34 kB on the wire
    snapshot = bench.read(sidecar)
    assert snapshot.value("up") == 0
    assert [note for note in snapshot.notes if "bytes" in note]


@server
def test_a_page_of_many_series_is_read(bench: Bench) -> None:
    sidecar = bench.sidecar()
    bench.read(sidecar)
    bench.serve(10)
    bench.pages.page = bench.process.page() + b"".join(b'other_total{n="%d"} 1\n' % each for each in range(200_000))
    bench.assert_equal(bench.read(sidecar))


@server
def test_a_defect_of_the_sidecar_is_counted_and_ends_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    sidecar = bench.sidecar()
    bench.read(sidecar)
    with monkeypatch.context() as patched:
        patched.setattr(EngineTotals, "read", lambda *_, **__: 1 / 0)
        snapshot = bench.read(sidecar)
    assert snapshot.value("scrapes", outcome="error") == 1
    assert [note for note in snapshot.notes if "a defect of pyinfercost" in note and "ZeroDivisionError" in note]
    bench.serve(3)
    bench.assert_equal(bench.read(sidecar))


EVENTS = st.sampled_from(["serve", "serve", "read", "half", "lost line", "restart"])


@settings(max_examples=examples(100), deadline=None)
@example([("restart", 0), ("serve", 0), ("lost line", 162), ("read", 0)], False)  # the time of the start is lost
@example([("restart", 0), ("serve", 0), ("lost line", 2)], False)
@given(st.lists(st.tuples(EVENTS, st.integers(0, 10**6)), max_size=25), st.booleans())
def test_totals_never_exceed_the_books_and_equal_them_after_a_whole_page(
    events: list[tuple[str, int]], is_old: bool
) -> None:
    engine = ENGINES["vllm"]
    started_s, books = 1000.0, Books()
    process, totals = VllmProcess(started_s, is_old=is_old), EngineTotals(engine)
    totals.read(scraping.parse(process.page().decode(), engine.wanted()))
    for event, number in events:
        page = process.page().decode()
        if event == "serve":
            process.answer(number % 97 + 1, number % 7 + 1)
            books.prompt += number % 97 + 1
            books.output += number % 7 + 1
            books.requests += 1
        elif event == "read":
            totals.read(scraping.parse(page, engine.wanted()))
        elif event == "half":
            totals.read(scraping.parse(page[: number % len(page)], engine.wanted()))
        elif event == "lost line":
            lines = page.split("\n")
            del lines[number % (len(lines) - 1)]
            totals.read(scraping.parse("\n".join(lines), engine.wanted()))
        else:
            totals.read(scraping.parse(page, engine.wanted()))
            started_s += 100.0
            process = VllmProcess(started_s, is_old=is_old)
        assert totals.counters.get(series("prompt_tokens"), 0.0) <= books.prompt
        assert totals.counters.get(series("output_tokens"), 0.0) <= books.output
    process.answer(1, 1)
    page = scraping.parse(process.page().decode(), engine.wanted())
    totals.read(page)
    assert totals.counters[series("prompt_tokens")] == books.prompt + 1
    assert totals.counters[series("output_tokens")] == books.output + 1
    assert totals.distributions[series("ttft_s")].count == books.requests + 1


# ---- clocks ----------------------------------------------------------------------------------------------------------


@server
@pytest.mark.parametrize("jump_s", [-86_400.0, -3.0, 3.0, 86_400.0])
def test_wall_clocks_may_jump(bench: Bench, jump_s: float) -> None:
    sidecar = bench.sidecar(on=Deployment(hardware="l4", price="3.60/h"))
    before = bench.read(sidecar)
    bench.serve(10)
    bench.read(sidecar)
    bench.wall_shift_s += jump_s
    bench.serve(10)
    bench.read(sidecar)
    bench.restart()
    bench.serve(10)
    after = bench.read(sidecar)
    bench.assert_equal(after)
    assert sum(uses(after).values()) == pytest.approx(4 * INTERVAL_S)
    assert all(value >= 0 for value in uses(after).values())
    assert after.value("cost_usd") == pytest.approx(4 * INTERVAL_S * 3.6 / 3600, rel=1e-12)
    assert after.time_s - before.time_s == pytest.approx(3 * INTERVAL_S)


@server
def test_a_monotonic_clock_that_stands_or_falls_takes_nothing_back(bench: Bench) -> None:
    sidecar = bench.sidecar(on=Deployment(hardware="l4", price="3.60/h"))
    known = 0.0
    for step_s in (15.0, 0.0, -100.0, 15.0, 1e5, 0.0):
        bench.serve(2)
        snapshot = bench.read(sidecar, after_s=step_s)
        paid = sum(uses(snapshot).values())
        assert paid >= known
        known = paid
    assert snapshot.value("prompt_tokens") is not None


# ---- predictions -----------------------------------------------------------------------------------------------------


@server
@pytest.mark.parametrize("phase", [0.05, 0.5, 0.95])
def test_a_slowdown_shows_within_two_intervals(bench: Bench, phase: float) -> None:
    """Times between tokens become 1.5 times as long at some moment between two readings."""
    sidecar = bench.sidecar(model=step_costs_like_an_h100())
    bench.read(sidecar)

    def busy(seconds: float, itl_s: float) -> None:
        for _ in range(round(seconds * 4)):
            bench.process.answer(200, 25, ttft_s=0.03, itl_s=itl_s)
        bench.publish()

    ratios = []
    for _ in range(12):
        busy(INTERVAL_S, 0.008)
        ratios.append(bench.read(sidecar).value("measured_to_first", part="tpot"))
    known = [each for each in ratios if each is not None]
    assert len(known) >= 5
    assert all(each == pytest.approx(1.0, abs=0.01) for each in known)
    busy(phase * INTERVAL_S, 0.008)
    busy((1.0 - phase) * INTERVAL_S, 0.012)
    first = bench.read(sidecar).value("measured_to_first", part="tpot")
    busy(INTERVAL_S, 0.012)
    second = bench.read(sidecar).value("measured_to_first", part="tpot")
    assert first is not None
    assert second == pytest.approx(1.5, rel=0.02)
    assert 1.0 < first <= second


# ---- logs, exporters, plans, settings --------------------------------------------------------------------------------


@server
def test_the_last_reading_is_at_the_end(bench: Bench, tmp_path: Path) -> None:
    log, metrics = tmp_path / "log.jsonl", tmp_path / "live.prom"
    sidecar = Sidecar(bench.pages.url, log=log, exporters=str(metrics), interval_s=600.0, plan={"usd_per_h": 4.0})
    with sidecar:
        while not sidecar.snapshot().value("up"):
            time.sleep(0.01)
        bench.serve(25)
    bench.assert_equal(sidecar.snapshot())
    assert sidecar.snapshot().value("planned_usd_per_h") == 4.0
    assert f"}} {bench.books.prompt:.1f}" in metrics.read_text()
    assert f'"prompt_tokens": {bench.books.prompt}' in log.read_text() or str(bench.books.prompt) in log.read_text()


@server
def test_a_log_that_cannot_be_written_stops_nothing(bench: Bench) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full")
    sidecar = Sidecar(bench.pages.url, log=MonitorLog(full), interval_s=0.05, timeout_s=10.0)

    def run() -> None:
        with sidecar:
            while not sidecar.snapshot().value("up"):
                time.sleep(0.01)
            for _ in range(5):
                bench.serve(5)
                time.sleep(0.05)

    with pytest.warns(UserWarning, match="cannot be written"):
        run()
    bench.assert_equal(sidecar.snapshot())


def test_settings_are_checked(tmp_path: Path) -> None:
    with pytest.raises(SidecarError, match="expected auto or one of vllm, sglang, triton, tgi"):
        Sidecar("localhost:1", engine="vlm")
    with pytest.raises(SidecarError, match="interval_s"):
        Sidecar("localhost:1", interval_s=0)
    with pytest.raises(scraping.ScrapeError, match="ftp"):
        Sidecar("ftp://host")
    with pytest.raises(ValueError, match="plan"):
        Sidecar("localhost:1", plan={"bananas": 3})


@server
def test_another_engine_is_named(bench: Bench) -> None:
    sidecar = bench.sidecar(engine="sglang")
    bench.read(sidecar)
    assert sidecar.failure is not None
    assert sidecar.failure.is_wrong
    assert "no metrics of sglang, and has metrics of vllm" in sidecar.failure.reason


def test_an_address_where_nothing_is(bench: Bench) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        sidecar = Sidecar(f"127.0.0.1:{free.getsockname()[1]}")
        assert not sidecar.read()
    assert sidecar.failure is not None
    assert sidecar.failure.is_down
    assert not sidecar.failure.is_wrong
