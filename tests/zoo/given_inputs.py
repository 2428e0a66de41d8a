"""Inputs of model types whose forward takes something that no config tells: made here as their users make them.

Such a type runs through `package.module:callable` for a user too. Each maker gets the config of the small model, and
gives the named inputs of one forward; shapes alone (meta tensors), except where the forward asks for values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

Maker = Callable[[Any], dict[str, Any]]

BATCH, SEQUENCE = 2, 16


def _floats(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta")


def _wav2vec2_bert(config: Any) -> dict[str, Any]:
    """Pairs of mel frames, as its feature extractor stacks them."""
    return {"input_features": _floats(BATCH, 50, config.feature_projection_input_dim)}


def _blt_local_encoder(_: Any) -> dict[str, Any]:
    """Bytes, and which of eight patches each belongs to."""
    return {
        "input_ids": torch.empty((BATCH, SEQUENCE), dtype=torch.int64, device="meta"),
        "num_patches": SEQUENCE // 2,
        "patch_ids": torch.empty((BATCH, SEQUENCE), dtype=torch.int64, device="meta"),
    }


def _blt_local_decoder(config: Any) -> dict[str, Any]:
    """States of bytes by the local encoder, and of patches by the global transformer."""
    return {
        "inputs_embeds": _floats(BATCH, SEQUENCE, config.hidden_size),
        "patch_embeds": _floats(BATCH, SEQUENCE // 2, config.hidden_size_global),
    }


GIVEN: dict[str, Maker] = {
    "blt_local_decoder": _blt_local_decoder,
    "blt_local_encoder": _blt_local_encoder,
    "wav2vec2-bert": _wav2vec2_bert,
}
