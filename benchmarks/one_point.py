"""Error of servers under load after one measured point of each engine and model.

    python -m benchmarks.one_point --measured DIR [--points 3]

Rows of `serving.csv` whose queue was not full are put in order of clients and devices, and points taken between equal
parts of them: at a quarter, a half and three quarters. Each corrects the step costs (`ic.calibrate_serving`), and all
other rows of the engine and model are simulated with that correction, whatever their devices and lengths. The mean
error of the time per output token is that of the median point.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import numpy as np

import pyinfercost as ic
from pyinfercost.serving.runs import simulated

from .accuracy import judge
from .accuracy.captures import Capturing, default_cache
from .accuracy.machines import load_machines
from .accuracy.measured import Problems
from .accuracy.served import Deployments, graphs_of, latencies, run_of
from .accuracy.tables.serving import Asked, asked, script_of, scripts_beside

Row = tuple[dict[str, str], Asked]


def rows_of(folder: Path, cache: Path) -> dict[tuple[str, str], list[Row]]:
    """Return the rows of each engine and model with their servers, in order of clients and devices."""
    problems = Problems()
    (table,) = judge.read_tables(folder, ["serving"], problems)
    machines = load_machines([table], lambda _: None, problems)
    models = list(zip(table.text("model"), table.text("precision"), strict=True))
    graphs = graphs_of(models, table.name, problems, Capturing(cache / "graphs", 2, lambda *_: None))
    deployments = Deployments(machines, graphs)
    scripts = scripts_beside(table.path)
    columns = {name: table.text(name, "") for name in table.columns}
    found: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for place in range(len(table)):
        row = {name: str(values[place]) for name, values in columns.items()}
        if row["queue_limited"] == "true":
            continue
        with suppress(ValueError):  # no step costs: its model has no config, or is refused
            found[row["server"], row["model"]].append((row, asked(row, script_of(row, scripts), deployments)))
    for rows in found.values():
        rows.sort(key=lambda pair: [int(pair[0][name]) for name in ("concurrency", "tensor_parallel")])
    return found


def error_after(rows: list[Row], point: int) -> float:
    """Return the mean error of the time per output token of all rows but a point, which corrects the step costs."""
    row, known = rows[point]
    measured = {"tpot_s": float(row["tpot_ms"]) / 1e3}
    if row["known_script"] == "true":  # else the client is a guess, and the time to the first token with it
        measured["ttft_s"] = float(row["ttft_ms"]) / 1e3
    settings = {"enable_prefix_caching": False, **known.scheduler}
    correction = ic.calibrate_serving(known.costs.predicted, measured, workload=known.workload, **settings).correction
    errors = []
    for place, (other, server) in enumerate(rows):
        if place == point:
            continue
        run = run_of(correction.of(server.costs.predicted), server.workload, server.scheduler)
        tpot_s = float(np.mean(latencies(simulated(run)).tpot_s))
        errors.append(abs(tpot_s / (float(other["tpot_ms"]) / 1e3) - 1))
    return statistics.mean(errors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", type=Path, required=True)
    parser.add_argument("--points", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=default_cache())
    options = parser.parse_args()
    print(f"{'engine':<8} {'model':<32} {'rows':>5} {'median point':>13}  each point")
    for (engine, model), rows in rows_of(options.measured, options.cache).items():
        if len(rows) <= options.points:
            continue
        places = [(part + 1) * len(rows) // (options.points + 1) for part in range(options.points)]
        errors = [error_after(rows, place) for place in places]
        each = ", ".join(f"{error:.1%}" for error in errors)
        print(f"{engine:<8} {model:<32} {len(rows):>5} {statistics.median(errors):>13.1%}  {each}", flush=True)


if __name__ == "__main__":
    main()
