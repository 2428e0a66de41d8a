"""A few trials of each disturbance of a stored sweep; `nox -s kills` runs many."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pyarrow")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks processes")

SCRIPT = Path(__file__).parent / "kills.py"


TRIALS = 1
KINDS = ("kill", "interrupt", "full_disk", "read_only", "two_writers", "damage", "fork")


def disturbed(folder: Path, *kinds: str) -> dict[str, dict[str, int]]:
    result = subprocess.run(
        [sys.executable, SCRIPT, "--json", "--kinds", ",".join(kinds), "--trials", str(TRIALS)],
        check=False, capture_output=True, text=True, cwd=folder, env={**os.environ, "TMPDIR": str(folder)},
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    counts: dict[str, dict[str, int]] = json.loads(result.stdout)
    return counts


@pytest.fixture(scope="module")
def counts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, int]]:
    """Trials of all kinds in one process, which computes the undisturbed sweep once."""
    return disturbed(tmp_path_factory.mktemp("kills"), *KINDS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.slow
def test_a_disturbed_sweep_ends_equal_to_an_undisturbed_one(kind: str, counts: dict[str, dict[str, int]]) -> None:
    assert counts[kind]["equal"] == counts[kind]["trials"] >= TRIALS


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pool_worker", "dask_worker"])
def test_a_sweep_whose_worker_is_killed_ends_equal(kind: str, tmp_path: Path) -> None:
    if kind == "dask_worker":
        pytest.importorskip("distributed")
    counts = disturbed(tmp_path, kind)
    assert counts[kind]["equal"] == counts[kind]["trials"] >= TRIALS
