"""The HTML report: content of the page."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from markupsafe import escape
from support.report_pages import Scripts, document_of, evil_profile, unpacked
from support.toy_graphs import blocks, transformer

import pyinfercost as ic
from pyinfercost.advice.hints import hint_for
from pyinfercost.cli import main
from pyinfercost.predict.exploration import exploration_of
from pyinfercost.predict.machine_catalog import machine_catalog
from pyinfercost.report.html.catalog_pack import catalog_pack, machine_entry
from pyinfercost.report.html.live_packs import CORE


@pytest.fixture(scope="module")
def profile() -> ic.results.Profile:
    return ic.profile(transformer(), hardware="t4", precision="fp16", price=1.5, batch=8, sequence=128)


@pytest.fixture(scope="module")
def page_text(profile: ic.results.Profile) -> str:
    return profile.to_html()


def test_the_profile_is_inside_and_nothing_is_outside(profile: ic.results.Profile, page_text: str) -> None:
    assert document_of(page_text) == json.loads(profile.to_json())
    assert Scripts(page_text).addresses == ["data:,"]
    assert not re.search("https?:", page_text)
    assert "url(" not in page_text
    assert len(page_text.encode()) - len(Scripts(page_text).found["pyinfercost-core"]) < 300_000


def setup_of(text: str) -> dict[str, Any]:
    return json.loads(unpacked(Scripts(text).found["pyinfercost-setup"]))


def test_a_live_page_has_the_core_the_graph_and_where_it_begins(profile: ic.results.Profile, page_text: str) -> None:
    found = Scripts(page_text).found
    assert base64.b64decode(found["pyinfercost-core"]) == CORE.read_bytes()
    start = setup_of(page_text)["start"]
    assert (start["machine"], start["precision"], start["execution"]) == ("t4", "fp16", "eager")
    assert start["sizes"] == {"batch": 8, "sequence": 128}
    (phase,) = setup_of(page_text)["phases"]
    assert {size["name"]: size["value"] for size in phase["sizes"]} == start["sizes"]
    assert phase["formats"][0] == ""
    assert phase["formats"] == re.findall(r'data-phase="forward" data-format="(\w*)"', page_text)


def test_the_policy_of_a_live_page_allows_its_core_and_nothing_more(page_text: str) -> None:
    plain = ic.profile(blocks()).to_html()
    for text, live in ((page_text, " 'wasm-unsafe-eval'; worker-src blob:"), (plain, "")):
        policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
        assert policy is not None
        assert re.sub(r"'sha256-[\w+/=]+'", "HASH", policy[1]) == (
            f"default-src 'none'; style-src 'unsafe-inline'; script-src HASH{live}; img-src data:; base-uri 'none'; "
            "form-action 'none'"
        )


def test_what_a_page_cannot_change_keeps_it_at_its_point() -> None:
    def said(text: str) -> str:
        assert Scripts(text).found["pyinfercost-core"] == ""
        assert "wasm" not in re.search(r"Content-Security-Policy.*", text)[0]  # type: ignore[index]
        return str(json.loads(Scripts(text).found["pyinfercost-figures"])["fixed"])

    laid = ic.profile(transformer(), hardware="t4", layout="tensor=2,sequence=1", batch=8, sequence=128)
    assert "the layout of its devices has sequence" in said(laid.to_html())
    ruled = ic.profile(blocks(custom_op=True), hardware="t4", rules={"mylib::mix": lambda _: 1})
    assert "it has rules for the work of ops" in said(ruled.to_html())
    assert said(ic.profile(blocks()).to_html()) == ""


def test_machines_of_a_page_are_those_of_the_catalog() -> None:
    catalog = machine_catalog()
    entries = {entry["machine"]["id"]: entry for entry in restored(json.loads(unpacked(catalog_pack(catalog))))}
    assert len(entries) == len(catalog.machines) > 100
    for known in catalog.machines:
        assert entries[known.machine.id] == json.loads(json.dumps(machine_entry(known)))


def restored(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the entries of a catalog by columns, as `catalogOf` of setup.js does."""
    entries: list[dict[str, Any]] = [{} for _ in range(document["count"])]
    cells = []
    for values, runs, _ in document["columns"]:
        pairs = zip(runs[::2], runs[1::2], strict=True)
        cells.append([[values[at]] if at >= 0 else [] for at, times in pairs for _ in range(times)])
    hz = [value for (value,) in cells[document["paths"].index(["machine", "clock_hz"])]]
    made = [lambda v, _: v, lambda v, hz: v * (1 / hz), lambda v, hz: v / hz, lambda v, hz: 1 / (v * hz)]
    for path, (_, _, form), column in zip(document["paths"], document["columns"], cells, strict=True):
        for row, value in enumerate(column):
            if not value:
                continue
            at = entries[row]
            for key in path[:-1]:
                at = at.setdefault(key, {})
            at[path[-1]] = made[form](value[0], hz[row]) if value[0] else value[0]
    return entries


def test_a_machine_of_ones_own_is_with_those_of_the_catalog() -> None:
    shared = ic.profile(blocks(), hardware="xeon-8380", threads=4, batch=2)
    catalog = exploration_of({"forward": ic.profile(blocks(), hardware="t4", price="on-demand", batch=2)})
    assert catalog.is_cataloged
    own = exploration_of({"forward": shared})
    assert not own.is_cataloged
    assert own.own is not None
    assert own.own.machine.cores == 4
    priced = exploration_of({"forward": ic.profile(blocks(), hardware="t4", price=1.5, batch=2)})
    assert not priced.is_cataloged
    assert priced.own is not None
    assert [(each.usd_per_h, each.devices) for each in priced.own.offers] == [(1.5, 1)]
    assert priced.own.price == "1.5"


