"""Plain training loop with the cost in its loss: channels whose gates close are removed, and cost is tracked.

    python examples/training_plain.py [--epochs N] [--hardware ID|FILE] [--target SHARE]

Needs `pip install 'pyinfercost[examples]'`: the handwritten digits come with scikit-learn.
"""

from __future__ import annotations

import argparse

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import pyinfercost as ic
from pyinfercost.monitor import Stdout

SHOWN = ["cost/*/latency_s", "sparsity/zero_share", "training/items_per_s", "loss/*"]


def digits() -> list[torch.Tensor]:
    """Return images for training and testing, and their labels."""
    pictures, labels = load_digits(return_X_y=True)
    x = torch.tensor(pictures, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    return list(train_test_split(x, torch.tensor(labels), test_size=0.2, random_state=0))


def network() -> nn.Sequential:
    """Return two convolutions with normalization, and a hidden layer."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1, stride=2),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * 4 * 4, 256),
        nn.ReLU(),
        nn.Linear(256, 10),
    )


def accuracy(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """Return the accuracy in evaluation mode."""
    model.eval()
    with torch.no_grad():
        right = (model(x).argmax(1) == y).float().mean().item()
    model.train()
    return right


def main() -> None:
    """Train with a target of the cost, remove channels, train further, and print the costs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--hardware", default="xeon-8380", help="machine to serve on")
    parser.add_argument("--target", type=float, default=0.7, help="share of the first latency to reach")
    options = parser.parse_args()

    torch.manual_seed(0)
    train_x, test_x, train_y, test_y = digits()
    model = network()
    served = {"hardware": options.hardware, "threads": 4, "sizes": {"batch": 64}}
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    regularizer = ic.CostRegularizer(model, train_x[:64], metric="latency_s", target=options.target, lam=3, **served)
    with ic.CostTracker(model, train_x[:64], every=100, sinks=Stdout(only=SHOWN), **served) as tracker:
        first = tracker.record()

        def train(epochs: int, cost: ic.CostRegularizer | None) -> None:
            for _ in range(epochs):
                for rows in torch.randperm(len(train_x)).split(64):
                    x, y = train_x[rows], train_y[rows]
                    optimizer.zero_grad()
                    loss = nn.functional.cross_entropy(model(x), y)
                    (loss if cost is None else loss + cost()).backward()
                    optimizer.step()
                    if cost is not None:
                        cost.step()
                    tracker.micro_batch(x)
                    tracker.step()

        train(options.epochs, regularizer)
        before = accuracy(model, test_x, test_y)
        print("\nchannels     soft  kept  of  us/channel")
        for row in regularizer.report():
            print(f"{row.name:11} {row.soft:5.1f} {row.kept:5} {row.width:3} {1e6 * row.slope:11.3f}")

        regularizer.shrink(model)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        train(2, None)
        last = tracker.record()

    name = f"cost/{options.hardware}/latency_s"
    print(f"\naccuracy {before:.3f} before channels were removed, {accuracy(model, test_x, test_y):.3f} after")
    for figure in (name, "cost/contraction_flops", "cost/parameters"):
        print(f"{figure}: {first[figure]:.4g} at first, {last[figure]:.4g} at last")


if __name__ == "__main__":
    main()
