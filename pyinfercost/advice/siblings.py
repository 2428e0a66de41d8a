"""Siblings: smaller models of the same family, with the accuracy that their weights are published with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .._toml import read_toml

_FILE = Path(__file__).parent / "siblings.toml"
_SCHEME = "torchvision:"
MOST = 3
"""Most siblings of a model that are tried."""


@dataclass(frozen=True)
class Sibling:
    """A model of a family.

    Attributes:
        spec: Its spec.
        gmac: 10^9 multiply-adds of a forward.
        top1: Published ImageNet top-1 of its default weights, in percent.
    """

    spec: str
    gmac: float
    top1: float


@cache
def _families() -> tuple[tuple[Sibling, ...], ...]:
    return tuple(
        tuple(Sibling(f"{_SCHEME}{each['name']}", each["gmac"], each["top1"]) for each in family["models"])
        for family in read_toml(_FILE)["family"]
    )


def source() -> str:
    """Return where the figures were read."""
    return str(read_toml(_FILE)["source"])


def siblings(spec: str) -> tuple[Sibling | None, tuple[Sibling, ...]]:
    """Return a model and the nearest smaller ones of its family.

    Args:
        spec: Its spec.

    Returns:
        The model, None if it is of no known family; and at most `MOST` models with fewer multiply-adds, the nearest
        first, without those that another one with as few operations exceeds in accuracy.
    """
    for family in _families():
        own = next((each for each in family if each.spec == spec), None)
        if own is not None:
            smaller = [each for each in family if each.gmac < own.gmac]
            front = [
                each
                for each in smaller
                if not any(other.gmac <= each.gmac and other.top1 > each.top1 for other in smaller)
            ]
            return own, tuple(sorted(front, key=lambda each: -each.gmac)[:MOST])
    return None, ()
