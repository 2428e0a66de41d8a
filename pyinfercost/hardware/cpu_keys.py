"""Names of a CPU's constants: table `[cpu]` of a calibration, in the units of the files."""

from __future__ import annotations

CPU_LOOPS = ("special", "library", "row", "softmax", "window", "scattered", "transpose", "copying")
"""Loops that cost more than their arithmetic, as the core spells them. `copying` is what a library of convolutions does
to activations that come with channels outermost."""

MEASURED_LOOPS = ("special", "library", "row", "softmax", "window", "transpose")
"""Those that a calibration runs as they are. What a compiler makes of a scattered row is known of families only."""

COMPILED_LOOPS = ("special", "row", "softmax", "window")
"""Those that a compiler writes anew, and not as fast or as slow as they are in eager execution."""

CPU_SHARES = ("product", "pixelwise", "convolution", "grouped", "depthwise", "attention")
"""Kinds of products, each as a share of what [achieved] says of matrix products. A 1x1 convolution is `pixelwise`."""

CPU_RATES = (
    *(f"{loop}_per_clock_per_core" for loop in CPU_LOOPS),  # elements
    *(f"compiled_{loop}_per_clock_per_core" for loop in COMPILED_LOOPS),
    # Elements of weights that come from memory, of the whole machine: they hardly grow with threads.
    "packing_per_clock",
    "gemv_per_clock",
    "compiled_grain",  # elements for each thread, below which a compiler shares a loop with no other
    *CPU_SHARES,
)

CPU_TIMES = (
    "convolution_us",  # of a convolution beyond another op: its descriptors are looked up
    "parallel_region_us_per_thread",
    "page_fault_us",
)

PAGE_BYTES = 4096
