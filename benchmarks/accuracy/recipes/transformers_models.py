"""Models of transformers from their configs only."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyinfercost as ic

if TYPE_CHECKING:
    from ..captures import Wanted


def build(wanted: Wanted, batch: int | None) -> ic.Graph:
    """Capture one forward.

    Args:
        wanted: The model; its `recipe` has `config` (JSON), `attention` (transformers' name, or '' for its default),
            `sequence`, and, for a step of a generation, `phase` (`prefill` or `decode`); a decode step has the number
            of cached tokens as `context` instead of `sequence`.
        batch: The batch; None for a symbolic one.

    Raises:
        ValueError: transformers does not support the config.
    """
    from pyinfercost.sources.huggingface.loading import load_hf

    recipe = dict(wanted.recipe)
    lengths = ("sequence", "context")
    sizes = {"batch": batch or 2, **{name: int(recipe[name]) for name in lengths if name in recipe}}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        path.write_text(json.dumps(json.loads(recipe["config"])), encoding="utf-8")
        loaded = load_hf(str(path), recipe.get("phase", ""), sizes)
    if recipe["attention"]:
        model: Any = loaded.module
        model.set_attn_implementation(recipe["attention"])
    # Only the batch is symbolic: lengths differ between few rows, and masks depend on them.
    open_batch = {
        place: {dimension: name for dimension, name in names.items() if name == "batch"}
        for place, names in loaded.dynamic.items()
    }
    return ic.capture(loaded.module, loaded.inputs, dynamic=open_batch if batch is None else None)
