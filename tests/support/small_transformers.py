"""Small models of transformers, one of each kind, with inputs."""

from __future__ import annotations

from typing import Any

import torch

DECODER = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
DECODER |= {"vocab_size": 64, "num_key_value_heads": 2, "pad_token_id": 0}
ENCODER = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
PAIR = {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4}
PAIR |= {"decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "vocab_size": 64}
PAIR |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "Llama": ("LlamaForCausalLM", DECODER),
    "Qwen2": ("Qwen2ForCausalLM", DECODER),
    "Gemma": ("GemmaForCausalLM", DECODER | {"head_dim": 8}),
    "GPT2": ("GPT2LMHeadModel", {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 64}),
    "Mixtral": ("MixtralForCausalLM", DECODER | EXPERTS),
    "Bert": ("BertModel", ENCODER | {"vocab_size": 64}),
    "Deberta": ("DebertaModel", ENCODER | {"vocab_size": 64}),
    "T5": (
        "T5ForConditionalGeneration",
        {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "vocab_size": 64},
    ),
    "Bart": ("BartForConditionalGeneration", PAIR),
    "ViT": ("ViTModel", ENCODER | {"image_size": 32, "patch_size": 8}),
    "Whisper": ("WhisperForConditionalGeneration", PAIR | {"num_mel_bins": 8, "max_source_positions": 20}),
    "Mamba": ("MambaForCausalLM", {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 64, "state_size": 4}),
}


def inputs_of(model: Any) -> dict[str, torch.Tensor]:
    """Return real inputs of a model: two sequences without padding, two images, or two windows of audio."""
    ids = torch.randint(3, 64, (2, 10))
    given: dict[str, torch.Tensor] = {
        "input_ids": {"input_ids": ids, "attention_mask": torch.ones_like(ids)},
        "pixel_values": {"pixel_values": torch.randn(2, 3, 32, 32)},
        "input_features": {"input_features": torch.randn(2, 8, 40)},
    }[model.main_input_name]
    if model.config.is_encoder_decoder:
        given["decoder_input_ids"] = ids[:, :6]
    return given
