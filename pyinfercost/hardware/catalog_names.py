"""Ids of the catalog, and the names that people type for them."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path

from .._checks import shown
from .errors import UnknownHardwareError

CATALOG = Path(__file__).parent / "catalog"

_SPACES = re.compile(r"[\s_/()-]+")
_SPLIT_UNIT = re.compile(r"(?<=\d)-(?=g(?:i?b)?(?:-|$))")  # "80 GB"
_MEMORY = re.compile(r"(\d+)g(?:ib)?")
_SOCKET = re.compile(r"(sxm)\d")
# Words that vendors put before the names of their devices, and ids may leave out.
_BRANDS = frozenset(
    (
        *("nvidia", "amd", "intel", "apple", "aws", "amazon", "google", "cloud", "qualcomm"),
        *("geforce", "rtx", "tesla", "quadro", "radeon", "rx", "instinct", "gpu", "cpu", "core", "processor"),
    )
)
_PRODUCT_DIGITS = 4  # of numbers that vendors give their products
_MOST = 8  # candidates in a message


def names() -> list[str]:
    """Return the ids of the catalog, sorted; no file is opened."""
    return list(_known())


@cache
def _known() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in CATALOG.glob("*.toml")))


def device_id(text: str) -> str:
    """Return the id of the device that a text names.

    An id is itself. Otherwise case, spaces and names of brands do not matter (`NVIDIA L4`, `rtx4090`), and words may be
    left out if one device alone has the others (`m2 max`). A number names a device only if it is a product number
    (`4090`): a shorter one is a part of many ids, and may be meant for another option.

    Args:
        text: The name.

    Raises:
        UnknownHardwareError: No device has that name, or several have; the message names the nearest ones.
    """
    known = _known()
    if text in known:
        return text
    found = _matching(text, known)
    if len(found) == 1:
        return found[0]
    if found:
        raise UnknownHardwareError(f"hardware {shown(text)} is one of {len(found)} machines; give {_listed(found)}")
    raise UnknownHardwareError(
        f"unknown hardware {shown(text)}; "
        + (f"the nearest ids are {', '.join(near)}; " if (near := _nearest(text, known)) else "")
        + f"`pyinfercost hardware` lists all {len(known)}, and a path that ends in .toml names a file of your own"
    )


@lru_cache(maxsize=256)
def _matching(text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """Return the ids that a text may mean: ids of the same words, else ids that have all of its words."""
    if len(text) > 100 or not (words := _words(text)):  # noqa: PLR2004  # as long as an id
        return ()
    if _is_small_number(text):
        return ()
    squeezed = "".join(words)
    plain = [word for word in words if word not in _BRANDS] or words
    of_ids = {name: _words(name) for name in known}
    rules: tuple[Callable[[list[str]], bool], ...] = (
        lambda of: "".join(of) == squeezed,
        lambda of: [word for word in of if word not in _BRANDS] == plain,
        lambda of: "".join(word for word in of if word not in _BRANDS) == "".join(plain),
        lambda of: set(words) <= set(of),
        lambda of: set(plain) <= set(of),
        lambda of: "".join(word for word in of if word not in _BRANDS).startswith("".join(plain)),
    )
    for same in rules:
        found = tuple(name for name, of in of_ids.items() if same(of))
        if found:
            return found
    return ()


def _is_small_number(text: str) -> bool:
    return not any(each.isalpha() for each in text) and len(text.strip()) < _PRODUCT_DIGITS


def _words(text: str) -> list[str]:
    joined = _SPLIT_UNIT.sub("", _SPACES.sub("-", text.strip().lower()).strip("-"))
    return [_SOCKET.sub(r"\1", _MEMORY.sub(r"\1gb", word)) if word else word for word in joined.split("-") if word]


def _nearest(text: str, known: tuple[str, ...]) -> list[str]:
    import difflib

    if _is_small_number(text):
        return []
    wanted = "-".join(_words(text[:200]))
    near = [name for name in known if wanted and wanted in name]  # `h100`: its forms, not b100
    return (near or difflib.get_close_matches(wanted, known, n=3, cutoff=0.4))[:5]


def _listed(found: tuple[str, ...]) -> str:
    if len(found) > _MOST:
        return f"one of {', '.join(found[:_MOST])} and {len(found) - _MOST} more"
    return f"{', '.join(found[:-1])} or {found[-1]}"
