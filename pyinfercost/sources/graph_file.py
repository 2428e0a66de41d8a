"""Graphs stored as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
        ValueError: The text is not a graph; the message names the position.
    """
    del dynamic
    try:
        return Graph.from_json(Path(path).read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise SpecError(f"{path} is not UTF-8 text: {error}; expected a graph written by Graph.to_json") from error
