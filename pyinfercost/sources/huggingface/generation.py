"""Which part of a model runs the later steps of `generate()`: the model, or one that its `generate` hands over to."""

from __future__ import annotations

import inspect
import re
from typing import Any


def decoding_part(model: Any) -> Any:
    """The part that runs once per new token.

    A model that prepares embeddings and calls `generate` of its language model runs that alone from there on: it takes
    tokens and a cache, and no image.
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
    """Not one that attends to an encoder in each step."""
    return (
        part.can_generate()
        and not getattr(part.config, "is_encoder_decoder", False)
        and not hasattr(part.config, "encoder_hidden_size")
    )
