"""The measurements of a calibration: each asks torch for one small thing and says how fast it was.

Everything here is about torch as it is installed: its matrix products, its loops, its allocator. No model is run.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F

from .clock import Budget, time_call, time_loop

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_SIDE = 1024  # of the square products that a peak is read from
_SLOW_SIDE = 192  # where a dtype has no fast kernel: seconds are enough to see it
_FLOAT_BYTES = 4
_SMALL_OPS = 40
_SWEPT_BYTES = 4 * 2**20  # more than the private caches of a core hold
_LAST_LAYOUT = torch.channels_last


class Probe:
    """A device, a budget for one measurement, and what waiting for the device means."""

    def __init__(self, budget: Budget, device: str = "cpu") -> None:
        self.budget = budget
        self.device = device
        self._wait = torch.cuda.synchronize if device == "cuda" else None

    def seconds(self, call: Callable[[], object]) -> float:
        """Of one call; it is repeated as often as the budget allows."""
        with torch.inference_mode():
            return time_call(call, self.budget, self._wait).median_s

    def short_seconds(self, call: Callable[[], object]) -> float:
        """Of one call that takes microseconds."""
        with torch.inference_mode():
            return time_loop(call, self.budget, self._wait).median_s

    def random(self, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.randn(*shape, device=self.device).to(dtype)

    def image(self, batch: int, channels: int, side: int) -> torch.Tensor:
        """With channels innermost."""
        return self.random(batch, channels, side, side).contiguous(memory_format=_LAST_LAYOUT)

    # Peaks

    def product_flop_per_s(self, dtype: str) -> float | None:
        """Of square matrix products; None where torch has no kernel for the dtype."""
        if dtype == "int8":
            a, b = (torch.ones(_SIDE, _SIDE, dtype=torch.int8, device=self.device) for _ in range(2))
            return self._rate(lambda: torch._int_mm(a, b), 2.0 * _SIDE**3)
        a, b = (self.random(_SLOW_SIDE, _SLOW_SIDE, dtype=_DTYPES[dtype]) for _ in range(2))
        slow = self._rate(lambda: torch.mm(a, b), 2.0 * _SLOW_SIDE**3)
        if slow is None or 2.0 * _SIDE**3 / slow > self.budget.measure_s:
            return slow
        a, b = (self.random(_SIDE, _SIDE, dtype=_DTYPES[dtype]) for _ in range(2))
        return self._rate(lambda: torch.mm(a, b), 2.0 * _SIDE**3)

    def product(self, name: str) -> tuple[float, float, float]:
        """FLOPs, bytes of activations and seconds of one of `PRODUCTS`."""
        call, flops, moved = PRODUCTS[name](self)
        return flops, moved, self.seconds(call)

    def _rate(self, call: Callable[[], object], work: float) -> float | None:
        try:
            call()
        except (RuntimeError, NotImplementedError, AttributeError):
            return None
        return work / self.seconds(call)

    # Memory

    def stream_byte_per_s(self, total_bytes: float) -> dict[str, float]:
        """Reading, writing and copying, and a sum of two into a third, over arrays of so many bytes in all."""
        length = max(1024, int(total_bytes / 3 / _FLOAT_BYTES))
        a, b, out = (self.random(length) for _ in range(3))
        read = a if total_bytes < _FLOAT_BYTES * length else torch.cat([a, b])
        size = _FLOAT_BYTES * length
        return {
            "read": _FLOAT_BYTES * read.numel() / self.short_seconds(lambda: torch.sum(read)),
            "write": size / self.short_seconds(lambda: out.fill_(1.0)),
            "copy": 2 * size / self.short_seconds(lambda: out.copy_(a)),
            "add": 3 * size / self.short_seconds(lambda: torch.add(a, b, out=out)),
        }

    def page_fault_s(self) -> float:
        """What a page of a new large result costs beyond one that was used before."""
        page_bytes, size = 4096, 48 * 2**20  # beyond 32 MiB glibc maps memory anew each time
        x = self.random(size // _FLOAT_BYTES)
        out = torch.empty_like(x)
        fresh = self.seconds(lambda: torch.neg(x))
        used = self.seconds(lambda: torch.neg(x, out=out))
        return max(0.0, fresh - used) * page_bytes / size

    # Overheads

    def dispatch_s(self) -> float:
        """Host time of one small op in eager mode, its result made anew."""

        def addition(length: int) -> Callable[[], object]:
            x = self.random(length)
            return lambda: x + x

        return self._among_others([addition(64 + i) for i in range(_SMALL_OPS)])

    def product_overhead_s(self) -> float:
        """What a small linear layer costs beyond another op."""

        def linear(width: int) -> Callable[[], object]:
            x, w, bias = self.random(1, width), self.random(32, width), self.random(32)
            return lambda: F.linear(x, w, bias)

        return max(0.0, self._among_others([linear(16 + i) for i in range(_SMALL_OPS)]) - self.dispatch_s())

    def convolution_overhead_s(self) -> float:
        """What a small convolution of a library costs beyond another op."""

        def convolution(channels: int, side: int) -> Callable[[], object]:
            x, w = self.image(2, channels, side), self.image(channels, 1, 3)
            return lambda: F.conv2d(x, w, padding=1, groups=channels)

        calls = [convolution(16 * (1 + i % 10), 7 + i // 10) for i in range(_SMALL_OPS)]
        return max(0.0, self._among_others(calls) - self.dispatch_s())

    def _among_others(self, calls: list[Callable[[], object]]) -> float:
        """Seconds of a call, as a network makes it: after others that have left nothing of it in the inner caches."""
        swept = self.random(_SWEPT_BYTES // _FLOAT_BYTES)

        def turn() -> float:
            seconds = 0.0
            for call in calls:
                swept.add_(1.0)
                start = time.perf_counter()
                call()
                seconds += time.perf_counter() - start
            return seconds / len(calls)

        turns: list[float] = []
        with torch.inference_mode():
            turn()
            end = time.perf_counter() + self.budget.measure_s
            while len(turns) < self.budget.fewest or time.perf_counter() < end:
                turns.append(turn())
        return statistics.median(turns)

    def region_s(self, threads: int) -> float:
        """What it costs to open and close a parallel loop over warm threads: against the same share on one thread."""
        grain = 32768  # torch splits loops that are longer
        share = self.random(grain)
        whole = self.random(grain * threads)
        with on_threads(threads):
            parallel = self.short_seconds(whole.neg_)
        with on_threads(1):
            alone = self.short_seconds(share.neg_)
        return max(0.0, parallel - alone)

    def copying(self, images: int) -> tuple[float, float]:
        """Elements that a library copies into its layout and out of it for so many images, and the seconds that takes.

        A convolution whose activations have channels outermost, against the same with channels innermost.
        """
        channels, side = 96, 56
        x, w = self.image(images, channels, side), self.image(channels, 1, 3)
        outermost = x.contiguous()

        def convolve(activations: torch.Tensor) -> torch.Tensor:
            return F.conv2d(activations, w, padding=1, groups=channels)

        seconds = self.seconds(lambda: convolve(outermost)) - self.seconds(lambda: convolve(x))
        return 2.0 * x.numel(), seconds

    def loop(self, name: str) -> tuple[float, float]:
        """Elements and seconds of one of `LOOPS`."""
        call, elements = LOOPS[name](self)
        return elements, self.seconds(call)


def _pointwise(function: Callable[[torch.Tensor], Any]) -> Callable[[Probe], tuple[Callable[[], object], float]]:
    def make(probe: Probe) -> tuple[Callable[[], object], float]:
        x = probe.random(2**18)
        return lambda: function(x), float(x.numel())

    return make


def _rows(probe: Probe) -> tuple[Callable[[], object], float]:
    x, w = probe.random(785, 384), probe.random(384)
    return lambda: F.layer_norm(x, (384,), w, w), float(x.numel())


def _softmax(probe: Probe) -> tuple[Callable[[], object], float]:
    x = probe.random(12 * 197, 197)
    return lambda: torch.softmax(x, -1), float(x.numel())


def _pooling(probe: Probe) -> tuple[Callable[[], object], float]:
    x = probe.random(1, 64, 56, 56)
    return lambda: F.max_pool2d(x, 3, 2, 1), 64.0 * 28 * 28 * 9


def _transpose(probe: Probe) -> tuple[Callable[[], object], float]:
    x = probe.random(1, 96, 56, 56)
    return lambda: x.permute(0, 2, 3, 1).contiguous(), float(x.numel())


def _packing(probe: Probe) -> tuple[Callable[[], object], float]:
    """A product with few rows: nearly all of it is bringing the weights into the library's layout."""
    x, w = probe.random(8, 2048), probe.random(2048, 2048)
    return lambda: F.linear(x, w), float(w.numel())


