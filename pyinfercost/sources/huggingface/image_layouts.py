"""The forms in which a forward may take the same pictures, and which of them it does take.

Configs and signatures call all of them `pixel_values`: one picture for each sample, a list of pictures, the frames of a
clip, its patches in a row. A forward itself tells them apart: on shapes alone a wrong form does not get through it.
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
    """Brings the pictures among the inputs into the first form that a forward takes.

    Args:
        request: the model, and what is asked of it.
        inputs: changed where another form than theirs serves.
        forward: the whole model, or a part of it that reads the pictures.
        given: what of the inputs it is called with.

    Returns:
        What the forward returned.

    Raises:
        CaptureError: it takes none of the forms; what is wrong with the first.
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
    """How many pictures a model sees as one clip; None for one that sees pictures."""
    parts = media.part_configs(config, _SEES)
    found = (getattr(part, "num_frames", None) for part in parts)
    return next((frames for frames in found if isinstance(frames, int) and frames > 0), None)


def _forms(request: Request, pictures: torch.Tensor) -> Iterator[torch.Tensor]:
    """Other forms of the same pictures, the likeliest first."""
    batch = request.batch
    if pictures.shape[0] != batch:  # patches of all samples in a row
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
    # With values, because of several pictures those that are black are looked for, as padding.
    yield torch.ones((batch, 1, *pictures.shape[1:]), dtype=pictures.dtype)
    for part in media.part_configs(request.config, _SEES):
        patch = getattr(part, "patch_size", None)
        if isinstance(patch, int) and patch > 0:
            channels, height, width = pictures.shape[1:]
            rows = (height // patch) * (width // patch)
            yield pictures.new_empty((batch, rows, patch * patch * channels))
            return
