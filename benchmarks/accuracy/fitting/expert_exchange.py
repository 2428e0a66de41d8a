"""Fit of `[expert_dispatch]` and `[expert_combine]` to the exchange of experts' tokens.

    python -m benchmarks.accuracy.fitting.expert_exchange [MEASURED]

prints the constants and their errors, by direction, mode and number of nodes. All rows are of one device, so that
nothing can be left out; constants are those of all GPUs.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

from ..calls import Call
from ..measured import Problems, read_table
from ..tables.collectives import expert_all_to_all
from .calls import figures, fit_calls, logs_of, spread, toml
from .parameters import Parameter

TABLE = "expert_all_to_all"

_STARTS = {
    "dispatch": {
        "low_latency_us": 8.5, "expert_us": 0.0152, "low_latency_share": 0.563, "expert_gb_per_s": 3.85,
        "low_latency_network_us": 4.7, "low_latency_node_us": 3.7, "normal_us": 25.3, "normal_us_per_kib": 0.16,
        "normal_network_us": 0.5, "normal_node_us": 5.8, "token_us": 0.31, "copy_us": 0.069,
        "token_us_per_kib": 0.016, "copy_us_per_kib": 0.038, "node_us_per_kib": 0.08, "normal_share": 0.63,
        "network_share": 0.93,
    },
    "combine": {
        "low_latency_us": 10.1, "expert_us": 0.0063, "low_latency_share": 0.489, "low_latency_network_us": 12.3,
        "low_latency_node_us": 0.8, "normal_us": 25.6, "normal_us_per_kib": 1.56, "normal_network_us": 4.3,
        "normal_node_us": 3.7, "token_us": 0.096, "copy_us": 0.014, "token_us_per_kib": 0.106,
        "copy_us_per_kib": 0.031, "node_us_per_kib": 0.18, "normal_share": 0.63, "network_share": 0.93,
    },
}  # fmt: skip
"""Start values, from lines through the rows of one mode each; no start was tuned to other rows."""


def parameters_of(op: str) -> tuple[Parameter, ...]:
    """Return the unknowns of a direction."""
    return tuple(
        Parameter(
            "gpu",
            f"expert_{op}.{key}",
            start,
            start / 20,
            min(start * 20, 1.0) if key.endswith("share") else start * 20,
            (TABLE,),
        )
        for key, start in _STARTS[op].items()
    )


def main(measured: str = "../shared/measured") -> None:
    """Print the constants and their errors."""
    calls = expert_all_to_all(read_table(Path(measured, f"{TABLE}.csv"), Problems()))
    for op in _STARTS:
        some = [call for call in calls if call.op == op]
        fit = fit_calls(parameters_of(op), some, table=TABLE)
        print(toml("gpu", fit.generic), end="\n\n")
        print(figures(op, logs_of(some, fit)), f"spread {spread(logs_of(some, fit)):.3f}")
        parts: dict[str, list[Call]] = defaultdict(list)
        for call in some:
            parts[f"{call.kernel}, nodes: {call.nodes}"].append(call)
        for part, chosen in parts.items():
            print(figures(f"{op}, {part}", logs_of(chosen, fit)))


if __name__ == "__main__":
    main(*sys.argv[1:])
