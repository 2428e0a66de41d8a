"""Audio inputs of a model, from its own processor or, if there is none, with the shape that its first layer takes.

Some processors need a library that is not installed. The number of frames per second still follows from the defaults in
their code (`hop_length`, `frame_stacking`), and the width of a frame from the layer that takes it.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from . import media

if TYPE_CHECKING:
    from .request import Request

ARGUMENTS = ("input_features", "input_values", "audio_values", "audio_input_features", "audio_features")
MASKS = (
    "input_features_mask",
    "feature_attention_mask",
    "audio_attention_mask",
    "padding_mask",
    "attention_mask",
)
_DEFAULT_SECONDS = 10
_DEFAULT_RATE = 16000
_FRAMES_PER_SECOND = 100
_SPECTROGRAM = 3
# Attributes of processors for the number of stacked frames.
_STACKED = ("frame_stacking", "stride_lfr")
_LAYERS = (nn.Linear, nn.LayerNorm, nn.Conv1d, nn.ConvTranspose1d, nn.Conv2d)


def heard(request: Request) -> dict[str, Any]:
    """Return the audio of each sample and its companions, by the forward's names."""
    config, names = request.config, request.parameters
    if (window := window_of(request)) is not None:
        return {"input_features": _floats(request, request.batch, config.num_mel_bins, 2 * window)}
    seconds = request.size("seconds", _DEFAULT_SECONDS)
    processed = media.audio(config, request.batch, seconds)
    if processed is None:
        return _unprocessed(request, seconds)
    found = {_name_for(name, names): value for name, value in processed.items()}
    if "feature_lens" in names and "input_features" in found:
        return _end_to_end(request, processed)
    _pad_to_whole_steps(request, found)
    return found


def window_of(request: Request) -> int | None:
    """Return the positions of an encoder of audio of a fixed length, two frames each (Whisper); None for others."""
    window = getattr(request.config, "max_source_positions", None)
    fixed = isinstance(window, int) and isinstance(getattr(request.config, "num_mel_bins", None), int)
    return window if fixed and "input_features" in request.parameters and request.config.is_encoder_decoder else None


def waveform(request: Request) -> torch.Tensor:
    """Return samples of one channel, as many as the model's processor returns."""
    seconds = request.size("seconds", _DEFAULT_SECONDS)
    processed = media.audio(request.config, request.batch, seconds) or {}
    samples = processed["input_values"].shape[-1] if "input_values" in processed else _DEFAULT_RATE * seconds
    return _floats(request, request.batch, 1, samples)


def _name_for(name: str, names: Any) -> str:
    """Return the forward's name of a processor output; names of audio masks differ."""
    if name not in MASKS or (name in names and name != "attention_mask"):
        return name
    return next((mask for mask in MASKS if mask in names), name)


def _pad_to_whole_steps(request: Request, found: dict[str, Any]) -> None:
    """Pad frames to whole steps of an encoder that stacks several of them, as the model's processor does."""
    features = found.get("input_features")
    reader = _reader(request.model, "input_features")
    layer = None if reader is None else first_layer(reader)
    if features is None or features.dim() != _SPECTROGRAM:
        return
    step = getattr(request.config, "audio_length_per_tok", None) or 1
    if isinstance(layer, nn.Linear) and layer.in_features % features.shape[-1] == 0:  # stacked frames
        step = layer.in_features // features.shape[-1]
    along = -1 if isinstance(layer, nn.Conv1d) else 1
    missing = -features.shape[along] % step
    if not missing:
        return
    found["input_features"] = nn.functional.pad(features, (0, missing) if along == -1 else (0, 0, 0, missing))
    for name in MASKS:
        if name in found:
            found[name] = nn.functional.pad(found[name], (0, missing))


def _end_to_end(request: Request, processed: dict[str, Any]) -> dict[str, Any]:
    """Concatenate frames of all samples without padding; add the number per sample."""
    features = processed["input_features"]
    mask = next((processed[name] for name in MASKS if name in processed), None)
    lengths = torch.full((request.batch,), features.shape[-1]) if mask is None else mask.sum(-1)
    return {
        "input_features": _floats(request, features.shape[1], int(lengths.sum())),
        "feature_lens": lengths.to(torch.int64),
    }


