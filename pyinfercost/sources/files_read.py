"""Files that a reader opens in addition to the given one: a graph from the cache depends on them, too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from .. import _cache

Stamp = tuple[str, tuple[int, ...] | None]
"""A path, and `_cache.of_file` of it."""

_read: ContextVar[dict[str, Stamp] | None] = ContextVar("files_read", default=None)


@contextmanager
def collected() -> Iterator[dict[str, Stamp]]:
    """Collect the files that the block reads, as they were when each was first opened."""
    found: dict[str, Stamp] = {}
    token = _read.set(found)
    try:
        yield found
    finally:
        _read.reset(token)


def reads(path: Path) -> None:
    """State that a file is about to be read, or is missing."""
    found = _read.get()
    if found is not None:
        name = str(path.absolute())  # links are followed when it is read again
        found.setdefault(name, (name, _cache.of_file(name)))


def is_unchanged(stamp: Stamp) -> bool:
    """Return whether a file is as it was."""
    path, before = stamp
    return _cache.of_file(path) == before
