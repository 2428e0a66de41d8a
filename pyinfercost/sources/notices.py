"""Warnings about models, which a graph from the cache repeats."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import isfinite

from .._escapes import visible_lines
from ..errors import CheckpointSizeWarning, ConservationWarning, PositionsWarning, WindowWarning

_told: ContextVar[list[str] | None] = ContextVar("notices", default=None)


@contextmanager
def noted() -> Iterator[list[str]]:
    """Collect the texts of warnings that the block gives."""
    told: list[str] = []
    token = _told.set(told)
    try:
        yield told
    finally:
        _told.reset(token)


def warn(text: str) -> None:
    """Give a `CheckpointSizeWarning`."""
    told = _told.get()
    if told is not None:
        told.append(text)
    warnings.warn(visible_lines(text), CheckpointSizeWarning, stacklevel=3)


def warn_of_positions(spec: str, tokens: int, positions: int) -> None:
    """Give a `PositionsWarning`."""
    text = (
        f"{spec} is given {tokens:,} tokens, and its config states {positions:,} positions: the figures are for "
        "so many tokens, for which this model was not trained"
    )
    warnings.warn(visible_lines(text), PositionsWarning, stacklevel=2)


def warn_if_not_kept(kept_share: float, made: str) -> None:
    """Give a `ConservationWarning` unless a graph has the contraction FLOPs of the one that it was made of.

    Args:
        kept_share: Its FLOPs over those that it must have.
        made: Kind of the graph.
    """
    if kept_share == 1.0:
        return
    if isfinite(kept_share):
        share = f"{abs(kept_share - 1.0):.2%}"
        change = f"lacks {share} of the" if kept_share < 1.0 else f"has {share} beyond the"
        change += " contraction FLOPs of the graph that it was made of"
    else:
        change = "has another number of products than the graph that it was made of"
    text = f"{made} {change}, so its figures are wrong; please report this model"
    warnings.warn(visible_lines(text), ConservationWarning, stacklevel=3)


def warn_of_window(spec: str, size: str) -> None:
    """Give a `WindowWarning`."""
    text = (
        f"{spec} has attention with a window, and the values of {size} are on both sides of it: the mask of the window "
        "is counted at all of them, as in exported programs. In eager mode, transformers leaves it out at short "
        "lengths; sweep these alone for figures without it"
    )
    warnings.warn(visible_lines(text), WindowWarning, stacklevel=2)
