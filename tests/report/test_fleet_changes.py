"""Changes between fleets, comparisons and plans: figures, limits, and the comment on a pull request."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from support.fleet_results import comparison, plan

import pyinfercost as ic
from pyinfercost.errors import InputTypeError, UnknownNameError
from pyinfercost.predict.limits import LimitError
from pyinfercost.report.comments import MOST_BYTES
from pyinfercost.results.documents import DocumentError
from pyinfercost.results.fleet_changes import FLEET_FIGURES
from pyinfercost.results.profile_changes import Change


def test_changes_are_those_of_the_results() -> None:
    before, after = comparison(), comparison(2.5)
    changes = ic.compare(before=before, after=after)
    one, other = before.best, after.best
    assert one is not None
    assert other is not None
    assert changes.best["usd_per_month"] == Change(one.usd_per_month, other.usd_per_month)
    assert changes.best["late_share"] == Change(one.late_share, other.late_share)
    assert len(changes.fleets) == 8
    for fleet in after:
        found = changes[fleet.deployment, fleet.policy]
        same = next(e for e in before if (e.deployment, e.policy) == (fleet.deployment, fleet.policy))
        assert found.figures["wait_p99_s"] == Change(same["wait_s"].p99, fleet["wait_s"].p99)
        assert found.figures["peak_replicas"] == Change(same.peak_replicas, fleet.peak_replicas)
        assert found.status == "changed"
    with pytest.raises(UnknownNameError, match="no fleet"):
        changes["large", "nothing"]


def test_nothing_differs_from_itself() -> None:
    for result in (comparison(), plan(), comparison().fleets[0]):
        changes = ic.compare(before=result, after=json.loads(result.to_json()))
        assert not changes.changed
        assert {each.status for each in changes.fleets} == {"same"}
        assert repr(changes) == "no difference"
        assert changes.to_markdown().startswith("**no difference**")


def test_added_and_removed_fleets() -> None:
    document = comparison().to_dict()
    fewer = json.loads(json.dumps(document))
    gone = fewer["comparison"]["fleets"].pop(2)
    changes = ic.compare(before=document, after=fewer)
    assert [(e.deployment, e.policy) for e in changes.fleets if e.status == "removed"] == [
        (gone["deployment"], gone["policy"])
    ]
    assert ic.compare(before=fewer, after=document)[gone["deployment"], gone["policy"]].status == "added"
    assert f"removed  {gone['policy']} on {gone['deployment']}" in str(changes)


def test_a_plan_and_a_comparison_and_pages(tmp_path: Path) -> None:
    page, file = tmp_path / "plan.html", tmp_path / "fleets.json"
    page.write_text(plan().to_html(), encoding="utf-8")
    file.write_text(comparison().to_json(), encoding="utf-8")
    changes = ic.compare(before=page, after=file)
    best, fleet = plan().best, comparison().best
    assert best is not None
    assert fleet is not None
    assert changes.best["usd_per_month"] == Change(best.usd_per_month, fleet.usd_per_month)
    assert (changes.before.kind, changes.after.kind) == ("plan", "comparison")


def test_the_comment_begins_with_monthly_dollars() -> None:
    before, after = comparison(), comparison(2.5)
    changes = ic.compare(before=before, after=after, limits=["usd_per_month:+1%", "late_share:+0.9"])
    text = changes.to_markdown()
    first = text.splitlines()[0]
    assert re.match(r"\*\*[\d,]+ USD a month (more|less) \([\d,]+ → [\d,]+, [+-][\d.]+ %\), late requests ", first)
    assert "❌ **1 limit is broken:**" in text
    assert [broken.figure for broken in changes.failed] == ["usd_per_month"]
    assert text.index("cost of a month") < text.index("late requests |")
    assert "FAILED usd_per_month:+1%" in str(changes)


def test_without_a_fleet_that_holds_figures_of_the_best_are_unknown() -> None:
    missed = comparison(slo="queue_p50<0.001,e2e_p50<0.1")
    changes = ic.compare(before=comparison(), after=missed, limits=["usd_per_month:+1000%"])
    assert changes.best["usd_per_month"].after is None
    assert "usd_per_month is not known after" in str(changes.failed[0])
    assert any("no fleet holds" in text for text in changes.warnings)
    assert any(text.startswith("slo differs") for text in changes.warnings)


def test_a_comment_has_room_for_many_fleets() -> None:
    document = comparison().to_dict()
    fleet = document["comparison"]["fleets"][0]
    for number in range(2000):
        document["comparison"]["fleets"].append({**fleet, "deployment": f"place|{number}" * 9})
    changes = ic.compare(before=comparison(), after=document)
    text = changes.to_markdown()
    assert len(text.encode()) <= MOST_BYTES
    assert "<details><summary>2000 fleets differ</summary>" in text
    left = re.search(r"The last (\d+) of 2000 rows are left out", text)
    assert left is not None
    assert text.count("| added |") + int(left[1]) == 2000


def test_rows_and_json_have_every_figure() -> None:
    changes = ic.compare(before=comparison(), after=comparison(2.5))
    rows = changes.to_rows()
    assert rows[0]["deployment"] == "(best)"
    assert len(rows) == 9
    assert {f"{name}_difference" for name in FLEET_FIGURES} <= set(changes.columns)
    found = json.loads(changes.to_json())["fleet_changes"]
    assert found["best"]["usd_per_month"]["ratio"] == pytest.approx(changes.best["usd_per_month"].ratio)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "no fleet, comparison of fleets or plan"),
        ({"schema_version": 1, "fleet": 3}, "no fleet, comparison of fleets or plan"),
        ({"schema_version": 2, "comparison": {"fleets": []}}, "schema_version 2; expected 1; a newer"),
        ({"schema_version": 1, "comparison": {"fleets": 3}}, "expected a list"),
        ({"schema_version": 1, "plan": {"choices": [{"usd_per_month": "much"}]}}, "usd_per_month"),
    ],
)
def test_what_is_no_document_is_refused(document: dict[str, Any], message: str) -> None:
    with pytest.raises(DocumentError, match=re.escape(message)):
        ic.compare(before=comparison(), after=document)


def test_wrong_arguments() -> None:
    with pytest.raises(InputTypeError, match="expected a FleetResult"):
        ic.compare(before=3, after=comparison())  # type: ignore[arg-type]
    with pytest.raises(LimitError, match="did you mean late_share"):
        ic.compare(before=comparison(), after=comparison(), limits=["late:+1%"])


def test_before_and_after_go_together_and_alone() -> None:
    for arguments in ({"before": comparison()}, {"before": comparison(), "after": comparison(), "hardware": "l4"}):
        with pytest.raises(InputTypeError, match="before and after are two results, which go together and without"):
            ic.compare(**arguments)
    with pytest.raises(InputTypeError, match="limits are for two results"):
        ic.compare("resnet18", limits=["flops:any"])
