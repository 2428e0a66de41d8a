"""GGUF files of small models, written by the `gguf` library under the names of its own table of tensors."""

from __future__ import annotations

import os
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import MODEL_ARCH as ARCH
from gguf import GGMLQuantizationType as Type

ALIGNMENT = gguf.GGUF_DEFAULT_ALIGNMENT
SMALL = {"hidden_size": 256, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64, "vocab_size": 512}
WIDE = {"intermediate_size": 512, "num_hidden_layers": 2, "max_position_embeddings": 4096}
PLAIN = {**SMALL, **WIDE, "pad_token_id": None, "bos_token_id": None, "eos_token_id": None}

MODELS: dict[str, tuple[ARCH, str, dict[str, Any]]] = {
    # Name -> architecture, class of the config, its values.
    "llama": (ARCH.LLAMA, "LlamaConfig", PLAIN),
    "llama-8b": (
        ARCH.LLAMA,
        "LlamaConfig",
        {**PLAIN, "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
         "vocab_size": 128_256, "intermediate_size": 14_336, "num_hidden_layers": 32,
         "max_position_embeddings": 8192},
    ),
    "llama-biased": (ARCH.LLAMA, "LlamaConfig", {**PLAIN, "attention_bias": True}),
    "llama-tied": (ARCH.LLAMA, "LlamaConfig", {**PLAIN, "tie_word_embeddings": True}),
    "mixtral": (ARCH.LLAMA, "MixtralConfig", {**PLAIN, "num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen2": (ARCH.QWEN2, "Qwen2Config", {**PLAIN}),
    "qwen2moe": (
        ARCH.QWEN2MOE,
        "Qwen2MoeConfig",
        {**PLAIN, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 256,
         "shared_expert_intermediate_size": 512},
    ),
    "qwen3": (ARCH.QWEN3, "Qwen3Config", {**PLAIN, "head_dim": 128, "tie_word_embeddings": True}),
    "qwen3moe": (
        ARCH.QWEN3MOE,
        "Qwen3MoeConfig",
        {**PLAIN, "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 256},
    ),
    "gemma": (ARCH.GEMMA, "GemmaConfig", {**PLAIN, "head_dim": 128}),
    "gemma2": (ARCH.GEMMA2, "Gemma2Config", {**PLAIN, "sliding_window": 64}),
    "gemma3": (ARCH.GEMMA3, "Gemma3TextConfig", {**PLAIN, "sliding_window": 64, "num_hidden_layers": 6}),
    "phi3": (ARCH.PHI3, "Phi3Config", {**PLAIN, "sliding_window": None}),
    "gpt-oss": (
        ARCH.GPT_OSS,
        "GptOssConfig",
        {**PLAIN, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 64},
    ),
    "deepseek-v2": (
        ARCH.DEEPSEEK2,
        "DeepseekV2Config",
        {**PLAIN, "num_key_value_heads": 4, "q_lora_rank": None, "kv_lora_rank": 256, "qk_rope_head_dim": 32,
         "qk_nope_head_dim": 64, "v_head_dim": 64, "head_dim": 32, "n_routed_experts": 4, "num_experts_per_tok": 2,
         "moe_intermediate_size": 256, "n_shared_experts": 2, "first_k_dense_replace": 1, "n_group": 1,
         "topk_group": 1},
    ),
    "deepseek-v3": (
        ARCH.DEEPSEEK2,
        "DeepseekV3Config",
        {**PLAIN, "num_key_value_heads": 4, "q_lora_rank": 256, "kv_lora_rank": 256, "qk_rope_head_dim": 32,
         "qk_nope_head_dim": 64, "v_head_dim": 64, "head_dim": 32, "n_routed_experts": 4, "num_experts_per_tok": 2,
         "moe_intermediate_size": 256, "n_shared_experts": 1, "first_k_dense_replace": 1, "n_group": 2,
         "topk_group": 1},
    ),
    "glm4moe": (
        ARCH.GLM4_MOE,
        "Glm4MoeConfig",
        {**PLAIN, "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 256,
         "n_shared_experts": 1, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1, "attention_bias": True},
    ),
    "olmo2": (ARCH.OLMO2, "Olmo2Config", {**PLAIN}),
    "olmoe": (ARCH.OLMOE, "OlmoeConfig", {**PLAIN, "num_experts": 4, "num_experts_per_tok": 2}),
    "granite": (ARCH.GRANITE, "GraniteConfig", {**PLAIN}),
    "granitemoe": (
        ARCH.GRANITE_MOE,
        "GraniteMoeConfig",
        {**PLAIN, "num_local_experts": 4, "num_experts_per_tok": 2},
    ),
    "smollm3": (ARCH.SMOLLM3, "SmolLM3Config", {**PLAIN}),
    "starcoder2": (ARCH.STARCODER2, "Starcoder2Config", {**PLAIN, "sliding_window": None}),
    "cohere": (ARCH.COMMAND_R, "CohereConfig", {**PLAIN}),
    "cohere2": (ARCH.COHERE2, "Cohere2Config", {**PLAIN, "sliding_window": 64}),
}  # fmt: skip

TYPES = (
    Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0, Type.Q2_K, Type.Q3_K, Type.Q4_K, Type.Q5_K, Type.Q6_K,
    Type.IQ4_XS, Type.IQ2_XXS, Type.IQ3_S, Type.IQ1_S, Type.TQ1_0, Type.MXFP4,
)  # fmt: skip

_PUBLISHED = {
    "mlp.gate.weight": "block_sparse_moe.gate.weight",
    "block_sparse_moe.router.weight": "block_sparse_moe.router.layer.weight",
}
"""Names in the library's models -> names in checkpoints, which the table has."""

TypeOf = Callable[[str], Type]
"""Name of a tensor in the file -> type of a matrix."""


def config_of(name: str) -> Any:
    """Return the config of a small model, in float16."""
    import transformers

    _, kind, values = MODELS[name]
    return getattr(transformers, kind)(**values, dtype="float16")


def save_config(name: str, folder: Path) -> str:
    """Write the config of a small model; return its spec."""
    config_of(name).save_pretrained(folder)
    return f"hf:{folder}"


def q4_k_m_of(layers: int) -> TypeOf:
    """Return the types of the mixture Q4_K_M: Q6_K for the head, values and projections down in half the layers.

    The layers are those of `use_more_bits` in llama.cpp (src/llama-quant.cpp).
    """

    def type_of(name: str) -> Type:
        if name == "output.weight":
            return Type.Q6_K
        if "attn_v." not in name and "ffn_down" not in name:
            return Type.Q4_K
        layer = int(name.split(".")[1])
        more = layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2
        return Type.Q6_K if more else Type.Q4_K

    return type_of


q4_k_m = q4_k_m_of(2)


def write_gguf(
    path: Path,
    name: str,
    type_of: TypeOf | Type = Type.Q4_K,
    *,
    big_endian: bool = False,
    extra: dict[str, tuple[tuple[int, ...], Type]] | None = None,
    split: int = 0,
    one_by_one: bool = False,
) -> int:
    """Write a model without the data of its weights, a hole in the file; vectors and routers are F32, as usual.

    Args:
        path: The file.
        name: A key of `MODELS`.
        type_of: Type of matrices, or of each by its name.
        big_endian: Whether numbers are big-endian.
        extra: Further tensors: shape and type by name.
        split: Tensors of one file; 0 for one file with all.
        one_by_one: Whether experts are tensors of their own, as in files of 2023.

    Returns:
        Bytes of all tensors by the library's own table of types.
    """
    arch, _, _ = MODELS[name]
    order = gguf.GGUFEndian.BIG if big_endian else gguf.GGUFEndian.LITTLE
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch], endianess=order, split_max_tensors=split)
    config = config_of(name)
    _add_settings(writer, config)
    tensors = tensors_of(config, arch)
    if one_by_one:
        tensors = _split_experts(tensors)
    total = 0
    for tensor, shape in tensors.items():
        wide = len(shape) == 1 or "ffn_gate_inp" in tensor
        kind = Type.F32 if wide else type_of(tensor) if callable(type_of) else type_of
        if shape[-1] % gguf.GGML_QUANT_SIZES[kind][0]:  # as llama.cpp does for short rows
            kind = Type.Q8_0
        total += _add(writer, tensor, shape, kind)
    for tensor, (shape, kind) in (extra or {}).items():
        total += _add(writer, tensor, shape, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    ends = [gguf.GGUFWriter.ggml_pad(file.tell(), ALIGNMENT) + sum(map(_padded, tensors.values()))
            for file, tensors in zip(writer.fout, writer.tensors, strict=True)]  # fmt: skip
    names = [Path(file.name) for file in writer.fout]
    writer.close()
    for file, end in zip(names, ends, strict=True):  # the data is a hole in the file
        os.truncate(file, end)
    return total


def _padded(tensor: Any) -> int:
    return int(gguf.GGUFWriter.ggml_pad(tensor.nbytes, ALIGNMENT))


def _add(writer: gguf.GGUFWriter, name: str, shape: tuple[int, ...], kind: Type) -> int:
    weights, nbytes = gguf.GGML_QUANT_SIZES[kind]
    size = prod(shape) // weights * nbytes
    stored = (*shape[:-1], shape[-1] // weights * nbytes)
    writer.add_tensor_info(name, stored, np.dtype(np.uint8), size, raw_dtype=kind)
    return size


def _add_settings(writer: gguf.GGUFWriter, config: Any) -> None:
    """Write what convert_hf_to_gguf.py writes for a config."""

    def get(*keys: str, default: Any = None) -> Any:
        return next((value for key in keys if (value := getattr(config, key, None)) is not None), default)

    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(get("rms_norm_eps", "layer_norm_eps", "norm_epsilon", default=1e-5))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"token{number}" for number in range(config.vocab_size)])
    if latent := get("kv_lora_rank"):
        writer.add_kv_lora_rank(latent)
        if config.q_lora_rank:
            writer.add_q_lora_rank(config.q_lora_rank)
        writer.add_rope_dimension_count(config.qk_rope_head_dim)
        writer.add_key_length(latent + config.qk_rope_head_dim)
        writer.add_value_length(latent)
        writer.add_key_length_mla(config.qk_nope_head_dim + config.qk_rope_head_dim)
        writer.add_value_length_mla(config.v_head_dim)
        gates = gguf.ExpertGatingFuncType.SIGMOID if "v3" in config.model_type else gguf.ExpertGatingFuncType.SOFTMAX
        writer.add_expert_gating_func(gates)
    else:
        writer.add_rope_dimension_count(int(config.head_dim * (get("partial_rotary_factor", default=1.0) or 1.0)))
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    if window := get("sliding_window"):
        writer.add_sliding_window(window)
    if experts := get("num_local_experts", "num_experts", "n_routed_experts"):
        writer.add_expert_count(experts)
        writer.add_expert_used_count(config.num_experts_per_tok)
        if width := get("moe_intermediate_size"):
            writer.add_expert_feed_forward_length(width)
    if shared := get("n_shared_experts"):
        writer.add_expert_shared_count(shared)
    if (dense := get("first_k_dense_replace")) is not None:
        writer.add_leading_dense_block_count(dense)
    if groups := get("n_group"):
        writer.add_expert_group_count(groups)
        writer.add_expert_group_used_count(config.topk_group)


def tensors_of(config: Any, arch: ARCH) -> dict[str, tuple[int, ...]]:
    """Return the tensors of a model, by the names that the library's table gives for those of its checkpoints."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    table = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    found: dict[str, tuple[int, ...]] = {}
    for name, parameter in [*model.named_parameters(), *model.named_buffers()]:
        shape = tuple(parameter.shape)
        block = f"blk.{name.split('.')[2]}" if ".layers." in name else ""
        if name.endswith(("experts.gate_up_proj", "experts.gate_up_proj_bias")):
            of = "bias" if name.endswith("_bias") else "weight"
            half = (shape[0], shape[1] // 2) if of == "bias" else _half(shape, config)
            found[f"{block}.ffn_gate_exps.{of}"] = found[f"{block}.ffn_up_exps.{of}"] = half
        elif name.endswith(("experts.down_proj", "experts.down_proj_bias")):
            of = "bias" if name.endswith("_bias") else "weight"
            turned = of == "weight" and shape[-1] == config.hidden_size and config.model_type == "gpt_oss"
            found[f"{block}.ffn_down_exps.{of}"] = (shape[0], shape[2], shape[1]) if turned else shape
        elif name.endswith("self_attn.kv_b_proj.weight"):
            heads, rank, rows = config.num_attention_heads, config.kv_lora_rank, config.qk_nope_head_dim
            found[f"{block}.attn_k_b.weight"] = (heads, rank, rows)
            found[f"{block}.attn_v_b.weight"] = (heads, config.v_head_dim, rank)
        elif name.endswith("e_score_correction_bias"):
            found[f"{block}.exp_probs_b.bias"] = shape
        elif name.endswith("sinks"):
            found[f"{block}.attn_sinks.weight"] = shape
        elif isinstance(parameter, torch.nn.Parameter):
            published = name
            for old, new in _PUBLISHED.items():
                published = published.replace(old, new)
            known = table.get_name(published, try_suffixes=(".weight", ".bias"))
            assert known is not None, f"{published} has no name in the table of {arch}"
            found[known] = shape if not name.endswith("shared_expert_gate.weight") else shape[1:]
    return found


def _half(shape: tuple[int, ...], config: Any) -> tuple[int, ...]:
    experts, rows, columns = shape
    if config.model_type == "gpt_oss":  # stored as [experts, inputs, outputs] by transformers
        return experts, columns // 2, rows
    return experts, rows // 2, columns


def _split_experts(tensors: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for name, shape in tensors.items():
        if "_exps" in name:
            found |= {name.replace("_exps.", f".{expert}."): shape[1:] for expert in range(shape[0])}
        else:
            found[name] = shape
    return found
