"""Rates of sweeps and of served requests compared with an earlier commit: `python benchmarks/against.py 92def65`.

The earlier commit is built into a separate folder. Both are processes with one thread that take turns at each task, so
that the speed of a shared machine is nearly the same for both of a pair; a ratio is our rate over the earlier one.
"""

from __future__ import annotations

import argparse
import json
import os
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

# Run by both: points of ResNet-50 and requests to a language model. Answers the number of a task with how many were
# done, and the seconds in wall-clock and CPU time.
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
costs = ic.serving.step_costs(phases.decode, phases.prefill, on=on.for_throughput(), context=1400)
workload = ic.Workload(rate_per_s=40, prompt=1000, output=200, requests=100_000)
def swept(axes):
    return len(ic.sweep(graph, workers=1, progress=False, **axes))
def served():
    ic.serve(costs, workload=workload, replicas=8)
    return 100_000
tasks = (*(partial(swept, axes) for axes in grids), served)
for task in tasks:
    task()
print("ready", flush=True)
for line in sys.stdin:
    start = time.perf_counter(), time.process_time()
    done = tasks[int(line)]()
    seconds = [now - then for now, then in zip((time.perf_counter(), time.process_time()), start)]
    print(json.dumps([done / each for each in seconds]), flush=True)
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
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(source)]
        subprocess.run(command, check=True)
    finally:
        subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", source], check=True)
    return target


class Timed:
    """A process that runs `TASKS` with the package in a folder, or with this one."""

    def __init__(self, graph: Path, installed: Path | None) -> None:
        first = "" if installed is None else _ELSEWHERE.format(folder=str(installed))
        command = [sys.executable, "-W", "ignore", "-c", first + _TIMED, str(graph)]
        # Both import torch: a process without it has another heap, and takes a tenth longer for long columns.
        environment = {**os.environ, "PYINFERCOST_NO_CACHE": "1"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=graph.parent, env=environment
        )
        while (line := self._line()) != "ready\n":
            if not line:
                raise SystemExit(f"the process with {installed or 'this package'} ended before it was ready")

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def rates(self, task: int) -> tuple[float, float]:
        """Return how many points or requests a second were done, in wall-clock and CPU time."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{task}\n")
        self._process.stdin.flush()
        wall, cpu = json.loads(self._line())
        return wall, cpu

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def turn(both: tuple[Timed, Timed], task: int, *, ours_first: bool) -> list[tuple[float, float]]:
    """Return our rates and the earlier ones of one turn."""
    order = (0, 1) if ours_first else (1, 0)
    found = {each: both[each].rates(task) for each in order}
    return [found[0], found[1]]


def show(what: str, pairs: list[list[tuple[float, float]]]) -> None:
    """Print the ratios of a task."""
    for clock, unit in enumerate(("a second", "a second of one core's time")):
        ratios = sorted(ours[clock] / earlier[clock] for ours, earlier in pairs)
        ours_per_s = statistics.median(ours[clock] for ours, _ in pairs)
        quarters = f"quartiles {ratios[len(ratios) // 4]:.3f} and {ratios[3 * len(ratios) // 4]:.3f}"
        median = f"median {statistics.median(ratios):.3f}"
        print(f"{what}: {ours_per_s:,.0f} {unit}; of the earlier rate: {median}, {quarters} in {len(ratios)} pairs")


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision")
    parser.add_argument("--pairs", type=int, default=31)
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
        both = (Timed(file, None), Timed(file, installed))
        for number, what in enumerate(TASKS):
            show(what, [turn(both, number, ours_first=bool(pair % 2)) for pair in range(given.pairs)])
        for each in both:
            each.end()


if __name__ == "__main__":
    main()
