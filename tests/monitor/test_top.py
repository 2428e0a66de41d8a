"""The terminal view: sizes, terminals without colors, a pipe, a change of size, and a clean end."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console
from support.engine_server import PageServer
from support.live_cases import Day, Scripted, Times, day_history
from support.terminals import ENTER, LEAVE, SHOW, Terminal

from pyinfercost.cli import main
from pyinfercost.errors import InputError
from pyinfercost.monitor.history import History
from pyinfercost.monitor.terminal import top
from pyinfercost.report.live_lines import lines_of
from pyinfercost.report.live_text import LiveView, curve_text
from pyinfercost.results.live_history import LiveHistory

COLOR = re.compile(r"\x1b\[[0-9;]*\b(3[0-7]|9[0-7])[0-9;]*m")


@pytest.fixture(scope="module")
def slow() -> LiveHistory:
    """Hours that end in a slowdown."""
    return day_history(11.5, interval_s=60.0).read()


def console(width: int, height: int, **settings: Any) -> Console:
    return Console(file=io.StringIO(), width=width, height=height, force_terminal=True, **settings)


def screen(view: LiveView, width: int, height: int) -> list[str]:
    """Lines of a view that fills a terminal."""
    of = console(width, height, color_system=None)
    options = of.options.update(width=width, height=height)
    return ["".join(part.text for part in line).rstrip() for line in of.render_lines(view, options, pad=False)]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (160, 45), (40, 15), (60, 8), (20, 4), (300, 100)])
@pytest.mark.sample(1)
def test_it_fits_any_terminal(slow: LiveHistory, width: int, height: int) -> None:
    lines = screen(LiveView(slow, hint="Ctrl-C ends it"), width, height)
    assert len(lines) == height
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("llama-3.1-8b")
    assert lines[-1].startswith("Ctrl-C")


def test_a_terminal_of_80_columns_has_all_figures_with_plan_band_and_course(slow: LiveHistory) -> None:
    lines = screen(LiveView(slow, hint="Ctrl-C ends it"), 80, 24)
    whole = "\n".join(lines)
    for name in (
        "cost ",
        "cost per 1M tokens",
        "TTFT p50/p99",
        "TPOT p50/p99",
        "busy",
        "MFU",
        "MBU",
        "power",
        "KV cache",
    ):
        assert name in whole
    assert "plan 12" in whole
    assert "OUTSIDE 0.8" in whole
    assert re.search(r"measured/predicted decode +1\.6\d +OUTSIDE 0\.\d\d to 1\.\d\d +[▁-█]{8,}", whole)
    assert "…" not in whole


def test_values_are_whole_where_there_is_no_room(slow: LiveHistory) -> None:
    lines = screen(LiveView(slow), 40, 20)
    for line in lines_of(slow):
        row = next((each for each in lines if each.startswith(line.name[:8]) and line.now in each), None)
        if any(each.startswith(line.name) for each in lines):
            assert row is not None, line.name


def test_the_least_important_lines_go_first(slow: LiveHistory) -> None:
    lines = "\n".join(screen(LiveView(slow), 80, 12))
    for name in ("cost ", "requests", "busy", "measured/predicted"):
        assert name in lines
    assert "wait p50/p99" not in lines


def test_the_course_is_of_the_values(slow: LiveHistory) -> None:
    line = next(each for each in lines_of(slow) if each.name == "measured/predicted decode")
    curve = curve_text(slow, line, 46)
    assert len(curve) == 46
    assert curve[-2:] == "██"  # the slowdown is the highest
    assert set(curve[-12:-6]) <= set("▅▆")  # 1.04 of 1.6
    hours = [int(46 * at / 11.5) for at in (3.1, 3.5)]
    assert curve[hours[0] + 1] == " "  # asleep
    assert curve_text(slow, line, 46, "_.:-=+*#").replace("#", "█")[-2:] == "██"
    assert curve_text(slow, line, 0) == ""


def test_a_terminal_without_unicode_has_plain_marks(slow: LiveHistory) -> None:
    raw = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    of = Console(file=raw, width=100, force_terminal=True, color_system=None)
    of.print(LiveView(slow))
    raw.flush()
    assert isinstance(raw.buffer, io.BytesIO)
    assert b"#" in raw.buffer.getvalue()


def test_no_color_has_no_color(slow: LiveHistory, monkeypatch: pytest.MonkeyPatch) -> None:
    of = console(80, 24, color_system="standard")
    of.print(LiveView(slow))
    assert isinstance(of.file, io.StringIO)
    assert COLOR.search(of.file.getvalue())
    monkeypatch.setenv("NO_COLOR", "1")
    plain = console(80, 24, color_system="standard")
    plain.print(LiveView(slow))
    assert isinstance(plain.file, io.StringIO)
    assert not COLOR.search(plain.file.getvalue())
    assert "OUTSIDE" in plain.file.getvalue()


def test_red_is_the_only_color(slow: LiveHistory) -> None:
    of = console(80, 24, color_system="standard")
    of.print(LiveView(slow))
    assert isinstance(of.file, io.StringIO)
    assert {found.group(1) for found in COLOR.finditer(of.file.getvalue())} == {"31"}


def test_text_of_others_cannot_control_the_terminal() -> None:
    bad = "\x1b]0;title\x07\x1b[2J[red]x\nnext"
    observer = Scripted(Times(), info={"model": bad, "hardware": bad, "run": "1"}, notes=(bad,))
    history = History(observer, clock=observer.times.clock())
    history.sample()
    observer.times.go(15)
    observer.add("measured_s", 2.0, part=bad)
    observer.add("predicted_s", 1.0, part=bad)
    observer.fails = None
    history.sample()
    observer.fails = RuntimeError(bad)
    history.sample()
    text = "\n".join(screen(LiveView(history.read()), 120, 30))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[red]x" in text
    assert "\x1b" not in history.read().to_text()


def test_states() -> None:
    observer = Scripted(Times())
    history = History(observer, clock=observer.times.clock())
    assert "waiting for the first sample" in "\n".join(screen(LiveView(history.read()), 80, 10))
    history.sample()
    observer.times.go(100)
    assert "STALE: newest sample 2 min old" in "\n".join(screen(LiveView(history.read()), 80, 10))
    observer.gauge("up", 0.0)
    observer.add("restarts", 2.0)
    history.sample()
    text = "\n".join(screen(LiveView(history.read()), 80, 10))
    assert "does NOT answer" in text
    assert "restarts of the observed server" in text


def test_reasons_of_what_is_missing() -> None:
    observer = Scripted(Times(), notes=("energy is not measured: no counter",))
    history = History(observer, clock=observer.times.clock())
    history.sample()
    observer.times.go(15)
    observer.add("requests", 3.0, outcome="ok")
    history.sample()
    text = "\n".join(screen(LiveView(history.read()), 80, 24))
    assert "note: energy is not measured: no counter" in text
    assert "power" not in text


def test_without_a_terminal_it_is_printed_once() -> None:
    file = io.StringIO()
    started_s = time.monotonic()
    top(day_history(0.5), console=Console(file=file, width=100))
    assert time.monotonic() - started_s < 60
    assert file.getvalue().count("llama-3.1-8b") == 1
    assert "\x1b" not in file.getvalue()


def test_an_observer_without_a_terminal_has_rates() -> None:
    class Growing:
        def __init__(self) -> None:
            self.day = Day()

        def snapshot(self) -> Any:
            self.day.go(15)
            return self.day.snapshot()

    file = io.StringIO()
    top(Growing(), console=Console(file=file, width=100), interval_s=0.1)
    assert "requests" in file.getvalue()


def test_it_ends_when_it_is_told() -> None:
    stop = threading.Event()
    stop.set()
    top(day_history(0.1), console=console(80, 24), stop=stop)


@pytest.mark.parametrize("refresh_s", [0, -1, float("nan"), "2"])
def test_a_refresh_time_that_is_none(refresh_s: Any) -> None:
    with pytest.raises(InputError):
        top(day_history(0.1), refresh_s=refresh_s)


SCRIPT = """
import sys, time
sys.path.insert(0, {tests!r})
from support.live_cases import Day
from pyinfercost.monitor.terminal import top
class Growing:
    def __init__(self):
        self.day = Day()
    def snapshot(self):
        self.day.go(15)
        return self.day.snapshot()
