"""What long commands show while they work."""

from __future__ import annotations

import io
import time
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from pyinfercost.cli import main, progress
from pyinfercost.cli.progress import working


class Written:
    """All that was written to stderr."""

    def __init__(self, captured: pytest.CaptureFixture[str]) -> None:
        self._captured = captured
        self._text = ""

    def getvalue(self) -> str:
        self._text += self._captured.readouterr().err
        return self._text


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Written:
    monkeypatch.setattr(progress, "_PATIENCE_S", 0.01)
    monkeypatch.setattr(progress, "_EVERY_S", 0.01)
    return Written(capsys)


def wait_for(holds: Callable[[], bool]) -> None:
    for _ in range(2000):
        if holds():
            return
        time.sleep(0.01)
    pytest.fail("nothing was written")


def test_a_long_command_says_what_it_does_and_how_far_it_is(stderr: Written) -> None:
    with working("Simulating fleets", "fleets") as update:
        wait_for(lambda: "Simulating fleets ...\n" in stderr.getvalue())
        wait_for(lambda: "Simulating fleets: 0 s\n" in stderr.getvalue())
        update(3, 8)
        wait_for(lambda: "Simulating fleets: 3 of 8 fleets, 0 s\n" in stderr.getvalue())
        update(9, 9)
        wait_for(lambda: "Simulating fleets: 9 fleets, 0 s\n" in stderr.getvalue())
    written = stderr.getvalue()
    assert written.startswith("Simulating fleets ...\n")
    time.sleep(0.05)
    assert stderr.getvalue() == written


def test_a_short_command_says_nothing(stderr: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_PATIENCE_S", 1e6)
    with working("Simulating fleets"):
        pass
    assert stderr.getvalue() == ""


@pytest.mark.parametrize("switched", ["option", "variable"])
def test_it_can_be_switched_off(stderr: Written, monkeypatch: pytest.MonkeyPatch, switched: str) -> None:
    if switched == "variable":
        monkeypatch.setenv("PYINFERCOST_NO_PROGRESS", "1")
    with working("Simulating fleets", silent=switched == "option") as update:
        update(1, 2)
        time.sleep(0.1)
    assert stderr.getvalue() == ""


def test_names_of_others_are_escaped(stderr: Written) -> None:
    with working("Capturing a\x1b[2Jb"):
        wait_for(lambda: "..." in stderr.getvalue())
    assert "\x1b" not in stderr.getvalue()


def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    found = Terminal()
    monkeypatch.setattr("sys.stderr", found)
    monkeypatch.setenv("TERM", "xterm")
    with working("Simulating [bold]fleets", "fleets") as update:
        update(3, 8)
        time.sleep(0.3)
    assert "Simulating [bold]fleets" in found.getvalue()
    assert "3 of 8 fleets" in found.getvalue()


def test_a_command_without_a_terminal_announces_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_PATIENCE_S", 0.0)
    done = CliRunner().invoke(
        main,
        [
            "fleet",
            "--slots",
            "4,service_s=1",
            "--traffic",
            "poisson:2",
            "--duration-s",
            "60",
            "--autoscaler",
            "static",
            "--format",
            "json",
        ],
    )
    assert done.exit_code == 0, done.output
    assert done.stderr.startswith("Simulating fleets of slots ...\n")
    assert done.stdout.startswith("{")
