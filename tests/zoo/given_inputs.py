"""Inputs of model types whose forward takes something that no config tells: made here as their users make them.

Such a type runs through `package.module:callable` for a user too. Each maker gets the config of the small model, and
gives the named inputs of one forward; shapes alone (meta tensors), except where the forward asks for values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from zoo.given_vision import GIVEN_VISION

Maker = Callable[[Any], dict[str, Any]]

BATCH, SEQUENCE = 2, 16


def _floats(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta")


def _wav2vec2_bert(config: Any) -> dict[str, Any]:
    """Pairs of mel frames, as its feature extractor stacks them."""
    return {"input_features": _floats(BATCH, 50, config.feature_projection_input_dim)}


GIVEN: dict[str, Maker] = {
    **GIVEN_VISION,
    "wav2vec2-bert": _wav2vec2_bert,
}