top(Growing(), refresh_s=0.1, interval_s=0.2)
print("ended")
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "view.py"
    path.write_text(SCRIPT.format(tests=str(Path(__file__).parents[1])))
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are of Unix")
def test_a_terminal_is_drawn_again_resized_and_left_clean(script: Path) -> None:
    terminal = Terminal([sys.executable, str(script)], 80, 24)
    try:
        terminal.read_until(ENTER)
        terminal.read_until(b"TTFT p50/p99")
        terminal.read_until(b"TTFT p50/p99")  # drawn again
        narrow = terminal.read_until(b"TTFT p50/p99")
        terminal.resize(160, 50)
        for _ in range(5):
            wide = terminal.read_until(b"TTFT p50/p99")
        assert narrow
        text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", wide.decode())
        assert max(map(len, text.split("\n"))) > 100  # curves fill the new width
        os.killpg(terminal.process.pid, signal.SIGINT)  # as Ctrl-C does
        rest = terminal.read_until(b"ended")
        assert LEAVE in rest
        assert SHOW in rest
        assert b"Traceback" not in rest
        assert rest.rindex(LEAVE) < rest.index(b"ended")
        assert terminal.process.wait(timeout=60) == 0
    finally:
        terminal.close()


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are of Unix")
def test_a_terminal_without_color(script: Path) -> None:
    terminal = Terminal([sys.executable, str(script)], 80, 24, NO_COLOR="1")
    try:
        drawn = terminal.read_until(b"TTFT p50/p99") + terminal.read_until(b"TTFT p50/p99")
        assert not COLOR.search(drawn.decode())
        os.killpg(terminal.process.pid, signal.SIGINT)
        terminal.read_until(b"ended")
    finally:
        terminal.close()


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are of Unix")
def test_a_dumb_terminal_is_no_screen(script: Path) -> None:
    terminal = Terminal([sys.executable, str(script)], 80, 24, TERM="dumb")
    try:
        told = terminal.read_until(b"ended")
        assert b"TTFT p50/p99" in told
        assert b"\x1b[?1049h" not in told
    finally:
        terminal.close()


