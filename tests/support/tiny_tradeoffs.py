"""A tiny model and candidates for tests of trade-offs."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

import pyinfercost as ic

CPU = "epyc-7742"
X = torch.linspace(-1, 1, 8 * 64).reshape(8, 1, 8, 8)


def tiny() -> nn.Module:
    """Return a convolution and two linear layers, the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 32), nn.ReLU(), nn.Linear(32, 10)
        )


WANTED = tiny()(X).detach()


def closeness(model: nn.Module) -> float:
    """Return 1 for the results of the unchanged model, and less for larger differences."""
    with torch.no_grad():
        return 1 - float((model(X) - WANTED).abs().mean())


def run(candidates: Any, model: Any = None, **options: Any) -> ic.results.Tradeoff:
    return ic.tradeoff(
        tiny() if model is None else model,
        candidates,
        **{"evaluate": closeness, "inputs": X, "hardware": CPU, **options},
    )


def broken(model: nn.Module) -> nn.Module:
    raise RuntimeError("no such kernel")
