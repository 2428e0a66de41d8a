"""Arguments of video models of diffusers whose meaning differs from the general rule for their name."""

from __future__ import annotations

import math
from functools import partial

import torch

from .step import Rule, Step

_VISION_TOKENS = 729  # tokens of an image of 384 pixels in patches of 14
_CLIP_TOKENS = 257  # tokens of an image of 224 pixels in patches of 14, and a class token
_FACE = 512


def _image_states(step: Step) -> torch.Tensor | None:
    """Return states of a conditioning image, for a model that takes one."""
    width = step.first("image_dim", "added_kv_proj_dim")
    return step.empty(_CLIP_TOKENS, width) if width else None


def _padding_mask(step: Step) -> torch.Tensor | None:
    if not step.first("concat_padding_mask", default=True):
        return None
    return torch.empty((1, 1, 8 * step.side, 8 * step.side), device="meta")


def _cosmos_latents(step: Step) -> torch.Tensor:
    return step.clip(step.first("latent_channels") - 2)


def _cogvideox(step: Step) -> torch.Tensor:
    """Return a latent video of the size of the learned positions."""
    frames = (step.first("sample_frames") - 1) // step.first("temporal_compression_ratio") + 1
    return step.empty(frames, step.channels, step.first("sample_height"), step.first("sample_width"))


