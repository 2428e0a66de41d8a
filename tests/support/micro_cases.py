"""Small modules with known multiply-accumulates, each in the many forms that torch offers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
import torchvision
from torch import nn


class MyLinear(nn.Linear):
    """A subclass, which lookups by exact type miss."""


class Direct(nn.Module):
    """A module that calls `forward` itself, without hooks."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer.forward(x)


class Twice(nn.Module):
    """One layer with two calls."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 64)

    def forward(self, x: torch.Tensor) -> Any:
        return self.layer(self.layer(x))


class Case(NamedTuple):
    """A module or function, its inputs, and its MACs."""

    name: str
    module: Any
    inputs: tuple[torch.Tensor, ...]
    macs: int


def t(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta")


def attention(**options: Any) -> Callable[..., Any]:
    return lambda q, k, v: F.scaled_dot_product_attention(q, k, v, **options)


def self_attention(layer: nn.MultiheadAttention, **options: Any) -> nn.Module:
    class Self(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: torch.Tensor) -> Any:
            return self.layer(x, x, x, **options)[0]

    return Self()


HEADS = [t(1, 4, 16, 8)] * 3
MHA = 4 * 16 * 32 * 32 + 2 * 16 * 16 * 32  # four projections, scores and their use: [1, 16, 32]
ENCODER = MHA + 2 * 16 * 32 * 64  # and two linear layers

CASES = [
    Case("linear, 2 dimensions", nn.Linear(64, 32), (t(8, 64),), 8 * 64 * 32),
    Case("linear, 3 dimensions", nn.Linear(64, 32), (t(2, 16, 64),), 2 * 16 * 64 * 32),
    Case("subclass of linear", MyLinear(64, 32), (t(8, 64),), 16384),
    Case("F.linear", F.linear, (t(8, 64), t(32, 64)), 16384),
    Case("@", lambda x, w: x @ w, (t(8, 64), t(64, 32)), 16384),
    Case("matmul, 4 dimensions", torch.matmul, (t(1, 4, 16, 8), t(1, 4, 8, 16)), 4 * 16 * 8 * 16),
    Case("bmm", torch.bmm, (t(4, 16, 8), t(4, 8, 16)), 8192),
    Case("baddbmm", torch.baddbmm, (t(4, 16, 16), t(4, 16, 8), t(4, 8, 16)), 8192),
    Case("mv", torch.mv, (t(32, 64), t(64)), 2048),
    Case("einsum", lambda q, k: torch.einsum("bhid,bhjd->bhij", q, k), (t(1, 4, 16, 8), t(1, 4, 16, 8)), 8192),
    Case("attention", attention(), tuple(HEADS), 2 * 4 * 16 * 16 * 8),
    Case(
        "attention, grouped queries",
        attention(enable_gqa=True),
        (t(1, 8, 16, 8), t(1, 2, 16, 8), t(1, 2, 16, 8)),
        2 * 8 * 16 * 16 * 8,
    ),
    # The queries are the same for all samples, but the work is that of the broadcast result.
    Case("attention, one query for all", attention(), (t(1, 4, 3, 8), *[t(7, 4, 16, 8)] * 2), 7 * 2 * 4 * 3 * 16 * 8),
    Case("attention, causal", attention(is_causal=True), tuple(HEADS), 16384),
    Case(
        "MultiheadAttention",
        self_attention(nn.MultiheadAttention(32, 4, batch_first=True), need_weights=False),
        (t(1, 16, 32),),
        MHA,
    ),
    Case(
        "MultiheadAttention with weights",
        self_attention(nn.MultiheadAttention(32, 4, batch_first=True)),
        (t(1, 16, 32),),
        MHA,
    ),
    Case("TransformerEncoderLayer", nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), (t(1, 16, 32),), ENCODER),
    Case(
        "TransformerEncoder",
        nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), 3),
        (t(1, 16, 32),),
        3 * ENCODER,
    ),
    Case("conv2d", nn.Conv2d(16, 32, 3, padding=1), (t(1, 16, 8, 8),), 64 * 16 * 32 * 9),
    Case("conv2d, depthwise", nn.Conv2d(16, 16, 3, padding=1, groups=16), (t(1, 16, 8, 8),), 64 * 16 * 9),
    Case("F.conv2d", lambda x, w: F.conv2d(x, w, padding=1), (t(1, 16, 8, 8), t(32, 16, 3, 3)), 294912),
    Case("conv2d, padding in words", nn.Conv2d(16, 32, 4, padding="same"), (t(1, 16, 8, 8),), 64 * 16 * 32 * 16),
    Case("ConvTranspose2d 16 to 32", nn.ConvTranspose2d(16, 32, 2, stride=2), (t(1, 16, 8, 8),), 64 * 16 * 32 * 4),
    Case("ConvTranspose2d 16 to 16", nn.ConvTranspose2d(16, 16, 2, stride=2), (t(1, 16, 8, 8),), 65536),
    Case("ConvTranspose2d, grouped", nn.ConvTranspose2d(16, 32, 2, stride=2, groups=4), (t(1, 16, 8, 8),), 32768),
    Case("LSTM", nn.LSTM(16, 32, batch_first=True), (t(1, 10, 16),), 10 * 4 * 32 * (16 + 32)),
    Case("GRU", nn.GRU(16, 32, batch_first=True), (t(1, 10, 16),), 10 * 3 * 32 * (16 + 32)),
    Case(
        "LSTM, two layers, both directions",
        nn.LSTM(16, 32, 2, bidirectional=True),
        (t(10, 3, 16),),
        # The second layer takes the states of both directions.
        10 * 3 * 2 * 4 * 32 * (16 + 32) + 10 * 3 * 2 * 4 * 32 * (64 + 32),
    ),
    Case(
        "LSTM with a projection",
        nn.LSTM(16, 32, proj_size=8),
        (t(10, 3, 16),),
        10 * 3 * (4 * 32 * (16 + 8) + 32 * 8),
    ),
    Case("RNN", nn.RNN(16, 32, bias=False), (t(10, 3, 16),), 10 * 3 * 32 * (16 + 32)),
    Case("RNN, relu", nn.RNN(16, 32, nonlinearity="relu"), (t(10, 3, 16),), 10 * 3 * 32 * (16 + 32)),
    Case("LSTMCell", nn.LSTMCell(16, 32), (t(3, 16),), 3 * 4 * 32 * (16 + 32)),
    Case("GRUCell", nn.GRUCell(16, 32), (t(3, 16),), 3 * 3 * 32 * (16 + 32)),
    Case("RNNCell", nn.RNNCell(16, 32), (t(3, 16),), 3 * 32 * (16 + 32)),
    Case("Bilinear", nn.Bilinear(8, 8, 4), (t(2, 8), t(2, 8)), 2 * 8 * 8 * 4),
    Case(
        "DeformConv2d",
        torchvision.ops.DeformConv2d(8, 8, 3, padding=1),
        (t(1, 8, 8, 8), t(1, 2 * 9, 8, 8)),
        64 * 8 * 8 * 9,
    ),
    Case("one linear called twice", Twice(), (t(8, 64),), 2 * 8 * 64 * 64),
    Case("linear by its forward", Direct(), (t(8, 64),), 16384),
    Case("embedding", nn.Embedding(1000, 64), (torch.empty(2, 16, dtype=torch.int64, device="meta"),), 0),
    Case(
        "int8 product",
        torch._int_mm,
        (torch.empty(32, 64, dtype=torch.int8, device="meta"), torch.empty(64, 32, dtype=torch.int8, device="meta")),
        32 * 64 * 32,
    ),
    Case(
        "grouped product of two experts",
        lambda x, w, offs: torch._grouped_mm(x, w, offs=offs),
        (
            torch.empty(16, 64, dtype=torch.bfloat16, device="meta"),
            torch.empty(2, 64, 32, dtype=torch.bfloat16, device="meta"),
            torch.empty(2, dtype=torch.int32, device="meta"),
        ),
        16 * 64 * 32,
    ),
]

# The figures as the comparison of other counters writes them, for the rows that people look up.