def test_another_point_of_a_profile(profile: ic.results.Profile) -> None:
    other = ic.profile(profile, hardware="l4", precision="native", batch=2)
    assert other.estimate == ic.estimate(
        profile.graph, hardware="l4", price=1.5, batch=2, sequence=128, precision="native"
    )
    assert ic.profile(profile).to_dict() == profile.to_dict()
    cpu = ic.profile(blocks(), hardware="xeon-8380", threads=4)
    assert ic.profile(cpu, execution="compiled").estimate == ic.estimate(
        cpu.graph, hardware="xeon-8380", threads=4, execution="compiled"
    )


def test_other_machines_are_at_work_as_the_first_one_is() -> None:
    busy = ic.profile(blocks(), hardware=ic.hardware.load("t4", sustained=True), precision="fp16", batch=4096)
    expected = ic.estimate(busy.graph, hardware=ic.hardware.load("l4", sustained=True), precision="fp16", batch=4096)
    assert expected.sustained
    assert ic.profile(busy, hardware="l4").estimate == expected


def test_the_command_writes_a_report_beside_its_output(tmp_path: Path) -> None:
    (tmp_path / "toy.json").write_text(blocks().to_json(), encoding="utf-8")
    report = tmp_path / "report.html"
    common = ["profile", str(tmp_path / "toy.json"), "-H", "t4", "--format", "json"]
    done = CliRunner().invoke(main, [*common, "--html", str(report)])
    assert done.exit_code == 0, done.output
    assert done.stderr == f"Report written to {report}\n"
    assert document_of(report.read_text(encoding="utf-8")) == json.loads(done.stdout)
    assert done.stdout == CliRunner().invoke(main, common).stdout
    failed = CliRunner().invoke(main, [*common, "--html", str(tmp_path / "none" / "x.html")])
    assert failed.exit_code == 1
    assert "does not exist" in failed.stderr


def test_a_page_says_when_and_how_it_was_made(profile: ic.results.Profile, page_text: str, tmp_path: Path) -> None:
    line = re.search(r'<p id="written">(.*?)</p>', page_text)
    assert line is not None
    assert re.match(r"Written \d{4}-\d\d-\d\d \d\d:\d\d UTC with pyinfercost ", line[1])
    assert f"pyinfercost {ic.__version__}" in line[1]
    call = "ic.profile(model, hardware=&#39;t4&#39;, precision=&#39;fp16&#39;, execution=&#39;eager&#39;, "
    assert line[1].endswith(f"by: {call}price=1.5, batch=8, sequence=128)")
    (tmp_path / "a b.json").write_text(blocks().to_json(), encoding="utf-8")
    report = tmp_path / "r.html"
    given = ["profile", str(tmp_path / "a b.json"), "-H", "t4", "--set", "batch=2", "--html", str(report)]
    done = CliRunner().invoke(main, given, prog_name="pyinfercost")
    assert done.exit_code == 0, done.output
    text = report.read_text(encoding="utf-8")
    command = f"pyinfercost profile '{tmp_path / 'a b.json'}' "
    assert str(escape(command)) in text
    for option in ("--hardware t4", "--set batch=2", f"--html {report}"):
        assert option in text
    assert json.loads(Scripts(text).found["pyinfercost-figures"])["hint"] == hint_for(
        ic.profile(blocks(), hardware="t4", batch=2)
    )


def test_what_a_notebook_shows_is_small_and_escaped(profile: ic.results.Profile) -> None:
    evil = evil_profile()
    sweep = ic.sweep(profile.graph, hardware=["t4", "l4"], batch=range(1, 40))
    compared = ic.compare(before=evil, after=profile)
    for shown in (profile._repr_html_(), evil._repr_html_(), sweep._repr_html_(), compared._repr_html_()):
        assert len(shown) < 12_000
        assert "<script" not in shown
        assert "<img" not in shown
        style = shown.partition("<style>")[2].partition("</style>")[0]
        assert all(rule.startswith(".pyinfercost") for rule in re.findall(r"[^{}]+(?={)", style))
    assert "20 of 78 points" in sweep._repr_html_()
    assert "&lt;img" in evil._repr_html_()
    for result in (profile, profile.estimate, sweep):
        assert "\n" not in repr(result)


def test_a_report_is_read_back(profile: ic.results.Profile, page_text: str, tmp_path: Path) -> None:
    report, plain = tmp_path / "report.html", tmp_path / "profile.json"
    report.write_text(page_text, encoding="utf-8")
    plain.write_text(profile.to_json(), encoding="utf-8")
    assert not ic.compare(before=report, after=plain).changed
    evil = tmp_path / "evil.html"
    evil.write_text(evil_profile().to_html(), encoding="utf-8")
    assert not ic.compare(before=evil, after=evil_profile()).changed
    assert ic.compare(before=report, after=evil).changed
    assert CliRunner().invoke(main, ["diff", str(report), str(plain), "--fail-if", "latency_s:any"]).exit_code == 0
