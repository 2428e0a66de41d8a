"""Denoisers of diffusers from their configs in `diffusers_models.json`."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pyinfercost as ic

if TYPE_CHECKING:
    from ..captures import Wanted

_PIXELS = 8
"""Pixels of an image along a value of the latent."""


def build(wanted: Wanted, batch: int | None) -> ic.Graph:
    """Capture one step for images of the recipe's `image_size`.

    Raises:
        ValueError: The model has no config.
    """
    from pyinfercost.sources.diffusion.loading import load_diffusers

    configs = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    if wanted.model not in configs:
        raise ValueError("it has no config")
    sample_size = int(dict(wanted.recipe)["image_size"]) // _PIXELS
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        path.write_text(json.dumps(configs[wanted.model]), encoding="utf-8")
        loaded = load_diffusers(str(path), {"batch": batch or 2, "sample_size": sample_size})
    return ic.capture(loaded.module, loaded.inputs, dynamic=loaded.dynamic if batch is None else None)
