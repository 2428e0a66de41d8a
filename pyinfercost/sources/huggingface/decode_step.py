"""A later step of `generate()`: a new token with a KV cache that the model itself has filled."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from ..loaded_model import SpecError
from .cache import CONTEXT, DecodeStep, EncoderOutputs
from .inputs import (
    DEFAULT_CONTEXT,
    DEFAULT_SEQUENCE,
    add_media,
    add_others,
    add_tokens,
    beside_sound,
    decoder_ids,
    hears_instead,
    options,
    positions,
)
from .request import Inputs, Request, token_ids

# Names in different versions of transformers; states of recurrent models have their own names.
_CACHE_ARGUMENTS = ("cache", "past_key_values", "cache_params", "state")


def decode_inputs(request: Request) -> Inputs:
    """Return the inputs of a decode step, and give the model a hook that assembles its cache from them.

    Raises:
        SpecError: The model has no cache, or cannot fill it.
    """
    from pyinfercost.sources.symbols import CaptureError
    from pyinfercost.sources.trace.trace import output_on_meta

    model, config = request.model, request.config
    taken = {name for name, parameter in request.parameters.items() if parameter.default is not parameter.empty}
    others = any(parameter.kind == parameter.VAR_KEYWORD for parameter in request.parameters.values())
    if not others and taken.isdisjoint(_CACHE_ARGUMENTS):
        raise _without_cache(request)
    batch = request.batch
    context = request.size("context", max(1, min(DEFAULT_CONTEXT, positions(config) - 1)))
    paired = bool(config.is_encoder_decoder)
    filling = Inputs()
    if "input_ids" in request.parameters and not paired:
        filling.add("input_ids", beside_sound(request, decoder_ids(config, batch, context)), batch=0)
    else:
        _source(request, filling, batch)
    if paired:
        filling.kwargs["decoder_input_ids"] = decoder_ids(config, batch, context)
    request.check()
    # The content of the cache per layer (heads, latent vectors, a sliding window, a state) is known to the model only,
    # so the model fills one.
    try:
        with _Encoding(model) as encoding:
            own = _own_cache(request, taken)
            filled = output_on_meta(model, (), filling.kwargs | options(model, last_only=True) | own)
            if not own and not _handed_on(filled):  # the model creates no cache itself
                own = _new_cache(request, taken)
                filled = output_on_meta(model, (), filling.kwargs | options(model, last_only=True) | own)
    except CaptureError as error:
        raise SpecError(
            f"{request.label}#decode: {type(model).__name__} cannot fill a cache on meta tensors: {error}"
        ) from error
    found = _handed_on(filled)
    argument, cache = next(iter(found or own.items()), ("", None))
    if cache is None:
        raise _without_cache(request)
    if argument not in taken and not others:  # its result has an older name for it
        argument = next(name for name in _CACHE_ARGUMENTS if name in taken)
    encoded = encoding.outputs(filled) if paired else None
    step = DecodeStep(argument, cache, encoded)
    inputs = Inputs()
    tokens = 1 if paired else _tokens_of_step(request, argument, cache, context)
    token = decoder_ids(config, batch, tokens)
    if paired:
        inputs.add("decoder_input_ids", token, batch=0)
    else:
        inputs.add("input_ids", beside_sound(request, token), batch=0)
    if encoded is not None:
        for name, tensor in encoded.tensors.items():
            inputs.kwargs[name] = _alike(tensor)
            inputs.dynamic[name] = {0: "batch"} | ({1: "sequence"} if 1 in filling.dynamic.get("input_ids", {}) else {})
    growing = step.context_dims(context)
    for key, tensor in step.tensors.items():
        inputs.kwargs[key] = tensor
        inputs.dynamic[key] = ({0: "batch"} if tensor.dim() and tensor.shape[0] == batch else {}) | growing.get(key, {})
    if step.counts_tokens and growing:
        inputs.kwargs[CONTEXT] = context
        inputs.dynamic[CONTEXT] = {0: "context"}
    model.register_forward_pre_hook(step, with_kwargs=True)
    inputs.kwargs |= options(model, last_only=True)
    return inputs


def _tokens_of_step(request: Request, argument: str, cache: Any, context: int) -> int:
    """Return the number of tokens that `generate()` passes: the new one, unless the model itself removes the others."""
    from transformers import GenerationMixin

    prepare = getattr(type(request.model), "prepare_inputs_for_generation", None)
    if (
        prepare is None
        or prepare is GenerationMixin.prepare_inputs_for_generation
        or "next_sequence_length" not in (inspect.signature(prepare).parameters)
    ):
        return 1
    ids = decoder_ids(request.config, request.batch, context + 1)
    given = {argument: cache, "next_sequence_length": 1, "use_cache": True}
    prepared = request.model.prepare_inputs_for_generation(ids, is_first_iteration=False, **given)
    return int(prepared["input_ids"].shape[1])


def _without_cache(request: Request) -> SpecError:
    names = " or ".join(_CACHE_ARGUMENTS)
    return SpecError(
        f"{request.label}: {type(request.model).__name__} neither takes nor returns a cache ({names}), so "
        "a decode step equals its prefill, or its generate() runs parts in turn: give the config of a part"
    )


def _own_cache(request: Request, taken: set[str]) -> dict[str, Any]:
    """Return a new cache, as in `generate()`, for a model that fills it without returning it."""
    fields = inspect.signature(request.model.forward).return_annotation
    handed_on = getattr(fields, "__dataclass_fields__", None)
    if handed_on is None or any(n in handed_on for n in _CACHE_ARGUMENTS):
        return {}
    return _new_cache(request, taken)


def _handed_on(filled: Any) -> list[tuple[str, Any]]:
    """Return the caches of a result, by name."""
    # Results of transformers have older names of the cache as properties, each of which logs a warning.
    fields = getattr(filled, "__dataclass_fields__", _CACHE_ARGUMENTS)
    names = [name for name in _CACHE_ARGUMENTS if name in fields]
    return [(name, cache) for name in names if (cache := getattr(filled, name, None)) is not None]


def _new_cache(request: Request, taken: set[str]) -> dict[str, Any]:
    from transformers import DynamicCache

    name = next((name for name in ("cache", "past_key_values") if name in taken), None)
    return {} if name is None else {name: DynamicCache(config=request.config.get_text_config(decoder=True))}


def _source(request: Request, inputs: Inputs, batch: int) -> None:
    """Add the inputs of an encoder."""
    places = add_media(request, inputs)
    if "input_ids" in request.parameters and not hears_instead(request, inputs):
        sequence = request.size("sequence", DEFAULT_SEQUENCE)
        if places:
            add_tokens(request, inputs, batch, sequence, places)
        else:
            inputs.add("input_ids", token_ids(request.config, batch, sequence), batch=0, sequence=1)
    add_others(request, inputs)


def _alike(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor of the same shape: a mask without padding."""
    if tensor.is_floating_point():
        return torch.empty_like(tensor)
    return torch.ones(tensor.shape, dtype=tensor.dtype)


class _Encoding:
    """Records the result of a model's encoder while the model runs."""

    def __init__(self, model: Any) -> None:
        self._encoder = model.get_encoder() if hasattr(model, "get_encoder") else None
        self._hook: Any = None
        self._returned: Any = None

    def __enter__(self) -> _Encoding:
        if isinstance(self._encoder, torch.nn.Module):
            self._hook = self._encoder.register_forward_hook(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._hook is not None:
            self._hook.remove()

    def _note(self, _: Any, __: Any, returned: Any) -> None:
        self._returned = returned

    def outputs(self, filled: Any) -> EncoderOutputs | None:
        """Return the result of the encoder or, if it was not observed, as stated in the model's result.

        None if the encoded input precedes the decoder's own tokens in the cache.
        """
        from transformers.modeling_outputs import BaseModelOutput

        hidden = getattr(filled, "encoder_last_hidden_state", None)
        if hidden is None:
            return None
        found = getattr(self._returned, "last_hidden_state", None)
        if found is None or found.shape != hidden.shape:
            return EncoderOutputs(BaseModelOutput(last_hidden_state=hidden))
        return EncoderOutputs(self._returned)
