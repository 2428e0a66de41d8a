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


@pytest.mark.parametrize(
    ("kind", "trials"),
    [
        ("kill", 3),
        ("interrupt", 3),
        ("full_disk", 2),
        ("read_only", 2),
        ("two_writers", 2),
        ("damage", 5),
        ("fork", 3),
        pytest.param("pool_worker", 2, marks=pytest.mark.slow),
        pytest.param("dask_worker", 1, marks=pytest.mark.slow),
    ],
)
def test_a_disturbed_sweep_ends_equal_to_an_undisturbed_one(kind: str, trials: int, tmp_path: Path) -> None:
    if kind == "dask_worker":
        pytest.importorskip("distributed")
    result = subprocess.run(
        [sys.executable, SCRIPT, "--json", "--kinds", kind, "--trials", str(trials)],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    counts = json.loads(result.stdout)[kind]
    assert counts["equal"] == counts["trials"] >= trials
