"""Inputs of one forward, by the names of its arguments.

The name of an argument determines its content, since `transformers` uses names consistently. Text is token ids. Images,
video and audio come from the model's own processor; plain images have shapes only. The number of their placeholder
tokens is found by computing the model's features on meta tensors.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Mapping
from typing import Any

import torch

from ..loaded_model import SpecError, SpecTooLargeError
from . import image_layouts as forms
from . import media, sound
from .image_size import plain_shape, side_of
from .other_inputs import ALWAYS, OTHERS
from .placeholder_tokens import added_to_tokens, places_of
from .request import Inputs, Request, token_ids, word_id

DEFAULT_SEQUENCE = 128
DEFAULT_CONTEXT = 2048
_DEFAULT_FRAMES = 16
_MOST_TOKENS = 2**26  # with values: 512 MB
# Arguments that a processor fills and a model may take; with one of these an image is more than its pixels.
# Output of a processor -> names in forwards; parts of models have shorter ones.
_ALSO = {
    "image_grid_thw": ("grid_thw",),
    "image_merge_sizes": ("merge_sizes",),
    "image_position_ids": ("pixel_position_ids",),
}
_IMAGE = forms.PICTURES
_VIDEO = ("pixel_values_videos",)
_TOKEN_TYPES = {"image": 1, "video": 2, "audio": 3}


def forward_inputs(request: Request) -> Inputs:
    """Return inputs for a whole forward, or for the first step of `generate()`.

    Raises:
        SpecError: The config does not determine an input, or a given size does not exist.
    """
    inputs = Inputs()
    batch = request.batch
    text = "input_ids" in request.parameters
    places = add_media(request, inputs) if request.beside_text else []
    if text and not hears_instead(request, inputs):
        sequence = added_to_tokens(request, inputs)
        if sequence is None:
            sequence = request.size("sequence", min(DEFAULT_SEQUENCE, positions(request.config)))
        add_tokens(request, inputs, batch, sequence, places)
    if _has_decoder(request):
        _decoder_tokens(request, inputs, batch)
    add_others(request, inputs)
    if not places:
        _settle_pictures(request, inputs)
    request.check()
    _close_partly_open_batch(inputs)
    inputs.kwargs |= options(request.model, last_only=request.phase == "prefill")
    return inputs


def _close_partly_open_batch(inputs: Inputs) -> None:
    """Close the batch of all inputs if a medium's is closed: else a part of the graph would have another batch."""
    names = [name for name in (*sound.ARGUMENTS, *_IMAGE, *_VIDEO) if name in inputs.kwargs]
    if all("batch" in inputs.dynamic.get(name, {}).values() for name in names):
        return
    for name, dims in inputs.dynamic.items():
        inputs.dynamic[name] = {dim: size for dim, size in dims.items() if size != "batch"}


def beside_sound(request: Request, ids: torch.Tensor) -> torch.Tensor:
    """Return ids of text combined with audio ids, for models that embed them together.

    The model adds offsets that map the ids of each kind to its own range of the embedding.
    """
    codebooks = getattr(request.config, "num_codebooks", None)
    if codebooks is None or not hasattr(request.model, "get_input_embeddings"):
        return ids
    embedding = request.model.get_input_embeddings()
    offsets = [buffer for buffer in embedding.buffers() if buffer.shape == (codebooks + 1,)]
    return ids[..., None].repeat(1, 1, codebooks + 1) if offsets else ids


def _has_decoder(request: Request) -> bool:
    """Return whether the forward takes decoder tokens in addition to the input of an encoder."""
    return bool(request.config.is_encoder_decoder) and "decoder_input_ids" in request.parameters


def positions(config: Any) -> int:
    """Return the number of positions of a model; a large number if its config does not state it."""
    return stated_positions(config) or 2**31


def stated_positions(config: Any) -> int | None:
    """Return the number of positions of a model; None if its config does not state it.

    Where rotary positions are scaled from the stated number, as in `"rope_scaling": {"type": "yarn", "factor": 4}`
    with an equal `original_max_position_embeddings`, it is the number after scaling.
    """
    try:
        text = config.get_text_config(decoder=True)
    except ValueError:  # several text configs without a main one
        return None
    limit = getattr(text, "max_position_embeddings", None) or getattr(text, "max_target_positions", None)
    if not (isinstance(limit, int) and limit > 0):
        return None
    scaling = getattr(text, "rope_scaling", None) or getattr(text, "rope_parameters", None)
    if not isinstance(scaling, dict):
        return limit
    factor, original = scaling.get("factor"), scaling.get("original_max_position_embeddings")
    if isinstance(factor, (int, float)) and isinstance(original, int) and original >= limit:
        return int(limit * max(1.0, factor))
    return limit


