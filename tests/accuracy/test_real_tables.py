"""Real measurements, which are not part of the repository: every row is judged, or counted with a reason."""

from __future__ import annotations

import csv

import pytest
from support.paths import SHARED

from benchmarks.accuracy.captures import Capturing
from benchmarks.accuracy.judge import UNCATALOGED, judge, read_tables
from benchmarks.accuracy.machines import load_machines
from benchmarks.accuracy.measured import Problems
from benchmarks.accuracy.tables import KINDS
from benchmarks.accuracy.tables.serving import QUEUED

MEASURED = SHARED / "measured"
pytestmark = pytest.mark.skipif(not MEASURED.is_dir(), reason=f"{MEASURED} is not there: no measurements to judge")


def test_every_file_is_known() -> None:
    files = {path.stem for path in [*MEASURED.glob("*.csv"), *MEASURED.glob(f"{UNCATALOGED}/*.csv")]}
    assert files <= {*KINDS}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if not kind.sample_by])
def test_every_row_is_judged_or_counted(name: str) -> None:
    if KINDS[name].servers is not None:
        pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")
    paths = [MEASURED / KINDS[name].folder / f"{name}.csv", MEASURED / UNCATALOGED / f"{name}.csv"]
    rows = 0
    for path in paths:
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                rows += sum(1 for _ in csv.DictReader(file))
    if not rows:
        pytest.skip(f"{MEASURED} has no {name}.csv")
    problems = Problems()
    tables = read_tables(MEASURED, [name], problems)
    machines = load_machines(tables, lambda _: None, problems)
    judged = [group for _, part in judge(tables, machines, Capturing(MEASURED)) for group in part.groups]
    assert sum(group.table in (name, f"{name}{QUEUED}") for group in judged) + problems_of(problems) == rows


def problems_of(problems: Problems) -> int:
    """Number of rows that are left out before they are predicted."""
    return sum(len(subjects) for subjects in problems.found.values())
