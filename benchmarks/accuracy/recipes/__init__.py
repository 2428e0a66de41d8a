"""Builders and captures of library models; these modules run in separate processes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any


def config_of(model: str) -> dict[str, Any] | None:
    """Return the config of a language model of `transformers_models.json`; None if it has none."""
    found: dict[str, Any] | None = _configs().get(model)
    return found


@cache
def _configs() -> dict[str, Any]:
    path = Path(__file__).parent / "transformers_models.json"
    return dict(json.loads(path.read_text(encoding="utf-8")))
