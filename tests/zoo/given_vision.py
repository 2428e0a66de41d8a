"""Inputs of parts of vision models, as passed by the whole model; see `given_inputs.py`."""

from __future__ import annotations

from typing import Any

import torch

BATCH, WORDS, CONTEXT = 2, 16, 16
_IMAGE = 224
_WORD = 3
# Rows of patches of an image of 1008, in patches of 14.
_ROWS = 72


def _floats(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta")


def _block_assistant(config: Any) -> dict[str, Any]:
    """Drafting of a block: noise, states of the large model, and a mask over both."""
    width = len(config.target_layer_ids) * config.hidden_size
    return {
        "noise_embeds": _floats(BATCH, config.block_size, config.hidden_size),
        "context_hidden_states": _floats(BATCH, CONTEXT, width),
        "attention_mask": torch.ones((BATCH, 1, config.block_size, CONTEXT + config.block_size), dtype=torch.bool),
    }


def _assistant(config: Any) -> dict[str, Any]:
    """Drafting of one token: states of the large model next to the token, and keys and values of its last layers."""
    text = config.text_config
    shared = {}
    for index, kind in enumerate(text.layer_types):
        layer = text.per_layer_config[index]
        shape = (BATCH, layer.num_key_value_heads, CONTEXT, layer.head_dim)
        shared[kind] = (_floats(*shape), _floats(*shape))
    position = torch.full((BATCH, 1), CONTEXT - 1)
    states = _floats(BATCH, 1, 2 * config.backbone_hidden_size)
    return {"inputs_embeds": states, "position_ids": position, "shared_kv_states": shared}


def _image_to_image(config: Any) -> dict[str, Any]:
    """One image to start from per sample, and the grid of the image to generate."""
    vision = config.vision_config
    side = _IMAGE // vision.patch_size
    patches = _floats(BATCH * side * side, vision.in_channels * vision.patch_size**2)
    row = [_WORD, *[config.image_token_id] * side**2, config.image_end_token_id, *[_WORD] * WORDS]
    row.append(config.image_start_token_id)
    grid = torch.tensor([[1, side, side]] * 2 * BATCH)
    ids = torch.tensor([row] * BATCH)
    return {
        "pixel_values": patches,
        "image_grid_thw": grid,
        "images_per_sample": torch.full((BATCH,), 2),
        "input_ids": ids,
        "position_ids": torch.arange(ids.shape[1]).expand(3, BATCH, -1),  # else read from codes that the image gives
    }


def _padded_patches(config: Any) -> dict[str, Any]:
    """One page per sample, with patches padded to those of the largest page."""
    vision = config.vlm_config.vision_config
    side = _IMAGE // vision.patch_size
    places = (side // vision.spatial_merge_size) ** 2
    ids = torch.tensor([[_WORD, *[config.vlm_config.image_token_id] * places, *[_WORD] * WORDS]] * BATCH)
    width = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    grid = torch.tensor([[1, side, side]] * BATCH)
    return {"input_ids": ids, "pixel_values": _floats(BATCH, side * side, width), "image_grid_thw": grid}


def _picture(_: Any) -> dict[str, Any]:
    """A backbone whose image input is named hidden states."""
    return {"hidden_states": _floats(BATCH, 3, _IMAGE, _IMAGE)}


def _patches_and_queries(config: Any) -> dict[str, Any]:
    """As many learned queries as patches, appended to them."""
    patches = 144
    return {"inputs_embeds": _floats(BATCH, 2 * patches, config.hidden_size), "num_patches": patches}


def _pooled_patches(config: Any) -> dict[str, Any]:
    """Pooling of 2 x 2 patches of a crop per token."""
    rows = 26
    index = torch.arange(rows * rows).reshape(rows // 2, 2, rows // 2, 2).permute(0, 2, 1, 3).reshape(-1, 4)
    width = config.hidden_size * len(config.vision_feature_layer)
    return {"image_features": _floats(1, rows * rows, width), "pooled_patches_idx": index}


def _detr_encoder(config: Any) -> dict[str, Any]:
    """One level of features with their positions, and a text."""
    level = _floats(BATCH, config.hidden_size, _ROWS, _ROWS)
    text = _floats(BATCH, WORDS, config.hidden_size)
    return {"vision_features": [level], "text_features": text, "vision_pos_embeds": [level]}


def _detr_decoder(config: Any) -> dict[str, Any]:
    """The encoder's result for an image, and a text."""
    rows = _floats(BATCH, _ROWS * _ROWS, config.hidden_size)
    return {
        "vision_features": rows,
        "text_features": _floats(BATCH, WORDS, config.hidden_size),
        "vision_pos_encoding": rows,
        "spatial_shapes": torch.tensor([[_ROWS, _ROWS]]),
    }


def _mask_decoder(config: Any) -> dict[str, Any]:
    """Queries of the decoder, and features of the backbone from fine to coarse."""
    width = config.hidden_size
    return {
        "decoder_queries": _floats(BATCH, 200, width),
        "backbone_features": [_floats(BATCH, width, _ROWS * scale, _ROWS * scale) for scale in (4, 2, 1)],
        "encoder_hidden_states": _floats(BATCH, _ROWS * _ROWS, width),
        "prompt_features": _floats(BATCH, WORDS, width),
    }


def _tiles(config: Any) -> dict[str, Any]:
    """Tiles of an image, each as two equal frames, with channels last."""
    tile = (config.temporal_patch_size, config.patch_size, config.patch_size, config.num_channels)
    return {"pixel_values": _floats(BATCH * (_IMAGE // config.patch_size + 1) ** 2, *tile)}


GIVEN_VISION: dict[str, Any] = {
    "colqwen2": _padded_patches,
    "deepseek_ocr2_encoder": _patches_and_queries,
    "florence_vision": _picture,
    "gemma4_assistant": _assistant,
    "gemma4_unified_assistant": _assistant,
    "muse_glimmer_assistant": _block_assistant,
    "glm_image": _image_to_image,
    "inkling_vision": _tiles,
    "molmo2_adapter": _pooled_patches,
    "sam3_detr_decoder": _detr_decoder,
    "sam3_detr_encoder": _detr_encoder,
    "sam3_lite_text_detr_decoder": _detr_decoder,
    "sam3_lite_text_detr_encoder": _detr_encoder,
    "sam3_lite_text_mask_decoder": _mask_decoder,
    "sam3_mask_decoder": _mask_decoder,
}
