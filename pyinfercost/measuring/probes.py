"""Micro-benchmarks of a calibration: small operations of the installed torch. No model is run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import cycle
from typing import Any

import torch
import torch.nn.functional as F

from ..hardware.dtypes import CORE_DTYPES
from .rounds import Timed, on_threads

DTYPES = ("fp32", "bf16", "fp16", "int8")
_FLOATS: dict[str, torch.dtype] = {short: getattr(torch, CORE_DTYPES[short]) for short in ("fp32", "bf16", "fp16")}
_SIDE = 1024  # of the square products that measure a peak
_SLOW_SIDE = 192  # for a dtype without a fast kernel, to keep the measurement short
_SLOW_S = 0.1
_PAUSE_SIDE = 384
_FLOAT_BYTES = 4
_SMALL_OPS = 40
LANGUAGE_WIDTH = 4096  # of a model with several billion weights
SWEEPS = 4  # of the private caches, to evict the code and data of a small operator
_PAGED_BYTES = 48 * 2**20  # glibc maps allocations above 32 MiB anew each time
_GRAIN = 32768  # torch parallelizes loops with more elements
_LAST_LAYOUT = torch.channels_last


def random(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return a tensor of normally distributed values."""
    return torch.randn(*shape).to(dtype)


def image(batch: int, channels: int, side: int) -> torch.Tensor:
    """Return images with channels last in memory."""
    return random(batch, channels, side, side).contiguous(memory_format=_LAST_LAYOUT)


