"""How many places among the tokens an image, a clip or a sound takes: as many as the model makes features of it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from . import forms, media
from .sizes import SpecError

if TYPE_CHECKING:
    from .inputs import Inputs, Request


class _Features(nn.Module):
    """A method of a model as a forward of its own."""

    def __init__(self, model: nn.Module, method: str) -> None:
        super().__init__()
        self.model = model
        self.method = method

    def forward(self, **kwargs: Any) -> Any:
        return getattr(self.model, self.method)(**kwargs)


def places_of(request: Request, inputs: Inputs, kind: str) -> list[tuple[str, int, int]]:
    """The name of a kind of input, the id of its token, and how many of them a sample has; else nothing."""
    if "input_ids" not in request.parameters:
        return []
    token = _place_token(request.config, kind)
    method = f"get_{kind}_features"
    holder = next((part for part in request.model.modules() if hasattr(part, method)), None)
    if token is None or holder is None:
        return []
    from pyinfercost.capture.symbols import CaptureError

    taken = _taken(holder, method)
    given = {name: value for name, value in inputs.kwargs.items() if name in taken}
    try:
        features = forms.settle(request, inputs, _Features(holder, method), given)
    except CaptureError as error:
        raise SpecError(
            f"hf:{request.name}: {type(request.model).__name__}.{method} cannot tell how many tokens one {kind} takes: "
            f"{error}"
        ) from error
    pooled = getattr(features, "pooler_output", features)
    rows = _rows(features.last_hidden_state if pooled is None else pooled)
    return [(kind, token, rows // request.batch)]


def _taken(holder: nn.Module, method: str) -> set[str]:
    """The arguments of a method; where it hands any on, those of the same method of the part that it asks."""
    parameters = inspect.signature(getattr(holder, method)).parameters
    names = set(parameters)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        for part in holder.children():
            if hasattr(part, method):
                names |= _taken(part, method)
    return names


def _place_token(config: Any, kind: str) -> int | None:
    for part in media.part_configs(config, ("",))[::-1]:
        for name in (f"{kind}_token_id", f"{kind}_token_index", f"{kind[:3]}_context_token_id"):
            token = getattr(part, name, None)
            if isinstance(token, int):
                return token
    return None


def _rows(features: Any) -> int:
    if isinstance(features, torch.Tensor):
        return features.numel() // features.shape[-1]
    return sum(_rows(part) for part in features if part is not None)
