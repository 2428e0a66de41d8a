"""Graphs of files: read or converted, and kept in the cache where the conversion takes time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import _cache
from .._checks import is_file, why_no_file
from .._core import Graph
from .files_read import Stamp, collected, is_unchanged
from .loaded_model import SpecError
from .spec_keys import importing, key_of_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .registry import Source

_KIND = "graph"
_FORM = "file"


def read_graph(source: Source, path: str, sizes: Mapping[str, int], dynamic: Any = None) -> Graph:
    """Return the graph of a file, whose sizes stay symbolic: from the cache, or read and kept there.

    Args:
        source: Its source.
        path: The file.
        sizes: Sizes that the graph must have.
        dynamic: As in `capture`; names of sizes are the caller's, and such a graph is not kept.

    Raises:
        SpecError: There is no such file, or the graph does not have a size.
        ArchiveError: A `.pt2` file cannot be read.
    """
    if not is_file(Path(path)):
        raise SpecError(f"{path}: {why_no_file(Path(path))}; expected a file of the form {source.form or 'MODEL.onnx'}")
    graph = _graph(source, path) if dynamic is None else source.read(path, dynamic)
    unknown = sorted(set(sizes) - set(graph.sizes))
    if unknown:
        known = " or ".join(graph.sizes) or "none: all its sizes are fixed"
        raise SpecError(f"{path} has no size {unknown[0]!r}; expected {known}")
    return graph


def _graph(source: Source, path: str) -> Graph:
    own = None if _cache.folder() is None else key_of_file(source, path)
    if own is None:
        return source.read(path)
    key = _cache.digest(_FORM, own)
    kept = _kept(key)
    if kept is not None:
        return kept
    with collected() as others, importing():
        graph = source.read(path)
    stamps = list(others.values())
    # A file that is written meanwhile may have been read in part.
    if key_of_file(source, path) == own and all(map(is_unchanged, stamps)):
        about = {"spec": path, "others": stamps}
        _cache.write(_KIND, key, f"{json.dumps(about)}\n{graph.to_json()}".encode())
    return graph


def _kept(key: str) -> Graph | None:
    """Return the graph in the cache, if the files that it was read from are as they were."""
    body = _cache.read(_KIND, key)
    if body is None:
        return None
    head, _, text = body.partition(b"\n")
    try:
        stamps: list[Stamp] = [
            (str(name), None if stamp is None else tuple(stamp)) for name, stamp in json.loads(head)["others"]
        ]
        if not all(map(is_unchanged, stamps)):
            return None
        return Graph.from_json(text.decode())
    except (ValueError, KeyError, TypeError, OverflowError):  # made by another form of this package
        return None
