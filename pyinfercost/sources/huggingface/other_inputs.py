"""Rules for arguments other than text, images and audio, by name, with lengths from the config.

Each rule returns the tensor, or None if the config does not determine its shape.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from . import media, sound

if TYPE_CHECKING:
    from .request import Inputs, Request

    Maker = Callable[[Request, Inputs], Any]

_DEFAULT_SEQUENCE = 128
_DEFAULT_SIDE = 224
_COORDINATES = 4
_LIST_DIMS = 5
_ENCODED_WIDTHS = ("encoder_hidden_size", "cross_attention_hidden_size", "cross_hidden_size")


def _first(config: Any, *names: str) -> Any:
    for part in media.part_configs(config, ("",))[::-1]:
        for name in names:
            value = getattr(part, name, None)
            if isinstance(value, int) and not isinstance(value, bool):
                return value
    return None


def _floats(request: Request, *shape: Any) -> Any:
    """Return floats in the model's dtype, without values; None if a length is unknown."""
    if any(length is None for length in shape):
        return None
    return torch.empty(shape, dtype=request.model.dtype, device="meta")


def _width(request: Request) -> Any:
    return _first(request.config, "hidden_size", "d_model", "embed_dim", "hidden_dim", "n_embd")


def _sequence(request: Request) -> int:
    return request.size("sequence", _DEFAULT_SEQUENCE)


def _hidden(request: Request, inputs: Inputs) -> Any:
    """Hidden states instead of tokens; for a model that convolves along time, the input of its first layer."""
    if "hidden_states" in request.parameters and isinstance(sound.first_layer(request.model), torch.nn.Conv1d):
        if sound.width_of(request.model) == 1:
            return sound.waveform(request)
        return _latents(request, inputs)
    return _floats(request, request.batch, _sequence(request), _first(request.config, "input_dim") or _width(request))


