"""Fitted constants of CPUs, by kind of loop and product. Rates are per cycle and core, so that they transfer."""

from __future__ import annotations

from .parameters import Parameter

_WHOLE = ("models_vision",)


# The tables have one CPU, whose rows determine the values; differences between families are unknown.
_SD = 3.0


def _cpu(key: str, start: float, low: float, high: float, sd: float = _SD, family_sd: float = 0.0) -> Parameter:
    return Parameter("cpu", key, start, low, high, _WHOLE, sd, family_sd)


# The minimum of a product, parallel regions and the packing of weights are set by hand: on one CPU of 14 cores, the
# rows do not tell them apart from the launch of a kernel and from memory.
SHARED = ("x86-avx512",)

OVERHEADS = (
    _cpu("overheads.launch_gap_us", 2.0, 0.05, 20.0),
    _cpu("cpu.convolution_us", 60.0, 0.1, 200.0),
    _cpu("cpu.page_fault_us", 0.5, 0.01, 3.0),
)

PRODUCTS = (
    _cpu("achieved.vector", 0.6, 0.3, 1.0, 1.0, 0.1),  # families with published values keep their own
    _cpu("cpu.pixelwise", 0.8, 0.1, 1.5),
    _cpu("cpu.convolution", 1.2, 0.1, 3.0),
    _cpu("cpu.grouped", 0.5, 0.01, 3.0),
    _cpu("cpu.depthwise", 0.2, 0.01, 1.5),
    _cpu("cpu.attention", 0.4, 0.05, 1.5),
)

MEMORY = (
    _cpu("achieved.dram", 0.75, 0.4, 1.0, 1.0),
    _cpu("achieved.cache", 0.6, 0.1, 1.0, 0.5),
)

LOOPS = (
    _cpu("cpu.compiled_special_per_clock_per_core", 0.8, 0.05, 5.0),
    _cpu("cpu.compiled_row_per_clock_per_core", 0.5, 0.02, 10.0),
    _cpu("cpu.scattered_per_clock_per_core", 0.15, 0.01, 5.0),
    _cpu("cpu.compiled_softmax_per_clock_per_core", 0.3, 0.02, 5.0),
    _cpu("cpu.compiled_window_per_clock_per_core", 0.5, 0.01, 20.0),
    _cpu("cpu.transpose_per_clock_per_core", 1.0, 0.05, 10.0),
)

PARAMETERS = (*OVERHEADS, *PRODUCTS, *MEMORY, *LOOPS)
