"""Shared parts of tests of `pyinfercost sweep`: arguments, and parsers of tables."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner, Result

from pyinfercost.cli import main

MACHINES = ["l4", "a100-sxm-80gb"]
TWO = ("-H", "l4,a100-sxm-80gb")
L4 = ("-H", "l4")
SCALES = ("bandwidth", "compute", "cores")
PRICES = {"l4": 0.8, "a100-sxm-80gb": 2.49}
PRICE = ("--price", "l4=0.8,a100-sxm-80gb=2.49")
BATCHES = ("--batch", "1:256")


def sweep(*arguments: str) -> Result:
    return CliRunner().invoke(main, ("sweep", *arguments))


def points(*arguments: str) -> list[dict[str, Any]]:
    """Return the points of the JSON document."""
    result = sweep(*arguments, "--format", "json")
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)["points"]
    return found


def table(text: str) -> list[dict[str, str]]:
    """Return the rows of a table whose cells have no blanks, by column name."""
    lines = text.splitlines()
    rule = next(number for number, line in enumerate(lines) if line.startswith("---"))
    head = next(line for line in reversed(lines[:rule]) if "latency" in line).split()
    rows = []
    for line in lines[rule + 1 :]:
        if not line or " of " in line:
            break
        rows.append(dict(zip(head, line.split(), strict=True)))
    return rows


def heading(text: str) -> dict[str, str]:
    """Return the names and values above a table, or of a point."""
    before = text.partition("The best point and those that follow it:")[0]
    pairs = [line.split(None, 1) for line in before.splitlines() if line and not line.startswith("---")]
    return {name: value for name, value in (pair for pair in pairs if len(pair) == 2)}


def never(*_: object, **__: object) -> None:
    raise AssertionError("the model is captured")
