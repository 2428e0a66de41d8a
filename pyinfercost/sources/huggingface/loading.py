"""Hugging Face models from a config alone, and the inputs that a real call would give them.

No weight is made or downloaded: the model is built on the meta device. What is assumed about the call:

- without a phase: one plain forward over `sequence` tokens, as `model(input_ids)` does, with logits for every token.
  A decoder also writes its KV cache, as it does by default. An encoder-decoder gets `sequence` tokens on both sides.
- `prefill`: the first step of `generate()`: the same, with logits for the last token only, and one token for the
  decoder of an encoder-decoder.
- `decode`: a later step of `generate()`: one new token against a cache that holds `context` tokens.

A model that sees or hears gets one image of `image_size`, `seconds` of audio, or a clip of `frames`, for each sample;
their places among the tokens come in addition to `sequence`.

No attention mask is passed: a call without padding does not use one, and attention stays causal through SDPA's own
flag.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..loaded_model import LoadedModel, SpecError
from .classes import build_model, load_config

PHASES = ("", "prefill", "decode")


def load_spec(rest: str, sizes: Mapping[str, int]) -> LoadedModel:
    """Build the model of `hf:NAME#PHASE`, given what follows `hf:`; see `load_hf`."""
    name, _, phase = rest.partition("#")
    return load_hf(name, phase, sizes)


def load_hf(name: str, phase: str, sizes: Mapping[str, int]) -> LoadedModel:
    """Builds a `transformers` model on the meta device with inputs for one phase.

    Args:
        name: a `config.json`, a folder that holds one, or the id of a model in the local cache. Nothing is downloaded.
        phase: one of `PHASES`.
        sizes: `batch` and, for text, `sequence` (default 128) or for decode `context` (default 2048, or what the
            model's positions allow); for images `image_size`, for audio `seconds` (default 10), for video `frames`.

    Raises:
        SpecError: for a config that is not there or not understood, a size or a phase that the model does not have.
    """
    if phase not in PHASES:
        raise SpecError(
            f"phase {phase!r} of hf:{name} is unknown, expected {' or '.join(p for p in PHASES if p)} or none"
        )
    from . import media

    config = load_config(name)
    if "image_size" in sizes and getattr(config, "image_size", None) is not None:
        config.image_size = sizes["image_size"]
    for part in media.part_configs(config, ("",)):  # a model is made for so many frames, wherever that is said
        if "frames" in sizes and isinstance(getattr(part, "num_frames", None), int):
            part.num_frames = sizes["frames"]
    model = build_model(name, config)
    if phase and not model.can_generate():
        raise SpecError(
            f"hf:{name} is a {type(model).__name__}, which does not generate, so it has no {phase}; leave out #{phase}"
        )
    from .decoding import decode_inputs
    from .generation import decoding_part
    from .inputs import forward_inputs
    from .request import Request

    if phase == "decode":
        model = decoding_part(model)
        config = model.config
    request = Request(name, model, config, phase, sizes)
    try:
        inputs = decode_inputs(request) if phase == "decode" else forward_inputs(request)
    except SpecError:
        raise
    except (ValueError, TypeError, AttributeError, LookupError, RuntimeError, ImportError) as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        raise SpecError(
            f"hf:{name}: the inputs of its {type(model).__name__} do not follow from its config ({text}); "
            "give your own through package.module:callable"
        ) from error
    return LoadedModel(model, (), inputs.kwargs, inputs.dynamic)