def _grid(step: Step) -> list[torch.Tensor]:
    height, width = (step.side // side for side in step.first("patch_size")[-2:])
    return [torch.arange(length) for length in (step.frames, height, width)]


def _latents_of(frames: int, step: Step) -> torch.Tensor:
    return step.empty(step.channels, frames, step.side, step.side)


def _first_frames(frames: int, step: Step) -> torch.Tensor:
    del step
    return torch.arange(frames)


def _states_of_frames(step: Step) -> torch.Tensor:
    """Return the same text states for every frame."""
    return torch.empty((step.batch * step.frames, step.text, step.text_width), device="meta")


_CLIP: dict[str, Rule] = {"hidden_states": Step.clip}
_SAMPLE: dict[str, Rule] = {"sample": Step.clip}
_WAN: dict[str, Rule] = _CLIP | {"encoder_hidden_states_image": _image_states}
_COGVIDEOX: dict[str, Rule] = {
    "hidden_states": _cogvideox,
    "encoder_hidden_states": lambda step: step.states(tokens=step.first("max_text_seq_length")),
}
# Latents, latents of an image to continue from, and a mask that marks it.
_KANDINSKY6: dict[str, Rule] = {"hidden_states": lambda step: step.clip_of_pixels(2 * step.channels + 1)}
_LTX: dict[str, Rule] = {
    "hidden_states": Step.packed_clip,
    "num_frames": lambda step: step.frames,
    "height": lambda step: step.side,
    "width": lambda step: step.side,
}


def _sequence(step: Step) -> tuple[int, int, int]:
    """Return the numbers of text, video and audio tokens in the sequence of MiniMax-H3."""
    return step.text, step.frames * step.patches, step.length


def _places(part: int) -> Rule:
    def rule(step: Step) -> torch.Tensor:
        lengths = _sequence(step)
        return torch.arange(sum(lengths[:part]), sum(lengths[: part + 1]))

    return rule


_MINIMAX: dict[str, Rule] = {
    "hidden_states": lambda step: step.empty(
        step.frames * step.patches, step.channels * math.prod(step.first("patch_size"))
    ),
    "audio_hidden_states": lambda step: step.empty(step.length, step.first("audio_in_channels")),
    "timestep_indices": lambda step: torch.empty(sum(_sequence(step)), dtype=torch.int64, device="meta"),
    "token_tags": lambda step: torch.empty(sum(_sequence(step)), dtype=torch.int64, device="meta"),
    "position_ids": lambda step: torch.empty(sum(_sequence(step)), 3, device="meta"),
    "text_indices": _places(0),
    "video_indices": _places(1),
    "audio_indices": _places(2),
}

CLIPS: dict[str, dict[str, Rule]] = {
    **dict.fromkeys(
        (
            "AllegroTransformer3DModel",
            "EasyAnimateTransformer3DModel",
            "MochiTransformer3DModel",
        ),
        _CLIP,
    ),
    "UNet3DConditionModel": _SAMPLE,
    "UNetMotionModel": _SAMPLE | {"encoder_hidden_states": _states_of_frames},
    **dict.fromkeys(("CogVideoXTransformer3DModel", "ConsisIDTransformer3DModel"), _COGVIDEOX),
    **dict.fromkeys(("WanTransformer3DModel", "SkyReelsV2Transformer3DModel", "ChronoEditTransformer3DModel"), _WAN),
    "WanVACETransformer3DModel": _WAN
    | {"control_hidden_states": lambda step: step.clip(step.first("vace_in_channels"))},
    # The first latent frame is the reference; every other one represents four frames of the face.
    "WanAnimateTransformer3DModel": _WAN
    | {
        "pose_hidden_states": lambda step: step.empty(
            step.first("latent_channels"), step.frames - 1, step.side, step.side
        ),
        "face_pixel_values": lambda step: step.empty(3, 4 * (step.frames - 2) + 1, _FACE, _FACE),
    },
    "LatteTransformer3DModel": {
        "hidden_states": lambda step: step.empty(step.channels, step.first("video_length"), step.side, step.side)
    },
    "AnyFlowTransformer3DModel": {
        "hidden_states": Step.clip_of_frames,
        "timestep": lambda step: step.empty(step.frames),
        "r_timestep": lambda step: step.empty(step.frames),
    },
    "SparseControlNetModel": _SAMPLE
    | {
        "encoder_hidden_states": _states_of_frames,
        "controlnet_cond": lambda step: step.clip(step.first("conditioning_channels")),
        "conditioning_mask": lambda step: step.clip(1),
    },
    "UNetSpatioTemporalConditionModel": {
        "sample": Step.clip_of_frames,
        "encoder_hidden_states": lambda step: step.states(tokens=1),
    },
    "I2VGenXLUNet": _SAMPLE
    | {
        "fps": Step.empty,
        "image_latents": Step.clip,
        "image_embeddings": lambda step: step.empty(step.first("cross_attention_dim")),
    },
    "CosmosTransformer3DModel": _CLIP | {"padding_mask": _padding_mask},
    "CosmosControlNetModel": {
        "controls_latents": _cosmos_latents,
        "latents": _cosmos_latents,
        "condition_mask": lambda step: step.clip(1),
        "padding_mask": _padding_mask,
    },
    # A zero image means that the clip is generated from text alone.
    "HunyuanVideo15Transformer3DModel": _CLIP
    | {
        "encoder_hidden_states_2": lambda step: step.states(step.first("text_embed_2_dim")),
        "encoder_attention_mask_2": lambda step: step.ones(step.text),
        "image_embeds": lambda step: torch.zeros(step.batch, _VISION_TOKENS, step.first("image_embed_dim")),
    },
    "HunyuanVideoFramepackTransformer3DModel": _CLIP
    | {
        "image_embeds": lambda step: step.empty(_VISION_TOKENS, step.first("image_proj_dim")),
        "indices_latents": lambda step: torch.arange(step.frames),
        # The first frame and the last one, and earlier latents at two and four times the patch size.
        **{
            f"{kind}latents{rest}": rule
            for rest, frames in (("_clean", 2), ("_history_2x", 2), ("_history_4x", 16))
            for kind, rule in (
                ("", partial(_latents_of, frames)),
                ("indices_", partial(_first_frames, frames)),
            )
        },
    },
    "JoyImageEditPlusTransformer3DModel": {
        "hidden_states": lambda step: step.empty(step.patches, step.channels, *step.first("patch_size")),
        "shape_list": lambda step: [[tuple(len(axis) if i else 1 for i, axis in enumerate(_grid(step)))]] * step.batch,
    },
    "Kandinsky5Transformer3DModel": {
        "hidden_states": Step.clip_of_pixels,
        "visual_rope_pos": _grid,
        "text_rope_pos": lambda step: torch.arange(step.text),
    },
    "Kandinsky6Transformer3DModel": _KANDINSKY6,
    "Kandinsky6SRTransformer3DModel": _KANDINSKY6,
    "Kandinsky6SRLatentUpscalerBank": {"latents": Step.clip, "scale": lambda _: 2},
    "LTXVideoTransformer3DModel": _LTX,
    "LTX2VideoTransformer3DModel": _LTX
    | {
        "audio_hidden_states": lambda step: step.empty(step.length, step.first("audio_in_channels")),
        "audio_encoder_hidden_states": Step.states,
        "audio_num_frames": lambda step: step.length,
    },
    "LTX2VideoDiffusionDecoderModel": {"z": lambda step: step.clip(step.first("latent_channels"))},
    "SanaWMTransformer3DModel": _CLIP
    | {"timestep": lambda step: step.empty(1, step.frames), "mask": lambda step: step.ones(step.text)},
    "TransformerTemporalModel": {
        "hidden_states": lambda step: torch.empty(
            (step.batch * step.frames, step.channels, step.side, step.side), device="meta"
        ),
        "encoder_hidden_states": lambda _: None,
        "num_frames": lambda step: step.frames,
    },
    "MiniMaxH3Transformer3DModel": _MINIMAX,
    "AutoencoderKLAllegro": _SAMPLE,
    "AutoencoderKLMiniMaxH3": {"sample": lambda step: step.empty(3, 4 * step.first("clip_length"), 256, 256)},
    "AutoencoderKLMochi": {"sample": lambda step: step.clip(3)},
    "AutoencoderKLQwenImage21": {"sample": lambda step: step.empty(step.channels, 1, step.side, step.side)},
}