def options(model: Any, *, last_only: bool) -> dict[str, Any]:
    """Return the options that `generate()` passes in addition to inputs."""
    parameters = inspect.signature(model.forward).parameters
    given: dict[str, Any] = {}
    if model.can_generate() and "use_cache" in parameters:
        given["use_cache"] = True
    if last_only and "logits_to_keep" in parameters:
        given["logits_to_keep"] = 1
    return given


# ---- text ---------------------------------------------------------------------------------------------------------


def add_tokens(request: Request, inputs: Inputs, batch: int, sequence: int, places: list[tuple[str, int, int]]) -> None:
    """Add token ids: `sequence` words, and the placeholder tokens of media."""
    if not places:
        made = token_ids if _has_decoder(request) else decoder_ids  # encoders take words
        ids = made(request.config, batch, sequence)
        inputs.add("input_ids", beside_sound(request, ids), batch=0, sequence=1)
        return
    # Placeholder tokens are recognized by value.
    word = word_id(request.config)
    row, types = [word], [0]
    for kind, token, count in places:
        row += [token] * count + [word]
        types += [_TOKEN_TYPES[kind]] * count + [0]
    rest = max(1, sequence - (len(places) + 1))
    if batch * (len(row) + rest) > _MOST_TOKENS:
        raise SpecTooLargeError(
            f"{request.spec} has {batch * (len(row) + rest):,} tokens with values in its inputs; expected at most "
            f"{_MOST_TOKENS:,}, so pass a smaller batch or sequence"
        )
    row += [word] * rest
    types += [0] * rest
    inputs.kwargs["input_ids"] = torch.tensor(row).repeat(batch, 1)
    if "mm_token_type_ids" in request.parameters:
        inputs.kwargs["mm_token_type_ids"] = torch.tensor(types).repeat(batch, 1)


def takes_more_than_text(config: Any) -> bool:
    """Return whether a decoder of text also takes images, audio or video, by the parts of its config."""
    parts = () if config.is_encoder_decoder else getattr(config, "sub_configs", None) or ()
    kinds = ("vision", "image", "audio", "video")
    return any(kind in name and getattr(config, name, None) is not None for name in parts for kind in kinds)


def hears_instead(request: Request, inputs: Inputs) -> bool:
    """Return whether audio replaces token ids as the input of an encoder; a forward may also require both."""
    ids = request.parameters["input_ids"]
    if not request.config.is_encoder_decoder or ids.default is ids.empty:
        return False
    # A separate audio encoder leaves the text to another encoder.
    hears = not request.config.sub_configs and any(name in inputs.kwargs for name in sound.ARGUMENTS)
    return hears or request.model.main_input_name in inputs.kwargs


def _decoder_tokens(request: Request, inputs: Inputs, batch: int) -> None:
    if request.phase == "prefill":
        inputs.add("decoder_input_ids", decoder_ids(request.config, batch, 1), batch=0)
    else:
        sequence = request.size("sequence", min(DEFAULT_SEQUENCE, positions(request.config)))
        inputs.add("decoder_input_ids", decoder_ids(request.config, batch, sequence), batch=0, sequence=1)


def decoder_ids(config: Any, batch: int, tokens: int) -> torch.Tensor:
    """Return the first ids of a decoder; audio has several streams, in separate rows or in the last dimension."""
    for part in media.part_configs(config, ("decoder",)):
        if hasattr(part, "num_codebooks") and hasattr(part, "audio_channels"):
            return token_ids(config, batch * part.num_codebooks, tokens)
        if hasattr(part, "num_channels") and "decoder" in part.model_type:
            return token_ids(config, batch, tokens)[..., None].repeat(1, 1, part.num_channels)
    return token_ids(config, batch, tokens)


# ---- images, video, audio -----------------------------------------------------------------------------------------


def add_media(request: Request, inputs: Inputs) -> list[tuple[str, int, int]]:
    """Add images, video and audio.

    Returns:
        For each kind with placeholder tokens: its name, the id of its token, and their number per sample.
    """
    names = request.parameters
    places = []
    clips_have_a_name = any(name in names for name in _VIDEO)
    if not clips_have_a_name and any(n in names for n in _IMAGE) and media.sees_clips_alone(request.config):
        _videos(request, inputs)
        places += places_of(request, inputs, "video")
    elif any(name in names for name in _IMAGE) and _sees(request, "image"):
        _images(request, inputs)
        places += places_of(request, inputs, "image")
    elif any(name in names for name in _VIDEO) and _sees(request, "video"):
        _videos(request, inputs)
        places += places_of(request, inputs, "video")
    if any(name in names for name in sound.ARGUMENTS) and _sees(request, "audio"):
        _take(request, inputs, sound.heard(request))
        if sound.window_of(request) is not None:
            inputs.dynamic["input_features"] = {0: "batch"}
        places += places_of(request, inputs, "audio")
    return places


