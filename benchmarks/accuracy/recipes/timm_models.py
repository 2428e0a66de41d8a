"""A model of timm, as its benchmark runs it."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pyinfercost as ic

if TYPE_CHECKING:
    from ..captures import Wanted

_ROUNDED = 0.006
"""Millions of parameters by which a count to two decimals may be off."""
_OTHER_MODEL = 0.02
"""By how much of the parameters a model of the same name may have changed since it was timed."""


def build(wanted: Wanted, batch: int | None) -> ic.Graph:
    """Captures a model; `recipe` has `image_size`, `layout` and `parameters_m` (what the timed model had, or '').

    Raises:
        ValueError: timm has no such model, or what it builds under this name is another one.
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
    """The module on meta, with its branches joined where that is what was timed."""
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
    from timm.utils import reparameterize_model

    joined = reparameterize_model(model)
    if abs(timed - _count_m(joined)) <= _ROUNDED:
        return joined
    if abs(count / timed - 1) > _OTHER_MODEL:
        raise ValueError(f"timm {timm.__version__} builds another model: the parameters differ")
    return model


def _count_m(model: Any) -> float:
    return float(sum(parameter.numel() for parameter in model.parameters())) / 1e6
