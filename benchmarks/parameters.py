"""Parameters and targets of the benchmarks in one place, so that all of them measure the same things."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "tests" / "support" / "configs"

# Rounds of interleaved pairs. The median of an odd number of values is a measured value.
CALL_ROUNDS = 15
PROCESS_ROUNDS = 9
SLOW_ROUNDS = 5

# Capture. Lengths in tokens.
SEQUENCE = 128
CONTEXT = 2048
FIXED_SIZE_MODELS = ("resnet50", "vit_b_16", "bert-base", "llama-small")
RESIDENT_MODELS = ("resnet50", "llama-small")
LARGE_MODELS = ("llama-3-8b", "mixtral-8x7b", "llama-3.1-405b")
PHASES = ("prefill", "decode")
HARDWARE = "h100-sxm-80gb"
PRECISION = "bf16"

# Scale: nodes in a graph.
SMALLEST_GRAPH = 1_000
GRAPHS = (1_000, 10_000, 100_000, 1_000_000)
JSON_NODES = 100_000
SLOW_FROM_NODES = 100_000

# Sweep.
SWEEP_POINTS = 1_000_000
SWEEP_HARDWARE = "a100-sxm-80gb"
SWEEP_NUMPY_POINTS = 100_000
SWEEP_SAMPLE = 10_000
SWEEP_STORED_POINTS = 10**8

# Fronts: rows of a table of costs.
FRONT_ROWS = 10**7
FRONT_NUMPY_ROWS = 10**6

# Scans of weights: memory much larger than the last cache.
SCAN_MB = 512
SCAN_COLUMNS = 4096

# Targets, as upper limits: ratios to the baseline's time, seconds, or bytes.
MAX_RATIO = {
    "capture / FlopCounterMode": 0.9,
    "capture / bare forward": 1.2,
    "archive / import torch": 1 / 3,
    "import pyinfercost / import numpy": 1.5,
    "profile hf / bare script": 1.3,
    "sweep / numpy": 1 / 20,
    "sweep / plain roofline": 2.0,
    "sweep / retracing": 1e-5,
    "two threads / one": 1 / 1.8,
    "scan float32 / plain read": 1 / 0.9,
    "scan bfloat16 / plain read": 1 / 0.7,
    "scan int8 / plain read": 1 / 0.7,
    "scan / count_nonzero": 1 / 1.8,
}
MIN_POINTS_PER_S = {"one machine": 3_000_000, "sweep()": 7_000_000, "many machines": 4_000_000, "layouts": 1_000_000}
MAX_STORED_S = 120.0
MAX_SYMBOLIC_CAPTURE_S = 2.5
MAX_MILLION_NODES_S = 2.0
MAX_FRONT_S = {2: 2.0, 3: 10.0}
"""By the number of objectives."""
MAX_RESIDENT_BYTES = 2 * 10**9

# Simulated servers, on one core.
SERVED_REQUESTS = 300_000
SERVED_DAY = 10**7
MIN_REQUESTS_PER_S = 1e6
MIN_STEPS_PER_S = 5e6
MIN_STATES_PER_S = 1e6
MAX_DAY_S = 20.0
MAX_DAY_BYTES = 10**9
