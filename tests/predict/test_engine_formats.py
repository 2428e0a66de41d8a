"""Formats of caches change bytes of an engine's kernels, and never which kernels there are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.language_configs import DEEPSEEK, GPT_OSS, LLAMA, QWEN_NEXT, spec_of

import pyinfercost as ic

pytestmark = pytest.mark.torch

MODELS = {"llama": LLAMA, "gpt_oss": GPT_OSS, "deepseek": DEEPSEEK, "qwen_next": QWEN_NEXT}
SIZES = {"decode": {"batch": 2, "context": 24}, "prefill": {"batch": 2, "sequence": 24}}


def kernels(graph: ic.Graph, engine: str) -> Counter[str]:
    estimate = ic.estimate(graph, hardware="h100-sxm-80gb", engine=engine)
    return Counter(layer.kernel for layer in estimate.layers if layer.latency_s > 0)


@pytest.mark.parametrize("phase", SIZES)
@pytest.mark.parametrize("name", MODELS)
def test_a_narrow_cache_changes_no_kernel_of_a_forward(tmp_path: Path, name: str, phase: str) -> None:
    config: dict[str, Any] = MODELS[name]
    graph = ic.capture(spec_of(tmp_path, config, phase), **SIZES[phase])
    narrow = ic.whatif(graph, kv_cache="fp8")
    for engine in ("vllm", "sglang", "trtllm", "llamacpp"):
        wide = kernels(graph, engine)
        # SGLang's kernel that writes the cache does not convert; the other engines' does.
        converts = {"pyinfercost.quantize_rows", "elementwise"} if engine == "sglang" else set()
        assert set(kernels(narrow, engine) - wide) <= converts, engine
        assert not wide - kernels(narrow, engine), engine


@pytest.mark.parametrize("phase", SIZES)
def test_kernels_of_tensorrt_llm_write_the_static_fp8_that_products_read(tmp_path: Path, phase: str) -> None:
    static = {"quantization_config": {"quant_method": "fp8", "activation_scheme": "static"}}
    graph = ic.capture(spec_of(tmp_path, LLAMA | static, phase), **SIZES[phase])
    layers = LLAMA["num_hidden_layers"]
    assert "elementwise" not in kernels(graph, "trtllm")
    # Two norms and one attention of a layer have a kernel beside them that quantizes.
    assert kernels(graph, "sglang")["elementwise"] == 3 * layers
