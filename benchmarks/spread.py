"""How far first estimates lie from published measurements: quantiles of measured / predicted latency.

    python -m benchmarks.spread --measured DIR [--models N]

DIR holds the tables `models_vision.csv`, `models_language_fp32.csv` and `gemm.csv`. A sample of vision models is
captured once each with an open batch and estimated at every row's batch. The 10 % and 90 % quantiles are what the error
band of an estimate is set from (`[band]` in `pyinfercost/hardware/calibration/*.toml`).
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import statistics
from collections import defaultdict
from pathlib import Path

import pyinfercost as ic

_PRECISIONS = {"fp32": "fp32", "tf32": "tf32", "amp_fp16": "fp16", "amp_bf16": "bf16", "fp16": "fp16", "bf16": "bf16"}
_GEMM_PRECISIONS = {"bfloat16": "bf16", "float16": "fp16", "fp8": "fp8"}
_LEAST_FOR_QUANTILES = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", type=Path, required=True)
    parser.add_argument("--models", type=int, default=60, help="how many vision models to sample")
    arguments = parser.parse_args()
    ratios: dict[tuple[str, ...], list[float]] = defaultdict(list)
    vision(arguments.measured / "models_vision.csv", arguments.models, ratios)
    gemm(arguments.measured / "gemm.csv", ratios)
    for key, values in sorted(ratios.items()):
        show(" ".join(key), values)
    for kind in sorted({key[0] for key in ratios}):
        show(f"all {kind}", [value for key, values in ratios.items() if key[0] == kind for value in values])


def show(title: str, values: list[float]) -> None:
    if len(values) < _LEAST_FOR_QUANTILES:
        return
    tenths = statistics.quantiles(values, n=10)
    error = statistics.fmean(abs(1 / value - 1) for value in values)
    print(
        f"{title:60} rows {len(values):5}  measured/predicted 10 % {tenths[0]:.2f}  median {tenths[4]:.2f}  "
        f"90 % {tenths[8]:.2f}  MAPE {100 * error:.0f} %"
    )


def vision(path: Path, count: int, ratios: dict[tuple[str, ...], list[float]]) -> None:
    rows = list(csv.DictReader(path.open()))
    names = sorted({row["model"] for row in rows}, key=lambda name: hashlib.sha256(name.encode()).hexdigest())[:count]
    graphs: dict[tuple[str, str], ic.Graph | None] = {}
    for row in rows:
        if row["model"] not in names or row["precision"] not in _PRECISIONS:
            continue
        key = (row["model"], row["image_size"])
        if key not in graphs:
            graphs[key] = captured(*key)
        graph = graphs[key]
        if graph is None:
            continue
        device = row["device"]
        estimate = ic.estimate(
            graph,
            hardware=device,
            precision=_PRECISIONS[row["precision"]],
            execution=row["execution"],
            batch=int(row["batch"]),
        )
        kind = ic.hardware.load(device).kind
        label = (kind, device, row["precision"], row["layout"], row["execution"])
        ratios[label].append(float(row["latency_ms"]) * 1e-3 / estimate.latency_s)


def captured(name: str, image_size: str) -> ic.Graph | None:
    import timm
    import torch

    try:
        with torch.device("meta"):
            model = timm.create_model(name).eval()
        images = torch.empty(2, 3, int(image_size), int(image_size), device="meta")
        return ic.capture(model, (images,), dynamic={0: {0: "batch"}})
    except (ValueError, RuntimeError, AssertionError):
        return None


def gemm(path: Path, ratios: dict[tuple[str, ...], list[float]]) -> None:
    builder = ic.GraphBuilder("gemm")
    m, n, k = (builder.size(name, default=128) for name in ("m", "n", "k"))
    activation = builder.tensor("bfloat16", [m, k], role="input")
    weight = builder.tensor("bfloat16", [n, k], role="parameter", name="weight")
    result = builder.tensor("bfloat16", [m, n])
    builder.node("aten.linear.default", {"input": activation, "weight": weight}, [result])
    graph = builder.build([activation], [result])
    groups: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    for row in csv.DictReader(path.open()):
        if row["dtype"] in _GEMM_PRECISIONS:
            groups[row["device"], row["dtype"]].append(row)
    for (device, dtype), rows in groups.items():
        for row in rows[:: max(1, len(rows) // 1000)]:
            estimate = ic.estimate(
                graph,
                hardware=device,
                precision=_GEMM_PRECISIONS[dtype],
                execution="replayed",
                m=int(row["m"]),
                n=int(row["n"]),
                k=int(row["k"]),
            )
            ratios["gemm", device, dtype].append(float(row["latency_us"]) * 1e-6 / estimate.latency_s)


if __name__ == "__main__":
    main()
