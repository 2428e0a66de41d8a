"""Images, video and audio from a model's own processor: real tensors, grids and masks included.

Processors of `transformers` are created without a download. Their parameters (patch sizes, numbers of mel bins) come
from the model's config, or from the `preprocessor_config.json` of a folder.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..._checks import shown
from ..loaded_model import SpecTooLargeError

MOST_VALUES = 2**30
"""Maximum number of pixels, or samples of audio, that a processor gets: 1 GB of pixels."""

# Attribute of a processor -> names in configs.
_SHARED = {
    "patch_size": ("patch_size",),
    "temporal_patch_size": ("temporal_patch_size", "patch_temporal"),
    "merge_size": ("spatial_merge_size", "merge_size"),
    "spatial_merge_size": ("spatial_merge_size",),
    "pooling_kernel_size": ("pooling_kernel_size",),
    "feature_size": ("num_mel_bins", "n_mels", "feature_size", "num_mels", "input_feat_per_channel"),
    "num_mel_bins": ("num_mel_bins", "n_mels"),
    "downsample_factor": ("downsample_factor", "encoder_patch_size"),
    "encoder_patch_size": ("encoder_patch_size", "patch_size"),
}
# The same for attributes with named lengths.
_SHARED_LENGTHS = {"max_image_size": ("image_size",), "patch_size": ("patch_size",)}
# Modes that a config states as a bool: attribute -> name in the config, and the mode for each bool.
_CHOICES = {"truncation": ("enable_fusion", {True: "fusion", False: "rand_trunc"})}
_NOT_SHARED = frozenset({"size", "crop_size", "return_attention_mask"})


def part_configs(config: Any, words: tuple[str, ...]) -> list[Any]:
    """Return the sub-configs whose names contain one of the words, outermost first, then the config itself."""
    found = []
    for name in getattr(config, "sub_configs", None) or {}:
        part = getattr(config, name, None)
        if part is None:
            continue
        if any(word in name for word in words):
            found.append(part)
        found += [deeper for deeper in part_configs(part, words) if deeper is not part]
    return [*found, config]


def timm_side(part: Any) -> Any:
    """Return the image side of a timm model, from its config or, for a model with a fixed size, from timm."""
    side = (getattr(part, "model_args", None) or {}).get("img_size")
    name = getattr(part, "architecture", None)
    if side is not None or not isinstance(name, str) or part.model_type != "timm_wrapper":
        return side
    import timm

    published = timm.get_pretrained_cfg(name)
    return published.input_size[-1] if published and published.fixed_input_size else None


def images(name: str, config: Any, batch: int, side: tuple[int, int]) -> dict[str, Any] | None:
    """Return the output of the model's image processor for one black image per sample; None without a processor."""
    listed = _listed(_mapping("image_processing", "IMAGE_PROCESSOR"), config)
    processor = _own_processor(name) or _made(listed, config, ("vision", "image", "visual"))
    if processor is None:
        return None
    _fit_size(processor, side, part_configs(config, ("vision", "image", "visual")))
    if hasattr(processor, "apply_ocr"):
        processor.apply_ocr = False  # the words on a page are separate inputs
    _check_values("images", batch * 3 * side[0] * side[1])
    picture = torch.zeros((3, *side), dtype=torch.uint8)
    flat = picture.permute(1, 2, 0).numpy()
    # Processors take a list of images per sample, a flat list, or arrays.
    for pictures in ([[picture]] * batch, [picture] * batch, [flat] * batch):
        try:
            made = processor(images=pictures, return_tensors="pt")
            # Some return the tensor only, for images of one text.
            if isinstance(made, torch.Tensor):
                return {"pixel_values": made.reshape(batch, -1, *made.shape[1:])}
            return dict(made)
        except ImportError:  # a dependency is not installed
            return None
        except (ValueError, TypeError, AttributeError) as error:
            refused = error
    raise refused


def videos(config: Any, batch: int, frames: int, side: tuple[int, int]) -> dict[str, Any] | None:
    """Return the output of the model's video processor for one black clip per sample; None without a processor."""
    processor = _made(
        _listed(_mapping("video_processing", "VIDEO_PROCESSOR"), config), config, ("vision", "video", "visual")
    )
    if processor is None:
        return None
    _fit_size(processor, side, [])
    _check_values("clips", batch * frames * 3 * side[0] * side[1])
    clips = [torch.zeros((frames, 3, *side), dtype=torch.uint8) for _ in range(batch)]
    return dict(processor(videos=clips, return_tensors="pt", do_sample_frames=False))


def _check_values(what: str, values: int) -> None:
    """Reject inputs that are too large for a processor, which works on real values.

    Raises:
        SpecTooLargeError: There are too many values.
    """
    if values > MOST_VALUES:
        raise SpecTooLargeError(
            f"{what} of {shown(values)} values are too large for the model's own processor, which takes at most "
            f"{MOST_VALUES:,}; pass a smaller batch, image_size, frames or seconds"
        )


def sees_clips_alone(config: Any) -> bool:
    """Return whether a type has a processor for clips but none for images, so that images are frames of a clip."""
    kinds = (("video_processing", "VIDEO_PROCESSOR"), ("image_processing", "IMAGE_PROCESSOR"))
    clips, images = (_listed(_mapping(*kind), config) for kind in kinds)
    return clips is not None and images is None


