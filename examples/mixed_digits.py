"""Which layers in which format, on handwritten digits: a small network is trained, and each layer tried in each format.

    python examples/mixed_digits.py [--hardware ID|FILE ...] [--images N] [--loss L] [--threads N]

Needs `pip install 'pyinfercost[examples]'` (torch, torchao, scikit-learn with its digits) and less than two minutes on
two cores. Accuracies are measured once; each machine gets its own choice of formats from them.
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

EPOCHS = 8
HIDDEN = 1024
FORMATS = ("fp16", "int8_wo", "int8_dynamic", "int8_static", "int4_wo", "2:4")


def digits() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return 8x8 images and their labels, for training and, a third of them, for testing."""
    pictures, labels = load_digits(return_X_y=True)
    x = torch.tensor(pictures, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    train, test, wanted, kept = train_test_split(
        x, torch.tensor(labels), test_size=1 / 3, random_state=0, stratify=labels
    )
    return train, wanted, test, kept


def trained(x: torch.Tensor, y: torch.Tensor) -> nn.Sequential:
    """Return a small convolutional network with three linear layers, trained for some seconds; its parts have names."""
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
        ("fc2", nn.Linear(HIDDEN, HIDDEN)),
        ("relu4", nn.ReLU()),
        ("fc3", nn.Linear(HIDDEN, 10)),
    ):
        model.add_module(name, part)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
    return model.eval()


def main() -> None:
    """Train, try each layer in each format, and choose formats for each machine."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--hardware", nargs="+", default=["raspberry-pi-5", "t4"], help="machines to choose formats for"
    )
    parser.add_argument("--images", type=int, default=16, help="images of one forward")
    parser.add_argument("--threads", type=int, default=1, help="threads to train and evaluate with")
    parser.add_argument("--loss", type=float, default=0.001, help="cross-entropy that may be lost, in nats per digit")
    options = parser.parse_args()
    begun = time.monotonic()
    torch.set_num_threads(options.threads)

    train_x, train_y, test_x, test_y = digits()
    model = trained(train_x, train_y)

    def loss(candidate: nn.Module) -> float:
        with torch.no_grad():
            return float(nn.functional.cross_entropy(candidate(test_x), test_y))

    def accuracy(candidate: nn.Module) -> float:
        with torch.no_grad():
            return float((candidate(test_x).argmax(1) == test_y).double().mean())

    print(
        f"Trained in {time.monotonic() - begun:.0f} s on {len(train_x)} digits. On {len(test_x)} others: "
        f"cross-entropy {loss(model):.4f}, accuracy {accuracy(model):.4f}."
    )
    evaluations = Path(tempfile.mkdtemp()) / "evaluations.jsonl"
    for machine in options.hardware:
        found = ic.sensitivity(
            model,
            FORMATS,
            evaluate=loss,
            maximize=False,
            inputs=test_x[: options.images],
            hardware=machine,
            resume=evaluations,  # another machine needs no evaluation again
        )
        print(f"\n{found}")
        for method in ("exact", "greedy"):
            chosen = ic.allocate(found, {"lost": options.loss}, method=method)
            print(f"\n{chosen}" if method == "exact" else f"greedy: {1e6 * chosen.together.latency_s:.1f} us")
            print(f"accuracy of the {method} choice: {accuracy(chosen.module()):.4f}")
    print(f"{time.monotonic() - begun:.0f} s in all")


if __name__ == "__main__":
    main()
