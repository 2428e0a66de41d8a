"""Limits on the number of files of the package that common calls enter, as `tools/walks.py` counts them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.torch

ROOT = Path(__file__).parents[1]

LIMITS = {
    "priced estimate": 26,
    "one priced sweep point": 24,
    "profile.to_text()": 11,
    "tracker.step(), after a structure change": 43,
}
"""Name of a walk -> the most files that it may enter."""

# A file of each walk, without which the walk was not measured.
ENTERED = {
    "priced estimate": "deployment/prices.py",
    "one priced sweep point": "sweeps/execute.py",
    "profile.to_text()": "report/table.py",
    "tracker.step(), after a structure change": "sources/trace/writer.py",
}


def test_common_calls_enter_few_files() -> None:
    # In the folder of the tests, so that an installed package is measured where there is one.
    told = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "walks.py"), *LIMITS],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT / "tests",
        env={**os.environ, "PYINFERCOST_NO_CACHE": "1"},  # others may fill the cache meanwhile
    ).stdout
    files: dict[str, list[str]] = {}
    for line in told.splitlines()[1:]:
        walk = re.match(r"(\S.*?) +(\d+) +\d+(?: |$)", line)
        if walk:
            files[walk[1]] = []
            continue
        files[list(files)[-1]].append(line.strip())
    assert files.keys() == LIMITS.keys()
    assert not [name for name, file in ENTERED.items() if file not in files[name]]
    too_many = {name: (len(entered), entered) for name, entered in files.items() if len(entered) > LIMITS[name]}
    assert not too_many, (
        "a call enters more files than its limit: join what is one concept, or enter no room for nothing"
    )
