"""`pyinfercost diff` of fleets: inputs, limits and exit codes."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.fleet_results import comparison, plan

from pyinfercost.cli import main


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["diff", *arguments])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("fleets")
    texts = {
        "before.json": comparison().to_json(),
        "after.json": comparison(2.5).to_json(),
        "after.html": comparison(2.5).to_html(),
        "plan.json": plan().to_json(),
        "fleet.json": comparison().fleets[0].to_json(),
        "graph.json": '{"tensors": [], "nodes": [], "inputs": [], "outputs": []}',
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return {name: str(folder / name) for name in texts}


def test_all_formats(files: dict[str, str], tmp_path: Path) -> None:
    pair = (files["before.json"], files["after.json"])
    table = invoke(*pair)
    assert table.exit_code == 0
    assert "cost of a month" in table.stdout
    assert json.loads(invoke(*pair, "--format", "json").stdout)["fleet_changes"]["changed"] is True
    rows = list(csv.DictReader(io.StringIO(invoke(*pair, "--format", "csv").stdout)))
    assert [row["status"] for row in rows] == ["changed"] * 9
    out = tmp_path / "comment.md"
    assert invoke(*pair, "--format", "md", "-o", str(out)).exit_code == 0
    assert "USD a month" in out.read_text(encoding="utf-8").splitlines()[0]
    assert invoke(files["before.json"], files["after.html"]).stdout == table.stdout


@pytest.mark.parametrize(("before", "after"), [("plan.json", "before.json"), ("fleet.json", "fleet.json")])
def test_any_two_kinds(files: dict[str, str], before: str, after: str) -> None:
    assert invoke(files[before], files[after]).exit_code == 0


@pytest.mark.parametrize(
    ("limit", "code"),
    [("usd_per_month:+0.01%", 3), ("usd_per_month:+900%", 0), ("late_share:+1", 0), ("starts:any", 3)],
)
def test_limits_decide_the_exit_code(files: dict[str, str], limit: str, code: int) -> None:
    result = invoke(files["before.json"], files["after.json"], "--fail-if", limit)
    assert result.exit_code == code
    assert (f"FAILED {limit}" in result.stderr) == (code == 3)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("before.json", "after.json", "--fail-if", "latency_s:+5%"), 2, "no figure of a comparison"),
        (("before.json", "after.json", "--fail-if", "usd_per_month:5%"), 2, "write a sign"),
        (("before.json", "after.json", "--depth", "2"), 2, "both sides are fleets"),
        (("before.json", "after.json", "-H", "l4"), 2, "--hardware is for a model to profile"),
        (("before.json", "graph.json"), 1, "is no fleet, comparison of fleets or plan"),
        (("graph.json", "after.json"), 1, "is no fleet, comparison of fleets or plan"),
    ],
)
def test_wrong_use(files: dict[str, str], arguments: tuple[str, ...], code: int, message: str) -> None:
    result = invoke(*(files.get(each, each) for each in arguments))
    assert result.exit_code == code
    assert message in result.stderr


def test_limits_of_fleets_are_none_of_profiles(files: dict[str, str]) -> None:
    result = invoke(files["graph.json"], files["graph.json"], "--fail-if", "usd_per_month:+5%")
    assert result.exit_code == 2
    assert "usd_per_month" in result.stderr
