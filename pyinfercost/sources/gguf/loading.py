"""Models of GGUF files: built by `transformers` from the settings, without weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..library_configs import check_counts, errors_of_library
from .files import read_model
from .reading import spec_errors
from .storage import StoredGguf

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ... import _core
    from ..loaded_model import LoadedModel

_SUFFIX = ".gguf"


def load_gguf(rest: str, sizes: Mapping[str, int]) -> LoadedModel:
    """Build the model of `FILE.gguf#PHASE` with the inputs of a phase.

    Without a phase it is a decode step: files of this format are for inference.

    Args:
        rest: The path of the file, or of the first of several, and a phase.
        sizes: As for `load_hf`.

    Returns:
        The module and its inputs.

    Raises:
        SpecError: The file is damaged, its architecture is unknown, or the model does not have a size or a phase.
        MissingFileError: There is no such file.
        FileAccessError: It cannot be read.
    """
    from ..huggingface.loading import check_phase, load_from_config

    path, phase = _parted(rest)
    check_phase(path, phase)
    model = read_model(Path(path), path)
    config, dtype = _config_of(model)
    return load_from_config("", path, config, StoredGguf(model, dtype), phase or "decode", sizes)


def load_config(rest: str) -> Any:
    """Return the config of `transformers` for the settings of a file; arguments and errors are as in `load_gguf`."""
    path, _ = _parted(rest)
    config, _ = _config_of(read_model(Path(path), path))
    return config


def _parted(rest: str) -> tuple[str, str]:
    if rest.lower().endswith(_SUFFIX):
        return rest, ""
    path, _, phase = rest.rpartition("#")
    return path, phase


def _config_of(model: _core.GgufModel) -> tuple[Any, str]:
    """Return the config of a model, and the dtype of its activations."""
    with spec_errors():
        settings = json.loads(model.config_json())
    kind, dtype = settings.pop("model_type"), settings.pop("dtype")
    check_counts(model.spec, settings)
    from transformers import AutoConfig

    with errors_of_library(
        f"{model.spec}: transformers does not support its settings",
        "expected settings of a published model of this architecture",
    ):
        return AutoConfig.for_model(kind, **settings), dtype