def audio(config: Any, batch: int, seconds: int) -> dict[str, Any] | None:
    """Return the output of the model's feature extractor for silence; None without an extractor."""
    extractor = _made(_extractor_of(config), config, ("audio", "speech", "encoder"))
    if extractor is None:
        return None
    rate = getattr(extractor, "sampling_rate", 16000)
    _check_values("recordings", batch * rate * seconds)
    silence = torch.zeros(rate * seconds).numpy()
    waves = [silence for _ in range(batch)]
    options = {"sampling_rate": rate, "return_tensors": "pt"}
    if "return_attention_mask" in inspect.signature(extractor.__call__).parameters:
        options["return_attention_mask"] = True
    return dict(extractor(waves, **options))


def _extractor_of(config: Any) -> Any:
    """Return the feature extractor of a type, or of its audio part."""
    mapping = _mapping("feature_extraction", "FEATURE_EXTRACTOR")
    parts = [config, *part_configs(config, ("audio", "speech"))]
    return next((found for part in parts if (found := _listed(mapping, part)) is not None), None)


def extractor_defaults(config: Any) -> dict[str, Any]:
    """Return the default parameters of a model's feature extractor, even if it cannot be created here."""
    import transformers

    name = _extractor_of(config)
    if not isinstance(name, str):
        return {}
    # For a class with a missing dependency, the library has a placeholder under its name.
    stand_in = getattr(transformers, name, None)
    made_by = getattr(importlib.import_module(stand_in.__module__), name) if stand_in else _from_module(config, name)
    parameters = inspect.signature(made_by.__init__).parameters.values()
    stated = {p.name: p.default for p in parameters if p.default is not p.empty}
    return {n: v for n, v in vars(made_by).items() if isinstance(v, int)} | stated


def _mapping(module: str, kind: str) -> dict[str, Any]:
    auto = importlib.import_module(f"transformers.models.auto.{module}_auto")
    found: dict[str, Any] = getattr(auto, f"{kind}_MAPPING_NAMES")
    return found


def _listed(mapping: Mapping[str, Any], config: Any) -> Any:
    """Return the processor of a type, or of the model that a type is a part of: one in the same package."""
    from transformers.models.auto.configuration_auto import model_type_to_module_name

    if config.model_type in mapping:
        return mapping[config.model_type]
    package = type(config).__module__.split(".")[-2]
    return next((value for kind, value in mapping.items() if model_type_to_module_name(kind) == package), None)


def _own_processor(name: str) -> Any:
    if not (Path(name) / "preprocessor_config.json").is_file():
        return None
    from transformers import AutoImageProcessor

    return AutoImageProcessor.from_pretrained(name, local_files_only=True)


def _made(listed: Any, config: Any, words: tuple[str, ...]) -> Any:
    import transformers

    names = listed.values() if isinstance(listed, Mapping) else [listed]
    for class_name in names:
        if not class_name:
            continue
        try:
            found = getattr(transformers, class_name, None) or _from_module(config, class_name)
            processor = found()
        except ImportError:  # one of the backends is not installed
            continue
        return _fitted(found, processor, part_configs(config, words))
    return None


def _fitted(made_by: Any, processor: Any, parts: list[Any]) -> Any:
    """Return a processor with the values in the model's config, under the same or an equivalent name."""
    values: dict[str, Any] = {}
    for attribute, current in vars(processor).items():
        lengths = isinstance(current, Mapping)
        sources = (_SHARED_LENGTHS if lengths else _SHARED).get(attribute, (attribute,))
        value = next((getattr(p, s) for p in parts for s in sources if getattr(p, s, None) is not None), None)
        if attribute in _NOT_SHARED or attribute.startswith("_") or value is None or value == current:
            continue
        if lengths and isinstance(value, int):
            values[attribute] = dict.fromkeys(current, value)
        elif type(value) is type(current) or (isinstance(current, list | tuple) and isinstance(value, list | tuple)):
            values[attribute] = value
    # A processor shared by several models repeats an image in time; a config without a temporal patch size has no such
    # patches.
    if hasattr(processor, "temporal_patch_size") and not any(
        getattr(part, name, None) for part in parts for name in _SHARED["temporal_patch_size"]
    ):
        values["temporal_patch_size"] = 1
    for attribute, (name, choices) in _CHOICES.items():
        chosen = next((value for p in parts if isinstance(value := getattr(p, name, None), bool)), None)
        if chosen is not None and hasattr(processor, attribute):
            values[attribute] = choices[chosen]
    return made_by(**values) if values else processor


def _from_module(config: Any, class_name: str) -> Any:
    package = type(config).__module__.rpartition(".")[0]
    return getattr(importlib.import_module(package), class_name)


def _fit_size(processor: Any, side: tuple[int, int], parts: list[Any]) -> None:
    """Set the target size of images, if the processor has one, not a range of areas or a patch size."""
    height, width = side
    patches = {p.patch_size for p in parts if isinstance(getattr(p, "patch_size", None), int)}
    merges = {p.spatial_merge_size for p in parts if isinstance(getattr(p, "spatial_merge_size", None), int)} | {1}
    if getattr(getattr(processor, "size", None), "height", None) in {p * m for p in patches for m in merges}:
        return
    for attribute in ("size", "crop_size"):
        size = getattr(processor, attribute, None)
        if size is None:
            continue
        keys = {
            key
            for key in ("height", "width", "shortest_edge", "longest_edge")
            if getattr(size, key, None) or (isinstance(size, Mapping) and size.get(key))
        }
        if keys == {"height", "width"}:
            setattr(processor, attribute, type(size)(height=height, width=width))
        elif keys == {"shortest_edge"}:
            setattr(processor, attribute, type(size)(shortest_edge=min(side)))
