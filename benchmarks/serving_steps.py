"""Compare the time per output token of servers on several devices with decode steps of one rank.

    python -m benchmarks.serving_steps --measured DIR [--device h100-sxm-80gb] [--most 8]

Rows of `serving.csv` of vLLM with at most `--most` clients and tensor parallelism. Predicted is a decode step at the
number of clients and the mean context, and the prefills of the other clients, spread over the tokens of an answer.
Nothing is fitted to these rows but the time of the host.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyinfercost as ic
from pyinfercost.sources.captured import graph_over

from .accuracy.recipes.serving_models import config_of

PRECISIONS = {"Qwen/Qwen3-32B": "bf16", "meta-llama/Llama-3.1-70B": "fp8", "openai/gpt-oss-120b": "fp4"}
"""The precision of the rows of each model."""


def configs() -> dict[str, dict[str, Any]]:
    """Return the config of each model by its name in the table."""
    known = {model: config_of(model, precision) for model, precision in PRECISIONS.items()}
    return {model: config for model, config in known.items() if config is not None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", type=Path, required=True)
    parser.add_argument("--device", default="h100-sxm-80gb")
    parser.add_argument("--most", type=int, default=8, help="clients")
    arguments = parser.parse_args()
    known = configs()
    rows: dict[tuple[str, int, int, int, int], list[float]] = defaultdict(list)
    with (arguments.measured / "serving.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            of = (row["device"], row["server"], row["expert_parallel"])
            if of != (arguments.device, "vllm", "1") or row["model"] not in known:
                continue
            names = ("tensor_parallel", "concurrency", "input_tokens", "output_tokens")
            tensor, clients, prompt, answer = (int(row[name]) for name in names)
            if clients <= arguments.most:
                rows[row["model"], tensor, clients, prompt, answer].append(float(row["tpot_ms"]))
    print("| model | devices | clients | prompt | answer | measured ms | predicted / measured |")
    print("|---|---|---|---|---|---|---|")
    ratios: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for model, config in known.items():
            path = Path(folder) / model.replace("/", "-")
            path.mkdir()
            (path / "config.json").write_text(json.dumps(config), encoding="utf-8")
            decode = graph_over(f"hf:{path}#decode", {"batch": [2, 3], "context": [1000, 2000]}).graph
            prefill = graph_over(f"hf:{path}#prefill", {"batch": [1, 2], "sequence": [1000, 2000]}).graph
            for (name, tensor, clients, prompt, answer), measured in sorted(rows.items()):
                if name != model:
                    continue
                on = ic.Deployment(hardware=arguments.device, engine="vllm", layout=f"tensor={tensor}", sustained=True)
                step = ic.estimate(decode, on=on, sizes={"batch": clients, "context": prompt + answer // 2})
                read = ic.estimate(prefill, on=on, sizes={"batch": 1, "sequence": prompt})
                predicted_ms = 1e3 * (step.latency_s + read.latency_s * (clients - 1) / answer)
                measured_ms = statistics.mean(measured)
                ratios[model].append(predicted_ms / measured_ms)
                print(
                    f"| {model} | {tensor} | {clients} | {prompt} | {answer} | {measured_ms:.2f} "
                    f"| {predicted_ms / measured_ms:.2f} |"
                )
    for model, found in ratios.items():
        error = statistics.median(abs(ratio - 1) for ratio in found)
        print(f"{model}: {len(found)} rows, median error {100 * error:.1f} %, ratio {statistics.median(found):.2f}")


if __name__ == "__main__":
    main()
