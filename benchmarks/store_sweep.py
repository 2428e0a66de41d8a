"""Store 10^8 points of ResNet-50 in a folder of Parquet files; print seconds and peak resident memory.

    python -m benchmarks.store_sweep FOLDER [POINTS]

It runs in a separate process, so that its memory is measured alone. The folder is kept.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import pyinfercost as ic
from pyinfercost.sources.trace.trace import trace_graph

from .models import make
from .parameters import MAX_RESIDENT_BYTES, MAX_STORED_S, SWEEP_HARDWARE, SWEEP_STORED_POINTS

BATCHES = 1_000_000


def main(folder: str, points: int = SWEEP_STORED_POINTS) -> None:
    """Capture, sweep, and print the resources used."""
    graph_file = Path(folder).with_suffix(".json")
    if not graph_file.exists():  # keeps torch's memory out of the process that sweeps
        model = make("resnet50")
        graph = trace_graph(model.module, model.args, {}, {0: {0: "batch"}})
        graph_file.write_text(graph.to_json(), encoding="utf-8")
        print(f"captured into {graph_file}; run the same command again to sweep")
        return
    graph = ic.Graph.from_json(graph_file.read_text(encoding="utf-8"))
    start_s = time.perf_counter()
    stored = ic.sweep(
        graph,
        hardware=SWEEP_HARDWARE,
        scale={"bandwidth": [1 + step / 50 for step in range(max(points // BATCHES, 1))]},
        batch=range(1, min(points, BATCHES) + 1),
        out=folder,
    )
    elapsed_s = time.perf_counter() - start_s
    resident = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    written = sum(path.stat().st_size for path in Path(folder).iterdir())
    found = {
        "points": len(stored),
        "seconds": round(elapsed_s, 1),
        "resident_bytes": resident,
        "written_bytes": written,
        "met": elapsed_s <= MAX_STORED_S and resident <= MAX_RESIDENT_BYTES,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], *(int(argument) for argument in sys.argv[2:3]))
