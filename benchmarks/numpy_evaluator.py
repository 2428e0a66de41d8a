"""The GPU model in numpy over columns of points: a baseline for sweeps, and an independent check of their results.

It evaluates the same formulas on the same kernels in idiomatic numpy: constants are hoisted, and each pass covers a
chunk of points that fits the L2 cache. It supports GPUs, plans with one symbolic size, and the kernels of convolutional
networks: products (by tiles, by Winograd's algorithms, or directly on the vector unit) and streams. Attention and row
kernels are rejected.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pyinfercost import Expr
from pyinfercost.hardware.dtypes import short_dtype

CHUNK = 8192
MATRIX_TILES = ((128, 256), (128, 128), (64, 64), (64, 32), (64, 16), (64, 8))
VECTOR_TILES = ((128, 128), (128, 64), (128, 32), (64, 64))
RESIDENT_ELEMENTS, MOST_RESIDENT = 2 * 128 * 128, 8
TILE_PRODUCTS = 36.0  # Winograd with 4 x 4 results per tile
FUSED_TILES, FUSED_CHANNELS, FUSED_PRODUCTS = 32.0, 64.0, 16.0  # Winograd in one kernel, 2 x 2 results per tile
ROUNDING = 1e-9
_BYTES = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0}
_CONTRACTIONS = ("gemm", "convolution")
_STREAMS = ("pointwise", "pooling", "copy", "reduction", "normalization")
_ROWS = ("layer_norm", "group_norm", "rms_norm")

Column = Any
"""One number, or one per point."""


class _Constants(dict[str, float]):
    """Constants of a machine by name, cached; an unset one has the default of its row."""

    def __init__(self, machine: Any) -> None:
        super().__init__()
        self._machine = machine

    def __missing__(self, name: str) -> float:
        self[name] = self._machine.constant(name)
        return self[name]


class NumpyEvaluator:
    """Evaluator of a plan on a GPU.

    Args:
        plan: A plan with one symbolic size and only streaming kernels and products.
        machine: A GPU.
        precision: Dtype of products: float32, float16 or bfloat16.

    Raises:
        ValueError: The plan has a kernel of another kind.
    """

    def __init__(self, plan: Any, machine: Any, precision: str) -> None:
        self.machine = machine
        self.constants = _Constants(machine)
        self.operand_bytes = _BYTES[precision]
        self.matrix = machine.matrix_flop_per_s.get(precision, 0.0) * _reached(machine, "matrix", precision)
        self.vector = machine.vector_flop_per_s.get(precision, 0.0) * _reached(machine, "vector", precision)
        self.on_matrix = self.matrix >= self.vector
        self.core_s_per_flop = machine.cores / max(self.matrix, self.vector)
        self.dram_s = 1.0 / (machine.bandwidth_byte_per_s * machine.achieved.get("dram", 1.0))
        _, last_capacity, last_bandwidth = machine.memory[-2]
        self.last_capacity = last_capacity * self.constants["stream.resident"]
        self.cache_s = 1.0 / (last_bandwidth * machine.achieved.get("cache", 1.0))
        over = machine.overheads_s
        self.gap_s = over["replay_gap" if plan.execution == "cuda_graph" else "launch_gap"]
        issue_s = {"eager": over["dispatch"], "compiled": self.constants["forward.compiled_dispatch_s"]}
        self.host_s = issue_s.get(plan.execution, 0.0) * plan.launch_count
        self.start_s = 0.0 if plan.execution == "cuda_graph" else self.constants["forward.start_s"]
        self.kernels = [_Kernel(kernel) for kernel in plan.kernels()]

    def latency_s(self, sizes: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """Return latencies by size; no weight stays in a cache between forwards, regardless of the footprint."""
        del footprint
        out = np.empty(len(sizes))
        for first in range(0, len(sizes), CHUNK):
            part = slice(first, first + CHUNK)
            x = sizes[part].astype(np.float64)
            device_s = np.zeros(len(x))
            for kernel in self.kernels:
                device_s += kernel.launches * self._kernel_s(kernel, x)
            # The host issues operators while the device runs earlier ones.
            out[part] = device_s + (self.start_s + np.maximum(0.0, self.host_s - device_s))
        return out

    def _of(self, kernel: _Kernel, key: str) -> float:
        return self.constants[f"kernel.{kernel.family}.{key}"]

    def _tiles(self, kernel: _Kernel, key: str) -> float:
        if self.on_matrix:
            return self.constants[f"tiles_matrix.{key}"]
        return self.constants[f"tiles_{'convolution' if kernel.kind == 'convolution' else 'vector'}.{key}"]

    def _own(self, kernel: _Kernel, key: str, otherwise: float) -> float:
        """Return a constant that products have of their own; convolutions on the matrix unit have none."""
        own = otherwise if kernel.kind == "convolution" and self.on_matrix else self._tiles(kernel, key)
        return otherwise if np.isnan(own) else own

    def _kernel_s(self, kernel: _Kernel, x: np.ndarray) -> np.ndarray:
        contraction = kernel.kind in _CONTRACTIONS
        floor_s = self.gap_s + self._of(kernel, "minimum_s")
        slower = 1.0 / self._of(kernel, "dram")
        others, written = kernel.others(x), kernel.written(x)
        if not contraction:
            turnaround = self.constants["stream.turnaround"] * np.minimum(others - written, written)
            across = self.constants["stream.strided"] * kernel.strided(x)
            fits = self.last_capacity >= kernel.weights + others
            cold = np.where(fits, 0.0, others + turnaround + across)
            dram_s = (cold + kernel.weights) * (self.dram_s * slower)
            cache_s = (kernel.weights + others) * self.cache_s
            compute_s = kernel.pointwise(x) / self.vector
            if (issued := self._of(kernel, "issue_byte_per_clock")) > 0:
                per_s = issued * self.machine.clock_hz * self.machine.cores
                compute_s = np.maximum(compute_s, written / per_s)
            return floor_s + np.maximum(np.maximum(compute_s, dram_s), cache_s)
        floor_s += self._own(kernel, "minimum_s", 0.0)
        slower /= self._own(kernel, "dram", 1.0)
        compute = self._of(kernel, "compute") * self._own(kernel, "compute", 1.0)
        compute *= self._own(kernel, "with_weights", 1.0) if kernel.weights > 0 else 1.0
        compute_s = self._product_s(
            kernel, self.core_s_per_flop / compute, kernel.batch, kernel.m(x), kernel.n, kernel.k
        )
        if kernel.tiles_4(1.0) > 0 and not self.on_matrix and self.constants["winograd.fused"] > 0:
            compute_s = np.minimum(compute_s, self._winograd_s(kernel, x))
        grouped = kernel.kind == "convolution" and kernel.batch != 1
        direct = self.vector * self._own(kernel, "direct", self._direct_share(kernel) if grouped else 0.0)
        if direct > 0:
            compute_s = np.minimum(compute_s, kernel.flops(x) / direct)
        dram_s = (kernel.weights + others) * (self.dram_s * slower)
        rest_s = self._tiles(kernel, "exposed_memory") * np.minimum(compute_s, dram_s)
        compute_s = np.maximum(compute_s, kernel.pointwise(x) / self.vector)
        cache_s = (kernel.weights + others) * self.cache_s
        busy_s = np.maximum(np.maximum(compute_s, dram_s), cache_s) + rest_s
        if kernel.channels_first and self.on_matrix and kernel.family != "depthwise":
            busy_s += others * (self.constants["stream.transposed"] * self.dram_s)
        return floor_s + busy_s

    def _direct_share(self, kernel: _Kernel) -> float:
        """Return the efficiency of grouped convolutions on the vector unit; windows beyond 7 x 7 are not supported."""
        if kernel.family != "depthwise":
            return self.constants["kernel.depthwise.grouped"]
        last = 1.0 if kernel.channels_first else self.constants["kernel.depthwise.channels_last"]
        return self.constants["kernel.depthwise.compute"] * last

    def _product_s(
        self, kernel: _Kernel, core_s_per_flop: float, batch: float, m: Column, n: float, k: float
    ) -> np.ndarray:
        """Return the cores' time for a batch of products [m, k] x [k, n], with the best tile of the menu."""
        cores = self.machine.cores
        depth_s = 2.0 * core_s_per_flop * (k + self._tiles(kernel, "depth_overhead"))
        page_bytes = self._tiles(kernel, "page_bytes")
        if page_bytes > 0:
            beyond = np.clip(k * self.operand_bytes / page_bytes - 1, 0.0, self._tiles(kernel, "page_most"))
            depth_s *= 1 + self._tiles(kernel, "page_cost") * beyond
        latency_s = k * self._tiles(kernel, "operand_s_per_element")
        exposed, round_s = self._tiles(kernel, "exposed_operands"), self._tiles(kernel, "round_s")
        most_parts = np.clip(np.floor(k / self._tiles(kernel, "split_length")), 1.0, self._tiles(kernel, "most_splits"))
        part_s = self._tiles(kernel, "split_bytes") * 8 * self.dram_s * batch * m * n
        best_s = np.full(len(m), np.inf)
        for rows, cols in MATRIX_TILES if self.on_matrix else VECTOR_TILES:
            tiles = np.ceil(m / rows) * (np.ceil(n / cols) * batch)
            parts = np.clip(np.floor(cores / tiles + ROUNDING), 1.0, most_parts)
            of_a_core = np.ceil(tiles / cores * parts - ROUNDING)
            resident = min(RESIDENT_ELEMENTS / (rows * cols), MOST_RESIDENT)
            rounds = np.maximum(1 / of_a_core, 1 / resident)  # per tile of a core
            results = rows * cols * (1 + self._tiles(kernel, "edge") * (64 / rows + 64 / cols - 1))
            busy_s, waited_s = depth_s * results / parts, latency_s / parts * rounds
            tile_s = np.maximum(busy_s, waited_s) + exposed * np.minimum(busy_s, waited_s) + rounds * round_s
            split_s = np.where(parts > 1, self._tiles(kernel, "split_s") + parts * part_s, 0.0)
            best_s = np.minimum(best_s, of_a_core * tile_s + split_s)
        return np.maximum(0.0, best_s - round_s)

    def _winograd_s(self, kernel: _Kernel, x: np.ndarray) -> np.ndarray:
        """Return the faster of F(4x4, 3x3) with separate transform kernels and F(2x2, 3x3) in one kernel."""
        core_s_per_flop, channels, results = self.core_s_per_flop, kernel.k / 9, kernel.n
        pass_s = self.constants["winograd.passes"] * self.dram_s * self.operand_bytes
        tiles = kernel.tiles_4(x)
        products_s = self._product_s(
            kernel,
            core_s_per_flop / self.constants["winograd.products"],
            TILE_PRODUCTS,
            tiles,
            results,
            channels,
        )
        weights_s = channels * results * (9 + TILE_PRODUCTS) * pass_s + 3 * self.gap_s
        values_s = (kernel.m(x) + TILE_PRODUCTS * tiles) * (channels + results) * pass_s
        separate_s = weights_s + values_s + products_s
        depth = 8 * np.ceil(channels / 8) + self._tiles(kernel, "depth_overhead")
        block = 2 * FUSED_PRODUCTS * FUSED_TILES * FUSED_CHANNELS * depth
        block_s = block * core_s_per_flop / self.constants["winograd.fused"]
        blocks = np.ceil(kernel.tiles_2(x) / FUSED_TILES) * np.ceil(results / FUSED_CHANNELS)
        fused_s = np.ceil(blocks / self.machine.cores - ROUNDING) * block_s + self.gap_s
        return np.minimum(separate_s, fused_s)


