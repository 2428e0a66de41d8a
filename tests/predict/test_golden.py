"""Whole models: counts compared with stored ones, and multiply-accumulates with published figures."""

from __future__ import annotations

import json
from typing import Any

import pytest
from golden.write_golden import MODELS, document, path

pytestmark = pytest.mark.torch

# Convolution, matrix product and attention in 10^9 multiply-accumulates at batch 1 (128 tokens for text), dense. The
# vision figures are those that torchvision publishes with its weights, `weights.meta["_ops"]`, to its three digits.
GMACS = {
    "resnet50": 4.0892,
    "mobilenet_v3_large": 0.2166,
    "vit_b_16": 17.5638,
    "swin_t": 4.4906,
    "convnext_tiny": 4.4555,
    "efficientnet_b0": 0.3858,
    "densenet121": 2.8342,
    "bert_base": 11.1742,
    "gpt2": 16.1141,
    "llama_small": 5.2009,
    "mixtral_small": 1.5865,
}
# Twice the multiply-accumulates of the same, to the last digit.
CONTRACTION_FLOPS = {"resnet50": 8_178_368_512, "vit_b_16": 35_127_656_448, "swin_t": 8_981_133_312}
# What the libraries themselves report as `sum(p.numel() for p in model.parameters())`.
PARAMETERS = {
    "resnet50": 25_557_032,
    "mobilenet_v3_large": 5_483_032,
    "vit_b_16": 86_567_656,
    "swin_t": 28_288_354,
    "convnext_tiny": 28_589_128,
    "efficientnet_b0": 5_288_548,
    "densenet121": 7_978_856,
    "gpt2": 124_439_808,
}


REWRITE = "if this change is meant, run `python tests/golden/write_golden.py` and review the diff"


@pytest.fixture(scope="module", params=MODELS)
def counted(request: pytest.FixtureRequest) -> dict[str, Any]:
    return document(request.param)


def test_golden(counted: dict[str, Any]) -> None:
    stored = json.loads(path(counted["model"]).read_text(encoding="utf-8"))
    for name in ("contraction_flops", "causal_flops", "parameters", "parameter_bytes"):
        assert counted["totals"][name] == stored["totals"][name], f"{name}: {REWRITE}"
    if counted["libraries"] != stored["libraries"]:
        pytest.skip(f"the rest was stored with {stored['libraries']}, and here are {counted['libraries']}")
    assert counted == stored, REWRITE


def test_published_figures(counted: dict[str, Any]) -> None:
    model, totals = counted["model"], counted["totals"]
    assert round(totals["macs"] / 1e9, 4) == GMACS[model]
    if model in CONTRACTION_FLOPS:
        assert totals["contraction_flops"] == CONTRACTION_FLOPS[model]
    if model in PARAMETERS:
        assert totals["parameters"] == PARAMETERS[model]
    assert counted["coverage"]["unmodelled"] == {}


def test_the_parts_of_bert_by_hand() -> None:
    """12 layers of 768 channels and 12 heads, 128 tokens: linear layers, attention, pooler."""
    n, width, layers = 128, 768, 12
    linear = layers * n * (4 * width * width + 2 * width * 4 * width)
    attention = layers * 2 * n * n * width
    pooler = width * width
    totals = document("bert_base")["totals"]
    assert totals["macs"] == linear + attention + pooler


def test_the_parts_of_mixtral_by_hand() -> None:
    """Each token meets 2 of 8 experts; queries have 8 heads, keys and values 4."""
    n, width, inner, layers, vocabulary = 128, 256, 512, 4, 32000
    projections = layers * n * width * (2 * width + 2 * width // 2)
    attention = layers * 2 * n * n * width
    experts = layers * n * (width * 8 + 2 * 3 * width * inner)
    assert document("mixtral_small")["totals"]["macs"] == projections + attention + experts + n * width * vocabulary


def test_the_stored_files_are_those_of_the_models() -> None:
    assert {p.stem for p in path("any").parent.glob("*.json")} - {"zoo"} == set(MODELS)
