"""Predicted and measured peaks of activation memory for every model of the list.

python -m benchmarks.memory                     # all, about 10 minutes on two free cores
python -m benchmarks.memory --match 'timm:'     # models with matching names
python -m benchmarks.memory --write             # and store the table in this folder
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import re
import statistics
import sys
import warnings
from pathlib import Path
from typing import Any

from . import models

sys.path.append(str(Path(__file__).parents[2] / "tests"))  # for support.allocations

RESULTS = Path(__file__).with_name("results.csv")
COLUMNS = ("model", "measured_bytes", "predicted_bytes", "error", "last_use_error", "measured_op", "op", "module")
TIMEOUT_S = 600


def compare(name: str) -> dict[str, Any]:
    """Return one row of the table; runs in a new process."""
    import torch
    from support.allocations import measure

    import pyinfercost as ic

    torch.set_num_threads(2)
    torch.manual_seed(0)
    module, args, kwargs = models.build(name)
    graph = models.capture(module, args, kwargs)
    counts = ic.count(graph)
    memory = counts.memory
    measured = measure(models.prepared(module, args, kwargs))
    # Requirement of a planner that frees each result after its last use, without workspaces.
    planned = ic.count(graph.without_lifetimes()).memory
    last_use = max(int(live - own) for live, own in zip(planned.timeline, planned.workspace, strict=True))
    peak = int(memory.peak_activation_bytes)
    return {
        "model": name,
        "measured_bytes": measured.peak_bytes,
        "predicted_bytes": peak,
        "error": round(peak / measured.peak_bytes - 1, 4),
        "last_use_error": round(last_use / measured.peak_bytes - 1, 4),
        "measured_op": measured.peak_op,
        "op": memory.peak_op,
        "module": memory.peak_module,
    }


def _worker(name: str, results: Any) -> None:
    try:
        results.put(compare(name))
    except Exception as error:
        results.put({"model": name, "failed": f"{type(error).__name__}: {error}"})


def compare_apart(name: str) -> dict[str, Any]:
    """Return the same from a forked process; this one has imported the libraries."""
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    worker = context.Process(target=_worker, args=(name, results))
    worker.start()
    try:
        row: dict[str, Any] = results.get(timeout=TIMEOUT_S)
    except Exception:
        row = {"model": name, "failed": "no result"}
        worker.kill()
    worker.join()
    return row


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--match", default="", help="regular expression for names")
    parser.add_argument("--write", action="store_true", help=f"store the table as {RESULTS.name}")
    options = parser.parse_args()
    from rich.console import Console
    from rich.progress import track

    warnings.simplefilter("ignore")
    for library in ("torch", "torchvision", "timm", "transformers", "torch.profiler"):
        __import__(library)
    names = [name for name in models.names() if re.search(options.match, name)]
    console = Console(stderr=True)
    rows: list[dict[str, Any]] = []
    for name in track(names, description="models", console=console):
        rows.append(compare_apart(name))
        print(" ".join(str(rows[-1].get(key, "")) for key in (*COLUMNS, "failed")), flush=True)
    done = [row for row in rows if "failed" not in row]
    for what in ("error", "last_use_error"):
        sizes = sorted(abs(row[what]) for row in done)
        if sizes:
            at = statistics.quantiles(sizes, n=10)[-1] if len(sizes) > 1 else sizes[0]
            print(
                f"{what}: median {statistics.median(sizes):.2%}, 90 % {at:.2%}, "
                f"worst {sizes[-1]:.2%}, {len(sizes)} models"
            )
    if options.write:
        with RESULTS.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(done)
    return 1 if len(done) < len(rows) else 0


if __name__ == "__main__":
    sys.exit(main())
