"""Explorations: sizes with which a page begins, and which of them are open."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

import pyinfercost as ic
from pyinfercost.report.html.live_packs import setup_document

pytest.importorskip("transformers")

pytestmark = pytest.mark.torch

BERT = {
    "model_type": "bert", "architectures": ["BertModel"], "hidden_size": 32, "num_hidden_layers": 1,
    "num_attention_heads": 2, "intermediate_size": 64, "vocab_size": 50, "max_position_embeddings": 128,
}  # fmt: skip
GPT2 = {
    "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 32, "n_layer": 1, "n_head": 2,
    "n_positions": 64, "vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
T5 = {
    "model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "d_model": 32, "d_kv": 16, "d_ff": 64,
    "num_layers": 1, "num_heads": 2, "vocab_size": 50, "decoder_start_token_id": 0,
}  # fmt: skip


def phases(folder: Path, config: dict[str, Any], **sizes: int) -> dict[str, tuple[dict[str, int], set[str]]]:
    """Return the first sizes of each phase, and those that are open."""
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is captured at sizes that nobody asked for
        found = ic.explore(f"hf:{folder}", sizes=sizes)
    return {each.name: (dict(each.profile.sizes), set(each.formats[""].sizes)) for each in found.phases}


def test_the_tokens_of_an_encoder_are_open_and_shown(tmp_path: Path) -> None:
    assert phases(tmp_path, BERT) == {"forward": ({"batch": 1, "sequence": 128}, {"batch", "sequence"})}
    assert phases(tmp_path, BERT, sequence=77)["forward"][0] == {"batch": 1, "sequence": 77}


@pytest.mark.slow
def test_a_page_begins_within_the_positions_of_a_model(tmp_path: Path) -> None:
    found = phases(tmp_path, GPT2)
    assert found["prefill"] == ({"batch": 1, "sequence": 64}, {"batch", "sequence"})
    assert found["decode"] == ({"batch": 1, "context": 63}, {"batch", "context"})
    assert phases(tmp_path, GPT2, sequence=9)["prefill"][0]["sequence"] == 9


@pytest.mark.slow
def test_sliders_end_at_the_positions_that_a_model_states(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(GPT2), encoding="utf-8")
    sizes = {name: size["positions"] for phase in documents(tmp_path) for name, size in phase.items()}
    assert sizes == {"batch": None, "sequence": 64, "context": 63}
    (tmp_path / "config.json").write_text(json.dumps(T5), encoding="utf-8")
    assert {size["positions"] for phase in documents(tmp_path) for size in phase.values()} == {None}


def documents(folder: Path) -> list[dict[str, Any]]:
    """Return the open sizes of each phase, as a page stores them."""
    setup = setup_document(ic.explore(f"hf:{folder}"), explores=True)
    return [{size["name"]: size for size in phase["sizes"]} for phase in setup["phases"]]


@pytest.mark.slow
def test_the_tokens_of_an_encoder_are_of_both_phases(tmp_path: Path) -> None:
    found = phases(tmp_path, T5, prompt=40)
    assert found["prefill"][0] == {"batch": 1, "sequence": 40}
    assert found["decode"] == ({"batch": 1, "sequence": 40, "context": 128}, {"batch", "sequence", "context"})
