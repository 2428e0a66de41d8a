"""One later step of `generate()`: a new token against a cache that the model itself has filled."""

from __future__ import annotations

import torch

from .cache import DecodeStep
from .inputs import (
    DEFAULT_CONTEXT,
    DEFAULT_SEQUENCE,
    Inputs,
    Request,
    add_media,
    add_others,
    add_tokens,
    decoder_ids,
    options,
    positions,
)
from .sizes import SpecError

_CACHE_ARGUMENTS = ("cache", "past_key_values", "cache_params")  # transformers has renamed it over time


def decode_inputs(request: Request) -> Inputs:
    """The inputs of a decode step; the model gets a hook that puts its cache together from them.

    Raises:
        SpecError: the model has no cache, or cannot fill it.
    """
    from pyinfercost.capture.symbols import CaptureError
    from pyinfercost.capture.trace import output_on_meta

    model, config = request.model, request.config
    argument = next((a for a in _CACHE_ARGUMENTS if a in request.parameters), None)
    if argument is None:
        raise SpecError(
            f"hf:{request.name}: {type(model).__name__} takes no cache ({' or '.join(_CACHE_ARGUMENTS)}), "
            "so a decode step is its prefill"
        )
    batch = request.batch
    context = request.size("context", max(1, min(DEFAULT_CONTEXT, positions(config) - 1)))
    paired = bool(config.is_encoder_decoder)
    filling = Inputs()
    if "input_ids" in request.parameters and not paired:
        filling.add("input_ids", decoder_ids(config, batch, context), batch=0)
    else:
        _source(request, filling, batch)
    if paired:
        filling.kwargs["decoder_input_ids"] = decoder_ids(config, batch, context)
    request.check()
    # Only the model itself knows what it keeps per layer (heads, latent vectors, a sliding window, a state), so let it
    # fill a cache.
    try:
        filled = output_on_meta(model, (), filling.kwargs | options(model, last_only=True))
    except CaptureError as error:
        raise SpecError(
            f"hf:{request.name}#decode: {type(model).__name__} cannot fill a cache on meta tensors: {error}"
        ) from error
    step = DecodeStep(argument, getattr(filled, argument, None) or filled.past_key_values)
    inputs = Inputs()
    inputs.add("decoder_input_ids" if paired else "input_ids", decoder_ids(config, batch, 1), batch=0)
    if paired:
        inputs.kwargs["encoder_last_hidden_state"] = torch.empty_like(filled.encoder_last_hidden_state)
        inputs.dynamic["encoder_last_hidden_state"] = {0: "batch"} | (
            {1: "sequence"} if 1 in filling.dynamic.get("input_ids", {}) else {}
        )
    for key, tensor in step.tensors.items():
        inputs.kwargs[key] = tensor
        inputs.dynamic[key] = ({0: "batch"} if tensor.dim() and tensor.shape[0] == batch else {}) | step.context_dim(
            key, context
        )
    model.register_forward_pre_hook(step, with_kwargs=True)
    inputs.kwargs |= options(model, last_only=True)
    return inputs


def _source(request: Request, inputs: Inputs, batch: int) -> None:
    """What an encoder reads."""
    places = add_media(request, inputs)
    if "input_ids" in request.parameters and request.model.main_input_name not in inputs.kwargs:
        sequence = request.size("sequence", DEFAULT_SEQUENCE)
        if places:
            add_tokens(request, inputs, batch, sequence, places)
        else:
            inputs.add("input_ids", token_ids(request.config, batch, sequence), batch=0, sequence=1)
    add_others(request, inputs)
