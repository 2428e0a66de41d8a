"""What is made once of a graph and shared by all estimates and sweeps of it."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .._core import Graph

# By identity, since graphs compare by all that they hold. An entry goes when its graph does.
_kept: dict[int, dict[Any, Any]] = {}


def kept_with(graph: Graph) -> dict[Any, Any]:
    """A dictionary that lives as long as the graph."""
    key = id(graph)
    if key not in _kept:
        _kept[key] = {}
        weakref.finalize(graph, _kept.pop, key, None)
    return _kept[key]
