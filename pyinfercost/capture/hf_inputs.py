"""Hugging Face models from a config alone, and the inputs that a real call would give them.

No weight is made or downloaded: the model is built on the meta device. What is assumed about the call:

- without a phase: one plain forward over `sequence` tokens, as `model(input_ids)` does, with logits for every token.
  A decoder also writes its KV cache, as it does by default. An encoder-decoder gets `sequence` tokens on both sides.
- `prefill`: the first step of `generate()`: the same, with logits for the last token only, and one token for the
  decoder of an encoder-decoder.
- `decode`: a later step of `generate()`: one new token against a cache that holds `context` tokens.

No attention mask is passed: a call without padding does not use one, and attention stays causal through SDPA's own
flag.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pyinfercost.capture.hf_cache import DecodeStep, meta_answers

if TYPE_CHECKING:
    import torch

PHASES = ("", "prefill", "decode")

_DEFAULT_SEQUENCE = 128
_DEFAULT_CONTEXT = 2048
_DEFAULT_IMAGE = 224
_CACHE_ARGUMENTS = ("cache", "past_key_values", "cache_params")  # transformers has renamed it over time


class SpecError(ValueError):
    """A model that was asked for in words and cannot be had; the message says what would do."""


class SpecSizeError(SpecError):
    """A size that a model asked for in words does not have, or a value that it does not take."""


class LoadedModel(NamedTuple):
    """A module with what to call it on.

    Attributes:
        module: in evaluation mode.
        args: positional inputs.
        kwargs: named inputs. Tensors called `past_key_values_*` are a KV cache.
        dynamic: input position or name -> dimension -> name of the size, for a capture that keeps sizes open.
    """

    module: torch.nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    dynamic: dict[int | str, dict[int, str]]


def load_hf(name: str, phase: str, sizes: Mapping[str, int]) -> LoadedModel:
    """Builds a `transformers` model on the meta device with inputs for one phase.

    Args:
        name: a `config.json`, a folder that holds one, or the id of a model in the local cache. Nothing is downloaded.
        phase: one of `PHASES`.
        sizes: `batch` and, for text, `sequence` (default 128) or for decode `context` (default 2048, or what the
            model's positions allow); for images `image_size`.

    Raises:
        SpecError: for a config that is not there or not understood, a size or a phase that the model does not have.
    """
    if phase not in PHASES:
        raise SpecError(
            f"phase {phase!r} of hf:{name} is unknown, expected {' or '.join(p for p in PHASES if p)} or none"
        )
    config = _load_config(name)
    if "image_size" in sizes and hasattr(config, "image_size"):
        config.image_size = sizes["image_size"]
    model = _build(name, config)
    kind = str(model.main_input_name)
    if kind == "pixel_values" and not phase:
        return _image_inputs(name, model, config, sizes)
    if kind not in {"input_ids", "input_features"}:
        no_phase = f" and has no phase {phase!r}" if phase else ""
        raise SpecError(
            f"hf:{name} is a {type(model).__name__} that takes {kind!r}{no_phase}, "
            "expected text (input_ids), images (pixel_values, without a phase) or log-mel audio (input_features); "
            "give your own inputs through package.module:callable"
        )
    if phase and not model.can_generate():
        raise SpecError(
            f"hf:{name} is a {type(model).__name__}, which does not generate, so it has no {phase}; leave out #{phase}"
        )
    if phase == "decode":
        return _decode_inputs(name, model, config, sizes)
    return _text_inputs(name, model, config, phase, sizes)


def checked_sizes(spec: str, sizes: Mapping[str, int], defaults: Mapping[str, int]) -> dict[str, int]:
    """The defaults with the given sizes in their place.

    Raises:
        SpecSizeError: for a size that has no default, or is below 1.
    """
    for name, value in sizes.items():
        if name not in defaults:
            raise SpecSizeError(f"{spec} has no size {name!r}, expected {' or '.join(defaults)}")
        if value < 1:
            raise SpecSizeError(f"size {name} of {spec} is {value}, expected at least 1")
    return {**defaults, **sizes}


def _load_config(name: str) -> Any:
    from transformers import AutoConfig

    path = Path(name)
    if name.endswith(".json") and not path.is_file():
        raise SpecError(f"hf:{name}: there is no such file")
    if path.is_dir() and not (path / "config.json").is_file():
        raise SpecError(f"hf:{name}: the folder has no config.json")
    try:
        return AutoConfig.from_pretrained(name, local_files_only=True, trust_remote_code=False)
    except OSError as error:
        raise SpecError(
            f"hf:{name} is not a config.json, not a folder with one, and not in the local Hugging Face cache. Nothing "
            f"is downloaded here: fetch it with `hf download {name} config.json`, or give the path of its config.json"
        ) from error
    except (ValueError, KeyError) as error:
        raise SpecError(f"hf:{name}: its config is not one that transformers knows: {error}") from error


def _build(name: str, config: Any) -> Any:
    import torch

    model_class = _model_class(name, config)
    with torch.device("meta"):
        model = model_class._from_config(config).eval()
    # It looks for padding by reading token ids, which meta tensors have not got; all it would do is log a warning.
    model.warn_if_padding_and_no_attention_mask = lambda *_, **__: None
    return model


def _model_class(name: str, config: Any) -> Any:
    import transformers

    for architecture in getattr(config, "architectures", None) or []:
        if hasattr(transformers, architecture):
            return getattr(transformers, architecture)
    from transformers.models.auto import modeling_auto as auto

    kind = config.model_type
    # BERT and its kin are listed as causal language models too, but nobody means that by "a BERT".
    mappings: list[Any] = [
        auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES if config.is_encoder_decoder else {},
        {} if kind in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES else auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        auto.MODEL_MAPPING_NAMES,
    ]
    for mapping in mappings:
        if kind in mapping:
            found = mapping[kind]
            return getattr(transformers, found if isinstance(found, str) else found[0])
    raise SpecError(
        f"hf:{name} has model_type {kind!r}, for which transformers has no model class; "
        "name one in the config's architectures"
    )


def _image_inputs(name: str, model: Any, config: Any, sizes: Mapping[str, int]) -> LoadedModel:
    import torch

    side = getattr(config, "image_size", None) or _DEFAULT_IMAGE
    height, width = side if isinstance(side, list | tuple) else (side, side)
    known = checked_sizes(f"hf:{name}", sizes, {"batch": 1, "image_size": height})
    if "image_size" in sizes:
        height = width = known["image_size"]
    shape = (known["batch"], getattr(config, "num_channels", 3), height, width)
    pixels = torch.empty(shape, dtype=model.dtype, device="meta")
    return LoadedModel(model, (), {"pixel_values": pixels}, {"pixel_values": {0: "batch"}})


def _positions(config: Any) -> int:
    """How many positions the model was made for; a large number when its config does not say."""
    text = config.get_text_config()
    limit = getattr(text, "max_position_embeddings", None) or getattr(text, "max_target_positions", None)
    return limit if isinstance(limit, int) else 2**31


def _text_inputs(name: str, model: Any, config: Any, phase: str, sizes: Mapping[str, int]) -> LoadedModel:
    sequence = min(_DEFAULT_SEQUENCE, _positions(config))
    known = checked_sizes(f"hf:{name}", sizes, {"batch": 1, "sequence": sequence})
    batch, sequence = known["batch"], known["sequence"]
    decoder_tokens = 1 if phase == "prefill" else sequence
    kwargs, dynamic = _source_inputs(model, config, batch, sequence)
    if config.is_encoder_decoder:
        kwargs["decoder_input_ids"] = _token_ids(batch, decoder_tokens)
        dynamic["decoder_input_ids"] = {0: "batch"} if phase == "prefill" else {0: "batch", 1: "sequence"}
    return LoadedModel(model, (), kwargs | _options(model, last_only=phase == "prefill"), dynamic)


def _source_inputs(
    model: Any, config: Any, batch: int, sequence: int
) -> tuple[dict[str, Any], dict[int | str, dict[int, str]]]:
    import torch

    if (
        model.main_input_name == "input_features"
    ):  # Whisper: a fixed window of audio, two frames for each encoder position
        shape = (batch, config.num_mel_bins, 2 * config.max_source_positions)
        return {"input_features": torch.empty(shape, dtype=model.dtype, device="meta")}, {
            "input_features": {0: "batch"}
        }
    return {"input_ids": _token_ids(batch, sequence)}, {"input_ids": {0: "batch", 1: "sequence"}}


def _token_ids(batch: int, tokens: int) -> torch.Tensor:
    import torch

    return torch.empty((batch, tokens), dtype=torch.int64, device="meta")


def _options(model: Any, *, last_only: bool) -> dict[str, Any]:
    parameters = inspect.signature(model.forward).parameters
    options: dict[str, Any] = {}
    if model.can_generate() and "use_cache" in parameters:
        options["use_cache"] = True
    if last_only and "logits_to_keep" in parameters:
        options["logits_to_keep"] = 1
    return options


def _decode_inputs(name: str, model: Any, config: Any, sizes: Mapping[str, int]) -> LoadedModel:
    import torch

    context = max(1, min(_DEFAULT_CONTEXT, _positions(config) - 1))
    paired = bool(config.is_encoder_decoder)
    defaults = {"batch": 1, "context": context} | ({"sequence": _DEFAULT_SEQUENCE} if paired else {})
    known = checked_sizes(f"hf:{name}#decode", sizes, defaults)
    batch, context = known["batch"], known["context"]
    parameters = inspect.signature(model.forward).parameters
    argument = next((a for a in _CACHE_ARGUMENTS if a in parameters), None)
    if argument is None:
        raise SpecError(
            f"hf:{name}: {type(model).__name__} takes no cache ({' or '.join(_CACHE_ARGUMENTS)}), "
            "so a decode step is its prefill"
        )
    # Only the model itself knows what it keeps per layer (heads, latent vectors, a sliding window, a state), so let it
    # fill a cache.
    source, dynamic = _source_inputs(model, config, batch, known.get("sequence", context))
    filling = (
        source | ({"decoder_input_ids": _token_ids(batch, context)} if paired else {}) | _options(model, last_only=True)
    )
    try:
        with torch.no_grad(), meta_answers():
            filled = model(**filling)
    except (RuntimeError, NotImplementedError) as error:
        raise SpecError(
            f"hf:{name}#decode: {type(model).__name__} cannot fill a cache on meta tensors: {error}"
        ) from error
    step = DecodeStep(argument, getattr(filled, argument, None) or filled.past_key_values)
    kwargs: dict[str, Any] = {"decoder_input_ids" if paired else "input_ids": _token_ids(batch, 1)}
    names: dict[int | str, dict[int, str]] = {next(iter(kwargs)): {0: "batch"}}
    if paired:
        kwargs["encoder_last_hidden_state"] = torch.empty_like(filled.encoder_last_hidden_state)
        names["encoder_last_hidden_state"] = {0: "batch"} | (
            {1: "sequence"} if 1 in dynamic.get("input_ids", {}) else {}
        )
    for key, tensor in step.tensors.items():
        kwargs[key] = tensor
        names[key] = ({0: "batch"} if tensor.dim() and tensor.shape[0] == batch else {}) | step.context_dim(
            key, context
        )
    model.register_forward_pre_hook(step, with_kwargs=True)
    return LoadedModel(model, (), kwargs | _options(model, last_only=True), names)
