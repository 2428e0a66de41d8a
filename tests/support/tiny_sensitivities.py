"""Sensitivities of the tiny model of trade-offs."""

from __future__ import annotations

from typing import Any

from support.tiny_tradeoffs import X, closeness, tiny
from torch import nn

import pyinfercost as ic

PI = "raspberry-pi-5"
FORMATS = ("fp16", "int8_wo", "int8_dynamic", "2:4")


def run(formats: Any = FORMATS, model: Any = None, **options: Any) -> ic.results.Sensitivity:
    """Return the sensitivity of the tiny model."""
    return ic.sensitivity(
        tiny() if model is None else model,
        formats,
        **{"evaluate": closeness, "inputs": X, "hardware": PI, "price": 0.1, **options},
    )


class Counting:
    """An `evaluate` that counts its calls, and is interrupted at one of them."""

    def __init__(self, stop_at: int = 0) -> None:
        self.calls = 0
        self.stop_at = stop_at

    def __call__(self, model: nn.Module) -> float:
        self.calls += 1
        if self.calls == self.stop_at:
            raise KeyboardInterrupt
        return closeness(model)
