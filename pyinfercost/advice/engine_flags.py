"""Flags of serving engines that apply a change, as their command lines spell them."""

from __future__ import annotations

from collections.abc import Mapping

from ..deployment.layout import parse_layout

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
        "max_num_batched_tokens": "--max-num-batched-tokens {value}",
        "max_num_seqs": "--max-num-seqs {value}",
        "prefix": "--enable-prefix-caching",
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
        "kv_cache": "--kv-cache-dtype fp8_e4m3",
        "max_num_batched_tokens": "--max-prefill-tokens {value}",
        "max_num_seqs": "--max-running-requests {value}",
        "prefix": "leave out --disable-radix-cache",
        "draft_tokens": "--speculative-algorithm EAGLE3 --speculative-num-draft-tokens {value}",
        "tensor": "--tp-size {value}",
        "pipeline": "--pp-size {value}",
        "data": "--dp-size {value}",
        "expert": "--ep-size {value}",
    },
    "trtllm": {
        "precision": {"fp8": "an FP8 checkpoint, made by NVIDIA Model Optimizer", "bf16": "dtype: bfloat16"},
        "quantize": "a checkpoint in {value}, made by NVIDIA Model Optimizer",
        "kv_cache": "kv_cache_config: {{dtype: {value}}}",
        "max_num_batched_tokens": "--max_num_tokens {value}",
        "max_num_seqs": "--max_batch_size {value}",
        "prefix": "kv_cache_config: {{enable_block_reuse: true}}",
        "draft_tokens": "speculative_config: {{decoding_type: Eagle, max_draft_len: {value}}}",
        "tensor": "--tp_size {value}",
        "pipeline": "--pp_size {value}",
        "expert": "--ep_size {value}",
    },
}

_DIVISIONS = ("tensor", "pipeline", "data", "expert")


def flag_of(engine: str, name: str, value: str) -> str:
    """Return the flag of an engine that applies a setting; empty if none is known.

    Args:
        engine: The engine.
        name: `"precision"`, `"quantize"`, `"kv_cache"`, `"layout"`, `"prefix"`, `"draft_tokens"`, or a setting of the
            scheduler.
        value: Its value; of a layout its text.
    """
    known = _FLAGS.get(engine, {})
    if name == "layout":
        layout = parse_layout(value)
        parts = [(each, getattr(layout, each)) for each in _DIVISIONS]
        flags = [flag_of(engine, each, str(many)) for each, many in parts if many > 1]
        return " ".join(flags) or "the engine's own layout: one device"
    found = known.get(name, "")
    return found.format(value=value) if isinstance(found, str) else found.get(value, "")
