"""Small modules of torch, for doors that read what is captured or exported of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

Case = tuple[nn.Module, tuple[torch.Tensor, ...], dict[int | str, dict[int, str]]]
"""A module, its inputs, and the dimensions of them that are named sizes."""


class _Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(16, 8)
        self.mix = nn.Linear(8, 24)
        self.norm = nn.LayerNorm(8)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.embed(ids))
        q, k, v = (part.unflatten(-1, (2, 4)).transpose(1, 2) for part in self.mix(x).chunk(3, dim=-1))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        result: torch.Tensor = (mixed.transpose(1, 2).flatten(2) + x).softmax(-1)
        return result


class _Chosen(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[x[:, 0] > 0] @ torch.ones(4, 4)


class _Pooled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
        self.grouped = nn.ConvTranspose2d(8, 8, 2, stride=2, groups=4)
        self.head = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = nn.functional.interpolate(self.grouped(self.body(x)), scale_factor=2)
        result: torch.Tensor = self.head(wide.mean((2, 3)))
        return result


class _Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTM(4, 8, batch_first=True)

    def forward(self, x: torch.Tensor) -> Any:
        return self.cell(x)[0][:, -1]


def modules() -> list[Case]:
    """Return the modules, in inference mode."""
    cases: list[Case] = [
        (_Attention(), (torch.zeros(2, 6, dtype=torch.int64),), {0: {0: "batch", 1: "sequence"}}),
        (_Pooled(), (torch.empty(2, 3, 8, 8),), {0: {0: "batch"}}),
        (_Recurrent(), (torch.empty(2, 5, 4),), {}),
        (_Chosen(), (torch.empty(6, 4),), {}),
    ]
    return [(module.eval(), inputs, dynamic) for module, inputs, dynamic in cases]
