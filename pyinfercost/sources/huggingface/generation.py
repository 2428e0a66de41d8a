"""The part of a model that runs the later steps of `generate()`: the model itself, or one that its `generate` calls."""

from __future__ import annotations

import inspect
import re
from typing import Any


def decoding_part(model: Any) -> Any:
    """Return the part that runs once per new token.

    A model that prepares embeddings and calls `generate` of its language model runs only that part in later steps,
    with tokens and a cache and without images.
    """
    own = vars(type(model)).get("generate")
    if own is None:
        return model
    called = set(re.findall(r"self\.(\w+)\.generate\(", inspect.getsource(inspect.unwrap(own))))
    if len(called) != 1:
        return model
    part = getattr(model, called.pop(), None)
    text = model.config.get_text_config(decoder=True)
    return part if getattr(part, "config", None) is text and _takes_tokens_alone(part) else model


def _takes_tokens_alone(part: Any) -> bool:
    """Return whether a part takes tokens without attending to an encoder in each step."""
    return (
        part.can_generate()
        and not getattr(part.config, "is_encoder_decoder", False)
        and not hasattr(part.config, "encoder_hidden_size")
    )
