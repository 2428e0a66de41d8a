"""Graphs stored as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .._checks import check_values, read_text, shown
from .._core import Graph
from ..errors import InputError
from .loaded_model import SpecError

_OTHERS = (
    ("peft_type", "describes an adapter; pass the config.json of its model, which costs the same once it is merged"),
    ("weight_map", "is the index of the files of weights; pass the folder"),
    ("tokenizer_class", "is of a tokenizer; pass the config.json of its folder, as hf:config.json"),
)
"""Keys of other JSON files of models, and the remedy for each."""


def read_graph(path: str, *, dynamic: Any = None) -> Graph:
    """Read a graph written by `Graph.to_json`.

    Args:
        path: Path of the file.
        dynamic: Ignored, since sizes in the file already have names.

    Returns:
        The graph.

    Raises:
        SpecError: The file is not text, or no graph; the message names its kind or the position.
        FileAccessError: It cannot be read.
    """
    del dynamic
    text = read_text(path, SpecError)
    check_values(text, shown(path), SpecError)
    try:
        return Graph.from_json(text)
    except InputError as error:
        kind = _kind_of(path, text)
        raise SpecError(f"{shown(path)} {kind}" if kind else f"{shown(path)} is no graph: {error}") from None


def _kind_of(path: str, text: str) -> str:
    """Return the kind of a JSON file of a model that is no graph, with the remedy, in words; empty if it is unknown."""
    if not text.strip():
        return "is empty; expected a graph written by Graph.to_json"
    try:
        document = json.loads(text)
    except ValueError:
        return ""
    if not isinstance(document, dict) or "tensors" in document:
        return ""
    for key, words in _OTHERS:
        if key in document:
            return words
    if "_class_name" in document:
        return f"is the config of a model of diffusers; pass diffusers:{Path(path).as_posix()}"
    if "model_type" in document:
        return f"is the config of a model of transformers; pass hf:{Path(path).as_posix()}"
    if "totals" in document:
        return "is a profile, which has figures but not the graph; pass the model"
    return ""
