"""Compare decode steps of an engine's graph with sums of kernels that others measured.

    python -m benchmarks.engine_steps --measured DIR [--engine vllm] [--rows]

For Llama-2-7B, Llama-3-8B and 70B on an A100, the layers of `llm_layers.csv` and the attention of `attention.csv` are
added up to the layers of a decode step, and compared with the engine's. Rows of layers at the batch are interpolated
between the nearest measured numbers of tokens; below the least of them they are constant. Then the rate of a Llama-2-7B
in three formats is compared with figures that were published for compiled graphs at batch 1. Last, the time per output
token of one-GPU servers of Llama-3.1-8B in `serving.csv` is compared with a decode step at the concurrency and the mean
context; with more clients, prefills between decode steps make a server slower than that.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

import pyinfercost as ic
from pyinfercost.sources.captured import graph_over

from .parameters import CONFIGS

DEVICE = "a100-sxm-80gb"
MODELS = {
    "meta-llama/Llama-2-7b-hf": "llama-2-7b",
    "meta-llama/Meta-Llama-3-8B": "llama-3-8b",
    "meta-llama/Meta-Llama-3-70B": "llama-3-70b",
}
OPS = {
    "aten.linear": ("attn_pre_proj", "attn_post_proj", "mlp_up_proj", "mlp_down_proj"),
    "engine.add_norm": ("input_layernorm", "post_attention_layernorm"),
    "engine.rotary": ("attn_rope",),
    "engine.activation": ("mlp_act",),
}
ATTENTION = "aten.scaled_dot_product_attention"
BATCHES, CONTEXTS = range(1, 257), range(128, 8193)
PUBLISHED = {None: 94, "int8_wo": 140, "int4_wo": 200}  # tokens a second of a 7B model, gpt-fast on an A100
_OF_7B = "llama-2-7b"


@dataclass(frozen=True)
class Step:
    """One decode step: microseconds of its kernels by op, measured and predicted."""

    model: str
    batch: int
    context: int
    measured_us: Mapping[str, float]
    predicted_us: Mapping[str, float]

    @property
    def error(self) -> float:
        return sum(self.predicted_us.values()) / sum(self.measured_us.values()) - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", type=Path, required=True, help="folder of measured tables")
    parser.add_argument("--engine", default="vllm")
    parser.add_argument("--rows", action="store_true", help="print every step")
    arguments = parser.parse_args()
    steps = list(decode_steps(arguments.measured, arguments.engine))
    if arguments.rows:
        for step in steps:
            print(f"{step.model:28} batch {step.batch:3} context {step.context:5} {step.error:+.1%}")
    print(
        "| model | steps | mean error | greatest | " + " | ".join(op.split(".")[1] for op in (*OPS, ATTENTION)) + " |"
    )
    print("|---" * (4 + len(OPS) + 1) + "|")
    for model in MODELS:
        summary(model, [step for step in steps if step.model == model])
    summary("all", steps)
    print("\n| format | tokens a second | published | ratio |\n|---|---|---|---|")
    for form, published in PUBLISHED.items():
        predicted = rate_of(form, arguments.engine)
        print(f"| {form or 'fp16'} | {predicted:.0f} | {published} | {predicted / published:.2f} |")
    print("\n| server | concurrency | rows | step / time per output token, median |\n|---|---|---|---|")
    for (server, concurrency), ratios in sorted(of_servers(arguments.measured).items()):
        print(f"| {server} | {concurrency} | {len(ratios)} | {np.median(ratios):.2f} |")


def decode_steps(folder: Path, engine: str) -> Iterator[Step]:
    """Yield the steps whose kernels were all measured."""
    layers = _layer_times(folder / "llm_layers.csv")
    attention = _attention_times(folder / "attention.csv")
    for model, config in MODELS.items():
        spec = f"hf:{CONFIGS / config}.json#decode"
        graph = graph_over(spec, {"batch": [2, 3], "context": [128, 256]}).graph
        heads, kv_heads = (32, 32) if config == _OF_7B else (64, 8) if config == "llama-3-70b" else (32, 8)
        count = 80 if config == "llama-3-70b" else 32
        for (batch, context), attention_us in sorted(attention[heads, kv_heads].items()):
            if batch not in BATCHES or context not in CONTEXTS:
                continue
            estimate = ic.estimate(
                graph, hardware=DEVICE, engine=engine, precision="fp16", batch=batch, context=context
            )
            predicted: dict[str, float] = defaultdict(float)
            for layer in estimate.layers:
                if ".layers." in layer.module and layer.op in (*OPS, ATTENTION):
                    predicted[layer.op] += layer.latency_s * 1e6
            measured = {op: count * sum(_at(layers[model][name], batch) for name in names) for op, names in OPS.items()}
            yield Step(model, batch, context, {**measured, ATTENTION: count * attention_us}, predicted)


def summary(name: str, steps: list[Step]) -> None:
    """Print a line of the table: errors, and predicted / measured by op."""
    errors = np.abs([step.error for step in steps])
    ratios = [np.mean([step.predicted_us[op] / step.measured_us[op] for step in steps]) for op in (*OPS, ATTENTION)]
    shown = " | ".join(f"{ratio:.2f}" for ratio in ratios)
    print(f"| {name} | {len(steps)} | {errors.mean():.1%} | {errors.max():.1%} | {shown} |")


def rate_of(form: str | None, engine: str) -> float:
    """Return the tokens a second of Llama-2-7B at batch 1 with a short context."""
    graph = ic.capture(f"hf:{CONFIGS / _OF_7B}.json#decode", sizes={"context": 128})
    if form is not None:
        graph = ic.whatif(graph, quantize=form)
    estimate = ic.estimate(graph, hardware=DEVICE, engine=engine)
    # Published for torch.compile: without the host of a server.
    return 1 / sum(layer.latency_s for layer in estimate.layers if layer.op != "engine.sample")


def of_servers(folder: Path) -> dict[tuple[str, int], list[float]]:
    """Return predicted step / measured time per output token, by server and concurrency."""
    graph = graph_over(f"hf:{CONFIGS / 'llama-3-8b'}.json#decode", {"batch": [2, 3], "context": [128, 256]}).graph
    found: dict[tuple[str, int], list[float]] = defaultdict(list)
    with (folder / "serving.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["tensor_parallel"] != "1" or row["model"] != "meta-llama/Llama-3.1-8B-Instruct":
                continue
            concurrency = int(row["concurrency"])
            step = ic.estimate(
                graph,
                hardware=row["device"],
                engine=row["server"],
                sustained=True,
                batch=concurrency,
                context=int(row["input_tokens"]) + int(row["output_tokens"]) // 2,
            )
            found[row["server"], concurrency].append(step.latency_s * 1e3 / float(row["tpot_ms"]))
    return found


def _layer_times(path: Path) -> dict[str, dict[str, dict[int, float]]]:
    times: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["num_tensor_parallel_workers"] == "1":
                times[row["model"]][row["op"]][int(row["num_tokens"])] = float(row["latency_us"])
    return times


def _attention_times(path: Path) -> dict[tuple[int, int], dict[tuple[int, int], float]]:
    times: dict[tuple[int, int], dict[tuple[int, int], float]] = defaultdict(dict)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            wanted = row["device"] == DEVICE and row["phase"] == "generation" and row["head_dim"] == "128"
            if wanted and row["kv_dtype"] == "bfloat16":
                point = int(row["batch"]), int(row["context_tokens"])
                times[int(row["heads"]), int(row["kv_heads"])][point] = float(row["latency_us"])
    return times


def _at(points: Mapping[int, float], tokens: int) -> float:
    known = sorted(points)
    for before, after in pairwise(known):
        if before <= tokens <= after:
            return points[before] + (points[after] - points[before]) * (tokens - before) / (after - before)
    return points[known[0] if tokens < known[0] else known[-1]]


if __name__ == "__main__":
    main()
