"""Command lines of serving engines."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

import pyinfercost as ic
from pyinfercost.deployment.engine_flags import engine_command, flag_of


def command(engine: str, settings: dict[str, Any] | None = None, **fields: Any) -> str:
    formats = {name: fields.pop(name) for name in ("kv_cache", "quantize") if name in fields}
    on = ic.Deployment(**{"hardware": "h100-sxm-80gb", "engine": engine} | fields)
    return engine_command(on, "hf:models/llama/config.json#decode", settings or {}, **formats)


def test_vllm() -> None:
    settings = {"max_model_len": 30_208, "max_num_seqs": 64, "enable_prefix_caching": False, "num_gpu_blocks": 1888}
    assert shlex.split(command("vllm", settings, layout="tensor=2,pipeline=2,data=2", kv_cache="fp8")) == [
        "vllm", "serve", "models/llama",
        "--tensor-parallel-size", "2", "--pipeline-parallel-size", "2", "--data-parallel-size", "2",
        "--kv-cache-dtype", "fp8", "--max-model-len", "30208", "--gpu-memory-utilization", "0.9",
        "--max-num-seqs", "64", "--no-enable-prefix-caching", "--num-gpu-blocks-override", "1888",
    ]  # fmt: skip


def test_settings_of_steps_are_flags() -> None:
    found = command(
        "vllm",
        precision="fp8",
        execution="eager",
        serving="gpu_memory_utilization=0.95,async_scheduling,graph_batches=1:2:4,draft_tokens=3",
    )
    assert shlex.split(found)[3:] == [
        "--quantization", "fp8", "--gpu-memory-utilization", "0.95", "--async-scheduling",
        "--compilation-config", '{"cudagraph_capture_sizes": [1, 2, 4]}',
        "--speculative-config", '{"method": "eagle3", "num_speculative_tokens": 3}', "--enforce-eager",
    ]  # fmt: skip


def test_attention_of_shares_of_a_batch() -> None:
    layout = "tensor=8,attention_data=4,expert=8"
    assert "--tensor-parallel-size 2 --data-parallel-size 4 --enable-expert-parallel" in command("vllm", layout=layout)
    assert "--tp-size 8 --enable-dp-attention --dp-size 4 --ep-size 8" in command("sglang", layout=layout)


def test_sglang() -> None:
    settings = {"max_model_len": 8192, "chunked_prefill_size": 4096, "enable_prefix_caching": False}
    assert command("sglang", settings, kv_cache="fp8", serving="gpu_memory_utilization=0.8") == (
        "python -m sglang.launch_server --model-path models/llama --kv-cache-dtype fp8_e4m3 --context-length 8192 "
        "--mem-fraction-static 0.8 --chunked-prefill-size 4096 --disable-radix-cache"
    )
    assert command("sglang", serving="graph_batches=1:2:4").endswith("--cuda-graph-bs 1 2 4")


def test_what_tensorrt_llm_reads_from_a_file_is_a_comment() -> None:
    found = command(
        "trtllm", {"max_model_len": 8192, "max_num_batched_tokens": 4096}, layout="tensor=2", kv_cache="fp8"
    )
    line, _, comment = found.partition("  # ")
    assert line == (
        "trtllm-serve models/llama --tp_size 2 --max_seq_len 8192 --max_num_tokens 4096 "
        "--extra_llm_api_options options.yaml"
    )
    assert comment == "options.yaml has kv_cache_config: {dtype: fp8}"


def test_checkpoints_that_are_needed_are_comments() -> None:
    assert command("vllm", quantize="int4_awq").endswith("  # with an AWQ checkpoint, made by llm-compressor (W4A16)")
    assert " --quantization fp8 " in command("vllm", quantize="fp8_dynamic")


def test_llamacpp() -> None:
    on = ic.Deployment(hardware="epyc-7763", engine="llamacpp", threads=16)
    settings = {"max_num_seqs": 4, "cache_tokens": 8196}
    assert engine_command(on, "llama.gguf", settings) == "llama-server -m llama.gguf -np 4 -c 8196 -t 16"
    assert "-ngl 99" in command("llamacpp")


@pytest.mark.parametrize("engine", ["torch", "tensorrt", "onnxruntime"])
def test_other_engines_have_none(engine: str) -> None:
    assert command(engine) == ""


def test_names_are_quoted() -> None:
    on = ic.Deployment(hardware="l4", engine="vllm")
    assert shlex.split(engine_command(on, "hf:my models/llama, what if kv cache fp8", {}))[2] == "my models/llama"


def test_a_layout_in_words() -> None:
    assert flag_of("vllm", "layout", "tensor=4") == "--tensor-parallel-size 4"
    assert flag_of("vllm", "layout", "tensor=1") == "the engine's own layout: one device"
