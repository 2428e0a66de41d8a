"""How many places among the tokens an image, a clip or a sound takes: as many as the model makes features of it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from . import media
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
    holders = (request.model, getattr(request.model, "model", None), request.model.base_model)
    holder = next((model for model in holders if hasattr(model, method)), None)
    if token is None or holder is None:
        return []
    from pyinfercost.capture.symbols import CaptureError
    from pyinfercost.capture.trace import output_on_meta

    taken = inspect.signature(getattr(holder, method)).parameters
    given = {name: value for name, value in inputs.kwargs.items() if name in taken}
    try:
        features = output_on_meta(_Features(holder, method), (), given)
    except CaptureError as error:
        raise SpecError(
            f"hf:{request.name}: {type(request.model).__name__}.{method} cannot tell how many tokens one {kind} takes: "
            f"{error}"
        ) from error
    rows = _rows(getattr(features, "pooler_output", features))
    return [(kind, token, rows // request.batch)]


def _place_token(config: Any, kind: str) -> int | None:
    for part in media.part_configs(config, ("text", "thinker"))[::-1]:
        for name in (f"{kind}_token_id", f"{kind}_token_index", f"{kind[:3]}_context_token_id"):
            token = getattr(part, name, None)
            if isinstance(token, int):
                return token
    return None


def _rows(features: Any) -> int:
    if isinstance(features, torch.Tensor):
        return features.numel() // features.shape[-1]
    return sum(_rows(part) for part in features if part is not None)
