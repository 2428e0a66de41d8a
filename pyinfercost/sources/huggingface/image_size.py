"""Height and width of the images that a model was built for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import media

if TYPE_CHECKING:
    from .request import Request

_DEFAULT_SIDE = 224


def side_of(request: Request) -> tuple[int, int]:
    """Return height and width in pixels: the given size, else the size in the config or the model, else a default."""
    parts = media.part_configs(request.config, ("vision", "image", "visual", "backbone", "encoder"))
    stated = next((side for part in parts if (side := _stated(part))), None)
    side = _implied(request.config) or stated or _built(request.model) or _DEFAULT_SIDE
    height, width = (side, side) if isinstance(side, int) else (int(side[0]), int(side[-1]))
    asked = request.size("image_size", height)
    return (asked, asked) if "image_size" in request.asked else (height, width)


def plain_shape(request: Request, side: tuple[int, int]) -> tuple[int, ...]:
    """Return the shape of plain images: one per sample, a pair for matching, or the frames of a clip."""
    from transformers.models.auto import modeling_auto as auto

    parts = media.part_configs(request.config, ("vision", "image", "visual", "backbone", "encoder"))
    channels = next((p.num_channels for p in parts if isinstance(getattr(p, "num_channels", None), int)), 3)
    kind = request.config.model_type
    if kind in auto.MODEL_FOR_KEYPOINT_MATCHING_MAPPING_NAMES:
        return (request.batch, 2, channels, *side)
    frames = getattr(request.config, "num_frames", None)
    if kind in auto.MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING_NAMES and frames:
        return (request.batch, request.size("frames", frames), channels, *side)
    return (request.batch, channels, *side)


def _stated(part: Any) -> Any:
    return getattr(part, "image_size", None) or media.timm_side(part)


def _implied(config: Any) -> int | None:
    """Return the image side of a model whose config implies it by other numbers."""
    if ratios := getattr(config, "scaled_images_ratios", None):  # the smallest copy of an image is one patch
        return int(config.patch_size / min(ratios))
    if hasattr(config, "channel_multiplier") and isinstance(getattr(config, "num_patches", None), int):
        # a sequence of codes, each for an area whose side is halved at each level
        return int(config.num_patches * 2 ** (len(config.channel_multiplier) - 1))
    return None


def _built(model: Any) -> tuple[int, int] | None:
    """Return the image size of a part from another library (timm), which its config may give by architecture only."""
    for part in model.modules():
        settings = getattr(part, "pretrained_cfg", None)
        if not isinstance(settings, Mapping):
            continue
        size = settings.get("input_size")
        if size is not None and settings.get("fixed_input_size"):
            return int(size[-2]), int(size[-1])
    return None
