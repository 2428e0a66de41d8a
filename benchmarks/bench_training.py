"""Overhead of a tracker in a training loop: paired steps with and without it, in one process.

    python -m benchmarks.bench_training [--pairs 24] [--growth 10000] [--only gpt|resnet|growth]

A pair is two runs of steps of the same model in random order, one with the tracker and one without it. Their difference
is the overhead seen by a user, but on a shared machine it is mostly noise. The main figure is therefore the time of the
tracker's own calls in these steps, divided by the time of the steps.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pyinfercost import CostTracker

EVERY = 10


class Block(nn.Module):
    """A transformer block of a GPT."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = self.qkv(self.norm1(x)).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class Gpt(nn.Module):
    """A small GPT: 6 layers of 256, 5 million parameters."""

    def __init__(self, vocabulary: int = 512, width: int = 256, layers: int = 6) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.blocks = nn.Sequential(*(Block(width, 4) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.norm(self.blocks(self.embed(ids))) @ self.embed.weight.T


def resnet() -> tuple[nn.Module, torch.Tensor]:
    """Return ResNet-18 and a batch of 32 images."""
    import torchvision

    return torchvision.models.resnet18(), torch.randn(32, 3, 224, 224)


def gpt() -> tuple[nn.Module, torch.Tensor]:
    """Return the small GPT and a batch of 8 x 128 ids."""
    return Gpt(), torch.randint(512, (8, 128))


def loop(model: nn.Module, x: torch.Tensor) -> Callable[[CostTracker | None], tuple[float, float]]:
    """Return a function from a tracker to the seconds of `EVERY` steps with it, and the seconds of its calls."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)

    def stretch(tracker: CostTracker | None) -> tuple[float, float]:
        begun, own_s = time.perf_counter(), 0.0
        for _ in range(EVERY):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
            if tracker is not None:
                called = time.perf_counter()
                tracker.micro_batch(x)
                tracker.step()
                own_s += time.perf_counter() - called
        return time.perf_counter() - begun, own_s

    return stretch


def overhead(name: str, make: Callable[[], tuple[nn.Module, torch.Tensor]], pairs: int) -> None:
    """Print the overhead of a tracker that records every ten steps, and of one that never records."""
    torch.manual_seed(0)
    model, x = make()
    stretch = loop(model, x)
    stretch(None)
    for label, every in (("a record every 10 steps", EVERY), ("idle", 10**9)):
        tracker = CostTracker(
            model, x, hardware=["l4", "h100-sxm-80gb"], every=every, training_hardware="xeon-8380", sinks=()
        )
        shares, bases, calls = [], [], []
        for _ in range(pairs):
            with_it, without, own_s = 0.0, 0.0, 0.0
            for tracked in random.sample((True, False), 2):
                if tracked:
                    with_it, own_s = stretch(tracker)
                else:
                    without, _ = stretch(None)
            shares.append(with_it / without - 1)
            bases.append(without)
            calls.append(own_s)
        step_s, own_s = statistics.median(bases) / EVERY, statistics.median(calls) / EVERY
        spread = statistics.quantiles(shares, n=4)
        print(
            f"{name}, {label}: step {1e3 * step_s:.1f} ms, its own calls {1e6 * own_s:.1f} us a step, "
            f"{100 * own_s / step_s:.4f} %; {pairs} pairs {100 * statistics.median(shares):+.2f} % (quartiles "
            f"{100 * spread[0]:+.2f} to {100 * spread[2]:+.2f})",
            flush=True,
        )
        if tracker.error is not None:
            raise tracker.error


def resident_kb() -> int:
    """Return the resident memory of the process in kB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS")))


def growth(steps: int) -> None:
    """Print memory over many steps with a record after each, with batches of many sizes."""
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 16))
    seen: list[int] = [0]

    def count(step: int, metrics: Any) -> None:
        seen[0] += 1

    tracker = CostTracker(model, torch.randn(8, 64), hardware="l4", every=1, sinks=count)
    marks = {}
    for step in range(1, steps + 1):
        tracker.micro_batch(torch.empty(1 + step % 64, 64), lengths=[1, 2, 3])
        tracker.step()
        if step in (steps // 10, steps // 2, steps):
            gc.collect()
            marks[step] = f"{resident_kb()} kB, {len(gc.get_objects())} objects"
    print(f"{seen[0]} records: " + "; ".join(f"after {step} {mark}" for step, mark in marks.items()), flush=True)
    if tracker.error is not None:
        raise tracker.error


def main() -> None:
    """Run the requested benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--growth", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", choices=["gpt", "resnet", "growth"])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.only in (None, "growth"):
        growth(options.growth)
    if options.only in (None, "gpt"):
        overhead("small GPT, 8 x 128", gpt, options.pairs)
    if options.only in (None, "resnet"):
        overhead("ResNet-18, batch 32", resnet, max(2, options.pairs // 4))


if __name__ == "__main__":
    main()
