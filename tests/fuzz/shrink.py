"""Shrinking: a smaller input that fails in the same way, found greedily on the tree of its values."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from .values import Path, Value, at, paths, replaced


def shrink(value: Value, fails: Callable[[Value], bool], *, tries: int = 2000, seconds: float = 20.0) -> Value:
    """Return a smaller tree for which `fails` holds.

    Values near the root are made smaller first. Each smaller value that fails is kept, until no value can be made
    smaller, or tries or time run out.

    Args:
        value: The failing tree.
        fails: Whether a tree fails in the same way.
        tries: Greatest number of calls of `fails`.
        seconds: Seconds after which no further tree is tried.
    """
    until = time.monotonic() + seconds
    tried = 0

    def first(path: Path) -> list[Value]:
        """Return the first tree that fails with a smaller value at a path, in a list; else an empty list."""
        nonlocal tried
        try:
            old = at(value, path)
        except LookupError:  # removed with a value above it
            return []
        for smaller in _smaller(old):
            if tried >= tries or time.monotonic() >= until:
                return []
            tried += 1
            tree = replaced(value, path, smaller)
            if fails(tree):
                return [tree]
        return []

    progress = True
    while progress:
        progress = False
        for path in paths(value):
            while found := first(path):
                (value,) = found
                progress = True
    return value


def _smaller(value: Value) -> Iterator[Value]:
    """Yield smaller values of the same kind, the smallest first."""
    if isinstance(value, bool):
        if value:
            yield False
    elif isinstance(value, dict):
        keys = list(value)
        for kept in _without_parts(keys):
            yield {key: value[key] for key in kept}
    elif isinstance(value, (list, str, bytes)):
        yield from _without_parts(value)
        if isinstance(value, str) and value.strip("a"):
            yield from (value[:i] + "a" + value[i + 1 :] for i, c in enumerate(value[:20]) if c > "a")
    elif isinstance(value, int):
        yield from (other for other in (0, 1, -1) if (abs(other), other < 0) < (abs(value), value < 0))
        step = abs(value) // 2
        while step:
            yield value - step if value > 0 else value + step
            step //= 2
    elif isinstance(value, float):
        near_reals = [0.0, 1.0, -1.0, float(f"{value:.1g}")]
        yield from (other for other in near_reals if len(repr(other)) < len(repr(value)))


def _without_parts(value: Value) -> Iterator[Value]:
    """Yield a sequence without one stretch of it: the whole, then halves, quarters and so on down to single items."""
    size = len(value)
    while size:
        for first in range(0, len(value), size):
            yield value[:first] + value[first + size :]
        size //= 2
