"""Progress of long jobs: calls of a function, and the progress bar."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.sweep_checks import spec_of
from support.toy_graphs import blocks

import pyinfercost as ic
from pyinfercost.sweeps import progress
from pyinfercost.sweeps.execute import Run
from pyinfercost.sweeps.progress import pace, reporting


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def to_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Makes stderr a terminal; called in the test itself, since pytest sets stderr anew after its fixtures."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    return terminal


def test_a_function_is_told_up_to_the_total() -> None:
    seen: list[tuple[int, int]] = []
    ic.sweep(
        blocks(),
        hardware=["t4", "a100-sxm-80gb"],
        batch=range(1, 4097),
        scale={"bandwidth": [1 + step / 100 for step in range(200)]},
        progress=lambda done, total: seen.append((done, total)),
    )
    points = 2 * 4096 * 200
    done = [now for now, _ in seen]
    assert len(seen) > 5
    assert done == sorted(set(done))
    assert done[-1] == points
    assert {total for _, total in seen} == {points}


def test_a_function_is_told_what_was_there_before() -> None:
    seen: list[tuple[int, int]] = []
    with reporting(lambda *now: seen.append(now), 10, 4) as report:
        report(7)
    assert seen == [(4, 10), (7, 10)]


def test_a_short_job_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = to_terminal(monkeypatch)
    with reporting(None, 10) as report:
        report(5)
        report(10)
    assert terminal.getvalue() == ""


def test_a_short_job_does_not_import_rich() -> None:
    code = (
        "import sys\nsys.stderr.isatty = lambda: True\n"
        "from pyinfercost.sweeps.progress import reporting\n"
        "with reporting(None, 10) as report:\n    report(10)\n"
        "sys.exit('rich' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)


def test_a_bar_appears_in_time_even_if_nothing_is_done_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = to_terminal(monkeypatch)
    monkeypatch.setattr(progress, "PATIENCE_S", 0.05)
    with reporting(None, 1000) as report:
        assert terminal.getvalue() == ""
        for _ in range(100):
            time.sleep(0.02)
            if "of 1,000 points" in terminal.getvalue():
                break
        assert "0 % of 1,000 points" in terminal.getvalue()
        report(500)
        time.sleep(0.3)
    assert "50 % of 1,000 points" in terminal.getvalue()
    assert "a second, 0:00:0" in terminal.getvalue()
    assert terminal.getvalue().rstrip("\n").endswith("\x1b[2K")  # and is gone at the end


def test_true_shows_it_at_once_and_false_never(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = to_terminal(monkeypatch)
    monkeypatch.setattr(progress, "PATIENCE_S", 0.0)
    with Run(spec_of(blocks()), None, progress=False).reporting() as report:
        report(500)
    assert terminal.getvalue() == ""
    with Run(spec_of(blocks()), None).reporting() as report:
        report(500)
    assert "of 12,000 points" in terminal.getvalue()
    with reporting(True, 1000, 250) as report:
        report(500)
    assert "of 1,000 points" in terminal.getvalue()


def test_without_a_terminal_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (io.StringIO(), None):
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setattr(progress, "PATIENCE_S", 0.0)
        with Run(spec_of(blocks()), None).reporting() as report:
            report(500)
        assert stream is None or stream.getvalue() == ""


def test_pace_is_of_this_run() -> None:
    # 3,000 points in 2 s are 1,500 a second; 6,000 left take 4 s.
    assert pace(3000, 2.0, 6000) == ", 1,500 a second, 0:00:04 left"
    assert pace(0, 2.0, 6000) == ""
