"""Names of the models of installed libraries, read from their source files: importing them takes seconds."""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path

from .. import _cache
from .spec_keys import metadata_in, place_of

_REGISTERED = re.compile(  # other decorators may follow, of several lines
    r"""^@register_model(?:\((?:name=["'](?P<name>\w+)["'])?\))?$.*?^def (?P<function>\w+)""", re.MULTILINE | re.DOTALL
)
LISTING = ("torchvision", "timm")
"""Sources of which models are known by name, in the order in which bare names are looked up."""


def names_of(library: str) -> tuple[str, ...]:
    """Return the names of the models of a library, sorted; none if it is not installed.

    Args:
        library: One of `LISTING`.
    """
    place = place_of(library)
    if place is None:
        return ()
    folder = Path(place) / library / "models"
    key = _cache.digest(library, versions(library), _cache.of_package("sources"))
    if (stored := _cache.read("names", key)) is not None:
        return tuple(json.loads(stored))
    names: set[str] = set()
    for path in folder.rglob("*.py"):
        text = path.read_text(encoding="utf-8", errors="replace")
        names.update(match["name"] or match["function"] for match in _REGISTERED.finditer(text))
    found = sorted(names)
    _cache.write("names", key, json.dumps(found).encode())
    return tuple(found)


def versions(library: str) -> tuple[object, ...]:
    """Return a key that changes with a library, and with others that it uses."""
    place = place_of(library)
    return (place, () if place is None else metadata_in(place))


def libraries_with(name: str) -> tuple[str, ...]:
    """Return the libraries that have a model of this name."""
    return tuple(library for library in LISTING if name in names_of(library))


def similar(name: str) -> list[str]:
    """Return specs of models with a similar name, the nearest first."""
    found: list[str] = []
    for library in LISTING:
        names = names_of(library)
        near = [each for each in names if name and each.startswith(name)][:3]
        near = near or difflib.get_close_matches(name, names, n=3, cutoff=0.6)
        found += [f"{library}:{each}" for each in near]
    return found[:5]
