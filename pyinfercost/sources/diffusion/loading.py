"""Diffusers models from a `config.json`: the class that it names, on the meta device, with inputs of one step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..._checks import is_file, is_folder, read_json, shown, why_no_file
from ..library_configs import FAULTS_OF_CONFIGS, check_counts, errors_of_library, limited_parts, words_of
from ..loaded_model import LoadedModel, SpecError, checked_size, on_build_device
from ..sizes import BATCH
from .arguments import call_arguments
from .step import Step


def load_diffusers(name: str, sizes: Mapping[str, int]) -> LoadedModel:
    """Build a model without weights, and the inputs of one step of its pipeline.

    Args:
        name: Path of a `config.json`, or of a folder with one, as pipelines have for each of their models
            (`unet`, `transformer`, `vae`).
        sizes: As in `Step`.

    Returns:
        The module and its inputs.

    Raises:
        SpecError: The file does not exist or names no model of diffusers, an input is unknown, or the model does not
            have a size.
    """
    import diffusers

    spec = f"diffusers:{name}"
    path = Path(name) / "config.json" if is_folder(Path(name)) else Path(name)
    if not is_file(path):
        raise SpecError(f"{spec}: {path}: {why_no_file(path)}; expected a config.json")
    config = read_json(path, SpecError, name=spec)
    kind = config.get("_class_name") if isinstance(config, dict) else None
    model_class = getattr(diffusers, kind, None) if isinstance(kind, str) else None
    if not (isinstance(model_class, type) and issubclass(model_class, diffusers.ModelMixin)):
        raise SpecError(
            f"{spec} has _class_name {shown(kind)}, which is not a model of diffusers {diffusers.__version__}; "
            "expected the config.json of a unet, transformer, vae or controlnet, not of a pipeline"
        )
    check_counts(spec, config)
    with (
        errors_of_library(
            f"{spec}: diffusers cannot build its {kind}", "expected the config.json of a published model of this class"
        ),
        limited_parts(spec),
        on_build_device(),
    ):
        module = model_class.from_config(config).eval()  # type: ignore[attr-defined]
    return with_inputs(spec, module, sizes)


def with_inputs(spec: str, module: torch.nn.Module, sizes: Mapping[str, int]) -> LoadedModel:
    """Return a diffusers model with the inputs of one step.

    Args:
        spec: Name of the model in errors.
        module: The model.
        sizes: As in `Step`.

    Returns:
        The module and its inputs.

    Raises:
        SpecError: As for `load_diffusers`.
    """
    try:
        return _with_inputs(spec, module, sizes)
    except SpecError:
        raise
    except FAULTS_OF_CONFIGS as error:
        raise SpecError(
            f"{spec}: the config does not determine the inputs of its {type(module).__name__} ({words_of(error)}); "
            "give your own through package.module:callable"
        ) from error


def _with_inputs(spec: str, module: torch.nn.Module, sizes: Mapping[str, int]) -> LoadedModel:
    sizes = {name: checked_size(spec, name, value) for name, value in sizes.items()}
    step = Step(module, sizes)
    given = call_arguments(module, step)
    for size in sizes:
        if size not in step.used:
            raise SpecError(f"{spec} has no size {size!r}; expected {' or '.join(sorted(step.used))}")
    return LoadedModel(module, (), given, _batch_of(module, step, given))


def _batch_of(module: torch.nn.Module, step: Step, given: Mapping[str, Any]) -> dict[int | str, dict[int, str]]:
    """Return the dimensions that grow with the batch, found by comparison with inputs for one more item."""
    more = call_arguments(module, Step(module, step.given | {"batch": step.batch + 1}))
    found: dict[int | str, dict[int, str]] = {}
    for name, value in given.items():
        if isinstance(value, torch.Tensor):
            lengths = zip(value.shape, more[name].shape, strict=True)
            found[name] = {dim: "batch" for dim, (before, after) in enumerate(lengths) if before != after}
        elif any(a.shape != b.shape for a, b in zip(_tensors(value), _tensors(more[name]), strict=False)):
            # All tensors in a container have the batch as first dimension.
            found[name] = {0: BATCH}
    return found


def _tensors(value: Any) -> list[torch.Tensor]:
    return [leaf for leaf in torch.utils._pytree.tree_leaves(value) if isinstance(leaf, torch.Tensor)]
