"""`pyinfercost monitor` as a newcomer and an operator use it: wrong settings, signals, servers, logs."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from click.testing import CliRunner, Result
from support.engine_server import PageServer, VllmProcess, serving_pages

from pyinfercost.cli import main
from pyinfercost.monitor.log_reader import read_log, summed

server = pytest.mark.server
ON = ("--hardware", "l4", "--price", "0.80/h")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["monitor", *arguments])


@pytest.fixture
def engine() -> Iterator[tuple[PageServer, VllmProcess]]:
    process = VllmProcess(1000.0)
    with serving_pages(page=process.page()) as pages:
        yield pages, process


@contextmanager
def running(folder: Path, *arguments: str, ready: str = "Metrics at") -> Iterator[subprocess.Popen[bytes]]:
    """Run the command as a process with a free port, whose messages are in `folder / "said"`."""
    said = folder / "said"
    command = [sys.executable, "-m", "pyinfercost", "monitor", "--listen", "127.0.0.1:0", "--interval", "0.2"]
    with said.open("wb") as file:
        process = subprocess.Popen([*command, *arguments], stdout=file, stderr=file, cwd=folder)
        try:
            wait_for(said, ready)
            yield process
        finally:
            process.kill()
            process.wait()


def wait_for(said: Path, words: str) -> str:
    until = time.monotonic() + 60
    while words not in (text := said.read_text()):
        assert time.monotonic() < until, text
        time.sleep(0.05)
    return text


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


def page_of(said: Path) -> str:
    found = re.search(r"Metrics at (\S+)metrics", said.read_text())
    assert found is not None
    return found[1]


# ---- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (("--engine", "vllm"), "Missing option '--scrape'; expected an address", 2),
        (("--scrape", "ftp://host"), "url is 'ftp://host'; expected http://host:port/metrics", 2),
        (("--scrape", "http://user:pass@host"), "leave it out", 2),
        (("--scrape", "localhost:1", "--engine", "vlm"), "'vlm' is not one of 'auto', 'vllm', 'sglang'", 2),
        (("--scrape", "localhost:1", "--price", "2/h"), "--price needs --hardware", 2),
        (("--scrape", "localhost:1", "-H", "l4", "--price", "nobody/l4"), "nobody/l4", 2),
        (("--scrape", "localhost:1", "-H", "l44"), "unknown hardware 'l44'", 2),
        (("--scrape", "localhost:1", "--interval", "0"), "interval_s", 2),
        (("--scrape", "localhost:1", "--listen", "nowhere"), "expected HOST:PORT", 2),
        (("--scrape", "localhost:1", "--planned", "none.json"), "none.json", 2),
        (("--scrape", "localhost:1", "--log", "/dev/null/log.jsonl"), "folder /dev/null does not exist", 2),
        (("--scrape", "localhost:1", "--token-file", "none.txt"), "none.txt", 1),
        (("--scrape", "localhost:1", "--exporter", "carrier-pigeon"), "carrier-pigeon", 2),
        (("--scrape", "localhost:1", "--format", "json"), "--format is of --once", 2),
        (("--scrape", "localhost:1", "--once", "--serve"), "--once serves nothing", 2),
        (("--scrape", "localhost:1", "export", "--output", "a.csv", "log"), "--scrape is not an option of", 2),
        (("--scrape", "localhost:1", "--once"), "nothing listens there", 1),
        pytest.param(
            ("--scrape", "localhost:1", *ON, "--model", "hf:none/config.json"),
            "none/config.json",
            2,
            marks=pytest.mark.torch,
        ),
        (("--scrape", "localhost:1", "--model", "hf:none/config.json"), "--model needs --hardware", 2),
    ],
)
def test_wrong_settings(arguments: tuple[str, ...], words: str, code: int) -> None:
    found = run(*arguments)
    assert words in found.output.replace("\n", " ")
    assert found.exit_code == code
    assert "Traceback" not in found.output


def test_without_arguments_it_explains_itself() -> None:
    assert "--scrape URL" in run().output


@server
def test_a_port_in_use(engine: tuple[PageServer, VllmProcess]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        found = run("--scrape", engine[0].url, "--listen", address)
    assert f"cannot listen at {address}" in found.output
    assert found.exit_code == 1


@server
def test_another_engine_or_no_metrics_ends_it(engine: tuple[PageServer, VllmProcess]) -> None:
    pages, _ = engine
    found = run("--scrape", pages.url, "--engine", "sglang", "--listen", "127.0.0.1:0")
    assert "no metrics of sglang, and has metrics of vllm" in found.output
    assert found.exit_code == 1
    pages.status = 404
    found = run("--scrape", pages.url, "--engine", "sglang", "--listen", "127.0.0.1:0")
    assert "404 (Not Found)" in found.output
    assert "--enable-metrics" in found.output
    assert found.exit_code == 1
    pages.status, pages.page, pages.content_type = 200, b"<html>Welcome</html>\n", "text/html"
    assert "has no metrics of vllm" in run("--scrape", pages.url, "--engine", "vllm", "--once").output


# ---- what goes right -------------------------------------------------------------------------------------------------


@server
@pytest.mark.parametrize("ends_by", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.sample(1)
def test_signals_end_it_and_the_log_has_all(
    engine: tuple[PageServer, VllmProcess], tmp_path: Path, ends_by: signal.Signals
) -> None:
    pages, vllm = engine
    log = tmp_path / "live.jsonl"
    # The only readings are the first one and that of the end.
    with running(tmp_path, "--scrape", pages.url, *ON, "--log", str(log), "--interval", "1000") as process:
        time.sleep(0.3)
        for _ in range(20):
            vllm.answer(100, 10)
        pages.page = vllm.page()
        process.send_signal(ends_by)
        assert process.wait(30) == 0
    said = (tmp_path / "said").read_text()
    assert re.search(r"Ended after \d+ s: 20 requests, 200 generated tokens, 0\.0\d+ USD", said)
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert "2000" in json.dumps(records[-1])


@server
def test_metrics_and_the_live_page_are_served_with_a_token(
    engine: tuple[PageServer, VllmProcess], tmp_path: Path
) -> None:
    pages, vllm = engine
    token = tmp_path / "token"
    token.write_text("0123456789abcdef\n")
    with running(tmp_path, "--scrape", pages.url, *ON, "--serve", "--token-file", str(token)):
        url = page_of(tmp_path / "said")
        with pytest.raises(HTTPError, match="401"):
            urlopen(f"{url}metrics")
        vllm.answer(7, 5)
        pages.page = vllm.page()
        headers = {"Authorization": "Bearer 0123456789abcdef"}
        until = time.monotonic() + 30
        while "pyinfercost_output_tokens_total" not in (
            text := urlopen(Request(f"{url}metrics", headers=headers)).read().decode()
        ) or ('output_tokens_total{model="small"} 5.0' not in text):
            assert time.monotonic() < until, text
            time.sleep(0.05)
        assert 'price_usd_per_hour{model="small"} 0.8' in text or "0.8\n" in text
        assert 'engine="vllm"' in text
        assert "<html" in urlopen(Request(url, headers=headers)).read().decode()


@server
@pytest.mark.slow
def test_an_engine_that_comes_later_and_goes_is_reported(tmp_path: Path) -> None:
    vllm = VllmProcess(1000.0)
    with serving_pages(page=vllm.page()) as pages:
        pages.stop()
        with running(tmp_path, "--scrape", pages.url, "--engine", "vllm", ready="Reading"):
            assert "nothing listens there (Connection refused); waiting for it" in (tmp_path / "said").read_text()
            pages.start()
            wait_for(tmp_path / "said", "it answers")
            pages.stop()
            wait_for(tmp_path / "said", f"{pages.url}/metrics: nothing listens there (Connection refused)\n")
            pages.start()


@server
@pytest.mark.slow
def test_once_shows_what_happened_in_between(engine: tuple[PageServer, VllmProcess], tmp_path: Path) -> None:
    pages, vllm = engine
    command = [sys.executable, "-m", "pyinfercost", "monitor", "--scrape", pages.url, *ON, "--once", "--interval", "2"]
    for form in ("json", "table"):
        said = tmp_path / f"said-{form}"
        with said.open("wb") as file:
            process = subprocess.Popen([*command, "--format", form], stdout=subprocess.PIPE, stderr=file, cwd=tmp_path)
            wait_for(said, "again in 2 s")
            for _ in range(8):
                vllm.answer(100, 10)
            pages.page = vllm.page()
            shown = process.communicate(timeout=60)[0].decode()
            assert process.returncode == 0
        if form == "json":
            whole = json.loads(shown)["live_history"]["whole"]
            assert (whole["requests"]["ok"], whole["prompt_tokens"], whole["output_tokens"]) == (8, 800, 80)
            paid_s = sum(whole["reserved_s"].values())
            assert sum(whole["cost_usd"].values()) == pytest.approx(paid_s * 0.8 / 3600)
            assert whole["duration_s"] == pytest.approx(paid_s, rel=0.2)
        else:
            assert "small" in shown
            assert "USD" in shown or "usd" in shown


@server
def test_a_sidecar_that_is_killed_leaves_a_readable_log_and_the_next_goes_on_in_it(
    engine: tuple[PageServer, VllmProcess], tmp_path: Path
) -> None:
    pages, vllm = engine
    log = tmp_path / "live.jsonl"

    def counted() -> list[float]:
        found = read_log(log)
        assert found.damaged == 0
        return [summed(run.intervals).value("output_tokens") or 0.0 for run in found.runs]

    for lives in (1, 2):
        with running(tmp_path, "--scrape", pages.url, *ON, "--log", str(log)) as process:
            for _ in range(10):
                vllm.answer(100, 10)
            pages.page = vllm.page()
            wait_until(lambda wanted=lives: log.stat().st_size > 0 and counted() == [100.0] * wanted)
            process.kill()
    assert counted() == [100.0, 100.0]


@pytest.mark.torch
def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "pyinfercost.sources.huggingface.inputs", raising=False)
    found = run("--scrape", "localhost:1", *ON, "--model", "hf:none/config.json")
    assert found.exit_code == 1
    assert "hf:none/config.json needs torch, which is not installed" in found.output.replace("\n", " ")
