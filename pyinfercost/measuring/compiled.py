"""Kernels and loops of graphs compiled by `torch.compile`, timed by a calibration."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from .probes import SWEEPS, image, random
from .rounds import Timed

SHORT_CHAIN, LONG_CHAIN = 4, 24
_FLOAT_BYTES = 4
_WINDOW = 9
_MANY_NORMS = 100


def chains(threads: int) -> dict[str, Timed]:
    """Compile graphs of `SHORT_CHAIN` and of `LONG_CHAIN` pairs of a small matrix product and a small fused loop.

    Their difference gives the cost of a pair; the remainder is the cost of calling a graph.

    Args:
        threads: Number of threads to run on.

    Returns:
        The timed graphs by name.

    Raises:
        Exception: Torch cannot compile; the type varies.
    """
    torch._dynamo.reset()
    weight = random(16, 16)

    def chain(x: torch.Tensor, length: int) -> torch.Tensor:
        for _ in range(length):
            x = torch.relu(torch.mm(x, weight)) * 0.5
        return x

    compiled: Any = torch.compile(chain, dynamic=False)
    x = random(16, 16)
    lengths = {"compiled.short": SHORT_CHAIN, "compiled.long": LONG_CHAIN}
    with torch.inference_mode():
        for length in lengths.values():
            compiled(x, length)
    return {name: Timed(partial(compiled, x, length), threads, short=True) for name, length in lengths.items()}


def guards(threads: int, private_bytes: float) -> dict[str, Timed]:
    """Compile modules with few and with many weights and next to no work; `elements` are weights and buffers.

    Each call follows a loop over the private caches, which evicts the code and the data that its checks need, as the
    forward before it does.

    Args:
        threads: Number of threads to run on.
        private_bytes: Bytes of the private caches of these threads.

    Returns:
        The timed modules by name.

    Raises:
        Exception: Torch cannot compile; the type varies.
    """
    x, swept = random(2, 8), random(int(SWEEPS * private_bytes) // _FLOAT_BYTES)

    def called(norms: int) -> Timed:
        module = torch.nn.Sequential(*(torch.nn.BatchNorm1d(8) for _ in range(norms))).eval()
        compiled: Any = torch.compile(module, dynamic=False)
        with torch.inference_mode():
            compiled(x)

        def turn() -> float:
            swept.add_(1.0)
            start = time.perf_counter()
            compiled(x)
            return time.perf_counter() - start

        return Timed(turn, threads, 4.0 * norms, times_itself=True)

    return {"guards.few": called(1), "guards.many": called(_MANY_NORMS)}


def shared_grain() -> float:
    """Return the minimum number of elements per thread for which torch's compiler parallelizes a loop."""
    import torch._inductor.config

    return float(torch._inductor.config.cpp.min_chunk_size)


def compiled_loop(name: str, threads: int) -> Timed:
    """Compile a graph with one loop.

    Args:
        name: A name in `COMPILED_LOOPS`.
        threads: Number of threads to run on.

    Returns:
        The timed graph.

    Raises:
        Exception: Torch cannot compile; the type varies.
    """
    x, call = _LOOPS[name]()
    compiled: Any = torch.compile(call, dynamic=False)
    with torch.inference_mode():
        compiled(x)
    elements, moved = float(x.numel()), 2.0 * x.numel()
    if name == "window":  # with stride 2, a quarter of the windows remain
        elements, moved = elements * _WINDOW / 4, elements * 5 / 4
    return Timed(lambda: compiled(x), threads, elements, _FLOAT_BYTES * moved)


_Loop = tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]


def _special() -> _Loop:
    return random(2**20), torch.sigmoid


def _row() -> _Loop:
    x, w = random(3140, 384), random(384)
    return x, lambda x: F.layer_norm(x, (384,), w, w)


def _softmax() -> _Loop:
    return random(48 * 197, 197), lambda x: torch.softmax(x, -1)


def _window() -> _Loop:
    return image(4, 64, 56), lambda x: F.max_pool2d(x, 3, 2, 1)


_LOOPS: dict[str, Callable[[], _Loop]] = {"special": _special, "row": _row, "softmax": _softmax, "window": _window}