def _gemv(probe: Probe) -> tuple[Callable[[], object], float]:
    x, w = probe.random(1, 4096), probe.random(4096, 4096)
    return lambda: F.linear(x, w), float(w.numel())


def _convolution(
    channels: int, results: int, side: int, window: int, *, groups: int = 1, batch: int = 1
) -> Callable[[Probe], tuple[Callable[[], object], float, float]]:
    def make(probe: Probe) -> tuple[Callable[[], object], float, float]:
        x, w = probe.image(batch, channels, side), probe.image(results, channels // groups, window)
        flops = 2.0 * batch * results * side**2 * (channels // groups) * window**2
        moved = _FLOAT_BYTES * batch * (channels + results) * side**2
        return lambda: F.conv2d(x, w, padding=window // 2, groups=groups), flops, moved

    return make


def _attention(probe: Probe) -> tuple[Callable[[], object], float, float]:
    q = probe.random(1, 12, 197, 64)
    return lambda: F.scaled_dot_product_attention(q, q, q), 4.0 * 12 * 197 * 197 * 64, 4.0 * _FLOAT_BYTES * q.numel()


# Weights are few beside pixels; channels last, which a library takes as they are. Four channels to a group as in
# ResNeXt, a channel to a group as in MobileNet.
PRODUCTS: dict[str, Callable[[Probe], tuple[Callable[[], object], float, float]]] = {
    "pixelwise": _convolution(64, 256, 56, 1),
    "convolution": _convolution(128, 128, 28, 3, batch=2),
    "grouped": _convolution(128, 128, 56, 3, groups=32),
    "depthwise": _convolution(144, 144, 56, 3, groups=144, batch=4),
    "attention": _attention,
}

LOOPS: dict[str, Callable[[Probe], tuple[Callable[[], object], float]]] = {
    "special": _pointwise(torch.sigmoid),
    "library": _pointwise(torch.tanh),
    "row": _rows,
    "softmax": _softmax,
    "window": _pooling,
    "transpose": _transpose,
    "packing": _packing,
    "gemv": _gemv,
}


@contextmanager
def on_threads(threads: int) -> Iterator[None]:
    """Has torch use so many threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
