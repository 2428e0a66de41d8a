"""Small models for `torch.export` archives. Run as a program by any torch, it writes their archives to a folder.

    python tests/support/archive_models.py FOLDER

It imports torch alone, so that older releases can run it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn


class Convolutions(nn.Module):
    """Convolutions with batch norm, a residual and pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 8, 3, padding=1, groups=4)
        self.head = nn.Linear(8, 4)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return class scores."""
        hidden = torch.relu(self.norm(self.first(image)))
        hidden = hidden + nn.functional.silu(self.second(hidden))
        scores: torch.Tensor = self.head(hidden.mean((2, 3)))
        return scores


class Attention(nn.Module):
    """Self-attention through the fused operator, with a mask of positions."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs, self.result = nn.Linear(16, 48), nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the attended tokens."""
        queries, keys, values = self.inputs(x).unflatten(-1, (3, 4, 4)).permute(2, 0, 3, 1, 4)
        attended = nn.functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        result: torch.Tensor = self.result(attended.transpose(1, 2).flatten(2))
        return result


class Words(nn.Module):
    """Embeddings, a product with the same table, and a softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(32, 8)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return probabilities of words."""
        return (self.table(ids) @ self.table.weight.t()).softmax(-1)


class Recurrent(nn.Module):
    """An LSTM and what it returns last."""

    def __init__(self) -> None:
        super().__init__()
        self.cells, self.head = nn.LSTM(8, 8, num_layers=2, batch_first=True), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return scores of a sequence."""
        scores: torch.Tensor = self.head(self.cells(x)[0][:, -1])
        return scores


class Chosen(nn.Module):
    """Sorting, gathers, an index and a where: operators that do not multiply."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the largest scores, and the rest without negative ones."""
        scores = self.scores(x)
        best = scores.topk(2, dim=-1).values
        return best, torch.where(scores > 0, scores, torch.zeros_like(scores))[:, ::2]


def models() -> dict[str, tuple[nn.Module, tuple[torch.Tensor, ...], Any]]:
    """Return the models by name, each with inputs and dynamic shapes."""
    batch = torch.export.Dim("batch", min=2, max=64)
    perceptron = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.LayerNorm(16), nn.Linear(16, 4))
    return {
        "perceptron": (perceptron, (torch.zeros(4, 8),), ({0: batch},)),
        "convolutions": (Convolutions(), (torch.zeros(2, 3, 16, 16),), ({0: batch},)),
        "attention": (Attention(), (torch.zeros(2, 6, 16),), ({0: batch},)),
        "words": (Words(), (torch.zeros(2, 5, dtype=torch.int64),), ({0: batch},)),
        "recurrent": (Recurrent(), (torch.zeros(2, 5, 8),), None),
        "chosen": (Chosen(), (torch.zeros(3, 8),), ({0: batch},)),
    }


def write(folder: Path) -> None:
    """Write the archives of all models."""
    for name, (model, inputs, dynamic) in models().items():
        program = torch.export.export(model.eval(), inputs, dynamic_shapes=dynamic)
        torch.export.save(program, folder / f"{name}.pt2")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
