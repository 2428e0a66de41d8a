"""Settings of serving engines as their command lines spell them, and the command line that starts a deployment."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from ..inputs.layout import Layout

if TYPE_CHECKING:
    from ..inputs.layout import Layout
    from .deployment import Deployment

_STARTS: Mapping[str, str] = {
    "vllm": "vllm serve {model}",
    "sglang": "python -m sglang.launch_server --model-path {model}",
    "trtllm": "trtllm-serve {model}",
    "llamacpp": "llama-server -m {model}",
}
_OPTIONS_FILE = "options.yaml"

_FLAGS: Mapping[str, Mapping[str, str | Mapping[str, str]]] = {
    "vllm": {
        "precision": {"fp8": "--quantization fp8", "bf16": "--dtype bfloat16", "fp16": "--dtype float16"},
        "quantize": {
            "fp8_dynamic": "--quantization fp8",
            "fp8_wo": "--quantization fp8 (weights alone, where the GPU has no fp8)",
            "int8_dynamic": "a checkpoint with 8-bit weights and activations, made by llm-compressor (W8A8)",
            "int8_wo": "a checkpoint with 8-bit weights, made by llm-compressor (W8A16)",
            "int4_awq": "an AWQ checkpoint, made by llm-compressor (W4A16)",
            "int4_gptq": "a GPTQ checkpoint, made by llm-compressor (W4A16)",
            "nvfp4_dynamic": "an NVFP4 checkpoint, made by llm-compressor or NVIDIA Model Optimizer",
        },
        "kv_cache": "--kv-cache-dtype {value}",
        "max_model_len": "--max-model-len {value}",
        "gpu_memory_utilization": "--gpu-memory-utilization {value}",
        "max_num_batched_tokens": "--max-num-batched-tokens {value}",
        "max_num_seqs": "--max-num-seqs {value}",
        "num_gpu_blocks": "--num-gpu-blocks-override {value}",
        "prefix": "--enable-prefix-caching",
        "enable_prefix_caching": {"False": "--no-enable-prefix-caching"},
        "enable_chunked_prefill": {"False": "--no-enable-chunked-prefill"},
        "stream_interval": "--stream-interval {value}",
        "async_scheduling": {"True": "--async-scheduling"},
        "graph_batches": """--compilation-config '{{"cudagraph_capture_sizes": [{value}]}}'""",
        "eager": "--enforce-eager",
        "draft_tokens": """--speculative-config '{{"method": "eagle3", "num_speculative_tokens": {value}}}'""",
        "tensor": "--tensor-parallel-size {value}",
        "pipeline": "--pipeline-parallel-size {value}",
        "data": "--data-parallel-size {value}",
        "expert": "--enable-expert-parallel",
    },
    "sglang": {
        "precision": {"fp8": "--quantization fp8", "bf16": "--dtype bfloat16", "fp16": "--dtype float16"},
        "quantize": {
            "fp8_dynamic": "--quantization fp8",
            "int8_dynamic": "--quantization w8a8_int8, with such a checkpoint",
            "int4_awq": "an AWQ checkpoint",
            "int4_gptq": "a GPTQ checkpoint",
            "nvfp4_dynamic": "--quantization modelopt_fp4, with such a checkpoint",
        },
        "kv_cache": {"fp8": "--kv-cache-dtype fp8_e4m3"},
        "max_model_len": "--context-length {value}",
        "gpu_memory_utilization": "--mem-fraction-static {value}",
        "max_num_batched_tokens": "--max-prefill-tokens {value}",
        "chunked_prefill_size": "--chunked-prefill-size {value}",
        "max_num_seqs": "--max-running-requests {value}",
        "num_gpu_blocks": "--max-total-tokens {value}",
        "prefix": "leave out --disable-radix-cache",
        "enable_prefix_caching": {"False": "--disable-radix-cache"},
        "enable_chunked_prefill": {"False": "--chunked-prefill-size -1"},
        "stream_interval": "--stream-interval {value}",
        "graph_batches": "--cuda-graph-bs {spaced}",
        "eager": "--disable-cuda-graph",
        "draft_tokens": "--speculative-algorithm EAGLE3 --speculative-num-draft-tokens {value}",
        "tensor": "--tp-size {value}",
        "pipeline": "--pp-size {value}",
        "data": "--dp-size {value}",
        "attention_data": "--enable-dp-attention --dp-size {value}",
        "expert": "--ep-size {value}",
    },
    "trtllm": {
        "precision": {"fp8": "an FP8 checkpoint, made by NVIDIA Model Optimizer", "bf16": "dtype: bfloat16"},
        "quantize": "a checkpoint in {value}, made by NVIDIA Model Optimizer",
        "kv_cache": "kv_cache_config: {{dtype: {value}}}",
        "max_model_len": "--max_seq_len {value}",
        "gpu_memory_utilization": "--kv_cache_free_gpu_memory_fraction {value}",
        "max_num_batched_tokens": "--max_num_tokens {value}",
        "max_num_seqs": "--max_batch_size {value}",
        "prefix": "kv_cache_config: {{enable_block_reuse: true}}",
        "enable_prefix_caching": {"False": "kv_cache_config: {{enable_block_reuse: false}}"},
        "enable_chunked_prefill": {"True": "enable_chunked_prefill: true"},
        "stream_interval": "stream_interval: {value}",
        "evicts": {"True": "scheduler_config: {{capacity_scheduler_policy: MAX_UTILIZATION}}"},
        "graph_batches": "cuda_graph_config: {{batch_sizes: [{value}]}}",
        "eager": "cuda_graph_config: null",
        "draft_tokens": "speculative_config: {{decoding_type: Eagle, max_draft_len: {value}}}",
        "tensor": "--tp_size {value}",
        "pipeline": "--pp_size {value}",
        "attention_data": "enable_attention_dp: true",
        "expert": "--ep_size {value}",
    },
    "llamacpp": {
        "on_gpu": "-ngl 99",
        "threads": "-t {value}",
        "cache_tokens": "-c {value}",
        "max_num_seqs": "-np {value}",
        "kv_cache": {"int8": "-ctk q8_0 -ctv q8_0", "fp8": "-ctk q8_0 -ctv q8_0"},
        "pipeline": "-sm layer",
        "tensor": "-sm row",
    },
}

_SHARES = {"vllm": 0.9}
"""Shares of the memory that are stated even where they are the engine's own."""
_DIVISIONS = ("tensor", "pipeline", "data", "attention_data", "expert")


