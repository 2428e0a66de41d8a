"""Graphs stored as JSON."""

from __future__ import annotations

from typing import Any

from .._checks import read_text
from .._core import Graph
from .loaded_model import SpecError


def read_graph(path: str, *, dynamic: Any = None) -> Graph:
    """Read a graph written by `Graph.to_json`.

    Args:
        path: Path of the file.
        dynamic: Ignored, since sizes in the file already have names.

    Returns:
        The graph.

    Raises:
        SpecError: The file is not text.
        FileAccessError: It cannot be read.
        ValueError: The text is not a graph; the message names the position.
    """
    del dynamic
    return Graph.from_json(read_text(path, SpecError))
