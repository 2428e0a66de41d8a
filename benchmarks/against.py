"""Rates of sweeps and of served requests compared with an earlier commit: `python benchmarks/against.py 92def65`.

The earlier commit is built into a separate folder. Each pair times both in sequence, in separate processes and on one
thread; a ratio is our rate over the earlier one of the same pair.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
TASKS = (
    "fp32, a million batch sizes",
    "fp16, a million batch sizes",
    "fp32, 500 bandwidths x 1,024 batch sizes",
    "fp16, 500 bandwidths x 1,024 batch sizes",
    "all GPUs x 13 bandwidths x 2 precisions x 1,024 batch sizes",
    "100,000 requests to 8 replicas",
)
LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "vocab_size": 32000,
    "torch_dtype": "bfloat16",
}

# Run by both: points of ResNet-50 and requests to a language model per second, the best of several turns, in wall-clock
# time and in CPU time.
_TIMED = """
import json, sys, time
from functools import partial
import pyinfercost as ic
from pyinfercost.hardware import describe, names
from pyinfercost.serving.serve import phases_of
graph = ic.Graph.from_json(open(sys.argv[1]).read())
one = {"hardware": "a100-sxm-80gb"}
few = {**one, "batch": range(1, 1025), "scale": {"bandwidth": [1 + n / 64 for n in range(500)]}}
grids = [{**axes, "precision": precision} for axes in ({**one, "batch": range(2, 1_000_002)}, few)
         for precision in ("fp32", "fp16")]
gpus = [name for name in names() if describe(name)["kind"] == "gpu" and not describe(name)["missing"]]
grids.append({"hardware": gpus, "batch": range(1, 1025), "precision": ["fp32", "fp16"],
              "scale": {"bandwidth": [1 + n / 4 for n in range(13)]}})
phases = phases_of("hf:model")
on = ic.Deployment(hardware="h100-sxm-80gb", engine="vllm", precision="bf16", price=2.5)
costs = ic.step_costs(phases.decode, phases.prefill, on=on.for_throughput(), context=1400)
workload = ic.Workload(rate_per_s=40, prompt=1000, output=200, requests=100_000)
def swept(axes):
    return len(ic.sweep(graph, workers=1, progress=False, **axes))
def served():
    ic.serve(costs, workload=workload, replicas=8)
    return 100_000
rates = []
for task in (*(partial(swept, axes) for axes in grids), served):
    turns = []
    for _ in range(7):
        start = time.perf_counter(), time.process_time()
        done = task()
        turns.append([done / (now - then)
                      for now, then in zip((time.perf_counter(), time.process_time()), start)])
    rates.append([max(turn) for turn in zip(*turns)])
print(json.dumps(rates))
"""

# An editable install's finder precedes all folders on the path.
_ELSEWHERE = """
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in type(finder).__module__]
sys.path.insert(0, {folder!r})
import pyinfercost
assert pyinfercost.__file__.startswith({folder!r}), pyinfercost.__file__
"""


def build(revision: str, folder: Path) -> Path:
    """Install a commit of this repository into a folder; return the entry for the path."""
    source, target = folder / "source", folder / "installed"
    subprocess.run(["git", "-C", ROOT, "worktree", "add", "--detach", source, revision], check=True)
    try:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, source]
        subprocess.run(command, check=True)
    finally:
        subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", source], check=True)
    return target


def rates(graph: Path, installed: Path | None) -> list[list[float]]:
    """Return the rate of each of `TASKS`, in wall-clock and CPU time, for the package in a folder or this one."""
    first = "" if installed is None else _ELSEWHERE.format(folder=str(installed))
    command = [sys.executable, "-c", first + _TIMED, str(graph)]
    result = subprocess.run(command, check=True, capture_output=True, text=True, cwd=graph.parent)
    found: list[list[float]] = json.loads(result.stdout)
    return found


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision")
    parser.add_argument("--pairs", type=int, default=10)
    given = parser.parse_args()
    import torch
    import torchvision

    import pyinfercost as ic

    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "graph.json"
        graph = ic.capture(torchvision.models.resnet50(), (torch.empty(2, 3, 224, 224),), dynamic={0: {0: "batch"}})
        file.write_text(graph.to_json(), encoding="utf-8")
        (file.parent / "model").mkdir()
        (file.parent / "model" / "config.json").write_text(json.dumps(LLAMA), encoding="utf-8")
        installed = build(given.revision, Path(name))
        pairs = [(rates(file, None), rates(file, installed)) for _ in range(given.pairs)]
    for number, what in enumerate(TASKS):
        for clock, unit in enumerate(("a second", "a second of one core's time")):
            ratios = sorted(ours[number][clock] / earlier[number][clock] for ours, earlier in pairs)
            ours_per_s = statistics.median(ours[number][clock] for ours, _ in pairs)
            print(
                f"{what}: {ours_per_s:,.0f} {unit}; of the earlier rate: median {statistics.median(ratios):.3f}, "
                f"mean {statistics.mean(ratios):.2f}, {ratios[0]:.2f} to {ratios[-1]:.2f} in {len(ratios)} pairs"
            )


if __name__ == "__main__":
    main()
