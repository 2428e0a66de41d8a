"""Distillation on handwritten digits: a network teaches a narrower one, which is pruned, quantized and measured.

    python examples/distill_digits.py [--hardware FILE|ID] [--threads N] [--price USD_PER_H] [--share S] [--epochs N]

Needs `pip install 'pyinfercost[examples]'` (torch, torchao, scikit-learn with its digits) and some minutes on two
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

import pyinfercost as ic
from pyinfercost.tradeoffs.candidates import chain, distilled, int8_weight_only, magnitude
from pyinfercost.tradeoffs.front import front
from pyinfercost.tradeoffs.students import narrower
from pyinfercost.tradeoffs.training_settings import Training

CLASSES = 10
HIDDEN = 1024
HELD_OUT = 144


def digits() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return 8x8 images and their labels, for training and, a fifth of them, for testing."""
    pictures, labels = load_digits(return_X_y=True)
    x = torch.tensor(pictures, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    train, test, wanted, kept = train_test_split(
        x, torch.tensor(labels), test_size=0.2, random_state=0, stratify=labels
    )
    return train, wanted, test, kept


def trained(x: torch.Tensor, y: torch.Tensor, epochs: int) -> nn.Sequential:
    """Return a convolutional network with two linear layers, the teacher, trained for some seconds."""
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
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
    return model.eval()


def main() -> None:
    """Train the teacher, then compare it with students and with pruning and quantization."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hardware", help="machine to predict for; default: this machine, which is calibrated first")
    parser.add_argument("--threads", type=int, default=1, help="threads to calibrate, predict, train and measure with")
    parser.add_argument("--price", type=float, default=0.05, help="price of this machine in USD per hour")
    parser.add_argument("--share", type=float, default=0.25, help="budget: share of the teacher's predicted latency")
    parser.add_argument("--epochs", type=int, default=20, help="passes over the data to train a student")
    parser.add_argument("--seconds", type=float, default=1.0, help="duration of the measurement of each candidate")
    options = parser.parse_args()
    begun = time.monotonic()
    torch.set_num_threads(options.threads)

    train_x, train_y, test_x, test_y = digits()
    teacher = trained(train_x, train_y, 10)
    print(f"Trained the teacher in {time.monotonic() - begun:.0f} s on {len(train_x)} digits; {len(test_x)} to test.")
    hardware = options.hardware
    if hardware is None:
        hardware = str(Path(tempfile.mkdtemp()) / "this.toml")
        Path(hardware).write_text(ic.calibrate(threads=options.threads).to_toml(), encoding="utf-8")
        print(f"Calibrated this machine, {time.monotonic() - begun:.0f} s: {hardware}")

    def accuracy(candidate: nn.Module) -> float:
        with torch.no_grad():
            return float((candidate(test_x).argmax(1) == test_y).double().mean())

    data = {
        "data": (train_x[HELD_OUT:], train_y[HELD_OUT:]),
        "held_out": (train_x[:HELD_OUT], train_y[:HELD_OUT]),  # ends the training; the test digits do not
        "within": options.share,
    }
    settings = {"epochs": options.epochs, "learning_rate": 2e-3, "patience": 5}
    student = narrower(multiple=8)  # as wide as the budget allows, in whole vectors of a CPU
    taught = distilled(student, train=Training(**settings, temperature=4, soft_weight=0.9), **data)
    result = ic.tradeoff(
        teacher,
        {
            "int8": int8_weight_only(),
            "magnitude 50 %": magnitude(0.5),
            "trained alone": distilled(student, train=Training(**settings, soft_weight=0), **data),
            "distilled": taught,
            "distilled, int8": chain(taught, int8_weight_only()),
            "distilled, 50 %": chain(taught, magnitude(0.5)),
        },
        evaluate=accuracy,
        inputs=test_x,
        hardware=hardware,
        threads=options.threads,
        price=options.price,
        measure=True,
        seconds=options.seconds,
    )
    print(f"\n{result}")
    print(f"Student within {100 * options.share:g} % of the teacher's predicted latency: {taught.student}")
    for column in ("measured_s", "parameter_bytes"):
        names = ", ".join(row.name for row in front(result, column).rows)
        print(f"Front of accuracy and {column}: {names}")
    original, row = result["original"], result["distilled"]
    print(
        f"\nDistilled: accuracy {row.accuracy:.4f} against {original.accuracy:.4f}, {1e3 * row.measured_s:.2f} ms "
        f"against {1e3 * original.measured_s:.2f} ms ({100 * row.measured_s / original.measured_s:.0f} %)."
    )
    print(
        f"Break-even, measured: {row.measured_training_s:.3f} s of training / ({1e3 * original.measured_s:.3f} ms - "
        f"{1e3 * row.measured_s:.3f} ms) = {row.measured_break_even} of {len(test_x)} digits each."
    )
    print(
        f"Break-even, predicted: {row.training_usd:.4g} USD / ({original.cost_usd:.4g} USD - {row.cost_usd:.4g} USD) = "
        f"{row.break_even}."
    )
    print(f"{time.monotonic() - begun:.0f} s in all")


if __name__ == "__main__":
    main()
