"""Graphs stored as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .._core import Graph
from .loaded_model import SpecError


def read_graph(path: str, *, dynamic: Any = None) -> Graph:
    """Read a graph that `Graph.to_json` wrote. Its sizes are named already, so `dynamic` is not used.

    Raises:
        SpecError: The file is not text.
        ValueError: The text is not a graph; the message names the place.
    """
    del dynamic
    try:
        return Graph.from_json(Path(path).read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise SpecError(f"{path} is not UTF-8 text: {error}; expected a graph written by Graph.to_json") from error
