"""The effects that decided the time of layers, put together for what holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .text import percent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..results.estimate import LayerEstimate

_MOST = 5
_LEAST = 0.01


def effects_over(layers: Iterable[LayerEstimate]) -> dict[str, float]:
    """Effect -> the share of the layers' time that it took where it was what decided, largest first."""
    taken_s: dict[str, float] = {}
    latency_s = 0.0
    for layer in layers:
        if layer.latency_s > 0:
            latency_s += layer.latency_s
            taken_s[layer.effect] = taken_s.get(layer.effect, 0.0) + layer.effect_share * layer.latency_s
    return {name: seconds / latency_s for name, seconds in sorted(taken_s.items(), key=lambda item: -item[1])}


def effect_text(layers: Iterable[LayerEstimate]) -> str:
    """The effect that took most of the layers' time, `wave quantisation 38 %`; nothing where they take none."""
    return next((_shown(name, share) for name, share in effects_over(layers).items()), "")


def effects_text(layers: Iterable[LayerEstimate]) -> str:
    """The effects that took the most, those of a percent and more."""
    shares = [(name, share) for name, share in effects_over(layers).items() if share >= _LEAST]
    return ", ".join(_shown(name, share) for name, share in shares[:_MOST])


def _shown(name: str, share: float) -> str:
    return f"{name} {percent(share)} %"