def _grid(request: Request, _: Inputs) -> Any:
    """One image per sample as frames x rows x columns of patches, in whole merge blocks."""
    patch = _first(request.config, "patch_size") or 14
    merge = _first(request.config, "spatial_merge_size", "merge_size") or 1
    side = request.size("image_size", _first(request.config, "image_size") or _DEFAULT_SIDE)
    rows = max(1, side // patch // merge) * merge
    return torch.tensor([[1, rows, rows]] * request.batch)


def _patches(request: Request, inputs: Inputs) -> Any:
    """Flat patches of the images in a grid; hidden states if there is no grid."""
    grid_name = next((n for n in ("grid_thw", "image_grid_thw") if n in request.parameters), None)
    if grid_name is None:
        return _hidden(request, inputs)
    grid = inputs.kwargs.setdefault(grid_name, _grid(request, inputs))
    patch = _first(request.config, "patch_size") or 14
    frames = _first(request.config, "temporal_patch_size") or 1
    channels = _first(request.config, "in_channels", "in_chans", "num_channels") or 3
    return _floats(request, int(grid.prod(-1).sum()), channels * frames * patch * patch)


def _queries(request: Request, _: Inputs) -> Any:
    """Learned queries of a query transformer."""
    queries = _first(request.config, "num_query_tokens", "num_queries") or 32
    return _floats(request, request.batch, queries, _width(request))


def _boxes(request: Request, _: Inputs) -> Any:
    """A bounding box on the page for each token."""
    if "input_ids" not in request.parameters:
        return None
    sides = 8 if _first(request.config, "dim_bbox") == 2 * _COORDINATES else _COORDINATES
    return torch.zeros((request.batch, _sequence(request), sides), dtype=torch.int64 if sides == _COORDINATES else None)


def _word_ids(request: Request, _: Inputs) -> Any:
    from .request import token_ids

    return token_ids(request.config, request.batch, _sequence(request))


def _sound_ids(request: Request, inputs: Inputs) -> Any:
    """Audio token ids: one per step and codebook."""
    ids = _word_ids(request, inputs)
    codebooks = _first(request.config, "num_codebooks")
    return ids if codebooks is None else ids[..., None].repeat(1, 1, codebooks)


def _latents(request: Request, _: Inputs) -> Any:
    """Steps of latent audio, channels before time as convolutions take them."""
    return _floats(request, request.batch, sound.width_of(request.model), _sequence(request))


def _spectrogram(request: Request, _: Inputs) -> Any:
    bins = _first(request.config, "model_in_dim", "num_mel_bins", "num_mel_channels")
    return _floats(request, request.batch, _sequence(request), bins)


def _past_length(request: Request) -> Any:
    lags = getattr(request.config, "lags_sequence", None) or [0]
    length = _first(request.config, "context_length")
    return None if length is None else length + max(lags)


def _past_values(request: Request, _: Inputs) -> Any:
    width = _first(request.config, "num_input_channels") or _first(request.config, "input_size") or 1
    length = _past_length(request)
    if width == 1 and not hasattr(request.config, "num_input_channels"):
        return _floats(request, request.batch, length)
    return _floats(request, request.batch, length, width)


def _past_mask(request: Request, inputs: Inputs) -> Any:
    values = inputs.kwargs.get("past_values")
    return None if values is None else torch.ones(values.shape)


def _time_features(request: Request, _: Inputs) -> Any:
    return _floats(
        request,
        request.batch,
        _past_length(request),
        request.config.num_time_features + len(request.config.lags_sequence or []) * 0,
    )


def _future_time_features(request: Request, _: Inputs) -> Any:
    return _floats(request, request.batch, request.config.prediction_length, request.config.num_time_features)


def _future_values(request: Request, _: Inputs) -> Any:
    if not hasattr(request.config, "lags_sequence"):
        return None
    return _floats(request, request.batch, request.config.prediction_length)


def _per_step(width: str | None, dtype: torch.dtype | None = None) -> Maker:
    def make(request: Request, _: Inputs) -> Any:
        if not hasattr(request.config, "state_dim"):
            return None
        length = 1 if width is None else getattr(request.config, width)
        shape = (request.batch, _sequence(request)) if dtype else (request.batch, _sequence(request), length)
        return torch.zeros(shape, dtype=dtype) if dtype else _floats(request, *shape)

    return make


def _visual_features(request: Request, _: Inputs) -> Any:
    return _floats(request, request.batch, 36, _first(request.config, "visual_feat_dim", "visual_embedding_dim"))


def _visual_places(request: Request, _: Inputs) -> Any:
    return _floats(request, request.batch, 36, _first(request.config, "visual_pos_dim"))


def _image(request: Request, _: Inputs) -> Any:
    side = request.size("image_size", _first(request.config, "image_size") or _DEFAULT_SIDE)
    return _floats(request, request.batch, _first(request.config, "num_channels") or 3, side, side)


def _unmasked(request: Request, inputs: Inputs) -> Any:
    """A mask without padding, as long as the masked input."""
    masked = next((t for t in inputs.kwargs.values() if isinstance(t, torch.Tensor) and t.dim() > 1), None)
    length = _sequence(request) if masked is None else masked.shape[1]
    return torch.ones((request.batch, length), dtype=torch.bool)


def _any_inputs(request: Request, inputs: Inputs) -> Any:
    """Input of models for any modality: rows as wide as their latents, or audio."""
    width = _first(request.config, "d_model")
    if hasattr(request.config, "d_latents"):
        return _floats(request, request.batch, _sequence(request), width)
    samples = (_first(request.config, "sampling_rate") or 16000) * request.size("seconds", 10)
    return _floats(request, request.batch, samples)


def _mel(request: Request, _: Inputs) -> Any:
    return _floats(request, request.batch, 100 * request.size("seconds", 10), _first(request.config, "input_feat_size"))


def _encoder_states(request: Request, _: Inputs) -> Any:
    """States of another model, for a part that attends to them in every call, such as a lone decoder."""
    parameter = request.parameters["encoder_hidden_states"]
    always = any(hasattr(request.config, name) for name in ("cross_attention_frequency", "cross_hidden_size"))
    required = always or parameter.default is parameter.empty
    attends = type(request.model).__name__.endswith("Decoder") and getattr(request.config, "add_cross_attention", True)
    if not required and not attends:
        return None
    width = _first(request.config, *_ENCODED_WIDTHS) or _width(request)
    return _floats(request, request.batch, _sequence(request), width)


def _cutoffs(request: Request, inputs: Inputs) -> Any:
    """Ends of the segments of a sample's audio: one segment."""
    sound = inputs.kwargs.get("input_values")
    return None if sound is None else torch.full((request.batch, 1), sound.shape[-1])


def _documents(request: Request, _: Inputs) -> Any:
    """Token ids of the retrieved documents of each sample, each preceded by the question."""
    from .request import token_ids

    documents = _first(request.config, "n_docs")
    return None if documents is None else token_ids(request.config, request.batch * documents, _sequence(request))


def _documents_mask(request: Request, inputs: Inputs) -> Any:
    ids = inputs.kwargs.get("context_input_ids")
    return None if ids is None else torch.ones(ids.shape, dtype=torch.int64)


def _document_scores(request: Request, _: Inputs) -> Any:
    return _floats(request, request.batch, _first(request.config, "n_docs"))


def _task(request: Request, _: Inputs) -> Any:
    """Tokens that name a task, padded to their fixed length."""
    return _floats(request, request.batch, _first(request.config, "task_seq_len"))


def _like_pictures(_: Request, inputs: Inputs) -> Any:
    """Further images of the same size: an example and its annotation.

    A model whose canvas is twice as high as wide places the example above the image.
    """
    pictures = inputs.kwargs.get("pixel_values")
    if pictures is None:
        return None
    height, width = pictures.shape[-2:]
    if height == 2 * width:
        pictures = inputs.kwargs["pixel_values"] = pictures.new_empty((*pictures.shape[:-2], width, width))
    return torch.empty_like(pictures)


def _feature_map(request: Request, _: Inputs) -> Any:
    """Patches of images embedded by another part, as rows and columns."""
    patch, side = _first(request.config, "patch_size"), _first(request.config, "image_size")
    rows = None if patch is None or side is None else side // patch
    return _floats(request, request.batch, _width(request), rows, rows)


def _block(request: Request, _: Inputs) -> Any:
    """A block of embeddings that a draft model fills at once."""
    return _floats(request, request.batch, _first(request.config, "block_size"), _width(request))


def _states_of_layers(request: Request, _: Inputs) -> Any:
    """Concatenated hidden states of several layers of a draft model's target."""
    layers = getattr(request.config, "target_layer_ids", None)
    return _floats(request, request.batch, _sequence(request), len(layers) * _width(request) if layers else None)


def _series_padding(_: Request, inputs: Inputs) -> Any:
    values = inputs.kwargs.get("past_values")
    return None if values is None else torch.zeros(values.shape)


def _frequency(request: Request, _: Inputs) -> Any:
    """Frequency class of each time series."""
    return None if _first(request.config, "freq_size") is None else torch.zeros((request.batch, 1), dtype=torch.int64)


def _image_places(request: Request, inputs: Inputs) -> Any:
    """Marks of the first tokens that are image placeholders."""
    ids = inputs.kwargs.get("input_ids")
    places = _first(request.config, "latent_query_num")
    if ids is None or places is None:
        return None
    mask = torch.zeros(tuple(ids.shape), dtype=torch.bool)
    mask[:, :places] = True
    return mask


def _image_mask(request: Request, inputs: Inputs) -> Any:
    """For each token the images that it attends to: all of its sample."""
    pictures, ids = inputs.kwargs.get("pixel_values"), inputs.kwargs.get("input_ids")
    if pictures is None or ids is None or pictures.dim() != _LIST_DIMS:
        return None
    return torch.ones((*ids.shape, pictures.shape[1]), dtype=torch.int64)


def _languages(request: Request, _: Inputs) -> Any:
    """Language of each sample, for a model with adapters for several and no default: its first one."""
    open_choice = hasattr(request.config, "languages") and request.config.default_language is None
    return torch.zeros(request.batch, dtype=torch.int64) if open_choice else None


OTHERS: dict[str, Maker] = {
    "lang_ids": _languages,
    "hidden_states": _patches,
    "pixel_values": _patches,
    "inputs_embeds": _hidden,
    "context": _hidden,
    "grid_thw": _grid,
    "image_grid_thw": _grid,
    "query_embeds": _queries,
    "bbox": _boxes,
    "image": _image,
    "attention_mask": _unmasked,
    "input_features_mask": _unmasked,
    "inputs": _any_inputs,
    "audio_mel": _mel,
    "audio_mel_mask": _unmasked,
    "encoder_hidden_states": _encoder_states,
    "input_values_cutoffs": _cutoffs,
    "image_embeds_position_mask": _image_places,
    "image_attention_mask": _image_mask,
    "qformer_input_ids": _word_ids,
    "audio_input_ids": _sound_ids,
    "latents": _latents,
    "spectrogram": _spectrogram,
    "past_values": _past_values,
    "past_observed_mask": _past_mask,
    "past_time_features": _time_features,
    "future_time_features": _future_time_features,
    "future_values": _future_values,
    "states": _per_step("state_dim"),
    "actions": _per_step("act_dim"),
    "returns_to_go": _per_step(None),
    "timesteps": _per_step(None, torch.int64),
    "visual_feats": _visual_features,
    "visual_pos": _visual_places,
    "visual_embeds": _visual_features,
    "context_input_ids": _documents,
    "context_attention_mask": _documents_mask,
    "doc_scores": _document_scores,
    "task_inputs": _task,
    "prompt_pixel_values": _like_pictures,
    "prompt_masks": _like_pictures,
    "patch_embeds": _feature_map,
    "noise_embeds": _block,
    "context_hidden_states": _states_of_layers,
    "past_values_padding": _series_padding,
    "freq": _frequency,
}
# Arguments with a default that a forward requires nevertheless.
ALWAYS = frozenset(
    {
        "lang_ids",
        "bbox",
        "states",
        "actions",
        "returns_to_go",
        "timesteps",
        "visual_feats",
        "visual_pos",
        "past_values",
        "input_values_cutoffs",
        "encoder_hidden_states",
        "image_embeds_position_mask",
        "context_input_ids",
        "context_attention_mask",
        "doc_scores",
        "image_attention_mask",
    }
)
