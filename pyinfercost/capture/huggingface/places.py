"""How many places among the tokens an image, a clip or a sound takes: as many as the model makes features of it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from . import forms, media
from .other_inputs import OTHERS
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

    taken = inspect.signature(getattr(holder, method)).parameters
    for name, parameter in taken.items():  # a question that is asked of an image, say
        if parameter.default is not parameter.empty or name in inputs.kwargs or name not in request.parameters:
            continue
        if name in OTHERS and (made := OTHERS[name](request, inputs)) is not None:
            inputs.kwargs[name] = made
    given = {name: value for name, value in inputs.kwargs.items() if name in taken}
    try:
        features = forms.settle(request, inputs, _Features(holder, method), given)
    except CaptureError as error:
        raise SpecError(
            f"hf:{request.name}: {type(request.model).__name__}.{method} cannot tell how many tokens one {kind} takes: "
            f"{error}"
        ) from error
    # A model that fills each place up to a fixed number says so.
    rows = getattr(request.config, f"{kind}_soft_tokens_per_image", None) or _rows(_made(features)) // request.batch
    return [(kind, token, rows)]


def _made(features: Any) -> Any:
    """What stands in the places: pooled features, else hidden states, else those of the first layer that gets some."""
    for name in ("pooler_output", "last_hidden_state"):
        if getattr(features, name, None) is not None:
            return getattr(features, name)
    layers = getattr(features, "deepstack_features", None)
    return layers[0][1] if layers else features


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
