"""Models of torchvision by name, in the configuration of their published weights."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .library_configs import errors_of_library
from .loaded_model import LoadedModel, SpecSizeError, build, checked_sizes, images, on_build_device, unknown_name
from .sizes import IMAGE

if TYPE_CHECKING:
    import torch

_DEFAULT_SIDE = 224
_MOST_LISTED = 10_000  # images of a detection model
_VIDEO_FRAMES = 16
_PUBLISHED_SIDE = 512  # torchvision publishes its figures for detection and optical flow at this size
# Builders of models for one image size, and the argument that sets it.
_SIZE_ARGUMENTS = {"vit_": "image_size", "maxvit_": "input_size"}


def load_torchvision(name: str, sizes: Mapping[str, int]) -> LoadedModel:
    """Build a torchvision model without weights, with image inputs.

    Args:
        name: A name in `torchvision.models.list_models()`.
        sizes: `batch` (default 1), `image_size` (default: the published one) and, for video, `frames` (default 16).

    Returns:
        The module and its inputs; the batch can stay open, except for detection models.

    Raises:
        SpecError: Torchvision has no such model, or the model has no such size.
    """
    from torchvision import models

    if name not in models.list_models():
        raise unknown_name("torchvision", name, models.list_models())
    weights = models.get_model_weights(name).DEFAULT
    transforms = getattr(weights.transforms, "keywords", {})
    builder = models.get_model_builder(name)
    spec, family = f"torchvision:{name}", builder.__module__.split(".")[2]
    side = _side(transforms.get("crop_size", transforms.get("resize_size")))
    if family in {"detection", "optical_flow"}:
        side = _PUBLISHED_SIDE
    known = checked_sizes(
        spec, sizes, {"batch": 1, "image_size": side} | ({"frames": _VIDEO_FRAMES} if family == "video" else {})
    )
    side = known["image_size"]
    parameters = inspect.signature(builder).parameters
    options: dict[str, Any] = {"weights": None}
    if "weights_backbone" in parameters:
        options["weights_backbone"] = None  # it would be downloaded
    if "aux_loss" in parameters:
        options["aux_loss"] = True  # the published weights keep the auxiliary head, which runs
    if name.removeprefix("quantized_") in {"googlenet", "inception_v3"}:
        options["init_weights"] = False  # they warn that the default will change; no weight is initialized here
    for prefix, argument in _SIZE_ARGUMENTS.items():
        if name.startswith(prefix):
            options[argument] = side if argument == "image_size" else (side, side)
    with errors_of_library(
        f"{spec}: torchvision cannot build it with image_size {side}",
        "expected an image_size that the model's patches and windows divide",
    ):
        module = build(lambda: models.get_model(name, **options))
        if getattr(module, "aux_logits", False) and not _is_as_published(module, weights):
            # The published weights drop the auxiliary heads.
            module = build(lambda: models.get_model(name, **options, aux_logits=False))
    if family == "detection":
        _freeze_as_published(module, weights)
    if family == "optical_flow":
        pair = (images(known["batch"], 3, side, side), images(known["batch"], 3, side, side))
        return LoadedModel(module, pair, {}, {0: {0: "batch"}, 1: {0: "batch"}})
    if family == "detection":  # takes a list of images and resizes them itself
        if known["batch"] > _MOST_LISTED:
            raise SpecSizeError(
                f"size batch of {spec} is {known['batch']}; expected at most {_MOST_LISTED:,}, because the model takes "
                "its images one by one"
            )
        return LoadedModel(module, ([images(1, 3, side, side)[0] for _ in range(known["batch"])],), {}, {})
    shape = (3, known["frames"], side, side) if family == "video" else (3, side, side)
    inputs = (images(known["batch"], *shape),)
    open_images: dict[int | str, dict[int, str]] = {} if family == "video" else {0: {2: IMAGE, 3: IMAGE}}
    return LoadedModel(module, inputs, {}, {0: {0: "batch"}}, open_images=open_images)


def _is_as_published(module: torch.nn.Module, weights: Any) -> bool:
    """Return whether a module has as many parameters as its published weights."""
    return bool(sum(p.numel() for p in module.parameters()) == weights.meta["num_params"])


def _freeze_as_published(module: torch.nn.Module, weights: Any) -> None:
    """Freeze the batch norms of a backbone, as torchvision does when it loads weights."""
    import torch
    from torchvision.ops.misc import FrozenBatchNorm2d

    if _is_as_published(module, weights):
        return
    backbone = module.get_submodule("backbone")
    norms = [name for name, part in backbone.named_modules() if isinstance(part, torch.nn.BatchNorm2d)]
    for name in norms:
        norm = backbone.get_submodule(name)
        path, _, attribute = name.rpartition(".")
        with on_build_device():
            setattr(backbone.get_submodule(path), attribute, FrozenBatchNorm2d(norm.num_features, eps=norm.eps))


def _side(size: Any) -> int:
    if isinstance(size, int):
        return size
    return int(size[0]) if size else _DEFAULT_SIDE
