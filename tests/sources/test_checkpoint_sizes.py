"""Bytes of weights by configs alone, compared with published checkpoints and with tensors as their formats define them.

Published sizes: `total_size` of the index of gpt-oss-20b and gpt-oss-120b, to the byte, and the folder of DeepSeek-V3.
Of Llama-3-70B, Mixtral-8x7B and Qwen3-30B-A3B, sizes are known to 0.1 GB only. Therefore the tensors of a layer of each
model are also added up one by one, as the formats define them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.checkpoints import captured, published

import pyinfercost as ic

pytestmark = pytest.mark.torch
pytest.importorskip("transformers")

GPTQ: dict[str, Any] = {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": True}
AWQ: dict[str, Any] = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm"}
FP8: dict[str, Any] = {"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic"}
KEPT = ["lm_head", *(f"model.layers.{layer}.mlp.gate" for layer in range(48))]


def size(folder: Path, config: dict[str, Any], settings: Any = None) -> int:
    """Return the bytes of parameters of a config."""
    return int(ic.count(captured(folder, config, settings, "#decode")).total.parameter_bytes)


def one_layer(folder: Path, config: dict[str, Any], settings: Any = None) -> int:
    """Return the bytes of the last layer, by removing it."""
    layers = config["num_hidden_layers"]
    shorter = {**config, "num_hidden_layers": layers - 1}
    if "layer_types" in config:
        shorter["layer_types"] = config["layer_types"][: layers - 1]
    return size(folder, config, settings) - size(folder, shorter, settings)


def int4(rows: int, columns: int, group: int = 128, *, index: bool = False) -> float:
    """Return the bytes of int4 with a float16 scale and an int4 zero point per group, and an int32 per input."""
    return rows * columns / 2 + rows * (columns / group) * 2.5 + (4 * columns if index else 0)


def fp8(rows: int, columns: int) -> int:
    """Return the bytes of fp8 with a float32 scale per block of 128 x 128."""
    return rows * columns + 4 * -(-rows // 128) * -(-columns // 128)


def mxfp4(rows: int, columns: int) -> int:
    """Return the bytes of two values per byte and a byte per 32."""
    return rows * columns // 2 + rows * columns // 32


def shallow(name: str, layers: int, **changes: Any) -> dict[str, Any]:
    config = published(name, num_hidden_layers=layers, **changes)
    if "layer_types" in config:
        config["layer_types"] = config["layer_types"][:layers]
    return config


# ---- layer by layer --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "experts"), [("gpt-oss-20b", 32), ("gpt-oss-120b", 128)])
@pytest.mark.sample(1)
def test_a_layer_of_gpt_oss(tmp_path: Path, name: str, experts: int) -> None:
    h, queries, keys = 2880, 64 * 64, 8 * 64
    attention = 2 * (2 * queries * h + 2 * keys * h) + 2 * (queries + 2 * keys + h) + 2 * 64  # bfloat16, biases, sinks
    router, norms = 2 * (experts * h + experts), 2 * 2 * h
    of_experts = experts * (mxfp4(2 * h, h) + mxfp4(h, h) + 2 * (2 * h + h))  # biases in bfloat16
    assert one_layer(tmp_path, shallow(name, 2)) == attention + router + norms + of_experts


def deepseek_layer(experts: int = 256) -> int:
    """Return the bytes of a layer of DeepSeek-V3 with experts, tensor by tensor."""
    h, heads, inner = 7168, 128, 2048
    attention = fp8(1536, h) + fp8(heads * 192, 1536) + fp8(576, h) + fp8(heads * 256, 512) + fp8(h, heads * 128)
    norms = 2 * (2 * h + 1536 + 512)
    gate = 4 * experts * h  # float32, as transformers keeps it
    return attention + norms + gate + (experts + 1) * (2 * fp8(inner, h) + fp8(h, inner))


@pytest.mark.slow
def test_a_layer_of_deepseek(tmp_path: Path) -> None:
    config = shallow("deepseek-v3", 5)
    assert one_layer(tmp_path, config) == deepseek_layer()


@pytest.mark.parametrize(("settings", "index"), [(AWQ, False), (GPTQ, True)])
@pytest.mark.sample(1)
def test_a_layer_of_llama(tmp_path: Path, settings: dict[str, Any], index: bool) -> None:
    h, keys, inner = 8192, 1024, 28672
    shapes = [(h, h), (keys, h), (keys, h), (h, h), (inner, h), (inner, h), (h, inner)]
    expected = sum(int4(rows, columns, index=index) for rows, columns in shapes) + 2 * 2 * h
    assert one_layer(tmp_path, shallow("llama-3-70b", 2), settings) == expected


@pytest.mark.parametrize(("settings", "index"), [(AWQ | {"modules_to_not_convert": ["gate"]}, False), (GPTQ, True)])
@pytest.mark.sample(1)
def test_a_layer_of_mixtral(tmp_path: Path, settings: dict[str, Any], index: bool) -> None:
    h, keys, inner, experts = 4096, 1024, 14336, 8
    attention = sum(int4(rows, h, index=index) for rows in (h, keys, keys, h))
    # gate and up are one weight, whose inputs have one index.
    each = int4(2 * inner, h, index=index) + int4(h, inner, index=index)
    assert one_layer(tmp_path, shallow("mixtral-8x7b", 2), settings) == attention + experts * each + 2 * (
        experts * h + 2 * h
    )


def test_a_layer_of_qwen(tmp_path: Path) -> None:
    h, queries, keys, inner, experts = 2048, 4096, 512, 768, 128
    attention = fp8(queries, h) + 2 * fp8(keys, h) + fp8(h, queries)
    each = 2 * fp8(inner, h) + fp8(h, inner)
    expected = attention + experts * each + 2 * (experts * h + 2 * h + 2 * 128)
    assert one_layer(tmp_path, shallow("qwen3-30b-a3b", 2), FP8 | {"modules_to_not_convert": KEPT}) == expected


# ---- whole models ----------------------------------------------------------------------------------------------------

GB = 10**9
MODELS = [
    ("gpt-oss-20b", None, 13_761_264_768),
    ("gpt-oss-120b", None, 65_248_815_744),
    ("llama-3-70b", AWQ, 39.8 * GB),
    ("llama-3-70b", GPTQ, 39.8 * GB),
    ("mixtral-8x7b", AWQ | {"modules_to_not_convert": ["gate"]}, 24.7 * GB),
    ("mixtral-8x7b", GPTQ | {"group_size": -1}, 23.8 * GB),
    ("mixtral-8x7b", GPTQ, 24.7 * GB),
    ("qwen3-30b-a3b", FP8 | {"modules_to_not_convert": KEPT}, 31.2 * GB),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "settings", "expected"), MODELS)
def test_whole_models_have_their_published_sizes(tmp_path: Path, name: str, settings: Any, expected: float) -> None:
    config = published(name)
    found = size(tmp_path, config, settings)
    assert found == pytest.approx(expected, rel=0.01 if isinstance(expected, float) else 0)
    plain = {key: value for key, value in config.items() if key != "quantization_config"}
    counts = [
        ic.count(captured(tmp_path, each, with_settings, "#decode")).total
        for each, with_settings in ((config, settings), (plain, None))
    ]
    assert counts[0].parameters == counts[1].parameters


@pytest.mark.slow
def test_deepseek_without_and_with_its_predicted_tokens(tmp_path: Path) -> None:
    """The folder also holds a 62nd layer, for predicted tokens, which no part of the captured model reads.

    It has a projection of [h, 2h] in bfloat16, three norms, and copies of the embedding and the output embedding.
    """
    config = published("deepseek-v3")
    found = ic.count(captured(tmp_path, config, None, "#decode")).total
    assert found.parameters == pytest.approx(671e9, rel=0.001)
    h, vocabulary = 7168, 129_280
    predicted = deepseek_layer() + 2 * (2 * h * h + 3 * h + 2 * vocabulary * h)
    folder = 688_586_727_753
    assert found.parameter_bytes + predicted == pytest.approx(folder, rel=0.001)
