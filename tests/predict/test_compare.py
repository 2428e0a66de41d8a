"""Models and deployments side by side: rows, ratios, failures and forms."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.report_pages import EVIL, Scripts
from support.toy_graphs import blocks, chain, transformer

import pyinfercost as ic
from pyinfercost.cli import main
from pyinfercost.errors import InputError, InputTypeError, UnknownNameError
from pyinfercost.results.comparison import FIGURES
from pyinfercost.sources.sizes import SizeError


@pytest.fixture(scope="module")
def found() -> ic.results.Comparison:
    models = {"small": transformer(layers=1), "large": transformer(layers=4)}
    return ic.compare(models, hardware=["l4", "t4"], price=1.5, batch=[1, 8])


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    paths = tmp_path / "small.json", tmp_path / "large.json"
    for path, layers in zip(paths, (1, 4), strict=True):
        path.write_text(transformer(layers=layers).to_json(), encoding="utf-8")
    return str(paths[0]), str(paths[1])


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["compare", *arguments], prog_name="pyinfercost")


def test_each_row_is_the_profile_of_its_point(found: ic.results.Comparison) -> None:
    points = [(m, b, h) for m in ("small", "large") for b in (1, 8) for h in ("l4", "t4")]
    assert [(row.model, row.sizes["batch"], row.hardware) for row in found] == points
    for row in found:
        graph = transformer(layers=1 if row.model == "small" else 4)
        profile = ic.profile(graph, hardware=row.hardware, price=1.5, batch=row.sizes["batch"])
        estimate = profile.estimate
        assert estimate is not None
        assert row.profile is not None
        assert row.profile.to_dict()["estimate"] == profile.to_dict()["estimate"]
        for key in ("latency_s", "latency_low_s", "latency_high_s", "energy_j", "cost_usd", "throughput_per_s"):
            assert row.figures[key] == getattr(estimate, key)
        assert row.parameters == profile.counts.total.parameters
        assert row.flops == profile.counts.total.flops
        assert row.bound == max(estimate.bound_shares, key=lambda name: estimate.bound_shares[name])


def test_ratios_are_to_the_first_row(found: ic.results.Comparison) -> None:
    first = found.rows[0]
    assert found.first is first
    for row in found:
        assert found.ratio(row, "latency_s") == row.latency_s / first.latency_s
    assert found.ratio(first, "flops") == 1
    assert found.ratio(first, "carbon_g") is None  # no place is given
    with pytest.raises(UnknownNameError, match="no figure 'speed'"):
        found.ratio(first, "speed")
    assert found["large"] is found.rows[4]
    with pytest.raises(UnknownNameError, match="no model 'huge' in this comparison; expected one of small, large"):
        found["huge"]


def test_a_model_that_fails_is_a_row_with_its_error() -> None:
    both = ic.compare("nowhere.json", blocks(), hardware="l4")
    assert [bool(row.error) for row in both] == [True, False]
    assert "nowhere.json: no such file" in both.rows[0].error
    assert both.rows[0].hardware == "l4"
    assert set(both.rows[0].figures.values()) == {None}
    assert both.first is both.rows[1]
    assert both.failed == (both.rows[0],)
    assert "FAILED nowhere.json: nowhere.json: no such file" in both.to_text(width=200)
    assert both.to_dict()["compare"]["rows"][0]["error"].startswith("nowhere.json: no such file")
    assert '<p class="bad">nowhere.json failed: ' in both.to_html()
    alone = ic.compare("nowhere.json")
    assert alone.first is None
    assert "FAILED" in str(alone)
    assert "Every model failed." in alone.to_html()


def test_a_size_that_one_model_lacks_fails_there_and_one_that_all_lack_everywhere() -> None:
    fixed = blocks(fixed_batch=3)
    rows = ic.compare({"fixed": fixed, "open": blocks()}, hardware="l4", batch=8).rows
    assert [bool(row.error) for row in rows] == [True, False]
    with pytest.raises(SizeError, match="did you mean"):
        ic.compare(blocks(), hardware="l4", bacth=8)


@pytest.mark.parametrize(
    ("models", "options", "error", "message"),
    [
        ((), {}, InputError, "no model is given to compare"),
        ((3,), {}, InputTypeError, "a model to compare is of type int; expected a spec"),
        ((blocks(),), {"hardware": "l5"}, InputError, "unknown hardware 'l5'"),
        ((blocks(),), {"hardware": []}, InputError, "hardware has no values"),
        ((blocks(),), {"precision": ["fp16", "fp17"]}, InputError, "fp17"),
        ((blocks(),), {"batch": "8"}, InputTypeError, "size batch is '8'; expected a whole number or several"),
        ((blocks(),), {"batch": []}, InputError, "size batch has 0 values"),
        ((blocks(),), {"batch": [1.5]}, InputError, "batch"),
        ((blocks(),), {"batch": range(1, 20_000)}, InputError, "19,999 rows are more than 10,000"),
    ],
)
def test_what_cannot_be_compared_is_refused(models: Any, options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ic.compare(*models, **options)


def test_profiles_are_compared_as_they_are_or_at_another_point() -> None:
    profiles = ic.profile(blocks(), hardware="l4"), ic.profile(transformer(), hardware="t4", batch=4)
    rows = ic.compare(*profiles).rows
    assert [row.profile for row in rows] == list(profiles)
    moved = ic.compare(*profiles, hardware="a10g").rows
    assert [row.hardware for row in moved] == ["a10g", "a10g"]
    assert moved[1].sizes["batch"] == 4
    assert [row.model for row in ic.compare(blocks(), blocks())] == ["toy", "toy (2)"]


def test_without_a_machine_models_are_counted() -> None:
    counted = ic.compare(blocks(), transformer())
    assert counted.rows[0].latency_s is None
    assert counted.rows[0].bound is None
    text = str(counted)
    assert "latency" not in text
    assert "FLOPs" in text
    assert "Counted only" in counted.to_html()


def test_every_form_has_every_row(found: ic.results.Comparison) -> None:
    text = found.to_text(width=160)
    assert text.count("small") == text.count("large") == 8  # figures and ratios
    assert "price" in text.splitlines()[2]
    document = json.loads(found.to_json())
    assert len(document["compare"]["rows"]) == 8
    assert set(FIGURES) <= set(document["compare"]["rows"][0])
    assert document["compare"]["rows"][0]["ratios"]["latency_s"] == 1
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert [float(row["latency_s"]) for row in rows] == [row.latency_s for row in found]
    assert [float(row["latency_s_ratio"]) for row in rows] == [found.ratio(row, "latency_s") for row in found]
    assert len(found.to_pandas()) == 8
    assert found.to_markdown().count("| small |") == 8
    page = found.to_html(command="pyinfercost compare <a>")
    assert Scripts(page).found == {}
    assert Scripts(page).addresses == []
    assert page.count("<details>") == 8
    assert "pyinfercost compare &lt;a&gt;" in page
    assert "large, l4, batch 1" in page


def test_a_compiled_model_that_takes_longer_says_why() -> None:
    compared = ic.compare(chain(), hardware="h100-sxm-80gb", execution=["eager", "compiled"], batch=1)
    eager, compiled = compared
    assert compiled.latency_s > eager.latency_s, "else there is nothing to say"
    (note,) = compared.notes
    assert "on h100-sxm-80gb" in note
    assert f"takes {compiled.latency_s / eager.latency_s:.2f}"[:9] in note
    assert "'host-bound (dispatch)'" in note
    assert "Note: " + note.split(":")[0] in compared.to_text()
    assert compared.to_dict()["compare"]["notes"] == [note]
    assert "host-bound (dispatch)" in compared.to_html()
    one = ic.compare(chain(), hardware="h100-sxm-80gb", execution=["eager", "cuda_graph"], batch=1)
    assert one.notes == (), "none of the two is fused"


def test_names_are_text_and_never_markup() -> None:
    page = ic.compare({name: blocks() for name in EVIL}, {"</title><b>": "x.json"}, hardware="l4").to_html()
    for name in (*EVIL, "</title><b>"):
        assert name not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_operators_that_are_not_modeled_are_named() -> None:
    text = ic.compare(blocks(custom_op=True), blocks(), hardware="l4").to_text(width=200)
    assert "Warning: toy: not modeled, and in no figure:" in text


def test_the_command(files: tuple[str, str], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = run(*files, "-H", "l4,t4", "--price", "1.5", "--batch", "1,8", "--format", "json", "--html", str(page))
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)["compare"]["rows"]
    assert len(rows) == 8
    expected = ic.compare(
        {files[0]: transformer(layers=1), files[1]: transformer(layers=4)},
        hardware=["l4", "t4"],
        price=1.5,
        batch=[1, 8],
    )
    assert [row["latency_s"] for row in rows] == [row.latency_s for row in expected]
    assert f"Report written to {page}" in done.stderr
    assert "pyinfercost compare " in page.read_text(encoding="utf-8")
    assert "--batch 1,8" in page.read_text(encoding="utf-8")


def test_the_command_shows_the_others_if_one_fails(files: tuple[str, str]) -> None:
    done = run(*files, "nowhere.json", "-H", "l4")
    assert done.exit_code == 1
    assert "small.json" in done.stdout
    assert "large.json" in done.stdout
    assert "FAILED nowhere.json: nowhere.json: no such file" in " ".join(done.stdout.split())
    assert done.stderr == "1 of 3 rows failed: nowhere.json\n"
    quiet = run(*files, "nowhere.json", "-H", "l4", "--format", "csv")
    assert quiet.exit_code == 1
    assert "FAILED nowhere.json: nowhere.json: no such file" in quiet.stderr


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--price", "1"], 2, "--price needs --hardware"),
        (["--execution", "compiled"], 2, "--execution needs --hardware"),
        (["-H", "l5"], 2, "unknown hardware 'l5'"),
        (["-H", "l4", "--precision", "fp17"], 2, "unknown precision 'fp17'"),
        (["-H", "l4", "--layout", "all"], 2, "--layout all is for sweep"),
        (["-H", "l4", "--batch", "x"], 2, "batch"),
        (["-H", "l4", "--set", "batsh=2"], 2, "batsh"),
        (["-H", "l4", "--html", "/nowhere/x.html"], 1, "does not exist"),
    ],
)
def test_wrong_options_are_refused(files: tuple[str, str], options: list[str], code: int, message: str) -> None:
    done = run(*files, *options)
    assert done.exit_code == code, done.output
    assert message in done.stderr
    assert done.stdout == ""


@pytest.mark.torch
@pytest.mark.slow
def test_specs_of_libraries_are_captured_once_for_all_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torchvision", reason="torchvision is not installed: models to compare")
    from pyinfercost.predict import compare as module

    captures = []
    over = module.graph_over
    monkeypatch.setattr(module, "graph_over", lambda *given, **named: captures.append(1) or over(*given, **named))
    rows = ic.compare("torchvision:resnet18", hardware=["l4", "t4"], batch=[1, 8]).rows
    assert len(captures) == 1
    assert [row.sizes["batch"] for row in rows] == [1, 1, 8, 8]
    alone = ic.profile("torchvision:resnet18", hardware="t4", batch=8)
    assert rows[3].profile is not None
    assert rows[3].profile.counts.total.to_dict() == alone.counts.total.to_dict()


def test_a_page_says_the_command_that_wrote_it(files: tuple[str, str], tmp_path: Path) -> None:
    page = tmp_path / "compare.html"
    result = run(*files, "-H", "l4", "--html", str(page))
    assert result.exit_code == 0, result.output
    assert f"by: pyinfercost compare {files[0]} {files[1]} --hardware l4" in page.read_text(encoding="utf-8")


def test_ratios_are_to_the_first_row_of_the_phase(found: ic.results.Comparison) -> None:
    phases = ("prefill", "decode")
    rows = tuple(replace(row, phase=phases[place % 2]) for place, row in enumerate(found.rows))
    both = ic.results.Comparison(rows=rows)
    for place, row in enumerate(rows):
        assert both.ratio(row, "latency_s") == row.figures["latency_s"] / rows[place % 2].figures["latency_s"]
    assert "Ratios to the first row of the phase:" in both.to_text()
    assert "Ratios to the first row:" in found.to_text()
