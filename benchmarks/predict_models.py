"""Compare rows of `measure_models.py` with their predictions.

    python -m benchmarks.predict_models --measured measured.csv --hardware this.toml [--threads N] [--rows]

Prints for each batch and execution, and for all together: number of rows, mean and median of
|predicted / measured - 1|, geometric mean of predicted / measured, rank correlation, and the share of rows inside the
error band. With `--rows`, every row is printed first, the worst first.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr

import pyinfercost as ic
from pyinfercost.sources.loaded_model import building_on
from pyinfercost.sources.models import load_model

from .measure_models import VISION, language_specs, name_of, path_of


class Row(NamedTuple):
    """One row of the file, in seconds."""

    model: str
    batch: int
    execution: str
    measured_s: float
    predicted: ic.results.Estimate

    @property
    def ratio(self) -> float:
        return self.predicted.latency_s / self.measured_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", type=Path, required=True)
    parser.add_argument("--hardware", required=True, help="an id in the catalog, or a path that ends in .toml")
    parser.add_argument("--threads", type=int, help="number of CPU cores used")
    parser.add_argument("--models", type=Path, help="as for measure_models")
    parser.add_argument("--rows", action="store_true", help="print every row")
    arguments = parser.parse_args()
    specs = arguments.models.read_text().split() if arguments.models else [*VISION, *language_specs()]
    rows = predicted(
        arguments.measured,
        {name_of(spec): spec for spec in specs},
        ic.hardware.load(arguments.hardware, threads=arguments.threads),
    )
    if arguments.rows:
        for row in sorted(rows, key=lambda row: -abs(np.log(row.ratio))):
            times = f"{row.measured_s * 1e3:9.2f} ms  predicted {row.predicted.latency_s * 1e3:9.2f} ms"
            print(f"{row.model:40} {row.batch:3} {row.execution:9} {times}  ratio {row.ratio:.2f}")
    print("| execution | batch | rows | mean error | median error | bias | Spearman | in band |\n" + "|---" * 8 + "|")
    for execution, batch in sorted({(row.execution, row.batch) for row in rows}):
        summary(execution, str(batch), [row for row in rows if (row.execution, row.batch) == (execution, batch)])
    summary("all", "all", rows)


def predicted(path: Path, specs: dict[str, str], machine: ic.Hardware) -> list[Row]:
    """Return the rows of a file whose models are known, with their estimates."""
    graphs: dict[tuple[str, int], ic.Graph] = {}
    rows = []
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            key = row["model"], int(row["batch"])
            if key[0] not in specs:
                continue
            if key not in graphs:
                with building_on("meta"):
                    loaded = load_model(path_of(specs[key[0]]), {"batch": key[1]})
                graphs[key] = ic.capture(loaded.module, loaded.inputs)
            estimate = ic.estimate(graphs[key], hardware=machine, execution=row["execution"])
            rows.append(Row(*key, row["execution"], float(row["latency_ms"]) / 1e3, estimate))
    return rows


def summary(execution: str, batch: str, rows: Iterable[Row]) -> None:
    """Print a line of the table."""
    rows = list(rows)
    ratios = np.array([row.ratio for row in rows])
    errors = np.abs(ratios - 1)
    rank = spearmanr([row.measured_s for row in rows], [row.predicted.latency_s for row in rows])[0]
    inside = np.mean([r.predicted.latency_low_s <= r.measured_s <= r.predicted.latency_high_s for r in rows])
    figures = f"{errors.mean():.1%} | {np.median(errors):.1%} | {np.exp(np.log(ratios).mean()):.2f} | {rank:.3f}"
    print(f"| {execution} | {batch} | {len(rows)} | {figures} | {inside:.0%} |")


if __name__ == "__main__":
    main()
