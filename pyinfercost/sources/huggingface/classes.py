"""The class of `transformers` for a config, and the model on the meta device."""

from __future__ import annotations

import importlib
import pkgutil
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..._checks import decoded, exists, is_file, is_folder, parse_json, read_bytes, shown, why_no_file
from ..library_configs import check_counts, errors_of_library, limited_parts
from ..loaded_model import SpecError, on_build_device

# For a config without architectures: tasks in order of their likelihood for its model type.
_PAIRED = ("SEQ_TO_SEQ_CAUSAL_LM", "SPEECH_SEQ_2_SEQ")
_SINGLE = ("MULTIMODAL_LM", "IMAGE_TEXT_TO_TEXT", "CAUSAL_LM")
# Other kernels of attention are fetched from a hub or compiled, which a capture on meta tensors does not need.
_ATTENTION = ("eager", "sdpa")
_KERNEL = "attn_implementation"


def load_config(name: str) -> Any:
    """Load the config of a `config.json`, of a folder with one, or of a model in the local cache.

    Args:
        name: Path of the file or folder, or an id.

    Returns:
        The config.

    Raises:
        SpecError: There is none, or `transformers` does not support it.
    """
    path = Path(name)
    if name.endswith(".json") and not is_file(path):
        raise SpecError(f"hf:{name}: {why_no_file(path)}; expected a config.json")
    if is_folder(path) and not is_file(path / "config.json"):
        raise SpecError(f"hf:{name}: the folder has no config.json; expected a folder with one")
    content = b""
    if exists(path):
        # The library calls a file that is no JSON missing, and takes seconds to import.
        file = path / "config.json" if is_folder(path) else path
        content = read_bytes(file)
        check_config(f"hf:{name}", parse_json(decoded(content, file, SpecError), f"hf:{name}", SpecError))
    from transformers import AutoConfig, PretrainedConfig

    with (
        errors_of_library(
            f"hf:{name}: transformers does not support its config",
            "expected the config of a model that this version of transformers has",
        ),
        _without_mark(name, content) as place,
    ):
        try:
            if not content:
                check_config(f"hf:{name}", PretrainedConfig.get_config_dict(place, local_files_only=True)[0])
            return AutoConfig.from_pretrained(place, local_files_only=True, trust_remote_code=False)
        except OSError as error:
            raise SpecError(
                f"hf:{name} is not a config.json, not a folder with one, and not in the local Hugging Face cache. "
                f"Nothing is downloaded: run `hf download {name} config.json`, or give the path of its config.json"
            ) from error


@contextmanager
def _without_mark(name: str, content: bytes) -> Iterator[str]:
    """Yield where the library reads a config: a copy if the file begins with a byte order mark, which it refuses."""
    if not content.startswith(BOM_UTF8):
        yield name
        return
    with TemporaryDirectory(prefix="pyinfercost-") as folder:
        (Path(folder) / "config.json").write_bytes(content.removeprefix(BOM_UTF8))
        yield folder


def check_config(spec: str, config: Any) -> None:
    """Reject a config whose keys of classes or counts `transformers` would read without a check.

    Args:
        spec: Name of the model in errors.
        config: Value of its JSON.

    Raises:
        SpecError: The config is no object, its architectures are no list of names, a count is too large, or it names a
            kernel of attention that `transformers` would fetch or compile.
    """
    if not isinstance(config, dict):
        raise SpecError(f"{spec}: its config is {shown(config)}; expected an object")
    named = config.get("architectures")
    if named is not None and not (isinstance(named, list) and all(isinstance(each, str) for each in named)):
        raise SpecError(
            f"{spec}: architectures of its config is {shown(named)}; expected a list of names of classes of "
            "transformers"
        )
    check_counts(spec, config)
    for kernel in _kernels(config, is_kernel=False):
        if kernel not in _ATTENTION:
            raise SpecError(
                f"{spec}: {_KERNEL} of its config is {shown(kernel)}; expected {' or '.join(_ATTENTION)}. The "
                "engine decides the kernel of a prediction: leave the key out"
            )


