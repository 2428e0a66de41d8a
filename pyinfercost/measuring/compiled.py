"""What a kernel costs in a graph that `torch.compile` has compiled."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from .probes import Probe

_SHORT, _LONG = 4, 24


def kernel_s(probe: Probe) -> float:
    """Seconds of a small matrix product and a small fused loop after it, from graphs of few and of many such pairs.

    Raises:
        Exception: Whatever torch raises where it cannot compile.
    """
    torch._dynamo.reset()
    weight = probe.random(16, 16)

    def chain(x: torch.Tensor, length: int) -> torch.Tensor:
        for _ in range(length):
            x = torch.relu(torch.mm(x, weight)) * 0.5
        return x

    compiled: Any = torch.compile(chain, dynamic=False)
    x = probe.random(16, 16)
    seconds = {length: probe.short_seconds(partial(compiled, x, length)) for length in (_SHORT, _LONG)}
    return max(0.0, (seconds[_LONG] - seconds[_SHORT]) / (_LONG - _SHORT))
