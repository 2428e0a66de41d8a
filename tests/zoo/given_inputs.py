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


def _jev(config: Any) -> dict[str, Any]:
    """One prompt with two questions: the place after each, how many options it has, and its type."""
    del config
    return {
        "input_ids": torch.full((1, SEQUENCE), 7),
        "marks": torch.tensor([[SEQUENCE // 2, SEQUENCE - 1]]),
        "num_options": torch.tensor([[2, 2]]),
        "question_type_ids": torch.tensor([[0, 0]]),
    }


def _pi0(config: Any) -> dict[str, Any]:
    """What a robot's cameras see with their places among the words, its state, and noise in the place of actions."""
    cameras, vlm = 2, config.vlm_config
    side, patch = vlm.vision_config.image_size, vlm.vision_config.patch_size
    seen = [vlm.image_token_id] * (cameras * (side // patch) ** 2)
    return {
        "state": _floats(BATCH, config.max_state_dim),
        "noise": _floats(BATCH, config.chunk_size, config.max_action_dim),
        "timestep": _floats(BATCH),
        "input_ids": torch.tensor([seen + [7] * SEQUENCE] * BATCH),
        "pixel_values": _floats(BATCH, cameras, 3, side, side),
        "pixel_attention_mask": torch.ones((BATCH, cameras), dtype=torch.bool),
        "attention_mask": torch.ones((BATCH, len(seen) + SEQUENCE), dtype=torch.int64),
    }


def _esmfold2(config: Any) -> dict[str, Any]:
    """The features of one chain of a protein, as the library's own function makes them of its sequence."""
    from transformers.models.esmfold2.modeling_esmfold2 import EsmFold2AtomInputs
    from transformers.models.esmfold2.protein_utils import prepare_protein_features

    del config
    features = prepare_protein_features("MKTAYIAKQR")
    atoms = {name: features.pop(name) for name in EsmFold2AtomInputs.__dataclass_fields__}
    features.pop("distogram_atom_idx")  # of the heads behind the trunk, as sampling is
    return {**features, "atom_inputs": EsmFold2AtomInputs(**atoms)}


GIVEN: dict[str, Maker] = {
    **GIVEN_VISION,
    "esmfold2": _esmfold2,
    "jev": _jev,
    "pi0": _pi0,
    "wav2vec2-bert": _wav2vec2_bert,
}
