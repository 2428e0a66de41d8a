"""Layouts of image inputs, and the search for the one that a forward accepts.

Configs and signatures name all of them `pixel_values`: one image per sample, a list of images, frames of a clip, or a
sequence of patches. Running the forward on meta tensors decides: a wrong layout raises an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from . import media

if TYPE_CHECKING:
    from .request import Inputs, Request

PICTURES = ("pixel_values", "flattened_patches", "pixel_values_images")
_PICTURE_DIMS = 4
_LIST_DIMS = 5
_SEES = ("vision", "image", "visual", "video", "backbone", "encoder")


def settle(request: Request, inputs: Inputs, forward: nn.Module, given: dict[str, Any]) -> Any:
    """Convert the images among the inputs to the first layout that a forward accepts.

    Args:
        request: The model and its sizes.
        inputs: Changed if another layout is accepted.
        forward: The whole model, or a part of it that takes images.
        given: The inputs of the forward.

    Returns:
        The result of the forward.

    Raises:
        CaptureError: No layout is accepted; the error is of the first one.
    """
    from pyinfercost.sources.symbols import CaptureError
    from pyinfercost.sources.trace.trace import output_on_meta

    try:
        return output_on_meta(forward, (), given)
    except CaptureError as error:
        first = error
    name = next((n for n in PICTURES if n in given), None)
    if name is None:
        raise first
    for form in _forms(request, given[name]):
        try:
            output = output_on_meta(forward, (), {**given, name: form})
        except CaptureError:
            continue
        inputs.kwargs[name] = form
        inputs.dynamic.pop(name, None)
        return output
    raise first


def frames_of(config: Any) -> int | None:
    """Return the number of images in a clip for a model that takes clips; None for one that takes images."""
    parts = media.part_configs(config, _SEES)
    found = (getattr(part, "num_frames", None) for part in parts)
    return next((frames for frames in found if isinstance(frames, int) and frames > 0), None)


def _forms(request: Request, pictures: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield other layouts of the same images, the most likely first."""
    batch = request.batch
    if pictures.shape[0] != batch:  # patches of all samples in sequence
        yield pictures[None]
        return
    if pictures.dim() == _LIST_DIMS:
        yield pictures.flatten(0, 1)
        return
    if pictures.dim() != _PICTURE_DIMS:
        return
    frames = frames_of(request.config)
    if frames is not None:
        frames = request.size("frames", frames)
        clip = pictures[:, None].expand(-1, frames, -1, -1, -1)
        yield clip
        yield clip.flatten(0, 1)
    # With values, because models search for black images among several, as padding.
    yield torch.ones((batch, 1, *pictures.shape[1:]), dtype=pictures.dtype)
    for part in media.part_configs(request.config, _SEES):
        patch = getattr(part, "patch_size", None)
        if isinstance(patch, int) and patch > 0:
            channels, height, width = pictures.shape[1:]
            rows = (height // patch) * (width // patch)
            yield pictures.new_empty((batch, rows, patch * patch * channels))
            return
