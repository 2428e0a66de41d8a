"""Servers under load beside `aiconfigurator`, on the same measured rows.

    pip install aiconfigurator
    python -m benchmarks.against_aiconfigurator --measured DIR [--sample N]

Rows of `serving.csv` on H100 whose queue was not full. Both predict the time per output token at the row's clients,
lengths and devices: pyinfercost by its simulator, aiconfigurator by `cli_estimate` of aggregated serving with as large
a batch, with the formats of weights and caches of the row. Rows that it refuses are left out of both, and counted.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from pyinfercost.serving.runs import simulated

from .accuracy.captures import default_cache
from .accuracy.served import latencies, run_of
from .one_point import rows_of

NAMES = {
    "meta-llama/Llama-3.1-8B-Instruct": "meta-llama/Meta-Llama-3.1-8B",
    "meta-llama/Llama-3.1-70B": "meta-llama/Meta-Llama-3.1-70B",
}
"""Name of a model in the table -> that of its config in aiconfigurator."""
_QUANTIZED = ("Qwen/Qwen3-32B", "meta-llama/Llama-3.1-70B")
"""Models whose fp8 rows have weights that an engine quantized."""


def theirs(row: dict[str, str]) -> float:
    """Return the time per output token that aiconfigurator predicts, in seconds.

    Raises:
        Exception: It refuses the row.
    """
    from aiconfigurator.cli.api import cli_estimate

    options: dict[str, Any] = {}
    if row["precision"] == "fp8" and row["model"] in _QUANTIZED:
        options["gemm_quant_mode"] = "fp8"
        if row["server"] == "trtllm":
            options["kvcache_quant_mode"] = "fp8"
    mixture = int(row["expert_parallel"]) * int(row["moe_tensor_parallel"]) > 1
    if mixture:
        options |= {"moe_tp_size": int(row["moe_tensor_parallel"]), "moe_ep_size": int(row["expert_parallel"])}
    found = cli_estimate(
        NAMES.get(row["model"], row["model"]),
        "h100_sxm",
        mode="agg",
        backend_name=row["server"],
        isl=int(row["input_tokens"]),
        osl=int(row["output_tokens"]),
        batch_size=int(row["concurrency"]),
        tp_size=int(row["tensor_parallel"]),
        attention_dp_size=int(row["attention_data_parallel"]),
        **options,
    )
    return float(found.tpot) / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", type=Path, required=True)
    parser.add_argument("--sample", type=int, default=1, metavar="N", help="every Nth row of an engine and model")
    parser.add_argument("--cache", type=Path, default=default_cache())
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    print(f"{'engine':<8} {'model':<32} {'rows':>5} {'refused':>8}  mean (median) error: pyinfercost, aiconfigurator")
    every: dict[str, list[float]] = defaultdict(list)
    for (engine, model), rows in rows_of(options.measured, options.cache).items():
        errors: dict[str, list[float]] = {"own": [], "theirs": []}
        refused = 0
        for row, server in rows[:: options.sample]:
            if row["device"] != "h100-sxm-80gb":
                continue
            measured = float(row["tpot_ms"]) / 1e3
            other = float("nan")
            with contextlib.suppress(Exception):  # whatever it raises, it has no answer
                other = theirs(row)
            if not np.isfinite(other):
                refused += 1
                continue
            run = run_of(server.costs.predicted, server.workload, server.scheduler)
            own = float(np.mean(latencies(simulated(run)).tpot_s))
            errors["own"].append(abs(own / measured - 1))
            errors["theirs"].append(abs(other / measured - 1))
        if not errors["own"]:
            print(f"{engine:<8} {model:<32} {0:>5} {refused:>8}")
            continue
        text = ", ".join(f"{statistics.mean(each):.1%} ({statistics.median(each):.1%})" for each in errors.values())
        print(f"{engine:<8} {model:<32} {len(errors['own']):>5} {refused:>8}  {text}", flush=True)
        for name, values in errors.items():
            every[name] += values
    text = ", ".join(f"{statistics.mean(each):.1%} ({statistics.median(each):.1%})" for each in every.values())
    print(f"{'all':<41} {len(every['own']):>5} {'':>8}  {text}")


if __name__ == "__main__":
    main()
