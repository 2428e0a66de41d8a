"""Accuracy and cost on handwritten digits: a small network is trained, pruned, quantized, predicted and measured.

    python examples/digits.py [--hardware FILE|ID] [--threads N] [--resume FILE] [--seconds S]

Needs `pip install 'pyinfercost[examples]'` (torch, torchao, scikit-learn with its digits) and a few minutes on two
cores. Without --hardware, this machine is calibrated first, so that predictions are for it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn.utils import prune

import pyinfercost as ic
from pyinfercost.tradeoffs.candidates import cast, channels, int8_dynamic, int8_weight_only, magnitude, n_of_m
from pyinfercost.tradeoffs.front import front

EPOCHS = 10
MORE_EPOCHS = 3
CLASSES = 10
HIDDEN = 1024


def digits() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return 8x8 images and their labels, for training and, a fifth of them, for testing."""
    pictures, labels = load_digits(return_X_y=True)
    x = torch.tensor(pictures, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    train, test, wanted, kept = train_test_split(
        x, torch.tensor(labels), test_size=0.2, random_state=0, stratify=labels
    )
    return train, wanted, test, kept


def trained(x: torch.Tensor, y: torch.Tensor) -> nn.Sequential:
    """Return a small convolutional network with two linear layers, trained for some seconds; its parts have names."""
    torch.manual_seed(0)
    model = nn.Sequential()
    for name, part in (
        ("conv1", nn.Conv2d(1, 32, 3, padding=1)),
        ("relu1", nn.ReLU()),
        ("pool", nn.MaxPool2d(2)),
        ("conv2", nn.Conv2d(32, 64, 3, padding=1)),
        ("relu2", nn.ReLU()),
        ("flatten", nn.Flatten()),
        ("fc1", nn.Linear(64 * 4 * 4, HIDDEN)),
        ("relu3", nn.ReLU()),
        ("fc2", nn.Linear(HIDDEN, CLASSES)),
    ):
        model.add_module(name, part)
    train(model, x, y, EPOCHS)
    return model.eval()


def train(model: nn.Module, x: torch.Tensor, y: torch.Tensor, epochs: int) -> None:
    """Train for a number of epochs."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()


def pruned_and_trained(model: nn.Module, amount: float, x: torch.Tensor, y: torch.Tensor) -> nn.Module:
    """Candidate of your own: train the pruned model further, with its masks."""
    torch.manual_seed(1)
    train(magnitude(amount, keep_masks=True)(model), x, y, MORE_EPOCHS)
    for part in model.modules():
        if prune.is_pruned(part) and hasattr(part, "weight_orig"):
            prune.remove(part, "weight")
    return model


def fewer_hidden_units(model: nn.Sequential, kept: int) -> nn.Sequential:
    """Candidate of your own: remove the hidden units whose weights have the smallest norms.

    Between two linear layers, this removes a row of the first and the corresponding column of the second.
    """
    first, second = model.get_submodule("fc1"), model.get_submodule("fc2")
    rows = first.weight.norm(dim=1).topk(kept).indices.sort().values
    thin_first, thin_second = nn.Linear(first.in_features, kept), nn.Linear(kept, CLASSES)
    with torch.no_grad():
        thin_first.weight.copy_(first.weight[rows])
        thin_first.bias.copy_(first.bias[rows])
        thin_second.weight.copy_(second.weight[:, rows])
        thin_second.bias.copy_(second.bias)
    model.fc1, model.fc2 = thin_first, thin_second
    return model


def main() -> None:
    """Train, run all candidates, and print their losses and savings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hardware", help="machine to predict for; default: this machine, which is calibrated first")
    parser.add_argument("--threads", type=int, default=1, help="threads to calibrate, predict and measure with")
    parser.add_argument("--resume", help="JSONL file of finished rows to resume from; needs --hardware")
    parser.add_argument("--seconds", type=float, default=1.0, help="duration of the measurement of each candidate")
    options = parser.parse_args()
    begun = time.monotonic()
    torch.set_num_threads(options.threads)

    train_x, train_y, test_x, test_y = digits()
    model = trained(train_x, train_y)
    print(f"Trained in {time.monotonic() - begun:.0f} s on {len(train_x)} digits; {len(test_x)} others to test.")

    hardware = options.hardware
    if hardware is None:
        hardware = str(Path(tempfile.mkdtemp()) / "this.toml")
        Path(hardware).write_text(ic.calibrate(threads=options.threads).to_toml(), encoding="utf-8")
        print(f"Calibrated this machine, {time.monotonic() - begun:.0f} s: {hardware}")

    def accuracy(candidate: nn.Module) -> float:
        with torch.no_grad():
            return float((candidate(test_x).argmax(1) == test_y).double().mean())

    result = ic.tradeoff(
        model,
        {
            "magnitude 50 %": magnitude(0.5),
            "magnitude 80 %": magnitude(0.8),
            "magnitude 90 %": magnitude(0.9),
            "80 %, trained on": lambda module: pruned_and_trained(module, 0.8, train_x, train_y),
            "2:4": n_of_m(2, 4),
            "channels 25 %": channels(0.25),
            "channels 50 %": channels(0.5),
            "int8 weights": int8_weight_only(),
            "int8 dynamic": int8_dynamic(),
            "bf16": cast("bf16"),
            "512 hidden": lambda module: fewer_hidden_units(module, 512),
            "256 hidden": lambda module: fewer_hidden_units(module, 256),
            "64 hidden": lambda module: fewer_hidden_units(module, 64),
        },
        evaluate=accuracy,
        inputs=test_x,
        hardware=hardware,
        threads=options.threads,
        measure=True,
        seconds=options.seconds,
        resume=options.resume,
    )
    print(f"\n{result}")
    for columns in (("measured_s",), ("latency_s",), ("parameter_bytes",)):
        names = ", ".join(row.name for row in front(result, *columns).rows)
        print(f"Front of accuracy and {columns[0]}: {names}")

    layers = ic.tradeoff(
        model,
        {"magnitude 90 %": magnitude(0.9), "2:4": n_of_m(2, 4), "int8 weights": int8_weight_only()},
        evaluate=accuracy,
        inputs=test_x,
        hardware=hardware,
        threads=options.threads,
        per_layer=True,
    )
    print(f"\n{layers}")
    print(f"{time.monotonic() - begun:.0f} s in all")


if __name__ == "__main__":
    main()
