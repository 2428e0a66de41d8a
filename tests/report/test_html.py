"""The HTML report: content of the page."""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.report_pages import VARY, Scripts, document_of, evil_profile, points_of
from support.toy_graphs import blocks, transformer

import pyinfercost as ic
from pyinfercost.advice.hints import hint_for
from pyinfercost.cli import main
from pyinfercost.predict.alternatives import VaryError, alternatives


@pytest.fixture(scope="module")
def profile() -> ic.Profile:
    return ic.profile(transformer(), hardware="t4", precision="fp16", price=1.5, batch=8, sequence=128)


@pytest.fixture(scope="module")
def page_text(profile: ic.Profile) -> str:
    return profile.to_html(vary=VARY)


def test_the_profile_is_inside_and_nothing_is_outside(profile: ic.Profile, page_text: str) -> None:
    assert document_of(page_text) == json.loads(profile.to_json())
    assert Scripts(page_text).addresses == ["data:,"]
    assert "http" not in re.sub(r'<meta http-equiv|"http://www.w3.org/2000/svg"', "", page_text)
    assert "url(" not in page_text
    assert len(page_text.encode()) < 300_000


def test_each_point_is_what_a_profile_of_it_says(profile: ic.Profile, page_text: str) -> None:
    points = points_of(page_text)
    assert points["axes"] == [
        {"name": "hardware", "values": ["t4", "l4", "a100-sxm-80gb"]},
        {"name": "execution", "values": ["eager", "compiled"]},
        {"name": "batch", "values": [1, 8, 64]},
    ]
    assert len(points["points"]) == 18
    assert points["base"] == 1
    for place, (hardware, execution, batch) in enumerate(
        (h, e, b) for h in ("t4", "l4", "a100-sxm-80gb") for e in ("eager", "compiled") for b in (1, 8, 64)
    ):
        point = points["points"][place]
        if place == points["base"]:
            assert point == {}
            continue
        fresh = ic.profile(
            profile.graph,
            hardware=hardware,
            execution=execution,
            precision="fp16",
            price=1.5,
            batch=batch,
            sequence=128,
        ).to_dict()
        machine = fresh["estimate"].pop("machine")
        assert points["machines"][point["estimate"].pop("machine")] == machine
        assert point["estimate"] == json.loads(json.dumps(fresh["estimate"]))
        assert point["totals"] == fresh["totals"]
        for key, column in point["layers"].items():
            expected = [layer[key] for layer in fresh["layers"]]
            for found, wanted in zip(points["columns"][column], expected, strict=True):
                assert found == (pytest.approx(wanted, rel=1e-6) if isinstance(wanted, float) else wanted)


def test_what_is_varied_by_default(profile: ic.Profile) -> None:
    assert alternatives(profile).axes == {
        "precision": ("fp16", "native"),
        "execution": ("eager", "compiled", "cuda_graph", "reduce-overhead"),
        "batch": (1, 8, 32, 128),
    }
    assert "batch" not in alternatives(ic.profile(blocks(fixed_batch=3), hardware="t4")).axes
    assert not profile.to_html(vary={}).count("base64,")
    assert Scripts(profile.to_html(vary={})).found["pyinfercost-points"] == ""
    counted = ic.profile(blocks())
    assert Scripts(counted.to_html()).found["pyinfercost-points"] == ""


