"""Arguments of a diffusers model in one step of its pipeline, derived from its signature and configuration.

Every argument name has one rule here; exceptions for classes are in `images.py`, `clips.py` and `recordings.py`.
Arguments that a pipeline omits, such as the attention mask of a prompt without padding, are omitted.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch

from ..loaded_model import SpecError
from .clips import CLIPS
from .images import IMAGES
from .recordings import RECORDINGS
from .step import Rule, Step

_POOLED_WIDTH = ("pooled_projection_dim", "in_text_dim2", "global_cond_dim", "cond_embed_dim")
_CONDITION_SCALE = 8  # the conditioning image of a ControlNet has 8 times the height and width of the latents


def _added_conditions(step: Step) -> dict[str, torch.Tensor] | None:
    kind = step.first("addition_embed_type")
    if kind == "text_time":  # SDXL: pooled text, and six numbers about the image
        width = step.first("projection_class_embeddings_input_dim") - 6 * step.first("addition_time_embed_dim")
        return {"text_embeds": step.empty(width), "time_ids": step.empty(6)}
    if kind in {"image", "text_image", "image_hint"}:
        found = {"image_embeds": step.empty(step.first("encoder_hid_dim", "cross_attention_dim"))}
        return found | ({"text_embeds": step.empty(768)} if kind == "text_image" else {})
    return None


def _class_labels(step: Step) -> torch.Tensor | None:
    if step.first("class_embed_type") in {"timestep", "projection", "simple_projection"}:
        width = step.first("projection_class_embeddings_input_dim")
        return step.empty(width) if width else step.empty()
    if step.first("num_class_embeds") or step.first("norm_type") == "ada_norm_zero":
        return step.ids()
    return None


RULES: dict[str, Rule] = {
    "sample": Step.sample,
    "x": Step.sample,
    "hidden_states": Step.sample,
    "timestep": Step.empty,
    "timesteps": Step.empty,
    "timestep_r": Step.empty,
    "r_timestep": Step.empty,
    "timestep_ratio": Step.empty,
    "encoder_hidden_states": Step.states,
    "encoder_attention_mask": lambda step: step.ones(step.text),
    "pooled_projections": lambda step: step.empty(step.first(*_POOLED_WIDTH, default=768)),
    "global_hidden_states": lambda step: step.empty(1, step.first("global_states_input_dim", default=768)),
    "img_ids": lambda step: torch.empty(step.tokens, step.axes, device="meta"),
    "txt_ids": lambda step: torch.empty(step.text, step.axes, device="meta"),
    "img_shapes": lambda step: [[(1, step.side, step.side)]] * step.batch,
    "guidance": lambda step: step.empty() if step.first("guidance_embeds", "guidance_embed") else None,
    "class_labels": _class_labels,
    "added_cond_kwargs": _added_conditions,
    "controlnet_cond": lambda step: step.empty(
        step.first("conditioning_channels", default=3), _CONDITION_SCALE * step.side, _CONDITION_SCALE * step.side
    ),
    "added_time_ids": lambda step: step.empty(3),
    "original_size": lambda step: step.empty(2),
    "target_size": lambda step: step.empty(2),
    "crop_coords": lambda step: step.empty(2),
}

# Arguments with a default that a pipeline passes nevertheless.
_GIVEN = frozenset(
    {
        "encoder_hidden_states",
        "timestep",
        "timesteps",
        "pooled_projections",
        "img_ids",
        "txt_ids",
        "img_shapes",
        "guidance",
        "class_labels",
        "added_cond_kwargs",
        "global_hidden_states",
    }
)


def call_arguments(module: torch.nn.Module, step: Step) -> dict[str, Any]:
    """Return the named inputs of one forward.

    Args:
        module: The model.
        step: The sizes.

    Returns:
        Name -> input.

    Raises:
        SpecError: No rule exists for an argument without a default.
    """
    name = type(module).__name__
    own = IMAGES.get(name) or CLIPS.get(name) or RECORDINGS.get(name) or {}
    given: dict[str, Any] = {}
    for argument, parameter in inspect.signature(module.forward).parameters.items():
        needed = parameter.default is parameter.empty
        open_ended = parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
        if argument not in own and (open_ended or not (needed or argument in _GIVEN)):
            continue
        rule = own.get(argument) or RULES.get(argument)
        if rule is None:
            raise SpecError(
                f"{name} takes {argument!r}, for which there is no rule; give your own inputs through "
                "package.module:callable"
            )
        value = rule(step)
        if value is not None or needed:
            given[argument] = value
    return given
