"""Published figures of storage, startups, egress, serverless services and interruptions: `facts.toml`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from .._toml import read_toml

_FACTS = Path(__file__).parent / "facts.toml"


@cache
def facts() -> dict[str, Any]:
    """Return the package's figures that belong to no machine or instance, each with its source and date."""
    return read_toml(_FACTS)
