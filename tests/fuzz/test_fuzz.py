"""The fuzzer: a few hundred inputs for each door, and that it finds, shrinks and repeats planted faults."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
import hypothesis.strategies as st
import pytest
from fuzz import doors, planted
from fuzz.door import Door, is_bad, load_door
from fuzz.failures import read
from fuzz.outcomes import outcome_of
from fuzz.shrink import shrink
from fuzz.toml import to_toml
from fuzz.values import Value, at, from_json, paths, replaced, to_json
from support.paths import TESTS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the runner forks, and reads /proc")

RUN = str(TESTS / "fuzz/run.py")
INPUTS = 300
"""Inputs of a door; slow doors get fewer, in proportion to their share."""

CORE_DOORS = [name for name, path in doors.TABLE.items() if "torch" not in load_door(path).libraries]


class Finished(NamedTuple):
    """A run that has ended."""

    code: int
    output: str
    summary: dict[str, Any]


def run(folder: Path, *options: str, hash_seed: str = "0") -> Finished:
    """Run the fuzzer in a process of its own: this one may have threads, beside which it cannot fork."""
    summary = folder / "summary.json"
    result = subprocess.run(
        [sys.executable, RUN, "--summary", str(summary), "--keep", str(folder / "kept"), *options],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )
    assert summary.exists(), result.stdout + result.stderr
    return Finished(result.returncode, result.stdout, json.loads(summary.read_text(encoding="utf-8")))


def check_doors(folder: Path, names: list[str]) -> None:
    """Run the doors of these names, and see that no input fails."""
    finished = run(folder, "--each", str(INPUTS), "--shrink-seconds", "2", *(f"--door={name}" for name in names))
    assert finished.code == 0, finished.output
    for name, counts in finished.summary["doors"].items():
        assert counts["failed"] == 0
        assert counts["inputs"] == counts["accepted"] + counts["refused"] > 0
        assert counts["accepted"] > 0, f"{name}: all inputs are refused, so nothing behind the first check is tried"


@pytest.mark.slow
def test_doors_of_the_core(tmp_path: Path) -> None:
    check_doors(tmp_path, CORE_DOORS)


def test_each_file_of_a_door_is_in_the_table() -> None:
    classes = {
        f"fuzz.doors.{path.stem}:{name}"
        for path in (TESTS / "fuzz/doors").glob("*.py")
        if path.stem not in ("__init__", "modules")
        for name, kind in vars(import_module(f"fuzz.doors.{path.stem}")).items()
        if isinstance(kind, type) and issubclass(kind, Door) and kind.__module__ == f"fuzz.doors.{path.stem}"
    }
    assert classes == set(doors.TABLE.values())


def test_shares_add_up_to_a_million() -> None:
    assert sum(load_door(path).share for path in doors.TABLE.values()) == 1_000_000


class Planted(NamedTuple):
    """How the runner reports a planted fault: the door, the kind, and a part of the message."""

    door: str
    kind: str
    message: str


FAULTS = (
    Planted("crash", "signal", "SIGSEGV"),
    Planted("exit", "signal", "exit 3"),
    Planted("hang", "hang", "hang in"),
    Planted("wait", "hang", "hang in"),
    Planted("memory", "memory", "MemoryError"),
    Planted("foreign", "exception", "KeyError"),
    Planted("infinite", "figure", "latency_s"),
    Planted("negative", "figure", "flops"),
    Planted("broken", "rule", "numbers are small"),
)
KEPT = ("crash", "memory", "negative")
"""Doors whose failing inputs are run again."""


def run_planted(folder: Path, names: Iterable[str]) -> tuple[Finished, Path]:
    """Run planted doors of these names, and return the run and its folder."""
    chosen = [f"--door={name}" for name in names]
    options = ("--table", "fuzz.planted", *chosen, "--inputs", "1500", "--cpu-seconds", "0.4", "--wall-seconds", "1")
    return run(folder, *options, "--shrink-seconds", "4"), folder


@pytest.fixture(scope="module")
def all_planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, Path]:
    """All planted doors; each input of some takes as long as the limit."""
    return run_planted(tmp_path_factory.mktemp("all"), (fault.door for fault in FAULTS))


@pytest.fixture(scope="module")
def planted_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, Path]:
    """Planted doors without one that hangs."""
    return run_planted(tmp_path_factory.mktemp("planted"), ("sound", *KEPT))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.door)
@pytest.mark.slow
def test_planted_faults_are_found(all_planted: tuple[Finished, Path], fault: Planted) -> None:
    finished, folder = all_planted
    counts = finished.summary["doors"][fault.door]
    (found,) = counts["faults"]
    assert found["kind"] == fault.kind
    assert fault.message in found["what"]
    assert found["inputs"] == counts["failed"] > 0
    assert counts["accepted"] > 0
    assert counts["refused"] > 0
    assert counts["inputs"] == counts["accepted"] + counts["refused"] + counts["failed"]
    (path,) = (folder / "kept").glob(f"{fault.door}-*.json")
    assert f"--replay {path}" in finished.output
    failure = read(path)
    assert (failure.door, failure.kind) == (fault.door, fault.kind)
    if fault.kind != "hang":  # each try of a hang takes as long as the limit
        assert failure.value == {"numbers": [planted.TRIGGER + 1]}


def test_a_sound_door_has_no_faults(planted_run: tuple[Finished, Path]) -> None:
    finished, folder = planted_run
    counts = finished.summary["doors"]["sound"]
    assert counts["failed"] == 0
    assert counts["refused"] > 0
    assert not list((folder / "kept").glob("sound-*"))
    assert finished.code == 1, "other doors have faults"


def test_an_input_that_ends_after_its_limit_is_a_hang() -> None:
    value = {"numbers": [planted.TRIGGER + 1]}
    assert outcome_of(planted.Late(), value, limit_s=10).kind == "accepted"
    late = outcome_of(planted.Late(), value, limit_s=0.02)
    assert late.fault == ("hang", "ended late")
    assert late.seconds >= 0.05


@pytest.mark.parametrize("door", KEPT)
def test_a_kept_input_fails_again(planted_run: tuple[Finished, Path], door: str) -> None:
    _, folder = planted_run
    (path,) = (folder / "kept").glob(f"{door}-*.json")
    command = [sys.executable, RUN, "--table", "fuzz.planted", "--replay", str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert read(path).what in result.stdout


def test_inputs_follow_from_seed_and_number(tmp_path: Path) -> None:
    digests = []
    for hash_seed, seed, jobs in (("1", "3", "1"), ("2", "3", "2"), ("1", "4", "1")):
        names = [f"--door={name}" for name in ("graph-json", "hardware-toml", "profiles", "deployments")]
        options = ["--each", "20", "--shrink-seconds", "0", "--seed", seed, "--jobs", jobs, *names]
        finished = run(tmp_path, *options, hash_seed=hash_seed)
        digests.append([door["digest"] for door in finished.summary["doors"].values()])
    assert digests[0] == digests[1]
    assert not set(digests[0]) & set(digests[2])


@pytest.mark.slow
def test_inputs_that_a_batch_leaves_are_run_later(tmp_path: Path) -> None:
    # A batch takes a second and so runs about 50 of these inputs.
    options = ("--table", "fuzz.planted", "--door", "slow", "--inputs", "150")
    one = run(tmp_path, *options, "--jobs", "1").summary["doors"]["slow"]
    two = run(tmp_path, *options, "--jobs", "3").summary["doors"]["slow"]
    assert one["inputs"] == two["inputs"] == 150
    assert one["digest"] == two["digest"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.just("\ud800"),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("$"), inner),
)


@hypothesis.given(VALUES)
def test_kept_inputs_are_read_as_they_were_written(value: Value) -> None:
    again = from_json(to_json(value))
    assert repr(again) == repr(value)  # NaN does not equal itself


def test_long_integers_are_kept() -> None:
    assert from_json(to_json({"cores": 10**5000})) == {"cores": 10**5000}


@hypothesis.given(VALUES)
def test_values_are_found_and_replaced_by_path(value: Value) -> None:
    for path in paths(value)[:20]:
        changed = replaced(value, path, "new")
        assert at(changed, path) == "new"
        assert repr(replaced(changed, path, at(value, path))) == repr(value)


def test_shrinking_keeps_what_fails_alone() -> None:
    given = {"a": [1, 2, {"b": "some text with x in it"}], "c": 7.25, "d": b"bytes", "e": 1000}

    def fails(value: Value) -> bool:
        text = repr(value)
        return "x" in text and isinstance(value, dict) and value.get("e", 0) > 500

    # Of the text only the x is left; 501 is the least number above 500.
    assert shrink(given, fails) == {"a": [{"b": "x"}], "e": 501}


def test_shrinking_ends_after_its_tries() -> None:
    tried = []

    def fails(value: Value) -> bool:
        tried.append(value)
        return False

    assert shrink(list(range(100)), fails, tries=10) == list(range(100))
    assert len(tried) == 10


@pytest.mark.parametrize(
    ("figure", "bad"),
    [(0, False), (1.5, False), (-1, True), (-0.0, False), (float("nan"), True), (float("inf"), True), (None, False)],
)
def test_bad_figures(figure: object, bad: bool) -> None:
    assert is_bad(figure) is bad


def test_values_nested_deeper_than_the_stack_are_written_as_toml() -> None:
    tree: Value = {"a": [1, [2, {"b c": True, "x": []}], 'é"', {}], "f": 1.5, "t": {"u": {"v": [float("inf")]}}}
    assert tomllib.loads(to_toml(tree)) == tree
    deep: Value = 0
    for _ in range(sys.getrecursionlimit() * 2):
        deep = [deep]
    assert to_toml({"a": deep}) == f"a = {'[' * (sys.getrecursionlimit() * 2)}0{']' * (sys.getrecursionlimit() * 2)}\n"
