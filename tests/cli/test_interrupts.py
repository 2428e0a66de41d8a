"""Ctrl-C on the command line: one line and the exit code 130, from the first import to the end of the process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.toy_graphs import blocks

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals")

_BEFORE = "import atexit, os, signal, sys, time\ninterrupt = lambda: os.kill(os.getpid(), signal.SIGINT)\n"
_AT_IMPORT = """
class Finder:
    def find_spec(self, name, *_):
        if name == {name!r}:
            exec("interrupt()\\ntime.sleep(1)")

sys.meta_path.insert(0, Finder())
"""
_RUN = "from pyinfercost.__main__ import main\nmain()\n"


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _BEFORE + program, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        timeout=60,
    )


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("graphs") / "toy.json"
    path.write_text(blocks().to_json(), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    "name", ["pyinfercost.cli", "click", "pyinfercost.cli.profile_command", "pyinfercost.predict.profile"]
)
def test_during_an_import(name: str, toy: str) -> None:
    result = run(_AT_IMPORT.format(name=name) + _RUN, "profile", toy, "-H", "l4", "--format", "json")
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "Stopped\n")


@pytest.mark.parametrize(("words", "code"), [(("pyinfercost",), 130), (("-m", "pyinfercost"), 130), (("other",), 1)])
def test_the_command_is_recognized_before_its_imports(words: tuple[str, ...], code: int) -> None:
    start = (
        f"sys.argv, sys.orig_argv = {[words[0]]}, {['python', *words]}\n{_AT_IMPORT.format(name='pyinfercost._core')}"
    )
    result = run(f"{start}try:\n    import pyinfercost\nexcept KeyboardInterrupt:\n    sys.exit(1)\n")
    assert (result.returncode, result.stderr) == (code, "Stopped\n" if code == 130 else "")


def test_at_the_end_of_the_process() -> None:
    result = run("atexit.register(interrupt)\n" + _RUN, "prices", "--help")
    assert (result.returncode, result.stderr) == (130, "Stopped\n")


def test_in_a_destructor() -> None:
    program = """
from pyinfercost._interrupts import Raised, stop_at_once

class Interrupting:
    def __del__(self):
        interrupt()
        time.sleep(0.01)

stop_at_once()
try:
    with Raised():
        Interrupting()
        for _ in range(500):
            time.sleep(0.01)
        print("went on")
except KeyboardInterrupt:
    print("raised")
"""
    result = run(program)
    assert (result.returncode, result.stdout, result.stderr) == (0, "raised\n", "")


def test_a_job_in_the_background_goes_on_to_ignore_it() -> None:
    program = f"signal.signal(signal.SIGINT, signal.SIG_IGN)\n{_AT_IMPORT.format(name='click')}{_RUN}"
    result = run(program, "prices", "--help")
    assert (result.returncode, result.stderr) == (0, "")
