"""`pyinfercost profile` of a language model in both phases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.language_configs import LLAMA, spec_of

import pyinfercost as ic
from pyinfercost.cli import main

pytestmark = pytest.mark.torch

SIZES = ("--batch", "2", "--prompt", "24", "--context", "40")


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, ("profile", *arguments))


def test_the_table_is_the_text_of_the_api(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, LLAMA)
    result = invoke(spec, "-H", "l4", *SIZES, "--depth", "2")
    assert result.exit_code == 0, result.output
    both = ic.profile(spec, batch=2, prompt=24, context=40, hardware="l4")
    assert result.stdout == both.to_text(depth=2)


@pytest.mark.parametrize(("form", "method"), [("csv", "to_csv"), ("md", "to_markdown"), ("json", "to_json")])
def test_other_forms(tmp_path: Path, form: str, method: str) -> None:
    spec = spec_of(tmp_path, LLAMA)
    both = ic.profile(spec, batch=2, prompt=24, context=40)
    assert invoke(spec, *SIZES, "--format", form).stdout.strip() == getattr(both, method)().strip()


def test_a_page(tmp_path: Path) -> None:
    page = tmp_path / "both.html"
    assert invoke(spec_of(tmp_path, LLAMA), "-H", "l4", *SIZES, "--html", str(page)).exit_code == 0
    assert "time per output token" in page.read_text(encoding="utf-8")


def test_a_narrow_cache_is_that_of_both_phases(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, LLAMA)
    result = invoke(spec, *SIZES, "--kv-cache", "fp8", "--format", "json")
    document = json.loads(result.stdout)
    per_token = 2 * 2 * 2 * 16  # keys and values, layers, heads, elements of a byte
    assert document["prefill"]["totals"]["kv_cache_bytes"] == 2 * 24 * per_token
    assert document["decode"]["totals"]["kv_cache_bytes"] == 2 * 41 * per_token
    assert document["model"] == f"{spec}, what if kv cache fp8"


@pytest.mark.parametrize(
    "option", [("--sort", "latency"), ("--top", "3"), ("--roofline",), ("--trace", "t.json"), ("--measure",)]
)
def test_options_of_one_forward_are_refused(tmp_path: Path, option: tuple[str, ...]) -> None:
    result = invoke(spec_of(tmp_path, LLAMA), "-H", "l4", *SIZES, *option)
    assert result.exit_code == 2
    assert f"{option[0]} is for one forward" in result.output


def test_one_phase_takes_its_own_size(tmp_path: Path) -> None:
    result = invoke(spec_of(tmp_path, LLAMA, "decode"), "--context", "40", "--format", "json")
    assert json.loads(result.stdout)["sizes"] == {"batch": 1, "context": 40}
    result = invoke(spec_of(tmp_path, LLAMA, "prefill"), "--prompt", "24", "--format", "json")
    assert json.loads(result.stdout)["sizes"] == {"batch": 1, "sequence": 24}
    result = invoke(spec_of(tmp_path, LLAMA, "decode"), "--prompt", "24")
    assert result.exit_code == 2
    assert "has no size 'prompt'" in result.output
