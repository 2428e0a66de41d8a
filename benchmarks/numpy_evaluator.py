"""The GPU model in numpy, over columns of points: what sweeps are measured against, and a second opinion on them.

The same formulas over the same kernels, as one writes them with numpy: constants hoisted, one pass over all
points of a chunk that fits the second cache. Only GPUs, only plans whose products have one varying length.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pyinfercost import Expr

SIDES = ((256, 128), (128, 256), (128, 128), (256, 64), (64, 256), (128, 64), (64, 128), (64, 64), (64, 32), (32, 64))
SPLIT_LENGTH = 256.0
CHUNK = 8192
_BYTES = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0}
CONTRACTIONS = ("gemm", "convolution")


class NumpyEvaluator:
    """A plan on a GPU.

    Args:
        plan: eager, with one open size.
        machine: a GPU.
        precision: float32, float16 or bfloat16: what products are computed in.
    """

    def __init__(self, plan: Any, machine: Any, precision: str) -> None:
        self.size = plan.names[0]
        self.machine = machine
        self.operand_bytes = _BYTES[precision]
        achieved = machine.achieved
        self.matrix = machine.matrix_flop_per_s.get(precision, 0.0) * _reached(achieved, "matrix", precision)
        self.vector = machine.vector_flop_per_s.get(precision, 0.0) * _reached(achieved, "vector", precision)
        self.rate = max(self.matrix, self.vector)
        self.dram_s = 1.0 / (machine.bandwidth_byte_per_s * achieved.get("dram", 1.0))
        *self.caches, _ = machine.memory
        self.kernels = [_Kernel(kernel) for kernel in plan.kernels()]

    def latency_s(self, sizes: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """Latency at each size, given the bytes of weights and activations there."""
        out = np.empty(len(sizes))
        for first in range(0, len(sizes), CHUNK):
            part = slice(first, first + CHUNK)
            x = sizes[part].astype(np.float64)
            total = np.zeros(len(x))
            for kernel in self.kernels:
                total += kernel.launches * self._kernel_s(kernel, x, footprint[part])
            out[part] = total
        return out

    def _kernel_s(self, kernel: _Kernel, x: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        bytes_moved = kernel.weights + (kernel.others[0] + kernel.others[1] * x)
        others = bytes_moved - kernel.weights
        _, last_capacity, last_bandwidth = self.caches[-1]
        cold = np.where(footprint > last_capacity, kernel.weights, 0.0)
        dram_s = (cold + np.where(bytes_moved > last_capacity, others, 0.0)) * self.dram_s
        cache_rate = self.machine.achieved.get("cache", 1.0)
        s_per_byte = np.full(len(x), 1.0 / (last_bandwidth * cache_rate))
        for _, capacity, bandwidth in reversed(self.caches):
            faster = 1.0 / (max(bandwidth, last_bandwidth) * cache_rate)
            s_per_byte = np.where(bytes_moved <= capacity, faster, s_per_byte)
        cache_s = bytes_moved * s_per_byte
        compute_s: Any = np.zeros(len(x))
        if kernel.kind in CONTRACTIONS:
            compute_s, fetch_s = self._best_tile(kernel, x)
            if kernel.kind == "convolution":
                direct = (kernel.flops[0] + kernel.flops[1] * x) / self.vector
                faster_direct = direct < np.maximum(compute_s, fetch_s)
                compute_s = np.where(faster_direct, direct, compute_s)
                fetch_s = np.where(faster_direct, 0.0, fetch_s)
            cache_s = np.maximum(cache_s, fetch_s)
        compute_s = np.maximum(compute_s, (kernel.pointwise[0] + kernel.pointwise[1] * x) / self.vector)
        over = self.machine.overheads_s
        floor_s = over["launch_gap"] + (over["kernel_minimum"] if kernel.kind in CONTRACTIONS else 0.0)
        busy = np.maximum(np.maximum(compute_s, dram_s), cache_s)
        return np.maximum(floor_s + busy, over["dispatch"])

    def _best_tile(self, kernel: _Kernel, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        cores = self.machine.cores
        core_rate = self.rate / cores
        last_bandwidth = self.caches[-1][2]
        rows = kernel.m[0] + kernel.m[1] * x
        best = np.full(len(x), np.inf)
        compute_s = np.zeros(len(x))
        fetch_s = np.zeros(len(x))
        most = max(1.0, np.floor(kernel.k / SPLIT_LENGTH))
        for tile_rows, tile_cols in SIDES:
            tiles = kernel.batch * np.ceil(kernel.n / tile_cols) * np.ceil(rows * (1.0 / tile_rows))
            splits = np.clip(np.floor(cores / tiles), 1.0, most)
            waves = np.ceil(tiles * splits / cores)
            busy = waves * (2.0 * tile_rows * tile_cols * kernel.k / core_rate) / splits
            fetch = tiles * ((tile_rows + tile_cols) * kernel.k * self.operand_bytes / (kernel.window * last_bandwidth))
            slower = np.maximum(busy, fetch)
            better = slower < best
            best = np.where(better, slower, best)
            compute_s = np.where(better, busy, compute_s)
            fetch_s = np.where(better, fetch, fetch_s)
        return compute_s, fetch_s


class _Kernel:
    """A kernel's quantities as constant and slope in the open size."""

    def __init__(self, kernel: dict[str, Any]) -> None:
        work = kernel["work"]
        roles = work.bytes_by_role
        self.kind = work.kind
        self.launches = len(kernel["launches"])
        self.weights = float(roles["weight_read"])
        moved = work.bytes_read + work.bytes_written
        self.others = _line(moved - roles["weight_read"])
        self.flops = _line(work.contraction_flops)
        self.pointwise = _line(work.pointwise_flops)
        if self.kind in CONTRACTIONS:
            dimensions = work.dimensions
            self.batch, self.n, self.k = (float(dimensions[name]) for name in ("batch", "n", "k"))
            self.m = _line(dimensions["m"])
            self.window = float(dimensions.get("window", 1)) if self.kind == "convolution" else 1.0


def _line(quantity: int | Expr) -> tuple[float, float]:
    """The constant and the slope of a quantity that is linear in one size."""
    if isinstance(quantity, int):
        return float(quantity), 0.0
    (name,) = quantity.names
    at = [quantity.evaluate({name: value}) for value in (2, 3, 5)]
    slope = at[1] - at[0]
    if at[2] - at[1] != 2 * slope:
        raise ValueError(f"{quantity} is not linear in {name}")
    return float(at[0] - 2 * slope), float(slope)


def _reached(achieved: dict[str, float], engine: str, precision: str) -> float:
    short = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}[precision]
    return achieved.get(f"{engine}_{short}", achieved.get(engine, 1.0))
