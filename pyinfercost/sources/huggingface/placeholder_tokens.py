"""Number of placeholder tokens of an image, a clip or audio: as many as the model computes features for it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..loaded_model import SpecError
from . import image_layouts as forms
from . import media
from .other_inputs import OTHERS
from .sound import ARGUMENTS, MASKS

if TYPE_CHECKING:
    from .request import Inputs, Request


class _Features(nn.Module):
    """A method of a model as the forward of a module."""

    def __init__(self, model: nn.Module, method: str) -> None:
        super().__init__()
        self.model = model
        self.method = method

    def forward(self, **kwargs: Any) -> Any:
        return getattr(self.model, self.method)(**kwargs)


def places_of(request: Request, inputs: Inputs, kind: str) -> list[tuple[str, int, int]]:
    """Return kind, token id and number per sample of placeholder tokens; empty if the model has none."""
    if "input_ids" not in request.parameters:
        return []
    token = _place_token(request.config, kind)
    if token is None:
        return []
    rows = _features_of(request, inputs, kind)
    if rows is None and kind == "audio":
        rows = _steps_heard(request, inputs)
    if rows is None:
        return []
    # A model that fills a fixed number of placeholders per image states it.
    return [(kind, token, getattr(request.config, f"{kind}_soft_tokens_per_image", None) or rows // request.batch)]


def added_to_tokens(request: Request, inputs: Inputs) -> int | None:
    """Return the number of tokens per sample if audio features are added to token embeddings one to one; else None.

    This is the case for a model that generates text and has no placeholder token.
    """
    stands = any(hasattr(part, name) for part in _parts(request.config) for name in _names("audio"))
    heard = any(name in inputs.kwargs for name in ARGUMENTS)
    if stands or not heard or not request.model.can_generate() or request.config.is_encoder_decoder:
        return None
    rows = _features_of(request, inputs, "audio")
    return None if rows is None else rows // request.batch


def _features_of(request: Request, inputs: Inputs, kind: str) -> int | None:
    """Return the number of rows of media features; None if the model does not compute them without its text."""
    method = f"get_{kind}_features"
    holder = next((part for part in request.model.modules() if hasattr(part, method)), None)
    if holder is None:
        return None
    from pyinfercost.sources.symbols import CaptureError

    taken = _taken(holder, method)
    if "input_ids" in taken and taken["input_ids"].default is inspect.Parameter.empty:
        return None
    for name, parameter in taken.items():  # for example a question about an image
        wanted = parameter.default is parameter.empty and name in OTHERS and name in request.parameters
        if wanted and name not in inputs.kwargs and (made := OTHERS[name](request, inputs)) is not None:
            inputs.kwargs[name] = made
    given = {name: value for name, value in inputs.kwargs.items() if name in taken}
    try:
        features = forms.settle(request, inputs, _Features(holder, method), given)
    except CaptureError as error:
        raise SpecError(
            f"{request.label}: {type(request.model).__name__}.{method} cannot determine the tokens of one {kind}: "
            f"{error}"
        ) from error
    return _rows(_made(features))


def _made(features: Any) -> Any:
    """Return the features for placeholders: pooled ones, else hidden states, if need be of the first layer with any."""
    for name in ("pooler_output", "last_hidden_state"):
        if getattr(features, name, None) is not None:
            return getattr(features, name)
    layers = getattr(features, "deepstack_features", None)
    return layers[0][1] if layers else features


def _taken(holder: nn.Module, method: str) -> dict[str, inspect.Parameter]:
    """Return the arguments of a method; with **kwargs, the arguments of the same method of the part that it calls."""
    taken = dict(inspect.signature(getattr(holder, method)).parameters)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
        for part in holder.children():
            if hasattr(part, method):
                taken |= _taken(part, method)
    return taken


def _steps_heard(request: Request, inputs: Inputs) -> int | None:
    """Return the number of steps that the audio encoder outputs for the frames in its mask."""
    method = "_get_feat_extract_output_lengths"
    part = next((part for part in request.model.modules() if hasattr(part, method)), None)
    mask = next((inputs.kwargs[name] for name in MASKS if name in inputs.kwargs), None)
    if part is None or mask is None:
        return None
    lengths = getattr(part, method)(mask.sum(-1).to(torch.int64))
    return int((lengths[-1] if isinstance(lengths, tuple) else lengths).sum())


def _place_token(config: Any, kind: str) -> int | None:
    for part in _parts(config):
        for name in _names(kind):
            token = getattr(part, name, None)
            if isinstance(token, int):
                return token
    return None


def _parts(config: Any) -> list[Any]:
    return media.part_configs(config, ("text", "thinker", "vlm"))[::-1]


def _names(kind: str) -> tuple[str, ...]:
    return (f"{kind}_token_id", f"{kind}_token_index", f"{kind[:3]}_context_token_id")


def _rows(features: Any) -> int:
    if isinstance(features, torch.Tensor):
        return features.numel() // features.shape[-1]
    return sum(_rows(part) for part in features if part is not None)
