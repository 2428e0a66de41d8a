"""Which tests run: the files of `pytest -m quick`, and by default those cases that `@pytest.mark.sample` keeps."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from support.paths import TESTS

QUICK: dict[str, tuple[str, ...]] = {
    "": ("cache", "codebase", "errors", "exports", "minimal", "records", "stubs"),
    "accuracy": ("command_line", "predictions"),
    "advice": ("published",),
    "agreement": ("doors",),
    "cli": ("advise", "arguments", "cli", "configuration", "diff_fleets", "fleet", "sweep_tables"),
    "core": (
        "collective_ops", "counts", "cpu_model", "expr", "gpu_kernels", "graph", "memory", "plan", "reference",
        "traffic",
    ),
    "deployment": ("deployment", "instances", "layout", "money"),
    "docs": ("docs",),
    "fleets": ("autoscaler_steps", "fleet", "fleet_events"),
    "formats": ("experts", "stored_checkpoints"),
    "hardware": ("catalog", "files", "identify", "json"),
    "inputs": ("autoscalers", "settings"),
    "measuring": ("energy_meter", "measure", "nvml"),
    "monitor": ("asgi", "drift", "export_prometheus", "log", "monitor", "sinks"),
    "peers": ("flop_counters",),
    "predict": ("compare", "energy", "estimate", "layouts", "stages", "training_memory"),
    "report": ("colors", "devices", "fleets", "glossary", "html", "report", "terminal", "traces"),
    "results": ("figures", "folded_layers", "verbs"),
    "scan": ("activations", "files", "sparsity_torch"),
    "serving": ("clusters", "queues", "serve", "traffic", "workload"),
    "sources": ("export", "gguf_header", "graph_file", "onnx", "roles", "trace", "training_step", "values"),
    "sweeps": ("choosing", "frames", "layouts", "sweep"),
    "tradeoffs": ("allocation", "break_even", "rounding"),
    "training": ("inputs", "tracker"),
    "transform": ("channel_widths", "whatif"),
    "zoo": ("second_counter", "zoo_runner"),
}  # fmt: skip
"""Room -> names of its files, without `test_`; together they take less than a minute."""

FILES = frozenset(TESTS / room / f"test_{name}.py" for room, names in QUICK.items() for name in names)


def is_quick(path: Path) -> bool:
    """Return whether all tests of a file are of `-m quick`, but for slow ones."""
    return path in FILES


GOLDEN_RATIO = (5**0.5 - 1) / 2


def sampled(cases: int, wanted: int) -> set[int]:
    """Return the places of some cases, the first among them, spread over a list, and over the axes of a product."""
    kept: set[int] = set()
    for step in count():
        if len(kept) >= min(wanted, cases):
            return kept
        kept.add(int(cases * (step * GOLDEN_RATIO % 1)))
    return kept
