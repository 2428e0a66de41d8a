"""Arguments of image models of diffusers whose meaning differs from the general rule for their name."""

from __future__ import annotations

import torch

from .step import Rule, Step

_MICRO_CONDITIONED = 128  # latents of 1024 pixels, for which PixArt takes resolution and aspect ratio
_LUMINA_POSITIONS = 384
_ROWS = 32  # rows of image tokens in aMUSEd
_VISION_TOKENS = 729  # tokens of an image of 384 pixels in patches of 14


def _resolution(step: Step) -> dict[str, torch.Tensor | None]:
    told = step.first("sample_size") == _MICRO_CONDITIONED
    return {"resolution": step.empty(2) if told else None, "aspect_ratio": step.empty(1) if told else None}


def _rotary(step: Step) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cosines and sines of every patch, computed once for all steps."""
    shape = (step.patches, step.first("attention_head_dim"))
    return torch.empty(shape, device="meta"), torch.empty(shape, device="meta")


def _omnigen_tokens(step: Step) -> int:
    """Return the number of tokens: text, one for the time, and the image."""
    return step.text + 1 + step.patches


_PACKED: dict[str, Rule] = {"hidden_states": Step.packed}
_HUNYUAN_DIT: dict[str, Rule] = {
    "encoder_hidden_states": lambda step: step.states(step.first("cross_attention_dim"), step.first("text_len")),
    "text_embedding_mask": lambda step: step.ones(step.first("text_len")),
    "encoder_hidden_states_t5": lambda step: step.states(
        step.first("cross_attention_dim_t5"), step.first("text_len_t5")
    ),
    "text_embedding_mask_t5": lambda step: step.ones(step.first("text_len_t5")),
    "image_meta_size": lambda step: step.empty(6),
    "style": Step.ids,
    "image_rotary_emb": _rotary,
    "controlnet_cond": Step.image,
}

IMAGES: dict[str, dict[str, Rule]] = {
    # A latent image as a sequence of tokens.
    **dict.fromkeys(
        (
            "BriaTransformer2DModel",
            "ChromaTransformer2DModel",
            "Flux2Transformer2DModel",
            "Flux3Transformer2DModel",
            "FluxTransformer2DModel",
            "LongCatImageTransformer2DModel",
            "NucleusMoEImageTransformer2DModel",
            "OvisImageTransformer2DModel",
            "QwenImageTransformer2DModel",
        ),
        _PACKED,
    ),
    "BriaFiboTransformer2DModel": _PACKED
    | {
        "text_encoder_layers": lambda step: [
            step.states(step.first("text_encoder_dim"))
            for _ in range(step.first("num_layers") + step.first("num_single_layers"))
        ]
    },
    "FluxControlNetModel": _PACKED | {"controlnet_cond": Step.packed},
    "QwenImageControlNetModel": _PACKED
    | {"controlnet_cond": lambda step: step.packed(step.channels + step.first("extra_condition_channels"))},
    "Krea2Transformer2DModel": _PACKED
    | {
        "encoder_hidden_states": lambda step: step.empty(
            step.text, step.first("num_text_layers"), step.first("text_hidden_dim")
        ),
        "position_ids": lambda step: torch.empty(step.text + step.tokens, 3, device="meta"),
    },
    "Ideogram4Transformer2DModel": {
        "hidden_states": Step.packed,
        "encoder_hidden_states": lambda step: step.states(step.first("llm_features_dim"), step.tokens),
        "position_ids": lambda step: step.ids(step.tokens, 3),
        "segment_ids": lambda step: step.ids(step.tokens),
        "indicator": lambda step: step.ids(step.tokens),
    },
    # A latent image.
    "PixArtTransformer2DModel": {"added_cond_kwargs": _resolution},
    "HunyuanDiT2DModel": _HUNYUAN_DIT,
    "HunyuanDiT2DControlNetModel": _HUNYUAN_DIT,
    # States of the prompt for the perceiver, and for every block that takes them.
    "BriaFibo2Transformer2DModel": {
        "encoder_hidden_states": lambda step: step.empty(
            1 + len(step.first("injection_layer_ids")), step.first("gist_min_text_len"), step.first("cap_feat_dim")
        ),
    },
    "ErnieImageTransformer2DModel": {
        "text_bth": lambda step: step.states(step.first("text_in_dim")),
        "text_lens": Step.ids,
    },
    "GlmImageTransformer2DModel": {
        "prior_token_id": lambda step: step.ids(step.patches),
        "prior_token_drop": lambda step: torch.zeros((step.batch, step.patches), dtype=torch.bool),
    },
    "HiDreamImageTransformer2DModel": {
        "encoder_hidden_states_t5": lambda step: step.states(step.first("caption_channels")[-1]),
        "encoder_hidden_states_llama3": lambda step: torch.empty(
            (max(step.first("llama_layers")) + 1, *step.states(step.first("caption_channels")[0]).shape), device="meta"
        ),
        "pooled_embeds": lambda step: step.empty(step.first("text_emb_dim")),
        "img_ids": lambda _: None,
    },
    "LuminaNextDiT2DModel": {
        "cross_attention_kwargs": lambda _: {},
        "encoder_mask": lambda step: step.ones(step.text),
        "image_rotary_emb": lambda step: torch.empty(
            (_LUMINA_POSITIONS, _LUMINA_POSITIONS, step.first("hidden_size") // step.first("num_attention_heads") // 2),
            dtype=torch.complex64,
            device="meta",
        ),
    },
    "OmniGenTransformer2DModel": {
        "input_ids": lambda step: step.ids(step.text),
        "input_img_latents": lambda _: [],
        "input_image_sizes": lambda _: {},
        "attention_mask": lambda step: step.empty(_omnigen_tokens(step), _omnigen_tokens(step)),
        "position_ids": lambda step: torch.arange(_omnigen_tokens(step)).expand(step.batch, -1),
    },
    "SD3ControlNetModel": {
        "controlnet_cond": lambda step: step.image(step.channels + step.first("extra_conditioning_channels"))
    },
    "SanaControlNetModel": {"controlnet_cond": Step.image},
    "ControlNetUnionModel": {
        "controlnet_cond": lambda step: [step.empty(3, 8 * step.side, 8 * step.side)],
        "control_type": lambda step: step.empty(step.first("num_control_type")),
        "control_type_idx": lambda _: [0],
    },
    "ZImageTransformer2DModel": {
        "x": lambda step: list(step.empty(step.channels, 1, step.side, step.side)),
        "t": Step.empty,
        "cap_feats": lambda step: list(step.states()),
    },
    "UVit2DModel": {
        "input_ids": lambda step: step.ids(_ROWS, _ROWS),
        "pooled_text_emb": lambda step: step.empty(step.first("cond_embed_dim")),
        "micro_conds": lambda step: step.empty(5),
    },
    "PriorTransformer": {
        "hidden_states": lambda step: step.empty(step.first("embedding_dim")),
        "proj_embedding": lambda step: step.empty(step.first("embedding_proj_dim", "embedding_dim")),
        "encoder_hidden_states": lambda step: step.states(step.first("embedding_dim"), step.first("num_embeddings")),
    },
    "StableCascadeUNet": {"clip_text_pooled": lambda step: step.empty(1, step.first("clip_text_pooled_in_channels"))},
    "UniDiffuserModel": {
        "latent_image_embeds": Step.image,
        "image_embeds": lambda step: step.empty(1, step.first("clip_img_dim")),
        "prompt_embeds": lambda step: step.states(tokens=step.first("num_text_tokens")),
        "timestep_img": Step.empty,
        "timestep_text": Step.empty,
        "data_type": lambda _: None,
    },
    "UniDiffuserTextDecoder": {
        "input_ids": lambda step: step.ids(step.text),
        "prefix_embeds": lambda step: step.empty(step.first("prefix_length"), step.first("prefix_inner_dim")),
    },
    "Kandinsky3UNet": {"encoder_attention_mask": lambda step: step.ones(step.text)},
    "UNetControlNetXSModel": {
        "sample": lambda step: step.image(4),
        "controlnet_cond": lambda step: step.empty(3, 8 * step.side, 8 * step.side),
    },
    "CLIPImageProjection": {"x": lambda step: step.empty(step.first("hidden_size"))},
    "ReduxImageEncoder": {"x": lambda step: step.empty(_VISION_TOKENS, step.first("redux_dim"))},
    "Ideogram4PromptEnhancerHead": {"hidden_states": lambda step: step.states(step.first("hidden_size"))},
    "AnimaTextConditioner": {
        "source_hidden_states": lambda step: step.states(step.first("source_dim")),
        "target_input_ids": lambda step: step.ids(step.text),
    },
}
