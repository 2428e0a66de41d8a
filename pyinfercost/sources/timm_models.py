"""Models of timm by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .library_configs import errors_of_library
from .loaded_model import LoadedModel, build, checked_sizes, images, unknown_name
from .sizes import IMAGE

_DEFAULT_SIDE = 224
_ADVICE = "expected an image_size that the model's patches and windows divide"


def load_timm(name: str, sizes: Mapping[str, int]) -> LoadedModel:
    """Build a timm model without weights, with image inputs.

    Args:
        name: A name that `timm.is_model` accepts.
        sizes: `batch` (default 1) and `image_size` (default: the published one).

    Returns:
        The module and its inputs; the batch can stay open.

    Raises:
        SpecError: Timm has no such model, or the model has no such size.
    """
    import timm

    if not timm.is_model(name):
        raise unknown_name("timm", name, timm.list_models())
    published = timm.get_pretrained_cfg(name)
    channels, height, width = (published.input_size if published else None) or (3, _DEFAULT_SIDE, _DEFAULT_SIDE)
    known = checked_sizes(f"timm:{name}", sizes, {"batch": 1, "image_size": height})
    options: dict[str, Any] = {}
    if "image_size" in sizes:
        height = width = known["image_size"]
        if published and published.fixed_input_size:
            options["img_size"] = height
    with errors_of_library(f"timm:{name}: timm cannot build it with {options or 'its defaults'}", _ADVICE):
        module = build(lambda: timm.create_model(name, pretrained=False, **options))
    return LoadedModel(
        module,
        (images(known["batch"], channels, height, width),),
        {},
        {0: {0: "batch"}},
        open_images={0: {2: IMAGE, 3: IMAGE}} if height == width else {},
    )
