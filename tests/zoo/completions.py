"""What the default configs of some model types leave open, and what the general shrinking cannot know of others."""

from __future__ import annotations

from typing import Any

_SECTION = {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}}
_HALF_SECTION = {
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 10000.0,
        "partial_rotary_factor": 0.5,
        "mrope_section": [1, 1, 2],
    }
}
_MLA = {"head_dim": 8}
COMPLETIONS: dict[str, dict[str, Any]] = {
    "apertus1p5": {"audio_token_offset": 131784},
    "autoformer": {"prediction_length": 8, "context_length": 16},
    "axk1": _MLA,
    "aya_vision": {"vision_config": {"image_size": 364}},
    "bamba": {"attn_layer_indices": [1]},
    "blip-2": {"image_token_index": 511},
    "deepseek_v3": _MLA,
    "dots1": {"moe_intermediate_size": 48, "n_routed_experts": 4},
    "dots3_note_text": {},
    "esm": {"vocab_size": 33},
    "falcon_h1": {"mamba_d_ssm": 128, "mamba_n_heads": 8, "mamba_d_head": 16},
    "fun_asr_nano": {"adaptor_config": {"intermediate_size": 16}},
    "glm4v": {"text_config": _SECTION},
    "glm4v_moe": {"text_config": _HALF_SECTION},
    "glm4v_moe_text": _HALF_SECTION,
    "glm4v_text": _SECTION,
    "glm_image": {"text_config": _SECTION},
    "glm_image_text": _SECTION,
    "glm_ocr": {"text_config": _SECTION},
    "glm_ocr_text": _SECTION,
    "granitemoehybrid": {"layer_types": ["mamba", "attention"]},
    "hunyuan_v1_dense": {"head_dim": 16},
    "hunyuan_v1_moe": {"head_dim": 16, "num_experts": 4, "moe_topk": 2},
    "hunyuan_vl": {"text_config": {"head_dim": 16}},
    "hunyuan_vl_text": {"head_dim": 16},
    "informer": {"prediction_length": 8, "context_length": 16},
    "ministral": {"head_dim": 16},
    "moonshine_streaming": {"num_key_value_heads": 4},
    "nemotron": {"head_dim": 16, "num_key_value_heads": 2},
    "qwen2_vl": {"text_config": _SECTION},
    "qwen2_vl_text": _SECTION,
    "reformer": {"axial_pos_embds_dim": [16, 48]},
    "time_series_transformer": {"prediction_length": 8, "context_length": 16},
    "timm_backbone": {"backbone": "resnet18"},
}