def _kernels(value: Any, *, is_kernel: bool) -> Iterator[Any]:
    """Yield the names of kernels of attention in a config and its parts."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _kernels(item, is_kernel=is_kernel or key.strip("_").removesuffix("_internal") == _KERNEL)
    elif isinstance(value, list):
        for item in value:
            yield from _kernels(item, is_kernel=is_kernel)
    elif is_kernel and value is not None:
        yield value


def set_dtype(config: Any, dtype: str | None) -> None:
    """Set the dtype of a config that names none.

    Args:
        config: The config.
        dtype: Name of the dtype; None for the library's default, float32.
    """
    import torch

    key = "dtype" if hasattr(config, "dtype") else "torch_dtype"
    if dtype is not None and getattr(config, key, None) is None:
        setattr(config, key, getattr(torch, dtype))


def build_model(name: str, config: Any) -> Any:
    """Build the model of a config, without weights, in evaluation mode.

    Args:
        name: The spec of the model, for errors.
        config: The config.

    Returns:
        The model on the meta device.

    Raises:
        SpecError: `transformers` has no class for the config, or cannot build it.
    """
    import torch

    model_class = model_class_of(name, config)
    with (
        errors_of_library(
            f"{name}: transformers cannot build its {model_class.__name__}",
            "expected a complete config, with all values of a published model of this type",
        ),
        limited_parts(name),
        on_build_device(),
    ):
        try:
            with _literals_with_values():
                model = model_class._from_config(config).eval()
        except (RuntimeError, NotImplementedError):  # its constructor mixes such numbers with meta tensors
            model = model_class._from_config(config).eval()
    if type(model).forward is torch.nn.Module.forward:
        raise SpecError(
            f"{name} is a {type(model).__name__}, which has no forward: its generate() runs its parts in turn; "
            "give a part's config, or a module of your own through package.module:callable"
        )
    # Padding checks read token ids, which meta tensors lack; the checks only log a warning.
    for part in model.modules():
        if hasattr(part, "warn_if_padding_and_no_attention_mask"):
            part.warn_if_padding_and_no_attention_mask = lambda *_, **__: None
    return model


def _literals_with_values() -> Any:
    """Keep tensors made from Python numbers (a stride as a buffer) on the CPU, where a forward may read them."""
    import torch
    from torch.overrides import TorchFunctionMode

    class Literals(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            del types
            # transformers reads the device of the context from an empty tensor, and initializes no weights on meta.
            literal = func is torch.tensor and not (args and isinstance(args[0], list) and not args[0])
            if literal and not (kwargs or {}).get("device"):
                kwargs = {**(kwargs or {}), "device": "cpu"}
            return func(*args, **(kwargs or {}))

    return Literals()


def model_class_of(name: str, config: Any) -> Any:
    """Return the class named by the config's `architectures`; without them, the generating class or the bare model.

    Args:
        name: The spec of the model, for errors.
        config: The config.

    Returns:
        The class.

    Raises:
        SpecError: There is none.
    """
    import transformers

    for architecture in getattr(config, "architectures", None) or []:
        found = getattr(transformers, architecture, None)
        if isinstance(found, type):
            return found
    found = _from_mappings(config) or _from_module(config)
    if found is None:
        raise SpecError(
            f"{name} has model_type {config.model_type!r}, for which transformers has no model class; "
            "name one in the config's architectures"
        )
    return found


def _from_mappings(config: Any) -> Any:
    import transformers
    from transformers.models.auto import modeling_auto as auto

    def names(task: str) -> dict[str, Any]:
        found: dict[str, Any] = getattr(auto, f"MODEL_FOR_{task}_MAPPING_NAMES", {})
        return found

    kind = config.model_type
    mappings = [names(task) for task in (_PAIRED if getattr(config, "is_encoder_decoder", False) else ())]
    # BERT-like models are also listed as causal language models, but that is not their usual task.
    mappings += [names(task) for task in _SINGLE if task != "CAUSAL_LM" or kind not in names("MASKED_LM")]
    # A language model with audio input may be listed for speech to text, although it has no text encoder.
    mappings += [names(task) for task in _PAIRED]
    mappings.append(auto.MODEL_MAPPING_NAMES)
    mappings += [
        value for key, value in vars(auto).items() if key.startswith("MODEL_FOR_") and key.endswith("_MAPPING_NAMES")
    ]
    listed = [
        getattr(transformers, class_name)
        for mapping in mappings
        for class_name in _listed(mapping.get(kind))
        if hasattr(transformers, class_name)
    ]
    # A type may be listed with the class of its text part, or under the classes of a similar type.
    own = [found for found in listed if found.config_class is type(config)]
    return next(iter(own + listed), None)


def _listed(value: Any) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def _from_module(config: Any) -> Any:
    """Return the first model class in the config's module that takes it: parts of models are in no mapping."""
    from transformers import PreTrainedModel

    package = importlib.import_module(type(config).__module__.rpartition(".")[0])
    for entry in pkgutil.iter_modules(package.__path__):
        if not entry.name.startswith("modeling_"):
            continue
        module = importlib.import_module(f"{package.__name__}.{entry.name}")
        # The class of a whole part has the name of its config; layers that take the same config precede it in the file.
        stem = type(config).__name__.removesuffix("Config")
        for found in sorted(
            vars(module).values(), key=lambda v: getattr(v, "__name__", "") not in (stem, f"{stem}Model")
        ):
            if (
                isinstance(found, type)
                and issubclass(found, PreTrainedModel)
                and found.__module__ == module.__name__
                and getattr(found, "config_class", None) is type(config)
                and "forward" in vars(found)
            ):
                return found
    return None