def test_a_large_model_has_fewer_alternatives(profile: ic.Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyinfercost.predict.alternatives.LAYERS_OF_ALL", 4 * len(profile.counts.layers))
    assert list(alternatives(profile).axes) == ["execution"]
    monkeypatch.setattr("pyinfercost.predict.alternatives.LAYERS_OF_ALL", 1)
    assert alternatives(profile).axes == {}


@pytest.mark.parametrize(
    ("vary", "message"),
    [
        ({"hardwares": ["l4"]}, "'hardwares' cannot be varied; expected one of hardware, precision, execution, batch"),
        ({"hardware": ["l5"]}, "unknown hardware 'l5'"),
        ({"precision": ["fp17"]}, "unknown precision 'fp17'"),
        ({"execution": "lazy"}, "unknown execution 'lazy'"),
        ({"batch": [0]}, "batch"),
    ],
)
def test_what_cannot_be_varied_says_so(profile: ic.Profile, vary: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        profile.to_html(vary=vary)


def test_without_a_machine_there_is_nothing_to_vary() -> None:
    with pytest.raises(VaryError, match="has no estimate"):
        ic.profile(blocks()).to_html(vary={"batch": [1]})


def test_a_point_that_is_not_there_says_why() -> None:
    """A price of one cloud's instance is none for another machine."""
    profile = ic.profile(blocks(), hardware="t4", price="aws/g4dn.xlarge")
    with pytest.raises(ValueError, match="g4dn"):
        profile.to_html(vary={"hardware": ["l4"]})
    assert len(alternatives(profile, {"execution": ["compiled"]}).points) == 2


def test_another_point_of_a_profile(profile: ic.Profile) -> None:
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
    point = alternatives(busy, {"hardware": ["l4"]}).points[1]
    assert point is not None
    assert point.estimate == expected


def test_the_command_writes_a_report_beside_its_output(tmp_path: Path) -> None:
    (tmp_path / "toy.json").write_text(blocks().to_json(), encoding="utf-8")
    report = tmp_path / "report.html"
    common = ["profile", str(tmp_path / "toy.json"), "-H", "t4", "--format", "json"]
    done = CliRunner().invoke(main, [*common, "--html", str(report), "--vary", "hardware=l4", "--vary", "batch=1,8"])
    assert done.exit_code == 0, done.output
    assert done.stderr == f"Report written to {report}\n"
    assert document_of(report.read_text(encoding="utf-8")) == json.loads(done.stdout)
    assert [axis["name"] for axis in points_of(report.read_text(encoding="utf-8"))["axes"]] == ["hardware", "batch"]
    for options, message in (
        (["--vary", "batch=1"], "--vary needs --html"),
        (["--html", str(report), "--vary", "batch"], "--vary takes NAME=A,B"),
        (["--html", str(report), "--vary", "batch=x"], "batch"),
        (["--html", str(report), "--vary", "hardware=l4", "--vary", "hardware=t4"], "given twice"),
        (["--html", str(report), "--vary", "foo=1"], "'foo' cannot be varied"),
    ):
        failed = CliRunner().invoke(main, [*common, *options])
        assert failed.exit_code == 2, failed.output
        assert message in failed.stderr
    failed = CliRunner().invoke(main, [*common, "--html", str(tmp_path / "none" / "x.html")])
    assert failed.exit_code == 1
    assert "does not exist" in failed.stderr


def test_a_page_says_when_and_how_it_was_made(profile: ic.Profile, page_text: str, tmp_path: Path) -> None:
    line = re.search(r'<p id="written">(.*?)</p>', page_text)
    assert line is not None
    assert re.match(r"Written \d{4}-\d\d-\d\d \d\d:\d\d UTC with pyinfercost ", line[1])
    assert f"pyinfercost {ic.__version__}" in line[1]
    call = "ic.profile(model, hardware=&#x27;t4&#x27;, precision=&#x27;fp16&#x27;, execution=&#x27;eager&#x27;, "
    assert line[1].endswith(f"by: {call}price=1.5, batch=8, sequence=128)")
    (tmp_path / "a b.json").write_text(blocks().to_json(), encoding="utf-8")
    report = tmp_path / "r.html"
    given = ["profile", str(tmp_path / "a b.json"), "-H", "t4", "--set", "batch=2", "--html", str(report)]
    done = CliRunner().invoke(main, given, prog_name="pyinfercost")
    assert done.exit_code == 0, done.output
    text = report.read_text(encoding="utf-8")
    command = f"pyinfercost profile '{tmp_path / 'a b.json'}' "
    assert escape(command) in text
    for option in ("--hardware t4", "--set batch=2", f"--html {report}"):
        assert option in text
    assert json.loads(Scripts(text).found["pyinfercost-figures"])["hint"] == hint_for(
        ic.profile(blocks(), hardware="t4", batch=2)
    )


def test_what_a_notebook_shows_is_small_and_escaped(profile: ic.Profile) -> None:
    evil = evil_profile()
    sweep = ic.sweep(profile.graph, hardware=["t4", "l4"], batch=range(1, 40))
    compared = ic.diff(evil, profile)
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


def test_a_report_is_read_back(profile: ic.Profile, page_text: str, tmp_path: Path) -> None:
    report, plain = tmp_path / "report.html", tmp_path / "profile.json"
    report.write_text(page_text, encoding="utf-8")
    plain.write_text(profile.to_json(), encoding="utf-8")
    assert not ic.diff(report, plain).changed
    evil = tmp_path / "evil.html"
    evil.write_text(evil_profile().to_html(), encoding="utf-8")
    assert not ic.diff(evil, evil_profile()).changed
    assert ic.diff(report, evil).changed
    assert CliRunner().invoke(main, ["diff", str(report), str(plain), "--fail-if", "latency_s:any"]).exit_code == 0
