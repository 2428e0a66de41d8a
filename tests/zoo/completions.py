"""What the default configs of some model types leave open, and what the general shrinking cannot know of others."""

from __future__ import annotations

from typing import Any

# Types whose widths depend on each other in ways of their own: only their layers are cut.
WIDE = frozenset(
    """
    sam sam_hq sam2 sam2_hiera_det_model sam2_vision_model sam3 sam3_lite_text sam3_vision_model sam3_tracker
    csm
    align align_text_model align_vision_model clap clap_audio_model clvp clvp_encoder clvp_decoder d_fine deimv2
    deepseek_ocr2_vision depth_pro edgetam edgetam_vision_model efficientloftr efficientnet fast_vlm florence2
    florence_vision glm_image glm_image_vision hunyuan_vl hunyuan_vl_vision hy_v4_vl_vision
    inkling2 inkling2_loop inkling2_vision layoutlmv3 lilt llama4 llama4_vision_model mimi mobilebert
    pp_doclayout_v2 pp_doclayout_v3 pp_doclayout_v4 pp_ocrv6_small_det gemma3n gemma3n_vision gemma3n_audio esmfold2
    gemma4_audio glmasr_encoder molmo2_vision mobilenet_v1 mobilenet_v2 seamless_m4t seamless_m4t_v2 rt_detr rt_detr_v2
    dots3_note_vision_encoder dots3_note_audio_encoder bros moonshine cohere_compass omdet-turbo mimi_decoder
    mimi_encoder pe_audio pe_audio_encoder pe_audio_video pe_audio_video_encoder pe_video pe_video_encoder
    """.split()
)

_SECTION = {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}}
_HALF_SECTION = {
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 10000.0,
        "partial_rotary_factor": 0.5,
        "mrope_section": [1, 1, 2],
    }
}
_FEATURES = {"vision_config": {"num_hidden_layers": 4}}
# Type -> values that replace those of its small config.
COMPLETIONS: dict[str, dict[str, Any]] = {
    "apertus1p5": {"text_config": {"vocab_size": 140000}, "vocab_size": 140000, "audio_token_offset": 131784},
    "aria": {"vision_config": {"image_size": 490, "patch_size": 14}},
    "autoformer": {"prediction_length": 8, "context_length": 16},
    "aya_vision": {"vision_config": {"image_size": 364}},
    "bamba": {"attn_layer_indices": [1]},
    "blip-2": {"image_token_index": 511},
    "chameleon": {"vocabulary_map": {"<image>": 500, "IMGIMGAZ": 501}, "image_token_id": 500},
    "cohere_compass_text": {
        "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 10000.0}},
        "layer_types": ["full_attention", "full_attention"],
    },
    "dbrx": {"attn_config": {"rope_theta": 10000.0, "clip_qkv": 8.0}},
    "deepseek_ocr2": {
        "text_config": {"mlp_layer_types": ["dense", "sparse"], "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1}
    },
    "deepseek_ocr2_text": {
        "mlp_layer_types": ["dense", "sparse"],
        "num_experts_per_tok": 2,
        "n_group": 1,
        "topk_group": 1,
    },
    "deepseek_v2": {"num_experts_per_tok": 2, "first_k_dense_replace": 1},
    "depth_pro": {"patch_size": 96},
    "diffusion_gemma": {"text_config": {"num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 48}},
    "diffusion_gemma_text": {"num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 48},
    "dory": {
        "num_hidden_layers": 6,
        "layer_types": ["sliding_attention", "mlp", "sliding_attention", "mlp", "full_attention", "mlp"],
        "n_input_layers": 2,
        "n_recurrent_layers": 2,
        "n_output_layers": 2,
    },
    "dots1": {"moe_intermediate_size": 48, "n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "dots3_note_text": {"head_dim": 24},
    "emu3": {"vocabulary_map": {"<image>": 500, "<|visual token 000000|>": 501}, "image_token_id": 500},
    "ernie4_5_vl_moe": {"text_config": {"rope_parameters": {"mrope_section": [3, 3, 2]}}},
    "ernie4_5_vl_moe_text": {"rope_parameters": {"mrope_section": [3, 3, 2]}},
    "esm": {"vocab_size": 33, "mask_token_id": 32, "pad_token_id": 1},
    "exaone4_5": {"text_config": {}},
    "falcon_h1": {"mamba_d_ssm": 128, "mamba_n_heads": 8, "mamba_d_head": 16},
    "fun_asr_nano": {"adaptor_config": {"intermediate_size": 16}},
    "gemma3": {"mm_tokens_per_image": 49, "vision_config": {"image_size": 224, "patch_size": 16}},
    "glm46v": {"text_config": _SECTION},
    "glm4v": {"text_config": _SECTION},
    "glm4v_moe": {"text_config": _HALF_SECTION},
    "glm4v_moe_text": _HALF_SECTION,
    "glm4v_text": _SECTION,
    "glm_image": {"text_config": {"rope_parameters": {"mrope_section": [16, 24, 24]}}},
    "glm_image_text": _SECTION,
    "glm_ocr": {"text_config": _SECTION},
    "glm_ocr_text": _SECTION,
    "glmga": {"text_config": _SECTION},
    "granite4_vision": {"downsample_rate": "1/2", "deepstack_layer_map": [[-1, 0]], "spatial_target_layers": [0, 1]},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"]},
    "hunyuan_v1_dense": {"head_dim": 16},
    "hunyuan_v1_moe": {"head_dim": 16, "num_experts": 4, "moe_topk": 2},
    "hunyuan_vl_text": {"head_dim": 16, **_SECTION},
    "idefics3": {"vision_config": {"image_size": 256}},
    "informer": {"prediction_length": 8, "context_length": 16},
    "kosmos-2": {"latent_query_num": 8},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "llama4": {"vision_config": {"intermediate_size": 3072}},
    "llama4_vision_model": {"intermediate_size": 3072},
    "ministral": {"head_dim": 16},
    "mllama": {"vision_config": {"intermediate_layers_indices": [0, 1], "vision_output_dim": 192}},
    "mllama_vision_model": {"intermediate_layers_indices": [0, 1], "vision_output_dim": 192},
    "molmo2": {"adapter_config": {"vision_feature_layer": [1, 0]}},
    "moonshine_streaming": {"num_key_value_heads": 4},
    "nemo_speechlm": {"audio_config": {"chunk_length": 64}, "encoder_config": {"chunk_length": 64}},
    "nemotron": {"head_dim": 16, "num_key_value_heads": 2},
    "nemotron3_5_transcribe_audio": {"chunk_length": 64},
    "nemotron3_diarization": {"audio_config": {"chunk_length": 64}, "encoder_config": {"chunk_length": 64}},
    "paddleocr_vl": {"text_config": _SECTION},
    "paddleocr_vl_text": _SECTION,
    "nemotron_h_omni": {"img_context_token_id": 511, "image_token_id": 511},
    "pix2struct_text_model": {"initializer_range": 0.02},
    "qwen2_vl": {"text_config": _SECTION},
    "qwen2_vl_text": _SECTION,
    "qwen3_omni_moe": {"talker_config": {"text_config": {"shared_expert_intermediate_size": 96}}},
    "qwen3_omni_moe_talker_text": {"shared_expert_intermediate_size": 96},
    "recurrent_gemma": {"num_hidden_layers": 3},
    "reformer": {"axial_pos_embds_dim": [16, 48]},
    "rf_detr": {"backbone_config": {"image_size": 560}},
    "time_series_transformer": {"prediction_length": 8, "context_length": 16},
    "timm_backbone": {"backbone": "resnet18"},
}
