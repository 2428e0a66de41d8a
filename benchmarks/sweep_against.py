"""The rate of a sweep beside that of an earlier commit: `python benchmarks/sweep_against.py 92def65 --pairs 10`.

The earlier commit is built into a folder of its own. Each pair times both, one after the other, in processes of their
own and on one thread; a ratio is ours over the earlier one's of the same pair.
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
PRECISIONS = ("fp32", "fp16")
GRIDS = ("a million batch sizes", "500 bandwidths x 1,024 batch sizes")

# Run by both: points a second of ResNet-50 on an A100, the best of a few turns.
_TIMED = """
import json, sys, time
import pyinfercost as ic
graph = ic.Graph.from_json(open(sys.argv[1]).read())
many = {"bandwidth": [1 + n / 64 for n in range(500)]}
grids = [dict(batch=range(2, 1_000_002)), dict(batch=range(1, 1025), scale=many)]
rates = []
for precision in json.loads(sys.argv[2]):
    for axes in grids:
        turns = []
        for _ in range(7):
            start = time.perf_counter()
            grid = ic.sweep(graph, hardware="a100-sxm-80gb", precision=precision, workers=1, progress=False, **axes)
            turns.append(len(grid) / (time.perf_counter() - start))
        rates.append(max(turns))
print(json.dumps(rates))
"""

# An editable install finds the package before any folder on the path is looked at.
_ELSEWHERE = """
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in type(finder).__module__]
sys.path.insert(0, {folder!r})
import pyinfercost
assert pyinfercost.__file__.startswith({folder!r}), pyinfercost.__file__
"""


def build(revision: str, folder: Path) -> Path:
    """Installs a commit of this repository into a folder; returns what has to be on the path."""
    source, target = folder / "source", folder / "installed"
    subprocess.run(["git", "-C", ROOT, "worktree", "add", "--detach", source, revision], check=True)
    try:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, source]
        subprocess.run(command, check=True)
    finally:
        subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", source], check=True)
    return target


def rates(graph: Path, installed: Path | None) -> list[float]:
    """Points a second by precision and grid, of the package in a folder, or of the one that is installed here."""
    first = "" if installed is None else _ELSEWHERE.format(folder=str(installed))
    command = [sys.executable, "-c", first + _TIMED, str(graph), json.dumps(PRECISIONS)]
    result = subprocess.run(command, check=True, capture_output=True, text=True, cwd=graph.parent)
    found: list[float] = json.loads(result.stdout)
    return found


def main() -> None:
    """Prints the ratios."""
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
        installed = build(given.revision, Path(name))
        pairs = [(rates(file, None), rates(file, installed)) for _ in range(given.pairs)]
    for number, what in enumerate(f"{precision}, {grid}" for precision in PRECISIONS for grid in GRIDS):
        ratios = sorted(ours[number] / earlier[number] for ours, earlier in pairs)
        ours_per_s = statistics.median(ours[number] for ours, _ in pairs)
        print(
            f"{what}: {ours_per_s:,.0f} points a second; of the earlier rate: median {statistics.median(ratios):.2f}, "
            f"mean {statistics.mean(ratios):.2f}, {ratios[0]:.2f} to {ratios[-1]:.2f} in {len(ratios)} pairs"
        )


if __name__ == "__main__":
    main()
