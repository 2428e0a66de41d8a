"""Hugging Face models from a config only, with the inputs of a real call.

No weight is created or downloaded: the model is built on the meta device. Assumptions about the call:

- without a phase: a plain forward over `sequence` tokens, as `model(input_ids)`, with logits for every token. A decoder
  also writes its KV cache, as by default. An encoder-decoder gets `sequence` tokens on both sides.
- `prefill`: the first step of `generate()`: the same, with logits for the last token only, and one token for the
  decoder of an encoder-decoder.
- `decode`: a later step of `generate()`: one new token with a cache of `context` tokens.
- `text-prefill`: the prefill of a prompt of text alone, by a model that takes images, audio or video, too.

A model with image, audio or video input gets one image of `image_size`, `seconds` of audio, or a clip of `frames` per
sample; their placeholder tokens are added to `sequence`.

The checkpoint of a config (`checkpoints/`) decides the storage of its weights.

No attention mask is passed: a call without padding does not use one, and attention stays causal through SDPA's own
flag.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from ..library_configs import FAULTS_OF_CONFIGS, words_of
from ..loaded_model import LoadedModel, SpecError, UnknownModelError
from ..sizes import IMAGE
from .classes import build_model, load_config, set_dtype

if TYPE_CHECKING:
    from torch import nn

    from ...formats.checkpoints import Checkpoint

TEXT_PREFILL = "text-prefill"
PHASES = ("", "prefill", "decode", TEXT_PREFILL)


def load_spec(rest: str, sizes: Mapping[str, int]) -> LoadedModel:
    """Build the model of `hf:NAME#PHASE` from the text after `hf:`; see `load_hf`."""
    name, _, phase = rest.partition("#")
    return load_hf(name, phase, sizes)


def load_hf(name: str, phase: str, sizes: Mapping[str, int]) -> LoadedModel:
    """Build a `transformers` model on the meta device with inputs for one phase.

    Args:
        name: Path of a `config.json` or of a folder with one, or an id in the local cache. Nothing is downloaded.
        phase: One of `PHASES`.
        sizes: `batch` and, for text, `sequence` (default 128; `prompt` in a phase is the same) or for decode `context`
            (default 2048, limited by the model's positions); for images `image_size`, for audio `seconds` (default 10),
            for video `frames`.

    Returns:
        The module and its inputs.

    Raises:
        SpecError: The config does not exist or is not supported, its quantization method is unknown, or the model does
            not have a size or a phase.
    """
    check_phase(f"hf:{name}", phase)
    from ..checkpoints.stored_weights import StoredModel, folder_of

    config = load_config(name)
    return load_from_config("hf:", name, config, StoredModel(f"hf:{name}", config, folder_of(name)), phase, sizes)


def check_phase(spec: str, phase: str) -> None:
    """Reject an unknown phase.

    Raises:
        SpecError: It is none of `PHASES`.
    """
    if phase not in PHASES:
        raise UnknownModelError(
            f"phase {phase!r} of {spec} is unknown; expected {' or '.join(p for p in PHASES if p)} or none"
        )


class Storage(Protocol):
    """Storage of the weights of a model in its files."""

    @property
    def dtype(self) -> str | None:
        """Dtype for a config that names none; None if it is not stated."""
        ...

    def checkpoint(self, model: nn.Module) -> Checkpoint | None:
        """Return the storage of the weights of the model; None if they are stored in its dtype."""
        ...


def load_from_config(
    scheme: str, name: str, config: Any, stored: Storage, phase: str, sizes: Mapping[str, int]
) -> LoadedModel:
    """Build the model of a config on the meta device with inputs for one phase.

    Args:
        scheme: Text before the name in specs, with its colon.
        name: Name of the model.
        config: The config, of `transformers`.
        stored: How files store the weights.
        phase: As for `load_hf`.
        sizes: As for `load_hf`.

    Raises:
        SpecError: As for `load_hf`.
    """
    from ..checkpoints.stored_weights import of_part
    from . import media

    spec = f"{scheme}{name}"
    set_dtype(config, stored.dtype)
    if "prompt" in sizes and (phase in ("prefill", TEXT_PREFILL) or (phase and config.is_encoder_decoder)):
        if "sequence" in sizes:
            raise SpecError(f"{spec}#{phase} is given prompt and sequence, which are one size; give one of them")
        sizes = {"sequence" if size == "prompt" else size: value for size, value in sizes.items()}
    if "image_size" in sizes and getattr(config, "image_size", None) is not None:
        config.image_size = sizes["image_size"]
    for part in media.part_configs(config, ("",)):  # the number of frames may be in any part
        if "frames" in sizes and isinstance(getattr(part, "num_frames", None), int):
            part.num_frames = sizes["frames"]
    model = whole = build_model(spec, config)
    checkpoint = stored.checkpoint(whole)
    beside_text = phase != TEXT_PREFILL
    phase = phase if beside_text else "prefill"
    if phase and not model.can_generate():
        raise SpecError(
            f"{spec} is a {type(model).__name__}, which does not generate and has no {phase}; leave out #{phase}, "
            "prompt and context"
        )
    from .decode_step import decode_inputs
    from .generation import decoding_part
    from .inputs import forward_inputs, stated_positions
    from .request import Request

    if phase == "decode":
        model = decoding_part(model)
        config = model.config
    request = Request(name, model, config, phase, sizes, scheme, beside_text)
    try:
        inputs = decode_inputs(request) if phase == "decode" else forward_inputs(request)
    except SpecError:
        raise
    except (*FAULTS_OF_CONFIGS, ImportError) as error:
        raise SpecError(
            f"{spec}: the config does not determine the inputs of its {type(model).__name__} ({words_of(error)}); "
            "give your own through package.module:callable"
        ) from error
    known = of_part(checkpoint, whole, model)
    # An encoder-decoder has tokens of two sequences, each with positions of its own.
    limit = None if config.is_encoder_decoder else stated_positions(config)
    # Of all models with images; a page opens only images of convolutional networks.
    pictures: dict[int | str, dict[int, str]] = {"pixel_values": {2: IMAGE, 3: IMAGE}}
    return LoadedModel(model, (), inputs.kwargs, inputs.dynamic, known, request.sizes(), limit, pictures)
