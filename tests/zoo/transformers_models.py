"""All model types of `transformers` that can be built from a default config: small, without weights, and run as by
their `hf:` specs: a plain forward and, for generating models, a prefill and a decode step.
"""

from __future__ import annotations

import inspect
import json
import re
import tempfile
from functools import cache, partial
from pathlib import Path
from typing import Any

from zoo.case import Built, Case, NotBuildableError
from zoo.completions import COMPLETIONS, WIDE
from zoo.given_inputs import GIVEN, GIVEN_SIZES
from zoo.shrunken_configs import merged, shrunken, with_sections
from zoo.transformers_unbuildable import NO_PHASE, UNBUILDABLE

SIZES = {"batch": 2, "sequence": 16, "context": 16, "seconds": 1, "frames": 4}
# Types that do not run with all of these.
_OWN_SIZES = {"tvp": {"batch": 1}}  # its places of rows and columns have the batch as a length of their own
PHASES = ("", "prefill", "decode")
# A group of the coverage page -> names of the tasks whose models belong to it, then words in a type's name.
_STATE_SPACE = re.compile(
    "mamba|rwkv|xlstm|recurrent|jamba|bamba|zamba|_h1|nemotron_h|hybrid|qwen3_next|qwen3_5|kimi_linear|minimax|lfm|lara"
)
_MOE = re.compile(
    "moe|mixtral|dbrx|deepseek|gpt_oss|switch|olmoe|phimoe|arctic|jetmoe|longcat|glm4_moe|dots|axk|ernie4_5"
)


def unbuildable() -> dict[str, str]:
    """Return the types that do not run from a config alone, with the reasons."""
    return dict(UNBUILDABLE)


def cases() -> list[Case]:
    """Return all types, with names such as `llama#decode`. Types that cannot be built raise in `build`."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    generating = _generating()
    return [
        Case(
            "transformers",
            f"{kind}#{phase}" if phase else kind,
            group_of(kind),
            partial(build, kind, phase),
            sizes=GIVEN_SIZES.get(kind, {}),
        )
        for kind in CONFIG_MAPPING_NAMES
        for phase in PHASES
        if not phase
        or (kind in generating and kind not in (*UNBUILDABLE, *GIVEN) and phase not in NO_PHASE.get(kind, ()))
    ]


def build(kind: str, phase: str) -> Built:
    """Build the model of a type with inputs, like `hf:config.json#phase`."""
    if kind in UNBUILDABLE:
        raise NotBuildableError(UNBUILDABLE[kind])
    import transformers

    from pyinfercost.sources.models import SpecError, load_model

    transformers.logging.set_verbosity_error()
    if kind in GIVEN:
        return _with_given_inputs(kind)
    spec = f"hf:{config_file(kind)}" + (f"#{phase}" if phase else "")
    sizes = SIZES | _OWN_SIZES.get(kind, {})
    while True:
        try:
            loaded = load_model(spec, sizes)
        except SpecError as error:
            refused = next((name for name in sizes if f"has no size {name!r}" in str(error)), None)
            if refused is None:
                raise
            del sizes[refused]
        else:
            return loaded.module, loaded.args, loaded.kwargs


def _with_given_inputs(kind: str) -> Built:
    from pyinfercost.sources.huggingface.classes import build_model, load_config

    name = str(config_file(kind))
    config = load_config(name)
    return build_model(name, config).eval(), (), GIVEN[kind](config)


def config_file(kind: str) -> Path:
    """Write the `config.json` of a small model of the type."""
    path = Path(_folder().name) / f"{kind}.json"
    if not path.is_file():
        path.write_text(json.dumps(small_config(kind), default=str), encoding="utf-8")
    return path


def small_config(kind: str) -> dict[str, Any]:
    """Return the default config of a type, made small."""
    from huggingface_hub.errors import StrictDataclassError
    from transformers import CONFIG_MAPPING

    try:
        config = CONFIG_MAPPING[kind]()
    except StrictDataclassError:  # a default that the type itself refuses
        config = CONFIG_MAPPING[kind](**COMPLETIONS[kind])
    small = shrunken(config.to_dict(), narrow=kind not in WIDE)
    if kind not in WIDE and _turns_in_sections(type(config)):
        with_sections(small)
    return merged(small, COMPLETIONS.get(kind, {})) | {"model_type": kind}


def _turns_in_sections(config_class: type) -> bool:
    """Return whether the rotary embedding of a model has sections for time, height and width."""
    folder = Path(inspect.getfile(config_class)).parent
    return any("mrope_section" in file.read_text(encoding="utf-8") for file in folder.glob("modeling_*.py"))


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="transformers-configs-")


def _tasks(*names: str) -> set[str]:
    from transformers.models.auto import modeling_auto as auto

    return {kind for name in names for kind in getattr(auto, f"MODEL_FOR_{name}_MAPPING_NAMES", {})}


@cache
def _generating() -> set[str]:
    """Return the types whose spec loads a generating class."""
    paired = _tasks("SEQ_TO_SEQ_CAUSAL_LM", "SPEECH_SEQ_2_SEQ")
    return paired | _tasks("MULTIMODAL_LM", "IMAGE_TEXT_TO_TEXT") | (_tasks("CAUSAL_LM") - _tasks("MASKED_LM"))


@cache
def group_of(kind: str) -> str:
    """Return the group of a type on the coverage page."""
    if _STATE_SPACE.search(kind):
        return "state-space"
    if kind in _tasks("MULTIMODAL_LM", "IMAGE_TEXT_TO_TEXT") or "_vl" in kind or "clip" in kind:
        return "multimodal"
    if kind in _tasks(
        "SPEECH_SEQ_2_SEQ", "CTC", "AUDIO_CLASSIFICATION", "TEXT_TO_WAVEFORM", "RNNT", "TDT"
    ) or re.search("audio|speech|codec|asr|voice|wav|mimi|music", kind):
        return "audio"
    vision = ("IMAGE", "BACKBONE", "OBJECT_DETECTION", "DEPTH_ESTIMATION", "IMAGE_CLASSIFICATION", "MASK_GENERATION")
    if kind in _tasks(*vision) or re.search("vision|vit|sam|detr|video", kind):
        return "vision"
    if _MOE.search(kind):
        return "moe"
    if kind in _tasks("SEQ_TO_SEQ_CAUSAL_LM"):
        return "encoder-decoder"
    return "decoder" if kind in _tasks("CAUSAL_LM") - _tasks("MASKED_LM") else "encoder"
