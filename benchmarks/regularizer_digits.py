"""Comparison of a latency cost in the loss with an L1 penalty by FLOPs on the digits example, measured on this machine.

    pyinfercost calibrate --threads 1 --output this.toml
    python -m benchmarks.regularizer_digits --hardware this.toml [--batch 360] [--seeds 3] [-o rows.json]

The trained network of `examples/digits.py` is trained further with a penalty of a given strength. Channels whose
weights
are below a tenth of the largest in their group are then removed, and the rest is trained without a penalty. Penalties:

- `latency`: `CostRegularizer(metric="latency_s")` for this machine.
- `flops`: the same with `metric="flops"`, coupled and at present widths (as in MorphNet, Gordon et al. 2018).
- `l1`: the sum over groups of FLOPs of a channel, at full widths, times the root mean squares of its weights.

All models are timed at the end, many times in turn; the figure is the median. Equal accuracy refers to the mean over
seeds of the accuracy on 360 held-out images.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

import pyinfercost as ic
from pyinfercost.training.gates import Rows, Weights

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from digits import digits, trained

STRENGTHS = {
    "latency": (2.0, 4.0, 8.0, 16.0, 32.0, 64.0),
    "flops": (2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0),
    "l1": (1.0, 2.0, 4.0, 6.0, 8.0, 12.0),
}
PENALIZED_EPOCHS, LAST_EPOCHS = 20, 8


def train(model: nn.Module, x: torch.Tensor, y: torch.Tensor, epochs: int, penalty: Callable[[], Any] | None) -> None:
    """Train for a number of epochs."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
            (loss if penalty is None else loss + penalty()).backward()
            optimizer.step()
    model.eval()


def penalty_of(kind: str, strength: float, model: nn.Module, x: torch.Tensor, hardware: str) -> Any:
    """Return a regularizer, which selects channels, and the term of the loss."""
    metric = "latency_s" if kind == "latency" else "flops"
    cost = ic.CostRegularizer(
        model, x, metric=metric, hardware=hardware, threads=1, granularity=1, lam=strength, softness=0.1
    )
    return cost, cost if kind != "l1" else l1(cost, model, strength)


def l1(cost: ic.CostRegularizer, model: nn.Module, strength: float) -> Callable[[], torch.Tensor]:
    """Return the usual penalty: magnitudes weighted by FLOPs that do not depend on the widths of other layers."""
    weights = Weights(model)
    parts = []
    for group in cost.groups.groups:
        widths = {**cost.groups.widths, "batch": 1}
        full = int(ic.count(cost.groups.graph, sizes=widths).total.contraction_flops)
        fewer = {**widths, group.name: group.width - 1}
        of_channel = full - int(ic.count(cost.groups.graph, sizes=fewer).total.contraction_flops)
        rows = [Rows(weights, member) for member in group.members if member.role == "producer"]
        parts.append((of_channel / full, rows, [of.mean_squares().detach().mean() for of in rows]))

    def penalty() -> torch.Tensor:
        total = torch.zeros(())
        for share, rows, means in parts:
            squares = [of.mean_squares() / mean for of, mean in zip(rows, means, strict=True)]
            total = total + share * (sum(squares, torch.zeros(())) / len(squares) + 1e-12).sqrt().sum()
        return strength * total

    return penalty


def in_turn(models: list[nn.Module], x: torch.Tensor, rounds: int) -> list[float]:
    """Return seconds of a forward of each model: medians over rounds that run all models in turn."""
    seconds: list[list[float]] = [[] for _ in models]
    with torch.inference_mode():
        for _ in range(rounds):
            for model, known in zip(models, seconds, strict=True):
                model(x)
                begun, count = time.perf_counter(), 0
                while (now := time.perf_counter()) < begun + 0.02 or count == 0:
                    model(x)
                    count += 1
                known.append((now - begun) / max(count, 1) if count > 1 else time.perf_counter() - begun)
    return [statistics.median(known) for known in seconds]


def main() -> None:
    """Train and time all models; print rows and the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hardware", required=True)
    parser.add_argument("--batch", type=int, default=360)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("-o", "--output")
    options = parser.parse_args()
    torch.set_num_threads(1)
    train_x, train_y, test_x, test_y = digits()
    served = test_x[: options.batch]
    base = trained(train_x, train_y)

    def accuracy(model: nn.Module) -> float:
        with torch.no_grad():
            return float((model(test_x).argmax(1) == test_y).double().mean())

    rows: list[dict[str, Any]] = [{"kind": "whole", "lam": 0.0, "seed": 0, "accuracy": accuracy(base)}]
    models: list[nn.Module] = [base]
    for kind, strengths in STRENGTHS.items():
        for strength in strengths:
            for seed in range(options.seeds):
                torch.manual_seed(seed)
                model = copy.deepcopy(base)
                cost, penalty = penalty_of(kind, strength, model, served, options.hardware)
                train(model, train_x, train_y, PENALIZED_EPOCHS, penalty)
                widths = {name: len(kept) for name, kept in cost.keep().items()}
                cost.shrink(model)
                train(model, train_x, train_y, LAST_EPOCHS, None)
                models.append(model)
                rows.append({"kind": kind, "lam": strength, "seed": seed, "accuracy": accuracy(model), **widths})
                print(rows[-1], flush=True)
    for row, made, seconds in zip(rows, models, in_turn(models, served, options.rounds), strict=True):
        graph = ic.capture(made, served)
        row["measured_us"] = 1e6 * seconds
        row["predicted_us"] = 1e6 * ic.estimate(graph, hardware=options.hardware, threads=1).latency_s
        row["flops"] = ic.count(graph).total.contraction_flops
    if options.output:
        Path(options.output).write_text(json.dumps(rows), encoding="utf-8")
    report(rows)


def report(rows: list[dict[str, Any]]) -> None:
    """Print means over seeds, and the lowest latency of each penalty at several accuracies."""
    points = []
    for kind, lam in dict.fromkeys((row["kind"], row["lam"]) for row in rows):
        of = [row for row in rows if (row["kind"], row["lam"]) == (kind, lam)]
        mean = {
            name: statistics.mean(row[name] for row in of)
            for name in ("accuracy", "measured_us", "predicted_us", "flops")
        }
        points.append({"kind": kind, "lam": lam, **mean})
        widths = {
            name: round(statistics.mean(row[name] for row in of), 1) for name in of[0] if name.startswith("width_")
        }
        print(
            f"{kind:8} {lam:5g}: accuracy {mean['accuracy']:.4f}, measured {mean['measured_us']:8.1f} us, predicted "
            f"{mean['predicted_us']:8.1f} us, {mean['flops'] / 1e6:7.1f} MFLOP, {widths}"
        )
    print("\nleast measured latency (us) at a mean accuracy of at least")
    for level in (0.985, 0.98, 0.975, 0.97, 0.965, 0.96, 0.95):
        least = {
            kind: min((p["measured_us"] for p in points if p["kind"] == kind and p["accuracy"] >= level), default=None)
            for kind in STRENGTHS
        }
        shown = ", ".join(f"{kind} {'none' if us is None else f'{us:.0f}'}" for kind, us in least.items())
        print(f"  {level}: {shown}")


if __name__ == "__main__":
    main()
