"""Storage of the weights of a model, from its config and the files in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..._checks import is_file, is_folder, read_json
from ...formats.checkpoints import Checkpoint
from ..loaded_model import SpecError
from ..notices import warn
from .files import Files, Owners, as_in_files, described_bytes, files_beside
from .methods import Method, checkpoint_of, method_of
from .weights import weights_of

if TYPE_CHECKING:
    from torch import nn

    from ..._checks import Fields

_MODELOPT_FILE = "hf_quant_config.json"
_TOLERANCE = 0.01
_NAMED = 3
"""Tensors that a warning names."""


class StoredModel:
    """Storage of the weights of a model by its config and the files in its folder.

    Args:
        spec: Name of the model in errors and warnings.
        config: The config, of `transformers`.
        folder: Its folder; None if there is none.

    Raises:
        SpecError: The quantization method is unknown, or a file is damaged.
    """

    def __init__(self, spec: str, config: Any, folder: Path | None) -> None:
        self._spec = spec
        self._files = None if folder is None else files_beside(folder)
        self._method: Method | None = None
        self._settings: Fields | None = None
        settings = _settings_of(config, folder)
        if settings is not None:
            self._method, self._settings = method_of(spec, settings)

    @property
    def dtype(self) -> str | None:
        """Dtype of weights that are not quantized, for a config that names none; None if it is not stated."""
        of_files = None if self._files is None else self._files.wide_dtype
        return of_files or (None if self._method is None else self._method.dtype)

    def checkpoint(self, model: nn.Module) -> Checkpoint | None:
        """Return the storage of the weights of the model of the config; None if they are stored in its dtype.

        A difference between config and files of more than 1 % is a `CheckpointSizeWarning`.

        Args:
            model: The model, on the meta device.

        Raises:
            SpecError: A setting of the quantization is not valid.
        """
        if self._method is None and self._files is None:
            return None
        checkpoint, weights = None, weights_of(model)
        if self._method is not None and self._settings is not None:
            checkpoint = checkpoint_of(self._method, self._settings, weights)
        if self._files is None:
            return checkpoint
        owners = Owners(model)
        self._compare(model, checkpoint, self._files, owners)
        if checkpoint is None:
            return None
        elements = {weight.parameter: weight.elements for weight in weights}
        return as_in_files(checkpoint, elements, self._files, owners)

    def _compare(self, model: nn.Module, checkpoint: Checkpoint | None, files: Files, owners: Owners) -> None:
        described, stored = described_bytes(model, checkpoint), files.size
        if stored is None or abs(stored - described) <= _TOLERANCE * stored:
            return
        others = [name for name in files.names if owners.owner(name) is None]
        text = (
            f"{self._spec}: the files hold {stored:,} bytes of weights, and the config describes {described:,} "
            f"({100 * (described / stored - 1):+.1f} %)"
        )
        if others:
            named = ", ".join(others[:_NAMED]) + (", ..." if len(others) > _NAMED else "")
            text += f"; {len(others):,} of {len(files.names):,} tensors belong to no part of the model: {named}"
        warn(text)


def _settings_of(config: Any, folder: Path | None) -> Mapping[str, Any] | None:
    """Return the quantization settings of a config, its text part or the file in its folder; None without any."""
    for part in (config, getattr(config, "text_config", None)):
        found: Any = getattr(part, "quantization_config", None)
        if hasattr(found, "to_dict"):
            found = found.to_dict()
        if found is not None:
            return _flat(found)
    file = None if folder is None else folder / _MODELOPT_FILE
    if file is None or not is_file(file):
        return None
    settings = _flat({"quant_method": "modelopt", **_object(file)})
    return settings if settings.get("quant_algo") is not None else None


def _object(file: Path) -> Mapping[str, Any]:
    document = read_json(file, SpecError)
    if not isinstance(document, dict):
        raise SpecError(f"{file} has no object; expected the settings of a quantization")
    return document


def _flat(settings: Any) -> Mapping[str, Any]:
    """Return settings of Model Optimizer whose values may be in an object of their own, under `quantization`."""
    inner = settings.get("quantization") if isinstance(settings, dict) else None
    flat: Mapping[str, Any] = {**settings, **inner} if isinstance(inner, dict) else settings
    return flat


def folder_of(name: str) -> Path | None:
    """Return the folder of the checkpoint of a config: of a path, or of an id in the local cache.

    None if there is none: files in the folder of a config with another name than `config.json` may be of any model.
    """
    path = Path(name)
    if name.endswith(".json"):
        return path.parent if path.name == "config.json" else None
    if is_folder(path):
        return path
    from transformers.utils.hub import cached_file

    try:
        found = cached_file(name, "config.json", local_files_only=True)
    except (OSError, ValueError):
        return None
    return None if found is None else Path(found).parent


def of_part(checkpoint: Checkpoint | None, model: nn.Module, part: nn.Module) -> Checkpoint | None:
    """Return the storage of the weights of a part of a model, by their names in it."""
    if checkpoint is None or part is model:
        return checkpoint
    path = next((f"{name}." for name, module in model.named_modules() if module is part), "")

    def of(named: Mapping[str, Any]) -> dict[str, Any]:
        return {name.removeprefix(path): value for name, value in named.items() if name.startswith(path)}

    return Checkpoint(checkpoint.method, of(checkpoint.formats), of(checkpoint.metadata))
