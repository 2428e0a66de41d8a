"""Families of small models for any widths, and the layers that produce the channels of each width."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

Widths = Mapping[str, int]


@dataclass(frozen=True)
class Family:
    """Models of one kind.

    Attributes:
        build: Maps widths to a model.
        full: Widths of the captured model.
        layers: Width -> path of a layer that produces these channels and no others.
        example: One input with a batch of 2.
    """

    build: Callable[[Widths], nn.Module]
    full: Widths
    layers: Mapping[str, str]
    example: torch.Tensor


def conv(inputs: int, outputs: int, size: int = 3, **options: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False, **options), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def plain(w: Widths) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, w["a"], 3, padding=1),
        nn.BatchNorm2d(w["a"]),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(w["a"], w["b"], 3),
        nn.GELU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(w["b"] * 9, w["c"]),
        nn.PReLU(w["c"]),
        nn.Dropout(),
        nn.Linear(w["c"], 10),
    )


class Residual(nn.Module):
    def __init__(self, w: Widths) -> None:
        super().__init__()
        self.stem = conv(3, w["s"])
        self.basic = nn.Sequential(conv(w["s"], w["m"]), nn.Conv2d(w["m"], w["s"], 3, padding=1))
        self.down = nn.Conv2d(w["s"], w["t"], 1, stride=2)
        self.wide = nn.Sequential(
            conv(w["s"], w["n"], 1),
            conv(w["n"], w["o"], stride=2),
            nn.Conv2d(w["o"], w["t"], 1),
            nn.BatchNorm2d(w["t"]),
        )
        self.head = nn.Linear(w["t"], 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = F.relu(x + self.basic(x))
        x = F.relu_(self.wide(x) + self.down(x))
        return self.head(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class Inverted(nn.Module):
    def __init__(self, w: Widths) -> None:
        super().__init__()
        self.stem = conv(3, w["s"])
        self.expand = conv(w["s"], w["e"], 1)
        self.depthwise = conv(w["e"], w["e"], groups=w["e"])
        self.squeeze, self.excite = nn.Conv2d(w["e"], w["r"], 1), nn.Conv2d(w["r"], w["e"], 1)
        self.project = nn.Conv2d(w["e"], w["s"], 1, bias=False)
        self.head = nn.Conv2d(w["s"], 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        y = self.depthwise(self.expand(x))
        y = y * self.excite(F.silu(self.squeeze(y.mean((2, 3), keepdim=True)))).sigmoid()
        return self.head(x + self.project(y)).mean((2, 3))


class Dense(nn.Module):
    def __init__(self, w: Widths) -> None:
        super().__init__()
        both = w["c"] + w["g"]
        self.stem = nn.Conv2d(3, w["c"], 3, padding=1)
        self.one = nn.Sequential(nn.BatchNorm2d(w["c"]), nn.ReLU(), nn.Conv2d(w["c"], w["g"], 3, padding=1))
        self.two = nn.Sequential(nn.BatchNorm2d(both), nn.ReLU(), nn.Conv2d(both, w["h"], 3, padding=1))
        self.last = nn.Sequential(nn.BatchNorm2d(both + w["h"]), nn.Conv2d(both + w["h"], w["t"], 1), nn.AvgPool2d(2))
        self.head = nn.Conv2d(w["t"], 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = torch.cat([x, self.one(x)], 1)
        return self.head(self.last(torch.cat([x, self.two(x)], 1)))


class UNet(nn.Module):
    def __init__(self, w: Widths) -> None:
        super().__init__()
        self.down, self.deep = conv(3, w["a"]), conv(w["a"], w["b"], stride=2)
        self.deeper = conv(w["b"], w["c"], stride=2)
        self.up = nn.ConvTranspose2d(w["c"], w["d"], 2, stride=2)
        self.join = conv(w["d"] + w["b"], w["e"])
        self.out = nn.Conv2d(w["e"] + w["a"], 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        fine = self.down(x)
        mid = self.deep(fine)
        low = self.join(torch.cat([self.up(self.deeper(mid)), mid], 1))
        return self.out(torch.cat([F.interpolate(low, scale_factor=2.0, mode="bilinear"), fine], 1))


class Attention(nn.Module):
    def __init__(self, d: int, heads: int, size: int, fused: bool) -> None:
        super().__init__()
        self.heads, self.size, self.fused = heads, size, fused
        names = ("qkv",) if fused else ("q", "k", "v")
        for name in names:
            self.add_module(name, nn.Linear(d, heads * size * (3 if fused else 1)))
        self.out = nn.Linear(heads * size, d)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, t, _ = x.shape
        if self.fused:
            q, k, v = self.qkv(x).view(b, t, 3, self.heads, self.size).permute(2, 0, 3, 1, 4).unbind(0)
        else:
            q, k, v = (f(x).view(b, t, self.heads, self.size).transpose(1, 2) for f in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.fused)
        return self.out(y.transpose(1, 2).reshape(b, t, self.heads * self.size))


class Vision(nn.Module):
    def __init__(self, w: Widths) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, w["d"], 4, stride=4)
        self.cls = nn.Parameter(torch.zeros(1, 1, w["d"]))
        self.places = nn.Parameter(torch.zeros(1, 17, w["d"]))
        self.norm, self.attention = nn.LayerNorm(w["d"]), Attention(w["d"], w["h"], 8, fused=False)
        self.mlp = nn.Sequential(nn.LayerNorm(w["d"]), nn.Linear(w["d"], w["m"]), nn.GELU(), nn.Linear(w["m"], w["d"]))
        self.head = nn.Linear(w["d"], 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1) + self.places
        x = x + self.attention(self.norm(x))
        return self.head((x + self.mlp(x))[:, 0])


class Text(nn.Module):
    def __init__(self, w: Widths) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(50, w["d"]), nn.Embedding(16, w["d"])
        self.norm, self.attention = nn.LayerNorm(w["d"]), Attention(w["d"], w["h"], 6, fused=True)
        self.scale = nn.Parameter(torch.ones(w["d"]))
        self.up, self.down = nn.Linear(w["d"], 2 * w["m"], bias=False), nn.Linear(w["m"], w["d"], bias=False)
        self.head = nn.Linear(w["d"], 50, bias=False)
        self.head.weight = self.words.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.words(ids) + self.places(torch.arange(ids.shape[1], device=ids.device))
        x = x + self.attention(self.norm(x))
        gate, value = self.up(x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.scale).chunk(2, -1)
        return self.head(x + self.down(F.silu(gate) * value))


class Grouped(nn.Module):
    def __init__(self, w: Widths) -> None:
        super().__init__()
        self.stem, self.many = nn.Conv2d(3, w["g"] * 4, 1), nn.Conv2d(w["g"] * 4, w["g"] * 2, 3, groups=w["g"])
        self.few = nn.Conv2d(w["g"] * 2, w["f"] * 6, 1)
        self.norm = nn.GroupNorm(6, w["f"] * 6)
        self.pair = nn.Conv2d(w["f"] * 6, w["p"] * 2, 3, groups=2)
        self.each = nn.GroupNorm(w["p"] * 2, w["p"] * 2)
        self.up = nn.ConvTranspose2d(w["p"] * 2, w["p"] * 2, 2, stride=2, groups=w["p"] * 2)
        self.head = nn.Linear(w["p"] * 2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.few(self.many(self.stem(x)).relu())).relu()
        return self.head(self.up(self.each(self.pair(x))).amax((2, 3)))


_IMAGE = torch.zeros(2, 3, 16, 16)
FAMILIES = {
    "plain": Family(plain, {"a": 8, "b": 12, "c": 20}, {"a": "0", "b": "4", "c": "8"}, _IMAGE),
    "residual": Family(
        Residual,
        {"s": 16, "m": 12, "t": 24, "n": 8, "o": 10},
        {"s": "basic.1", "m": "basic.0.0", "t": "down", "n": "wide.0.0", "o": "wide.1.0"},
        _IMAGE,
    ),
    "inverted": Family(Inverted, {"s": 8, "e": 24, "r": 6}, {"s": "project", "e": "excite", "r": "squeeze"}, _IMAGE),
    "dense": Family(
        Dense, {"c": 8, "g": 6, "h": 5, "t": 12}, {"c": "stem", "g": "one.2", "h": "two.2", "t": "last.1"}, _IMAGE
    ),
    "unet": Family(
        UNet,
        {"a": 6, "b": 8, "c": 12, "d": 10, "e": 9},
        {"a": "down.0", "b": "deep.0", "c": "deeper.0", "d": "up", "e": "join.0"},
        _IMAGE,
    ),
    "vision": Family(Vision, {"d": 24, "h": 4, "m": 40}, {"d": "patch", "h": "attention.k", "m": "mlp.1"}, _IMAGE),
    "text": Family(
        Text,
        {"d": 20, "h": 5, "m": 32},
        {"d": "words", "h": "attention.qkv", "m": "up"},
        torch.zeros(2, 11, dtype=torch.int64),
    ),
    "grouped": Family(Grouped, {"g": 6, "f": 4, "p": 5}, {"g": "stem", "f": "few", "p": "pair"}, _IMAGE),
}
