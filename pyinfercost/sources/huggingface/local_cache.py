"""Models in the local cache of the Hugging Face hub, found by its layout of folders without importing a library."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..._checks import is_file, is_folder, read_text

_LONGEST_REVISION = 100  # bytes; a hash has 40
_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(?:/[\w.-]{1,96})?")


def hub_folder() -> Path:
    """Return the folder of the cache, by the variables of its own library; it need not exist."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if given := os.environ.get(name):
            return Path(given).expanduser()
    if home := os.environ.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "huggingface" / "hub"


def snapshot_of(name: str) -> Path | None:
    """Return the folder of the main revision of a model that has a config; None if it is not in the cache.

    Args:
        name: Its id, such as `meta-llama/Meta-Llama-3-8B`.
    """
    if _ID.fullmatch(name) is None or ".." in name or "--" in name:
        return None
    return _snapshot_in(hub_folder() / f"models--{name.replace('/', '--')}")


def cached_ids() -> list[str]:
    """Return the ids of all models in the cache that have a config, sorted."""
    folder = hub_folder()
    if not is_folder(folder):
        return []
    found = sorted(folder.glob("models--*"))
    return [path.name.removeprefix("models--").replace("--", "/") for path in found if _snapshot_in(path) is not None]


def _snapshot_in(folder: Path) -> Path | None:
    try:
        revision = read_text(folder / "refs" / "main", most=_LONGEST_REVISION).strip()
    except (OSError, ValueError):
        return None
    snapshot = folder / "snapshots" / revision
    return snapshot if revision.isalnum() and is_file(snapshot / "config.json") else None