class _Line:
    """A quantity that is linear in the symbolic size."""

    def __init__(self, quantity: int | Expr) -> None:
        self.constant, self.slope = float(quantity) if isinstance(quantity, int) else 0.0, 0.0
        if isinstance(quantity, int):
            return
        (name,) = quantity.names
        at = [quantity.evaluate({name: value}) for value in (2, 3, 5)]
        self.slope = float(at[1] - at[0])
        self.constant = at[0] - 2 * self.slope
        if at[2] - at[1] != 2 * self.slope:
            raise ValueError(f"{quantity} is not linear in {name}")

    def __call__(self, x: Column) -> Column:
        return self.constant + self.slope * x


class _Kernel:
    """Quantities of a kernel; functions of the symbolic size if they may depend on it."""

    def __init__(self, kernel: dict[str, Any]) -> None:
        work = kernel["work"]
        self.kind = self.family = work.kind
        if self.kind not in (*_CONTRACTIONS, *_STREAMS) or any(name in kernel["name"] for name in _ROWS):
            raise ValueError(f"{kernel['name']} is a kernel of kind {self.kind}; expected products and streams")
        self.launches = len(kernel["launches"])
        self.weights = float(work.bytes_by_role["weight_read"])
        self.others = _Line(work.bytes_read - work.bytes_by_role["weight_read"] + work.bytes_written)
        self.written = _Line(work.bytes_written)
        hints = kernel["hints"]
        self.strided = _Line(hints.strided_bytes)
        self.flops = _Line(work.contraction_flops)
        self.pointwise = _Line(work.pointwise_flops)
        self.channels_first = hints.channels_first
        if self.kind not in _CONTRACTIONS:
            return
        dimensions = work.dimensions
        self.batch, self.n, self.k = (float(dimensions[name]) for name in ("batch", "n", "k"))
        self.m = _Line(dimensions["m"])
        self.tiles_2, self.tiles_4 = _Line(hints.winograd_tiles_2), _Line(hints.winograd_tiles_4)
        if self.kind == "convolution" and self.k == dimensions["filter_elements"] and self.batch != 1:
            self.family = "depthwise"


def _reached(machine: Any, engine: str, precision: str) -> float:
    return float(machine.achieved.get(f"{engine}_{short_dtype(precision)}", machine.achieved.get(engine, 1.0)))
