"""Models of timm, as run by its benchmark."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pyinfercost as ic

if TYPE_CHECKING:
    from ..captures import Wanted

_ROUNDED = 0.006
"""Rounding error of a count to two decimals, in millions of parameters."""
_OTHER_MODEL = 0.02
"""Maximum relative change of the parameter count since a model of the same name was timed."""


def build(wanted: Wanted, batch: int | None) -> ic.Graph:
    """Capture a model; `recipe` has `image_size`, `layout` and `parameters_m` (of the timed model, or '').

    Raises:
        ValueError: timm has no such model, or builds a different one under this name.
    """
    import torch

    recipe = dict(wanted.recipe)
    image_size, channels_last = int(recipe["image_size"]), recipe["layout"] == "nhwc"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = _model(wanted.model, recipe["parameters_m"])
        images = torch.empty(batch or 2, 3, image_size, image_size, device="meta")
        layout = torch.channels_last if channels_last else torch.contiguous_format
        model, images = model.to(memory_format=layout), images.to(memory_format=layout)
        return ic.capture(model, (images,), dynamic={0: {0: "batch"}} if batch is None else None)


@lru_cache(maxsize=1)
def _model(name: str, parameters_m: str) -> Any:
    """Return the module on meta, with merged branches if it was timed that way."""
    import timm
    import torch

    if not timm.is_model(name):
        raise ValueError(f"timm {timm.__version__} has no such model")
    with torch.device("meta"):
        model = timm.create_model(name).eval()
    if not parameters_m:
        return model
    timed, count = float(parameters_m), _count_m(model)
    if abs(timed - count) <= _ROUNDED:
        return model
    from timm.utils.model import reparameterize_model

    with torch.device("meta"):  # merging creates new convolutions
        joined = reparameterize_model(model)
    if abs(timed - _count_m(joined)) <= _ROUNDED:
        return joined
    if abs(count / timed - 1) > _OTHER_MODEL:
        raise ValueError(f"timm {timm.__version__} builds a different model: the parameter counts differ")
    return model


def _count_m(model: Any) -> float:
    return float(sum(parameter.numel() for parameter in model.parameters())) / 1e6
