"""Cases that fail, for tests of the runner: none of them may end a run."""

from __future__ import annotations

import os
import time
from typing import Any, NoReturn

import torch
from torch import nn
from zoo.case import Built, Case, NotBuildableError


class _Forward(nn.Module):
    """A linear layer preceded by a function."""

    def __init__(self, first: Any) -> None:
        super().__init__()
        self.first = first
        self.layer = nn.Linear(4, 4, device="meta")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.first(self)
        return self.layer(x)


def _built(first: Any = lambda _: None) -> Built:
    return _Forward(first).eval(), (torch.empty(2, 4, device="meta"),), {}


def _crash(_: Any) -> None:
    os.abort()


def _hang(_: Any) -> None:
    time.sleep(3600)


def _fill_memory(_: Any) -> None:
    bytearray(8 * 2**30)


def _unbuildable() -> NoReturn:
    raise NotBuildableError("needs what nobody has")


def cases() -> list[Case]:
    """Return one case for each kind of failure, and two that succeed."""
    return [
        Case("hostile", "well", "good", _built, flops=lambda: 64, parameters=lambda: 20),
        Case("hostile", "crash", "bad", lambda: _built(_crash)),
        Case("hostile", "hang", "bad", lambda: _built(_hang)),
        Case("hostile", "memory", "bad", lambda: _built(_fill_memory)),
        Case("hostile", "wrong figure", "bad", _built, flops=lambda: 65),
        Case("hostile", "unbuildable", "bad", _unbuildable),
        Case("hostile", "well again", "good", _built, flops=lambda: 100, differs="100 counts the bias"),
    ]