def _sees(request: Request, kind: str) -> bool:
    """Return whether a model has the part for a kind of input; a config sets it to None if it does not."""
    for name in getattr(request.config, "sub_configs", None) or {}:
        if kind[:3] in name or (kind != "audio" and "vision" in name):
            return getattr(request.config, name, None) is not None
    return True


def _images(request: Request, inputs: Inputs) -> None:
    side = side_of(request)
    text = "input_ids" in request.parameters
    processed = (
        media.images(request.name, request.config, request.batch, side) if text or _needs_more(request) else None
    )
    if processed is not None and (
        not any(name in request.parameters for name in _IMAGE if name in processed)  # for the whole model
        or (not text and not _more_than_a_picture(request, processed))
    ):
        processed = None
    if processed is None and "image_grid_thw" in request.parameters:
        inputs.kwargs["pixel_values"] = OTHERS["pixel_values"](request, inputs)
        return
    if processed is None:
        name = next(n for n in _IMAGE if n in request.parameters)
        inputs.add(name, torch.empty(plain_shape(request, side), dtype=request.model.dtype, device="meta"), batch=0)
        return
    _take(request, inputs, processed)


def _settle_pictures(request: Request, inputs: Inputs) -> None:
    """Convert images without placeholder tokens to a layout that the forward accepts, if there is one."""
    from pyinfercost.sources.symbols import CaptureError

    if any(name in inputs.kwargs for name in _IMAGE):
        with contextlib.suppress(CaptureError):  # the later capture raises it again
            forms.settle(request, inputs, request.model, inputs.kwargs)


def _needs_more(request: Request) -> bool:
    """Return whether a forward takes more of an image than pixels: a grid, a size, masks of patches."""
    words = (
        "grid",
        "image_sizes",
        "spatial_shapes",
        "patch_attention",
        "position_ids",
        "aspect_ratio",
        "num_patches",
        "flattened",
        "target_sizes",
        "merge_sizes",
    )
    return any(any(word in name for word in words) for name in request.parameters)


def _more_than_a_picture(request: Request, processed: Mapping[str, Any]) -> bool:
    """Return whether a forward takes further outputs of a processor; a part of a model may take pixels only."""
    given = {name for name in processed if name not in _IMAGE}
    return any(n in request.parameters for name in given for n in (name, *_ALSO.get(name, ())))


def _videos(request: Request, inputs: Inputs) -> None:
    side = side_of(request)
    parts = media.part_configs(request.config, ("vision", "video"))
    frames = next(
        (getattr(p, n) for p in parts for n in ("num_frames", "frames_per_clip") if getattr(p, n, None)), None
    )
    frames = request.size("frames", frames or _DEFAULT_FRAMES)
    processed = media.videos(request.config, request.batch, frames, side) if "input_ids" in request.parameters else None
    if processed is None:
        shape = (request.batch, frames, 3, *side)
        name = next(n for n in (*_VIDEO, *_IMAGE) if n in request.parameters)
        inputs.add(name, torch.empty(shape, dtype=request.model.dtype, device="meta"), batch=0)
        return
    _take(request, inputs, processed)


def _take(request: Request, inputs: Inputs, processed: Mapping[str, Any]) -> None:
    """Add the outputs of a processor that the forward takes, with floats in the model's dtype."""
    for name, given in processed.items():
        value = given
        target = next((n for n in (name, *_ALSO.get(name, ())) if n in request.parameters), name)
        if target == "attention_mask":  # a mask of the text, which has no padding
            continue
        if target not in request.parameters:
            continue
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            value = value.to(request.model.dtype)
        inputs.kwargs[target] = value


# ---- other arguments ----------------------------------------------------------------------------------------------


def add_others(request: Request, inputs: Inputs) -> None:
    """Fill arguments that a forward requires in addition to text and media."""
    for name, parameter in request.parameters.items():
        required = parameter.default is parameter.empty and parameter.kind <= parameter.POSITIONAL_OR_KEYWORD
        if name in inputs.kwargs or not (required or name in ALWAYS):
            continue
        maker = OTHERS.get(name)
        made = maker(request, inputs) if maker else None
        if made is None and required:
            raise SpecError(
                f"{request.label} is a {type(request.model).__name__} that takes {name!r}, which its config does not "
                "determine; give your own inputs through package.module:callable"
            )
        if made is not None:
            inputs.kwargs[name] = made
