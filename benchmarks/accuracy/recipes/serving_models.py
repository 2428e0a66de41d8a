"""Language models of serving engines: the decode step and the prefill of a config, with open sizes.

Published checkpoints of each precision stand beside the config of a model, as their own configs say: those of NVIDIA in
NVFP4 keep the products of attention wide but in Llama, and that of DeepSeek-R1 (version 2) narrows the last of them.
"""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyinfercost.sources.captured import graph_over

if TYPE_CHECKING:
    from pyinfercost import Graph

    from ..captures import Wanted

_MODELS = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
_SIZES = {
    "decode": {"batch": [2, 3], "context": [1000, 2000]},
    "prefill": {"batch": [1, 2], "sequence": [1000, 2000]},
}
DECODE, PREFILL = _SIZES
_SHAPES_OF = {
    "deepseek-v3": "deepseek-r1",
    "llama-3.3-70b": "llama-3.1-70b",
    "llama-3-70b": "llama-3.1-70b",
    "llama-3-8b": "llama-3.1-8b",
    "minimax-m2": "minimax-m2.5",
    "minimax-m2.1": "minimax-m2.5",
}
_SAME_SHAPES = re.compile(r"(-fp8|-nvfp4|-instruct|-thinking|-chat|-base|-hf|-\d{4})+$")


def _short(model: str) -> str:
    """Return a name without its owner and without what does not change the shapes of a model."""
    name = _SAME_SHAPES.sub("", model.rpartition("/")[2].lower().replace("meta-", ""))
    return _SHAPES_OF.get(name, name)


_BY_SHORT = {_short(name): known for name, known in _MODELS.items()}


def config_of(model: str, precision: str) -> dict[str, Any] | None:
    """Return the config of a model's checkpoint in a precision as a table names it; None if it is not known."""
    known = _MODELS.get(model) or _BY_SHORT.get(_short(model))
    if known is None or precision not in known["checkpoints"]:
        return None
    narrow = known["checkpoints"][precision]
    return {**known["config"], **({"quantization_config": narrow} if narrow else {})}


def build(wanted: Wanted, batch: int | None) -> Graph:
    """Capture one phase of a model."""
    del batch  # it is open
    recipe = dict(wanted.recipe)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(recipe["config"], encoding="utf-8")
        return graph_over(f"hf:{folder}#{recipe['phase']}", _SIZES[recipe["phase"]]).graph
