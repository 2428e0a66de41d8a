"""What tests of advice compare: figures of an advised setup, and those that its command or its code predicts."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

from click.testing import CliRunner

import pyinfercost as ic
from pyinfercost.cli import main
from pyinfercost.results.advice import FIGURES, AdvisedSetup


def setups_of(advice: ic.results.Advice) -> Iterator[AdvisedSetup]:
    """All setups with figures: the baseline, rows, and every step of the plans."""
    yield advice.baseline
    yield from (row.setup for row in advice.rows)
    for plan in (advice.best, advice.here):
        if plan is not None:
            yield plan.setup
            yield from (step.setup for step in plan.steps)


def figures_of_command(command: str) -> dict[str, Any]:
    """The figures that a printed command predicts."""
    program, *words = shlex.split(command)
    assert program == "pyinfercost"
    ran = CliRunner().invoke(main, [*words, "--format", "json"])
    assert ran.exit_code == 0, f"{command}\n{ran.output}"
    document = json.loads(ran.stdout)
    estimate = document["estimate"]
    found = {name: estimate.get(name) for name in FIGURES}
    of_device = estimate.get("per_device")
    whole = document["totals"]["peak_memory_bytes"]
    return found | {"peak_memory_bytes": whole if of_device is None else of_device["memory_bytes"]}


def figures_of_code(code: str, **names: Any) -> dict[str, Any]:
    """The figures that printed lines of Python predict."""
    names = dict(names)
    exec(code, names)
    estimate, counts = names["profile"].estimate, names["profile"].counts
    found = {name: getattr(estimate, name) for name in FIGURES if name != "peak_memory_bytes"}
    of_device = estimate.per_device
    whole = counts.total.peak_memory_bytes
    return found | {"peak_memory_bytes": whole if of_device is None else of_device.memory_bytes}
