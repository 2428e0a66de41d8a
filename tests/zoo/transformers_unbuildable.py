"""Model types of `transformers` that do not run from a config alone, with the reasons, and those not captured yet."""

from __future__ import annotations

# Types that are a part of other models: `transformers` has no class of its own for them.
_PARTS = (
    "apertus1p5_vision_tokenizer",
    "chameleon_vqgan",
    "edgetam_mask_decoder",
    "edgetam_prompt_encoder",
    "edgetam_video_mask_decoder",
    "edgetam_video_prompt_encoder",
    "emu3_vqgan",
    "gemma4_unified_audio",
    "gemma4_unified_vision",
    "idefics_perciever",
    "idefics_vision",
    "layoutxlm",
    "pp_chart2table_vision",
    "sam2_mask_decoder",
    "sam2_prompt_encoder",
    "sam2_video_mask_decoder",
    "sam2_video_prompt_encoder",
    "sam3_geometry_encoder",
    "sam3_lite_text_geometry_encoder",
    "sam3_tracker_mask_decoder",
    "sam3_tracker_prompt_encoder",
    "sam3_tracker_video_mask_decoder",
    "sam3_tracker_video_prompt_encoder",
    "sam_hq_mask_decoder",
    "sam_hq_prompt_encoder",
    "sam_mask_decoder",
    "sam_prompt_encoder",
    "sapiens2_head",
    "t5_gemma_module",
    "vibevoice_diffusion",
)
UNBUILDABLE: dict[str, str] = {
    **dict.fromkeys(_PARTS, "a part of another model, for which transformers has no class of its own"),
    "bark": "has no forward of its own: generate() runs its parts in turn",
    "glm_image_vqmodel": "has no forward of its own: generate() runs its parts in turn",
    "qwen3_omni_moe": "has no forward of its own: generate() runs its parts in turn",
    "qwen2_5_omni": "has no forward of its own: generate() runs its parts in turn",
    "nougat": "its config names a type of encoder that transformers does not have; models are vision-encoder-decoder",
    "layoutlmv2": "needs detectron2, which is not installed",
    "dinat": "needs natten, which is not installed",
    "eomt": "asks a number of its checkpoint whether attention in a layer is masked",
    "eomt_dinov3": "asks a number of its checkpoint whether attention in a layer is masked",
    "higgs_audio_v2_tokenizer": "needs torchaudio, of which there is no release for this torch",
    "omdet-turbo": "asks for the value of a mask of its classes and task, and keeps them from call to call",
    "edgetam_video": "takes inference_session, an object with a clip, prompts and what earlier frames left",
    "sam2_video": "takes inference_session, an object with a clip, prompts and what earlier frames left",
    "sam3_tracker_video": "takes inference_session, an object with a clip, prompts and what earlier frames left",
    "sam3_video": "takes inference_session, an object with a clip, prompts and what earlier frames left",
    "llama4": "its forward raises in this release of transformers, with weights too: it asks for image_outputs",
}
# Types that generate, but not in these phases: OpenAI GPT keeps nothing, so that a step is its prefill; the forward of
# a BLIP takes no cache, because `generate()` runs its language model; a step of XLNet is three tokens with masks of
# their own, against `mems`.
NO_PHASE: dict[str, tuple[str, ...]] = {
    "evolla": ("decode",),  # each token attends to its protein, which is read again
    "idefics": ("decode",),  # each token attends to states of its images, which the caller keeps
    "openai-gpt": ("decode",),
    "pi0": ("prefill", "decode"),
    "shieldgemma2": ("prefill", "decode"),
    "voxtral_realtime": ("decode",),  # each token hears more, against a cache of the encoder too
    "blip": ("decode",),
    "xlnet": ("decode",),
}
