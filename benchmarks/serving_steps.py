"""Compare the time per output token of servers on several devices with decode steps of one rank.

    python -m benchmarks.serving_steps --measured DIR [--device h100-sxm-80gb] [--most 8]

Rows of `serving.csv` of vLLM with at most `--most` clients and tensor parallelism. Predicted is a decode step at the
number of clients and the mean context, and the prefills of the other clients, spread over the tokens of an answer.
Settings are those of the launch script and of the version: scheduling beside the device, the dtype of the cache. Tokens
choose experts at random. Nothing is fitted to these rows but the time of the host.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import pyinfercost as ic
from pyinfercost.sources.captured import graph_over

from .accuracy.recipes.serving_models import config_of

PRECISIONS = {"Qwen/Qwen3-32B": "bf16", "meta-llama/Llama-3.1-70B": "fp8", "openai/gpt-oss-120b": "fp4"}
"""The precision of the rows of each model."""


MIXTURES = ("openai/gpt-oss-120b",)


def configs() -> dict[str, dict[str, Any]]:
    """Return the config of each model by its name in the table."""
    known = {model: config_of(model, precision) for model, precision in PRECISIONS.items()}
    return {model: config for model, config in known.items() if config is not None}


class Run(NamedTuple):
    """Rows of one server: what its launch script and its version say."""

    model: str
    tensor: int
    clients: int
    prompt: int
    answer: int
    hides_host: bool
    narrow_cache: bool


_HIDES_HOST = (0, 14)
"""First version whose servers schedule a step while the device works on the one before, unless told otherwise."""


def runs(folder: Path, device: str, most: int) -> dict[Run, list[float]]:
    """Return the times per output token of each server of vLLM with tensor parallelism, in milliseconds."""
    scripts = json.loads((folder / "serving.scripts.json").read_text(encoding="utf-8"))
    found: dict[Run, list[float]] = defaultdict(list)
    with (folder / "serving.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            of = (row["device"], row["server"], row["expert_parallel"])
            if of != (device, "vllm", "1") or int(row["concurrency"]) > most:
                continue
            script = str(scripts.get(row["script"], {}).get("text", ""))
            version = tuple(int(part) for part in row["version"].split(".") if part.isdigit())
            run = Run(
                row["model"],
                tensor=int(row["tensor_parallel"]),
                clients=int(row["concurrency"]),
                prompt=int(row["input_tokens"]),
                answer=int(row["output_tokens"]),
                hides_host="async-scheduling: true" in script or version >= _HIDES_HOST,
                narrow_cache="kv-cache-dtype: fp8" in script,
            )
            found[run].append(float(row["tpot_ms"]))
    return found


def predicted_ms(run: Run, device: str, graphs: tuple[ic.Graph, ic.Graph]) -> float:
    """Return a decode step, and what the prefills of the other clients add to it."""
    layout = ic.Layout(tensor=run.tensor, expert_load="random" if run.model in MIXTURES else "balanced")
    serving = ic.EngineSettings(async_scheduling=run.hides_host)
    on = ic.Deployment(hardware=device, engine="vllm", layout=layout, serving=serving, sustained=True)
    decode, prefill = (ic.whatif(graph, kv_cache="fp8") if run.narrow_cache else graph for graph in graphs)
    step = ic.estimate(decode, on=on, sizes={"batch": run.clients, "context": run.prompt + run.answer // 2})
    read = ic.estimate(prefill, on=on, sizes={"batch": 1, "sequence": run.prompt})
    return 1e3 * (step.latency_s + read.latency_s * (run.clients - 1) / run.answer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", type=Path, required=True)
    parser.add_argument("--device", default="h100-sxm-80gb")
    parser.add_argument("--most", type=int, default=8, help="clients")
    arguments = parser.parse_args()
    known = configs()
    servers = runs(arguments.measured, arguments.device, arguments.most)
    print("| model | devices | clients | prompt | answer | measured ms | predicted / measured |")
    print("|---|---|---|---|---|---|---|")
    ratios: dict[Run, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for model, config in known.items():
            path = Path(folder) / model.replace("/", "-")
            path.mkdir()
            (path / "config.json").write_text(json.dumps(config), encoding="utf-8")
            decode = graph_over(f"hf:{path}#decode", {"batch": [2, 3], "context": [1000, 2000]}).graph
            prefill = graph_over(f"hf:{path}#prefill", {"batch": [1, 2], "sequence": [1000, 2000]}).graph
            for run, measured in sorted(servers.items()):
                if run.model != model:
                    continue
                measured_ms = statistics.mean(measured)
                ratios[run] = predicted_ms(run, arguments.device, (decode, prefill)) / measured_ms
                print(
                    f"| {model} | {run.tensor} | {run.clients} | {run.prompt} | {run.answer} | {measured_ms:.2f} "
                    f"| {ratios[run]:.2f} |"
                )
    for model in known:
        found = [ratio for run, ratio in ratios.items() if run.model == model]
        error = statistics.median(abs(ratio - 1) for ratio in found)
        steps = [abs(step - 1) for step in scaling(ratios, model)]
        print(
            f"{model}: {len(found)} rows, median error {100 * error:.1f} %, ratio {statistics.median(found):.2f}; "
            f"from one number of devices to the next median {100 * statistics.median(steps):.1f} %, "
            f"most {100 * max(steps):.1f} %"
        )
    error = statistics.median(abs(ratio - 1) for ratio in ratios.values())
    print(f"all: {len(ratios)} rows, median error {100 * error:.1f} %")


def scaling(ratios: dict[Run, float], model: str) -> list[float]:
    """Return predicted over measured speed-up, from each number of devices to the next one of the same clients."""
    found = []
    for run, ratio in ratios.items():
        if run.model != model:
            continue
        more = [other for other in ratios if other._replace(tensor=run.tensor) == run and other.tensor > run.tensor]
        if more:
            found.append(ratio / ratios[min(more)])
    return found


if __name__ == "__main__":
    main()
