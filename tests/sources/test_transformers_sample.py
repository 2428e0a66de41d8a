"""Small models of every group of `transformers`: an empty ledger, and products counted in two ways."""

from __future__ import annotations

import pytest

import pyinfercost as ic

pytest.importorskip("transformers")

from zoo import transformers_models
from zoo.case import NotBuildableError
from zoo.flop_counter import independent_flops

pytestmark = pytest.mark.torch

CASES = {case.name: case for case in transformers_models.cases()}
# Of every group some: what people run most, and what is built in a way of its own.
SAMPLE = (
    "llama",
    "llama#prefill",
    "llama#decode",
    "gemma2#decode",
    "deepseek_v3",
    "deepseek_v3#decode",
    "mixtral#prefill",
    "qwen3_moe",
    "bert",
    "longformer",
    "t5#decode",
    "bart",
    "mamba",
    "jamba#decode",
    "rwkv",
    "qwen3_next",
    "vit",
    "swin",
    "videomae",
    "whisper",
    "wav2vec2",
    "clip",
    "llava#prefill",
    "qwen2_vl",
    "qwen2_vl#decode",
    "audioflamingo3",
    "time_series_transformer",
)


@pytest.mark.parametrize("name", SAMPLE)
@pytest.mark.sample(2)
def test_a_type(name: str) -> None:
    module, args, kwargs = CASES[name].build()
    counts = ic.count(ic.capture(module, ic.Inputs(args, kwargs)))
    assert not counts.unmodelled
    assert counts.total.parameters == sum(p.numel() for p in set(module.parameters()))
    products = int(counts.total.contraction_flops)
    assert products > 0
    if not name.endswith("#decode"):
        counted = independent_flops(module, args, kwargs)
        assert counted is None or products == counted


def test_every_group_has_types() -> None:
    groups = {case.group for case in CASES.values()}
    assert groups == {"decoder", "encoder", "encoder-decoder", "moe", "state-space", "vision", "audio", "multimodal"}
    assert {CASES[name].group for name in SAMPLE} == groups


def test_what_cannot_be_built_says_why() -> None:
    for kind, reason in transformers_models.unbuildable().items():
        with pytest.raises(NotBuildableError) as refused:
            CASES[kind].build()
        assert str(refused.value) == reason
        assert f"{kind}#prefill" not in CASES
