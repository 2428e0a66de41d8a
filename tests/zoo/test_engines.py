"""Serving engines on the language models that are served most: nothing stays as captured, and nothing is lost."""

from __future__ import annotations

import pytest

import pyinfercost as ic
from pyinfercost.predict.plans import as_captured

pytestmark = pytest.mark.torch
pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")

from zoo import transformers_models  # noqa: E402 - imports transformers

SERVED = (
    "bloom", "cohere", "cohere2", "deepseek_v2", "deepseek_v3", "ernie4_5", "exaone4", "falcon", "gemma", "gemma2",
    "gemma3_text", "glm4", "glm4_moe", "gpt2", "gpt_neox", "gpt_oss", "gptj", "granite", "granitemoe", "llama",
    "mistral", "mixtral", "mpt", "nemotron", "olmo2", "olmoe", "opt", "phi", "phi3", "qwen2", "qwen2_moe", "qwen3",
    "granite_swa", "qwen3_moe", "smollm3", "stablelm", "starcoder2",
)  # fmt: skip
RECURRENT = (
    "bamba", "falcon_h1", "falcon_mamba", "granitemoehybrid", "jamba", "lfm2", "mamba", "mamba2", "minimax",
    "nemotron_h", "olmo_hybrid", "qwen3_next", "recurrent_gemma", "rwkv", "xlstm", "zamba", "zamba2",
)  # fmt: skip
LATENT = ("deepseek_v2", "deepseek_v3")


CASES = [
    pytest.param(kind, phase, marks=[pytest.mark.slow] if (place + number) % 2 else [])
    for place, kind in enumerate(SERVED + RECURRENT)
    for number, phase in enumerate(("prefill", "decode"))
]
"""All families in both phases; of each family one phase is of the slow suite."""


@pytest.mark.parametrize(("kind", "phase"), CASES)
@pytest.mark.sample(3)
def test_a_served_family_runs_in_kernels_of_an_engine(kind: str, phase: str) -> None:
    module, args, kwargs = transformers_models.build(kind, phase)
    before = ic.capture(module, ic.Inputs(args, kwargs))
    after = ic.engine_graph(before, "vllm")
    assert {after.node(node).op for node in as_captured(after)} == set()
    assert len(after) < len(before)
    was, now = ic.count(before).total, ic.count(after).total
    assert (now.parameters, now.parameter_bytes) == (was.parameters, was.parameter_bytes)
    absorbed = kind in LATENT and phase == "decode"
    assert (now.contraction_flops == was.contraction_flops) != absorbed
