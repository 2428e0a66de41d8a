"""`pyinfercost advise`, and the hint of `profile`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.toy_graphs import blocks, transformer

import pyinfercost as ic
from pyinfercost.advice.hints import hint_for
from pyinfercost.cli import main


def run(*words: str) -> str:
    ran = CliRunner().invoke(main, ["advise", *words])
    assert ran.exit_code == 0, ran.output
    return ran.stdout


def test_the_command_answers_as_the_function_does(toy: str) -> None:
    told = json.loads(run(toy, "-H", "l4", "--price", "0.8", "--latency", "20ms", "--batch", "4", "--format", "json"))
    asked = ic.advise(toy, hardware="l4", price=0.8, limits={"latency_s": 0.02}, batch=4).to_dict()
    for document in (told, asked):
        for setup in (document["advice"]["baseline"], *(row["setup"] for row in document["advice"]["rows"])):
            setup.pop("code")  # a price is a text on the command line
        for plan in (document["advice"].pop("best"), document["advice"].pop("here")):
            assert plan["saving_share"] > 0
    assert told == asked


def test_options_reach_the_search(toy: str) -> None:
    answer = json.loads(
        run(
            toy,
            "-H",
            "l4",
            "--among",
            "batch,half_precision",
            "--limit",
            "batch=8",
            "--risk",
            "none",
            "--format",
            "json",
        )
    )["advice"]
    assert answer["limits"] == {"batch": 8.0}
    assert answer["risk"] == "none"
    assert [step["tactic"] for step in answer["here"]["steps"]] == ["batch"]
    assert answer["here"]["setup"]["settings"]["batch"] <= 8
    assert {row["tactic"] for row in (*answer["rows"], *answer["unhelpful"])} == {"batch", "half_precision"}


def test_the_table_begins_with_the_sentence_and_compares_on_request(toy: str, tmp_path: Path) -> None:
    page = tmp_path / "advice.html"
    text = run(toy, "-H", "l4", "--among", "batch,half_precision,t4", "--all", "--html", str(page))
    assert text.startswith("toy on l4 costs ")
    assert "Tactics over up to 6 setups of batches and machines" in text
    assert "toy on l4 costs" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "Missing option '--hardware' / '-H'"),
        (["-H", "l4", "--latency", "soon"], "--latency is 'soon'; expected a time such as 20ms or 0.02"),
        (
            ["-H", "l4", "--latency", "20"],
            "--latency 20 has no unit; expected 20ms for milliseconds, or 20s for seconds",
        ),
        (["-H", "l4", "--limit", "latency=5"], "--limit latency=5 has no unit; expected latency=5ms for milliseconds"),
        (["-H", "l4", "--limit", "batch"], "--limit is 'batch'; expected FIGURE=N, such as batch=8"),
        (["-H", "l4", "--limit", "batch=x"], "--limit: batch is 'x'"),
        (["-H", "l4", "--limit", "speed=1"], "limits have 'speed'"),
        (["-H", "l4", "--among", "prune"], "among has 'prune'"),
        (["-H", "l5"], "l5"),
        (["-H", "l4", "--saving", "half"], "--saving is 'half'; expected a number from 0 to 1 of the cost now"),
        (["-H", "l4", "--saving", "150%"], "--saving is 150.0; expected a number from 0 to 100 percent of the cost"),
        (["-H", "l4", "--risk", "high"], "'high' is not one of"),
        (["-H", "l4", "--set", "tokens=3"], "unknown size 'tokens'"),
    ],
)
def test_wrong_options_are_usage_errors(toy: str, words: list[str], told: str) -> None:
    ran = CliRunner().invoke(main, ["advise", toy, *words])
    assert ran.exit_code == 2, ran.output
    assert told in ran.output


def test_the_hint_is_the_best_single_setting() -> None:
    profile = ic.profile(transformer(width=512), hardware="t4", batch=8)
    hint = hint_for(profile)
    assert "% less time" in hint
    latency_s = {
        words: ic.profile(profile, **change).estimate.latency_s
        for words, change in {
            "--precision fp16": {"precision": "fp16"},
            "--execution compiled": {"execution": "compiled"},
            "--execution reduce-overhead": {"execution": "reduce-overhead"},
            "--execution cuda_graph": {"execution": "cuda_graph"},
            "--engine tensorrt": {"engine": "tensorrt"},
            "--engine onnxruntime": {"engine": "onnxruntime"},
            "--precision amp_fp16": {"precision": "amp_fp16"},
        }.items()
    }
    best = min(latency_s, key=lambda words: latency_s[words])
    assert best in hint
    assert f"{100 * (1 - latency_s[best] / profile.estimate.latency_s):.0f} % less time" in hint


def test_no_hint_without_a_machine_or_with_nothing_to_save() -> None:
    assert hint_for(ic.profile(blocks())) == ""
    best = ic.profile(blocks(), hardware="t4", engine="tensorrt", precision="fp16")
    assert hint_for(best) == ""


def test_profile_ends_with_the_hint_on_a_terminal(toy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = CliRunner().invoke(main, ["profile", toy, "-H", "l4"])
    assert "Hint" not in plain.output
    said: list[str] = []
    monkeypatch.setattr("pyinfercost.cli.profile_command.say", said.append)
    monkeypatch.setattr("pyinfercost.cli.profile_command.sys", type("Terminal", (), {"stderr": Terminal()}))
    CliRunner().invoke(main, ["profile", toy, "-H", "l4"])
    assert len(said) == 1
    assert said[0].startswith("Hint: ")
    assert f"pyinfercost advise {toy}" in said[0]
    assert sys.stderr is not None


class Terminal:
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def test_requests_without_tokens_are_told_from_those_of_a_fleet(toy: str) -> None:
    result = CliRunner().invoke(main, ["advise", toy, "--hardware", "l4", "--rate", "200/s"])
    assert result.exit_code == 2
    assert "--rate is for requests that generate text; expected --prompt and --output-tokens" in result.stderr
    assert "by one forward, expected --traffic, such as --traffic poisson:20" in result.stderr


def test_a_saving_that_is_enough_under_traffic(toy: str) -> None:
    words = [
        *("advise", toy, "--hardware", "h100-sxm-80gb", "--price", "on-demand", "--traffic", "poisson:20"),
        *("--duration-s", "60", "--among", "half_precision,purchase_terms,rtx-4090,l4"),
    ]
    most, enough = (
        json.loads(CliRunner().invoke(main, [*words, *more, "--format", "json"]).stdout)["advice"]
        for more in ((), ("--saving", "50%"))
    )
    assert enough["best"]["saving_share"] >= 0.5
    assert len(enough["best"]["steps"]) <= len(most["best"]["steps"])
    assert enough["best"]["saving_share"] <= most["best"]["saving_share"]
    shown = CliRunner().invoke(main, [*words, "--saving", "50%"]).stdout
    assert "a saving of 50 % with the least effort, else" in shown
