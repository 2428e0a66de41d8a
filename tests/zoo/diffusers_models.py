"""All model classes of diffusers, at their default configurations if these build, and published configurations."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import diffusers
import torch
from zoo.case import Built, Case, NotBuildableError
from zoo.diffusers_configs import ASSEMBLED, MACS, NEEDED, NOT_BUILT, PARAMETERS, PUBLISHED

from pyinfercost.sources.diffusion.loading import with_inputs

diffusers.utils.logging.set_verbosity_error()


def cases() -> list[Case]:
    """Yield one case per class that diffusers exports, and one per published configuration."""
    classes = {name: _class(name) for name in dir(diffusers) if _class(name) is not None}
    return [
        *(Case("diffusers", name, _group(found), partial(_build, name)) for name, found in classes.items()),
        *(_case(name, kind, config) for name, (kind, config) in PUBLISHED.items()),
    ]


def _case(name: str, kind: str, config: dict[str, Any]) -> Case:
    macs, differs = MACS.get(name, (None, ""))
    return Case(
        "diffusers",
        name,
        "published",
        partial(_published, kind, config),
        flops=lambda: None if macs is None else 2 * macs,
        parameters=lambda: PARAMETERS.get(name),
        differs=differs,
    )


def _class(name: str) -> Any:
    found = getattr(diffusers, name, None)
    if not (inspect.isclass(found) and issubclass(found, torch.nn.Module) and found.__module__.startswith("diffusers")):
        return None
    return None if name == "ModelMixin" else found


def _group(found: type) -> str:
    """Return the folder of a class in diffusers; for transformers, the kind of output by their names."""
    parts = found.__module__.split(".")
    if parts[1] != "models":
        return "part of a pipeline"
    folder = parts[2] if len(parts) > 3 else "other"
    if folder != "transformers":
        return folder
    kind = "video" if "3D" in found.__name__ else "image" if "2D" in found.__name__ else "other"
    return f"transformers, {kind}"


def _build(name: str) -> Built:
    if name in NOT_BUILT:
        raise NotBuildableError(NOT_BUILT[name])
    if name in ASSEMBLED:
        return _assembled(name)
    return _published(name, NEEDED.get(name, {}))


def _published(name: str, config: dict[str, Any]) -> Built:
    with torch.device("meta"):
        module = getattr(diffusers, name)(**config).eval()
    if name == "AutoencoderKLAllegro":
        module.enable_tiling()  # it has no other way
    loaded = with_inputs(name, module, {})
    return loaded.module, loaded.args, loaded.kwargs


def _assembled(name: str) -> Built:
    # The union of QwenImage takes several pictures, and is one model.
    parts = [_build(ASSEMBLED[name]) for _ in range(1 if name.startswith("QwenImage") else 2)]
    with torch.device("meta"):
        module = getattr(diffusers, name)([part for part, _, _ in parts]).eval()
    inputs = dict(parts[0][2])
    if name == "MultiAdapter":
        return module, (), {"xs": [inputs["x"]] * 2}
    inputs["controlnet_cond"] = [inputs["controlnet_cond"]] * 2
    inputs["conditioning_scale"] = [1.0, 1.0]
    if "controlnet_mode" in inspect.signature(module.forward).parameters:
        inputs["controlnet_mode"] = [torch.zeros(1, dtype=torch.int64)] * 2
    return module, (), inputs
