"""Lightning with a cost callback: cost to serve, zeros while the model is pruned, and MFU.

    python examples/training_lightning.py [--steps N] [--training-hardware FILE|ID]

Needs `pip install 'pyinfercost[examples,lightning]'`: the handwritten digits come with scikit-learn. MFU needs the
training machine: `pyinfercost calibrate --output this.toml`, then `--training-hardware this.toml`.
"""

from __future__ import annotations

import argparse
import tempfile

import lightning.pytorch as pl
import torch
from sklearn.datasets import load_digits
from torch import nn

from pyinfercost.monitor import Stdout
from pyinfercost.training import LightningCostCallback

SHOWN = [
    "cost/*/latency_s",
    "cost/*/cost_usd",
    "sparsity/mask/zero_share",
    "sparsity/effective_contraction_flops",
    "training/items_per_s",
    "training/mfu",
]


class Digits(pl.LightningModule):
    """A perceptron for images of 8x8."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU())
        self.head = nn.Linear(512, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.net(x))

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        self.log("accuracy", (self(batch[0]).argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def main() -> None:
    """Train, prune in steps, and print a line every 25 steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--training-hardware", default=None)
    options = parser.parse_args()

    pl.seed_everything(0, verbose=False)
    pictures, labels = load_digits(return_X_y=True)
    data = list(zip(torch.tensor(pictures, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16, labels, strict=True))
    chosen = torch.utils.data.random_split(data, [1500, len(data) - 1500], torch.Generator().manual_seed(0))
    train, test = (torch.utils.data.DataLoader(part, batch_size=64) for part in chosen)
    cost = LightningCostCallback(
        hardware=["l4", "epyc-9654"],
        price={"l4": "g6.4xlarge"},
        sizes={"batch": 1},
        every=25,
        sinks=Stdout(only=SHOWN),
        training_hardware=options.training_hardware,
    )
    pruning = pl.callbacks.ModelPruning(
        "l1_unstructured", amount=lambda epoch: 0.5 if epoch in (1, 2) else 0, parameter_names=["weight"]
    )
    trainer = pl.Trainer(
        max_steps=options.steps,
        accumulate_grad_batches=1,
        callbacks=[pruning, cost],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tempfile.mkdtemp(),
        accelerator="cpu",
    )
    trainer.fit(Digits(), train, test)
    print(f"accuracy {trainer.callback_metrics['accuracy']:.3f}")


if __name__ == "__main__":
    main()