def overheads(threads: int, private_bytes: float) -> dict[str, Timed]:
    """Small operators, a parallel loop against its share on one thread, and new memory pages.

    `call.op`, `call.product` and `call.convolution` time one operator that follows another of its kind, and
    `cold.op`, `cold.product` and `cold.convolution` one that follows a loop over `SWEEPS` times the `private_bytes` of
    the private caches. `region.all` and `region.one` time one loop, and `pages.fresh` and `pages.used` a result of
    `elements` bytes.
    """
    small = [random(64 + i) for i in range(_SMALL_OPS)]

    def linear(width: int) -> Callable[[], object]:
        x, w, bias = random(1, width), random(32, width), random(32)
        return lambda: F.linear(x, w, bias)

    def convolution(channels: int, side: int) -> Callable[[], object]:
        x, w = image(2, channels, side), image(channels, 1, 3)
        return lambda: F.conv2d(x, w, padding=1, groups=channels)

    whole, share = random(_GRAIN * threads), random(_GRAIN)
    x = random(_PAGED_BYTES // _FLOAT_BYTES)
    out = torch.empty_like(x)
    swept = random(int(SWEEPS * private_bytes) // _FLOAT_BYTES)
    among: dict[str, list[Callable[[], object]]] = {
        "op": [partial(torch.add, x, x) for x in small],
        "product": [linear(16 + i) for i in range(_SMALL_OPS)],
        "convolution": [convolution(16 * (1 + i % 10), 7 + i // 10) for i in range(_SMALL_OPS)],
    }
    return {
        **{f"call.{name}": Timed(_in_turn(calls, None), threads, times_itself=True) for name, calls in among.items()},
        **{f"cold.{name}": Timed(_in_turn(calls, swept), threads, times_itself=True) for name, calls in among.items()},
        "region.all": Timed(whole.neg_, threads, short=True),
        "region.one": Timed(share.neg_, 1, short=True),
        "pages.fresh": Timed(lambda: torch.neg(x), threads, _PAGED_BYTES),
        "pages.used": Timed(lambda: torch.neg(x, out=out), threads, _PAGED_BYTES),
    }


def _in_turn(calls: list[Callable[[], object]], swept: torch.Tensor | None) -> Callable[[], float]:
    """Time each call once, after a loop over `swept` if there is one."""

    def turn() -> float:
        seconds = 0.0
        for call in calls:
            if swept is not None:
                swept.add_(1.0)
            start = time.perf_counter()
            call()
            seconds += time.perf_counter() - start
        return seconds / len(calls)

    return turn


def _after_a_product(call: Callable[[], object]) -> Callable[[], float]:
    """Time a call that follows a matrix product of about a millisecond."""
    side = random(_PAUSE_SIDE, _PAUSE_SIDE)

    def turn() -> float:
        torch.mm(side, side)
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    return turn


def multiplies_bytes() -> bool:
    """Return whether torch multiplies matrices of 8-bit integers on this machine."""
    one = torch.ones(8, 8, dtype=torch.int8)
    try:
        torch._int_mm(one, one)
    except (RuntimeError, NotImplementedError, AttributeError):
        return False
    return True


def peaks(threads: int) -> dict[str, Timed]:
    """Square products by dtype, on all threads (`peak.fp32`) and on one (`peak.fp32.one`), if torch supports them."""
    found: dict[str, Timed] = {}
    for dtype in DTYPES:
        for name, count in ((f"peak.{dtype}", threads), (f"peak.{dtype}.one", 1)):
            with on_threads(count):
                product = _square(dtype, count)
            if product is not None:
                found[name] = product
    return found


def _square(dtype: str, threads: int) -> Timed | None:
    for side in (_SLOW_SIDE, _SIDE):
        if dtype == "int8":
            whole = torch.ones(side, side, dtype=torch.int8)
            call: Callable[[], object] = partial(torch._int_mm, whole, whole)
        else:
            a, b = (random(side, side, dtype=_FLOATS[dtype]) for _ in range(2))
            call = partial(torch.mm, a, b)
        try:
            call()
        except (RuntimeError, NotImplementedError, AttributeError):
            return None
        start = time.perf_counter()
        call()
        seconds = time.perf_counter() - start
        if seconds * (_SIDE / side) ** 3 > _SLOW_S:
            break
    return Timed(call, threads, 2.0 * side**3)


def streams(name: str, total_bytes: float, threads: int) -> dict[str, Timed]:
    """`NAME.copy` and `NAME.add`: a copy, and a sum of two arrays into a third, over `total_bytes` in all.

    `elements` are bytes. A cache shared by cores is measured in the conditions of a network, for data that was written
    one product earlier: other programs or virtual machines that share it may have evicted the data meanwhile. For the
    private caches `NAME.handed` times a loop over data of which other cores wrote a half, as when two kernels divide
    their work differently.
    """
    length = max(1024, int(total_bytes / 3 / _FLOAT_BYTES))
    a, b, out = (torch.ones(length) for _ in range(3))
    size = _FLOAT_BYTES * length
    handed: dict[str, Timed] = {}
    if name == "llc":
        accesses = {"copy": (lambda: out.copy_(a), 2 * size), "add": (lambda: torch.add(a, b, out=out), 3 * size)}
        return {
            f"{name}.{access}": Timed(_after_a_product(call), threads, moved, times_itself=True)
            for access, (call, moved) in accesses.items()
        }
    if name == "l2":
        halves = torch.arange(2 * length, dtype=torch.float32).view(2, length)
        sums = torch.empty_like(halves)
        handed = {f"{name}.handed": Timed(_after_halves(halves, sums), threads, 4 * size, times_itself=True)}
    return {
        **handed,
        f"{name}.copy": Timed(lambda: out.copy_(a), threads, 2 * size, short=True),
        f"{name}.add": Timed(lambda: torch.add(a, b, out=out), threads, 3 * size, short=True),
    }


def _after_halves(halves: torch.Tensor, out: torch.Tensor) -> Callable[[], float]:
    """Time a loop over data of which other cores wrote a half: the cores shared each of two halves before."""

    def turn() -> float:
        halves[0].neg_()
        halves[1].neg_()
        start = time.perf_counter()
        torch.neg(halves, out=out)
        return time.perf_counter() - start

    return turn


def loops(threads: int) -> dict[str, Timed]:
    """Loops that cost more than their arithmetic, by the names in `MEASURED_LOOPS`."""
    x, rows, scores = random(2**18), random(785, 384), random(12 * 197, 197)
    planes, columns, scale = random(1, 64, 56, 56), random(1, 96, 56, 56), random(384)
    calls: dict[str, tuple[Callable[[], object], float]] = {
        "special": (lambda: torch.sigmoid(x), x.numel()),
        "library": (lambda: torch.tanh(x), x.numel()),
        "row": (lambda: F.layer_norm(rows, (384,), scale, scale), rows.numel()),
        "softmax": (lambda: torch.softmax(scores, -1), scores.numel()),
        "window": (lambda: F.max_pool2d(planes, 3, 2, 1), 64.0 * 28 * 28 * 9),
        "transpose": (lambda: columns.permute(0, 2, 3, 1).contiguous(), columns.numel()),
    }
    half = x.to(torch.bfloat16)
    return {
        **{
            name: Timed(call, threads, elements, _FLOAT_BYTES * elements * (1 if name == "window" else 2))
            for name, (call, elements) in calls.items()
        },
        "half": Timed(lambda: torch.add(half, half), threads, x.numel(), 2.0 * 2 * x.numel()),
    }


def cycles(
    name: str, totals: Iterable[float], threads: int, dtype: torch.dtype = torch.float32, side: int = 1024
) -> dict[str, Timed]:
    """Products of one row with many matrices in turn, as in a network: `NAME.MIB` for each total, in bytes of weights.

    Products of `int8` exist in torch as `_int_mm`. Smaller totals use the first matrices of the largest one. `elements`
    are bytes of weights.
    """
    each = side**2 * dtype.itemsize
    counts = sorted({max(1, round(total / each)) for total in totals})
    layers = [torch.ones(side, side, dtype=dtype) for _ in range(counts[-1])]  # drawing values takes seconds
    x = torch.ones(1, side, dtype=dtype)

    def multiply(count: int) -> None:
        for layer in layers[:count]:
            _linear(x, layer)

    return {
        f"{name}.{each * count // 2**20}": Timed(partial(multiply, count), threads, float(each * count))
        for count in counts
    }


def _linear(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return torch._int_mm(x, weight.t()) if weight.dtype == torch.int8 else F.linear(x, weight)


def weights(threads: int) -> dict[str, Timed]:
    """Products whose time depends on their weights (`elements`).

    With several rows, threads first pack the weights into the library's layout (`packing`). With a single row they read
    them in place (`gemv`; `gemv.half` with 16-bit weights, `gemv.byte` with 8-bit weights if torch has such products):
    here one thread does, from its own cache, so that the core is the limit and not the memory. `linear` has as many
    rows as an image or a text, and reads other weights between calls; its `elements` are FLOPs.
    """
    rows, wide, narrow = 197, 3072, 768
    x = random(rows, narrow)
    layers = cycle([random(wide, narrow) for _ in range(LINEAR_LAYERS)])

    def product(rows: int, width: int, threads: int, dtype: torch.dtype = torch.float32) -> Timed:
        x, w = random(rows, width, dtype=dtype), random(width, width, dtype=dtype)
        return Timed(lambda: _linear(x, w), threads, w.numel())

    narrow_weights = {}
    if multiplies_bytes():
        narrow_weights["gemv.byte"] = product(1, 512, 1, torch.int8)
        narrow_weights["packing.byte"] = product(PACKED_ROWS, 2048, threads, torch.int8)
    return {
        **narrow_weights,
        "packing": product(PACKED_ROWS, 2048, threads),
        "gemv": product(1, 512, 1),
        "gemv.half": product(1, 512, 1, torch.bfloat16),
        "linear": Timed(
            lambda: F.linear(x, next(layers)),
            threads,
            2.0 * rows * wide * narrow,
            _FLOAT_BYTES * rows * (wide + narrow),
        ),
    }


LINEAR_WEIGHTS = 3072 * 768
LINEAR_LAYERS = 12  # exceeds the capacity of a cache


PACKED_ROWS = 8


SCORES, SLIM_SCORES = 12 * 197**2, 24 * 197**2
"""Scores of attention with heads of 64 and of 16."""


def products(threads: int) -> dict[str, Timed]:
    """Products of typical network layers; `elements` are FLOPs; for one query (`key`), elements of keys and values.

    Weights are small compared to activations, and channels are last, a layout that libraries take without a copy.
    Grouped convolutions have four channels per group, as in ResNeXt, or one, as in MobileNet.
    """
    q = random(1, 12, 197, 64)
    half = q.to(torch.bfloat16)
    slim = random(1, 24, 197, 16)
    return {
        "attention.slim": Timed(
            lambda: F.scaled_dot_product_attention(slim, slim, slim),
            threads,
            4.0 * 16 * SLIM_SCORES,
            4.0 * _FLOAT_BYTES * slim.numel(),
        ),
        "key": _attention_of_one(torch.float32),
        "key.half": _attention_of_one(torch.bfloat16),
        "pixelwise": _convolution(threads, 64, 256, 56, 1),
        "convolution": _convolution(threads, 128, 128, 28, 3, batch=2),
        "grouped": _convolution(threads, 128, 128, 56, 3, groups=32),
        "depthwise": _convolution(threads, 144, 144, 56, 3, groups=144, batch=4),
        "attention": Timed(
            lambda: F.scaled_dot_product_attention(q, q, q),
            threads,
            4.0 * 64 * SCORES,
            4.0 * _FLOAT_BYTES * q.numel(),
        ),
        "attention.half": Timed(
            lambda: F.scaled_dot_product_attention(half, half, half),
            threads,
            4.0 * 64 * SCORES,
            2.0 * _FLOAT_BYTES * q.numel(),
        ),
    }


def _attention_of_one(dtype: torch.dtype) -> Timed:
    """Time the attention of one query on one thread; `elements` count keys and values, which are in its own cache."""
    heads, keys, width = 8, 128, 64
    q, k = random(1, heads, 1, width, dtype=dtype), random(1, heads, keys, width, dtype=dtype)
    v = random(1, heads, keys, width, dtype=dtype)
    return Timed(lambda: F.scaled_dot_product_attention(q, k, v), 1, k.numel() + v.numel())


def _convolution(
    threads: int, channels: int, results: int, side: int, window: int, *, groups: int = 1, batch: int = 1
) -> Timed:
    x, w = image(batch, channels, side), image(results, channels // groups, window)
    flops = 2.0 * batch * results * side**2 * (channels // groups) * window**2
    moved = _FLOAT_BYTES * batch * (channels + results) * side**2
    return Timed(lambda: F.conv2d(x, w, padding=window // 2, groups=groups), threads, flops, moved)


def copying(threads: int, images: int) -> dict[str, Timed]:
    """A convolution with channels first and the same with channels last.

    The difference is the time to copy `elements` into a library's layout and back, image by image.
    """
    channels, side = 96, 56
    x, w = image(images, channels, side), image(channels, 1, 3)

    def convolve(activations: torch.Tensor) -> Timed:
        call: Callable[[], Any] = partial(F.conv2d, activations, w, padding=1, groups=channels)
        return Timed(call, threads, 2.0 * x.numel())

    return {"copying.outermost": convolve(x.contiguous()), "copying.innermost": convolve(x)}
