"""A grid in parts and comparisons, for tests of sweeps stored in folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.toy_graphs import blocks

import pyinfercost as ic
from pyinfercost.sources.captured import Captured
from pyinfercost.sweeps.axes import make_spec
from pyinfercost.sweeps.conditions import Condition
from pyinfercost.sweeps.execute import Run

AXES: dict[str, Any] = {"hardware": ["a100-sxm-80gb", "t4"], "precision": ["fp32", "fp16"], "price": 2.5}
BATCH = range(1, 1001)
POINTS = 4000
PARTS = 10


def run_of(where: str | None = None, **options: Any) -> Run:
    spec = make_spec(Captured(blocks(), {"batch": BATCH}, {}, "toy"), **AXES)
    return Run(spec, Condition.all_of(where), **{"chunk_points": POINTS // PARTS, **options})


def check_equal(sweep: ic.results.Sweep, expected: ic.results.Sweep) -> None:
    assert sweep.columns == expected.columns
    assert len(sweep) == len(expected)
    for name in expected.columns:
        assert sweep[name].dtype.kind == expected[name].dtype.kind, name
        assert (sweep[name] == expected[name]).all(), name


def content(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}