def _unprocessed(request: Request, seconds: int) -> dict[str, Any]:
    """Return inputs with the shapes that a processor would return."""
    extractor = media.extractor_defaults(request.config)
    rate = getattr(request.config, "sampling_rate", None) or extractor.get("sampling_rate") or _DEFAULT_RATE
    samples = rate * seconds
    taken = [n for n in ARGUMENTS if n in request.parameters]
    mains = {getattr(part, "main_input_name", None) for part in request.model.modules() if part is not request.model}
    name = next((n for n in taken if n in mains), taken[0])
    if name != "input_features":  # a waveform
        return {name: _floats(request, request.batch, samples)}
    reader = _reader(request.model, name)
    stated = _stated(request, "num_chroma", "input_dim")
    width = stated or (reader and width_of(reader)) or _stated(request, "d_model")
    if width is None:
        return {name: _floats(request, request.batch, samples)}
    frames = _frames(extractor, seconds, width)
    channels_first = stated is None and reader is not None and isinstance(first_layer(reader), nn.Conv1d)
    made = {name: _floats(request, request.batch, *((width, frames) if channels_first else (frames, width)))}
    mask = next((m for m in MASKS if m in request.parameters and _demanded(request.model, m)), None)
    return made if mask is None else made | {mask: torch.ones((request.batch, frames), dtype=torch.bool)}


def _demanded(model: Any, argument: str) -> bool:
    """Return whether a model requires an argument, in its forward or for its audio features."""
    taking = (model.forward, getattr(model, "get_audio_features", None))
    found = [inspect.signature(method).parameters.get(argument) for method in taking if method is not None]
    return any(parameter is not None and parameter.default is parameter.empty for parameter in found)


def _stated(request: Request, *names: str) -> int | None:
    return next((value for n in names if isinstance(value := getattr(request.config, n, None), int)), None)


def _frames(extractor: dict[str, Any], seconds: int, width: int) -> int:
    """Return the number of frames that a processor makes of audio, by its defaults."""
    rate = extractor.get("sampling_rate") or _DEFAULT_RATE
    stacked = next((extractor[name] for name in _STACKED if isinstance(extractor.get(name), int)), None)
    if stacked is None:  # frames are stacked without a parameter for it
        bins = next((extractor[n] for n in ("n_mels", "num_mel_bins", "feature_size") if n in extractor), width)
        stacked = max(1, width // bins)
    hop = extractor.get("hop_length") or rate // _FRAMES_PER_SECOND
    return max(1, rate * seconds // hop // stacked)


def _reader(model: Any, argument: str) -> nn.Module | None:
    """Return the part of a model that takes an argument: the outermost with it as main input."""
    parts = [part for part in model.modules() if getattr(part, "main_input_name", None) == argument]
    if not parts and hasattr(model, "get_encoder"):
        encoders = (model.get_encoder(modality="audio"), model.get_encoder())
        parts = [encoder for encoder in encoders if isinstance(encoder, nn.Module) and encoder is not model]
    return next(iter(parts), None)


def first_layer(module: nn.Module) -> nn.Module | None:
    """Return the layer that takes a module's input: the first one whose weight has the input's width."""
    return next((part for part in module.modules() if isinstance(part, _LAYERS)), None)


def width_of(module: nn.Module) -> int | None:
    """Return the width of one input step of a module; None if its first layer does not determine it."""
    layer = first_layer(module)
    if isinstance(layer, nn.Linear):
        return layer.in_features
    if isinstance(layer, nn.LayerNorm):
        return int(layer.normalized_shape[-1])
    return layer.in_channels if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d) else None


def _floats(request: Request, *shape: int) -> torch.Tensor:
    return torch.empty(shape, dtype=request.model.dtype, device="meta")
