"""Tiny teachers, students and data for tests of distillation."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

ROWS, WIDTH, CLASSES = 90, 6, 4


def made(seed: int, make: Callable[[], nn.Module]) -> nn.Module:
    """Return a module with the same random weights each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def teacher() -> nn.Module:
    return made(
        0,
        lambda: nn.Sequential(nn.Linear(WIDTH, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, CLASSES)),
    ).eval()


def student(dropout: float = 0.0) -> nn.Module:
    return made(1, lambda: nn.Sequential(nn.Linear(WIDTH, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, CLASSES)))


def data() -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows and the classes that the teacher gives them."""
    x = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        return x, teacher()(x).argmax(1)


def weights(module: nn.Module) -> list[torch.Tensor]:
    return [value.detach().clone() for value in module.state_dict().values()]


def equal(one: nn.Module, other: nn.Module) -> bool:
    """Return whether all weights are equal bit by bit."""
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


class PressedAt:
    """A `progress` that presses Ctrl-C after some steps."""

    def __init__(self, *steps: int) -> None:
        self.steps = set(steps)
        self.seen: list[int] = []

    def __call__(self, step: int, steps: int) -> None:
        self.seen.append(step)
        if step in self.steps:
            self.steps.discard(step)
            os.kill(os.getpid(), signal.SIGINT)


class Blocks(nn.Module):
    """A stack of residual blocks between two linear layers."""

    def __init__(self, layers: int = 6, width: int = 8) -> None:
        super().__init__()
        self.enter = nn.Linear(WIDTH, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(layers))
        self.leave = nn.Linear(width, CLASSES)

    def forward(self, x: torch.Tensor) -> Any:
        x = self.enter(x)
        for block in self.blocks:
            x = block(x)
        return self.leave(x)


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)

    def forward(self, x: torch.Tensor) -> Any:
        return x + self.down(torch.relu(self.up(x)))


def blocks(layers: int = 6, width: int = 8) -> nn.Module:
    return made(3, lambda: Blocks(layers, width)).eval()