def flag_of(engine: str, name: str, value: str) -> str:
    """Return the flag of an engine that applies a setting; empty if none is known.

    Args:
        engine: The engine.
        name: `"precision"`, `"quantize"`, `"kv_cache"`, `"layout"`, `"prefix"`, `"draft_tokens"`, or a setting of the
            scheduler.
        value: Its value; of a layout its text.
    """
    if name == "layout":
        flags = [flag_of(engine, each, str(many)) for each, many in _divisions(engine, Layout.parse(value))]
        return " ".join(filter(None, flags)) or "the engine's own layout: one device"
    found = _FLAGS.get(engine, {}).get(name, "")
    template = found if isinstance(found, str) else found.get(value, "")
    return template.format(value=value, spaced=value.replace(",", ""))


def engine_command(
    on: Deployment, model: str, settings: Mapping[str, Any], *, kv_cache: str = "", quantize: str = ""
) -> str:
    """Return the command line that starts a deployment; empty without a serving engine.

    Settings without a flag, such as settings of a file of options, and checkpoints that are needed follow as a comment.

    Args:
        on: The deployment of one replica.
        model: Name or spec of the model.
        settings: Settings of the scheduler that differ from the engine's own, by the names of `Scheduler`;
            `cache_tokens` are the tokens of all sequences together, for llama.cpp.
        kv_cache: Format of the KV cache, if the model's is another.
        quantize: Format of the weights, if the checkpoint's is another.
    """
    start = _STARTS.get(on.engine)
    if start is None:
        return ""
    serving = on.settings
    share = serving.gpu_memory_utilization or _SHARES.get(on.engine, 0.0)
    given: dict[str, Any] = {
        **dict(_divisions(on.engine, on.rank_layout)),
        "precision": on.precision,
        "quantize": quantize,
        "kv_cache": kv_cache,
        "max_model_len": settings.get("max_model_len") or "",
        "gpu_memory_utilization": f"{share:g}" if share and on.machine.kind == "gpu" else "",
        **{name: value for name, value in settings.items() if name != "max_model_len" and value is not None},
        "async_scheduling": serving.async_scheduling,
        "graph_batches": ", ".join(map(str, serving.graph_batches)),
        "draft_tokens": serving.draft_tokens or "",
        "eager": "1" if on.execution == "eager" else "",
        "on_gpu": "1" if on.machine.kind == "gpu" else "",
        "threads": on.threads or "",
    }
    flags, options, others = [], [], []
    for name, value in given.items():
        text = "" if value == "" else flag_of(on.engine, name, str(value))
        if text.startswith("-") and "," not in text.split("'")[0] and "(" not in text:
            flags.append(text)
        elif re.match(r"[a-z_]+: ", text):
            options.append(text)
        elif text:
            others.append(f"with {text}")
    if options:
        flags.append(f"--extra_llm_api_options {_OPTIONS_FILE}")
        others.insert(0, f"{_OPTIONS_FILE} has {'; '.join(options)}")
    command = " ".join([start.format(model=shlex.quote(_named(model))), *flags])
    return command + (f"  # {', '.join(others)}" if others else "")


def _divisions(engine: str, layout: Layout) -> list[tuple[str, int]]:
    """Return the numbers of devices of a layout by name, as an engine takes them, without those that are 1."""
    numbers = {name: getattr(layout, name) for name in _DIVISIONS}
    if engine == "vllm":  # counts the devices of one share of the batch
        numbers["tensor"] //= layout.attention_data
        numbers["data"] *= layout.attention_data
        numbers["attention_data"] = 1
    return [(name, number) for name, number in numbers.items() if number > 1]


def _named(model: str) -> str:
    """Return the model of a spec as engines take it: an id, a folder or a file."""
    spec = model.split(", what if ", maxsplit=1)[0].split("#", maxsplit=1)[0].removeprefix("hf:")
    path = PurePath(spec)
    if path.name == "config.json":
        return str(path.parent)
    return spec or "MODEL"