@pytest.mark.skipif(sys.platform == "win32", reason="signals are of Unix")
def test_a_pipe_gets_one_print(script: Path) -> None:
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("llama-3.1-8b") == 1
    assert "\x1b" not in done.stdout


@pytest.mark.server
@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are of Unix")
@pytest.mark.slow
def test_the_command_shows_an_engine_until_ctrl_c() -> None:
    count = [0]

    def answer(handler: Any) -> None:
        count[0] += 50
        body = engine_page(count[0]).encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "text/plain; version=0.0.4")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    engine = PageServer(page=answer)
    engine.start()
    words = ["-m", "pyinfercost", "monitor", "--scrape", engine.url, "--top", "--listen", "127.0.0.1:0"]
    terminal = Terminal([sys.executable, *words, "--interval", "0.2", "-H", "l4", "--price", "0.8"], 80, 24)
    try:
        terminal.read_until(ENTER)
        terminal.read_until(b"output tokens")
        terminal.read_until(b"cost")
        os.killpg(terminal.process.pid, signal.SIGINT)
        rest = terminal.read_until(b"Ended after")
        assert LEAVE in rest
        assert SHOW in rest
        assert b"Traceback" not in rest
        assert terminal.process.wait(timeout=60) == 0
    finally:
        terminal.close()
        engine.stop()


def engine_page(count: int) -> str:
    """Metrics of vLLM after so many requests of 7 tokens."""
    return (
        f'vllm:request_success_total{{finished_reason="stop",model_name="small"}} {count}\n'
        f'vllm:prompt_tokens_total{{model_name="small"}} {3 * count}\n'
        f'vllm:generation_tokens_total{{model_name="small"}} {7 * count}\n'
        'vllm:num_requests_running{model_name="small"} 2\n'
        'vllm:num_requests_waiting{model_name="small"} 0\n'
    )


def test_the_command_needs_a_terminal() -> None:
    result = CliRunner().invoke(main, ["monitor", "--scrape", "http://127.0.0.1:1", "--top"])
    assert result.exit_code == 2
    assert "--top needs a terminal" in result.stderr
    result = CliRunner().invoke(main, ["monitor", "--scrape", "http://127.0.0.1:1", "--top", "--once"])
    assert result.exit_code == 2
    assert "leave --listen, --serve, --token-file and --top out" in result.stderr
