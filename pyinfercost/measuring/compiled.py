"""What kernels and loops cost in a graph that `torch.compile` has compiled."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from .probes import Probe

_SHORT, _LONG = 4, 24


def kernel_s(probe: Probe) -> tuple[float, float]:
    """Seconds of a small matrix product and a small fused loop after it, and of calling a graph at all.

    They are told apart by graphs of few and of many such pairs.

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
    pair = max(0.0, (seconds[_LONG] - seconds[_SHORT]) / (_LONG - _SHORT))
    return pair, max(0.0, seconds[_SHORT] - _SHORT * pair)


def shared_grain() -> float:
    """Elements that each thread must have, or torch's compiler shares a loop with none."""
    import torch._inductor.config

    return float(torch._inductor.config.cpp.min_chunk_size)


def loop(probe: Probe, name: str) -> tuple[float, float]:
    """Elements and seconds of a graph with one loop.

    Args:
        probe: what measures.
        name: one of `COMPILED_LOOPS`.

    Raises:
        Exception: Whatever torch raises where it cannot compile.
    """
    x, call = _LOOPS[name](probe)
    compiled: Any = torch.compile(call, dynamic=False)
    elements = x.numel() * (_WINDOW / 4 if name == "window" else 1)  # a stride of 2 leaves a quarter of the windows
    return float(elements), probe.seconds(lambda: compiled(x))


_WINDOW = 9
_Loop = tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]


def _special(probe: Probe) -> _Loop:
    return probe.random(2**20), torch.sigmoid


def _row(probe: Probe) -> _Loop:
    x, w = probe.random(3140, 384), probe.random(384)
    return x, lambda x: F.layer_norm(x, (384,), w, w)


def _softmax(probe: Probe) -> _Loop:
    return probe.random(48 * 197, 197), lambda x: torch.softmax(x, -1)


def _window(probe: Probe) -> _Loop:
    return probe.image(4, 64, 56), lambda x: F.max_pool2d(x, 3, 2, 1)


_LOOPS: dict[str, Callable[[Probe], _Loop]] = {
    "special": _special,
    "row": _row,
    "softmax": _softmax,
    "window": _window,
}
