"""Models of torchvision."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pyinfercost as ic

if TYPE_CHECKING:
    from ..captures import Wanted


def build(wanted: Wanted, batch: int | None) -> ic.Graph:
    """Capture a classifier on images of the recipe's `image_size`.

    Raises:
        ValueError: torchvision has no such model.
    """
    import torch
    import torchvision

    image_size = int(dict(wanted.recipe)["image_size"])
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        # Transformers have a position for every patch; other models take images of any size.
        sized = {"image_size": image_size} if wanted.model.startswith("vit_") else {}
        model = torchvision.models.get_model(wanted.model, weights=None, **sized).eval()
        images = torch.empty(batch or 2, 3, image_size, image_size)
        return ic.capture(model, (images,), dynamic={0: {0: "batch"}} if batch is None else None)
