"""Model types of `transformers` that no config alone makes run, with the reason."""

from __future__ import annotations

UNBUILDABLE: dict[str, str] = {}
# Types that generate, but not in these phases.
NO_PHASE: dict[str, tuple[str, ...]] = {}
