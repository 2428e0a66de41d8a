"""A model with more tokens than its config states positions: the figures are given, with a warning."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import pyinfercost as ic
from pyinfercost.cli import main

pytestmark = pytest.mark.torch
pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 32,
    "max_position_embeddings": 64,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}


def model(folder: Path, **settings: Any) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**LLAMA, **settings}), encoding="utf-8")
    return f"hf:{folder}"


@pytest.mark.parametrize(
    ("phase", "size", "most"), [("#decode", "context", 63), ("#prefill", "sequence", 64), ("", "sequence", 64)]
)
@pytest.mark.sample(1)
def test_the_last_position_is_the_last_without_a_warning(tmp_path: Path, phase: str, size: str, most: int) -> None:
    spec = model(tmp_path / "llama") + phase
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ic.capture(spec, **{size: most})
        ic.sweep(spec, hardware="l4", **{size: [8, most]})
    for _ in range(2):  # the second one comes from the cache
        with pytest.warns(ic.errors.PositionsWarning, match="is given 65 tokens, and its config states 64 positions"):
            ic.capture(spec, **{size: most + 1})
    with pytest.warns(ic.errors.PositionsWarning, match="is given 65 tokens"):
        ic.sweep(spec, hardware="l4", **{size: [8, most + 1]})


def test_scaled_positions_are_more_than_the_stated_ones(tmp_path: Path) -> None:
    spec = model(tmp_path / "scaled", rope_scaling=YARN) + "#decode"
    with warnings.catch_warnings():
        warnings.simplefilter("error", ic.errors.PositionsWarning)
        ic.capture(spec, context=255)
    with pytest.warns(ic.errors.PositionsWarning, match="its config states 256 positions"):
        ic.capture(spec, context=256)


@pytest.mark.filterwarnings("default::pyinfercost.errors.PositionsWarning")
def test_the_command_says_so_and_shows_the_figures(tmp_path: Path) -> None:
    ran = CliRunner().invoke(main, ["profile", model(tmp_path / "llama"), "--set", "prompt=100", "-H", "l4"])
    assert ran.exit_code == 0, ran.output
    assert "is given 101 tokens, and its config states 64 positions" in " ".join(ran.stderr.split())
    assert "decode: all" in ran.stdout, "the figures are there"
