"""Training runs for bitwise comparison: the same loop with and without a tracker."""

from __future__ import annotations

import contextlib
import random
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from pyinfercost import CostTracker

STEPS = 200


class Trained(NamedTuple):
    """Results of a run."""

    weights: dict[str, torch.Tensor]
    optimizer: dict[str, Any]
    random: tuple[Any, ...]


class Picture(nn.Module):
    """Convolutions with running statistics, and dropout, which draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2), nn.AdaptiveAvgPool2d(1)
        )
        self.head = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).flatten(1))


class Text(nn.Module):
    """A causal transformer layer between tied embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(32, 16)
        self.norm = nn.LayerNorm(16)
        self.qkv = nn.Linear(16, 48)
        self.out = nn.Linear(16, 16)
        self.drop = nn.Dropout(0.1)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids)
        q, k, v = (part.unflatten(-1, (2, 8)).transpose(1, 2) for part in self.qkv(self.norm(x)).chunk(3, -1))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return (x + self.drop(self.out(mixed.transpose(1, 2).flatten(2)))) @ self.embed.weight.T


def seed() -> None:
    """Seed all generators that a loop may use."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the one that a forward may draw from
    torch.manual_seed(0)


def trained(
    kind: type[nn.Module],
    *,
    tracked: bool,
    compiled: bool = False,
    autocast: bool = False,
    accumulation: int = 1,
    steps: int = STEPS,
    wrap: Any = None,
    silent: bool = False,
    **settings: Any,
) -> Trained:
    """Run `steps` optimizer steps; batches vary in size. A `silent` tracker does not write."""
    torch.set_num_threads(1)  # with such small products, threads mostly wait for each other
    seed()
    model: Any = kind()
    if wrap is not None:
        model = wrap(model)
    runs: Any = torch.compile(model) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    example = torch.randint(32, (4, 8)) if kind is Text else torch.randn(4, 3, 8, 8)
    tracker = None
    if tracked:
        tracker = CostTracker(
            runs,
            example,
            hardware=["l4", "xeon-8380"],
            price=1.0,
            training_hardware="xeon-8380",
            every=10,
            **settings,
        )
    for step in range(steps):
        optimizer.zero_grad()
        for _ in range(accumulation):
            size = 4 if compiled else random.randint(2, 5)
            batch = torch.randint(32, (size, 8)) if kind is Text else torch.randn(size, 3, 8, 8)
            with torch.autocast("cpu", torch.bfloat16) if autocast else contextlib.nullcontext():
                output = runs(batch)
            if tracker is not None:
                tracker.micro_batch(batch)
            output.float().logsumexp(-1).mean().backward()
        optimizer.step()
        if tracker is not None:
            record = tracker.step()
            if (step + 1) % 10 == 0 and (record is None) != silent:
                raise AssertionError(f"no record at step {step + 1}: {tracker.error}")
    if tracker is not None and tracker.error is not None:
        raise tracker.error
    weights = {name: _own(value) for name, value in [*model.named_parameters(), *model.named_buffers()]}
    of_numpy = np.random.get_state()[1].tolist()  # noqa: NPY002
    drawn = torch.get_rng_state(), random.getstate(), of_numpy
    return Trained(weights, optimizer.state_dict(), drawn)


def _own(tensor: Any) -> torch.Tensor:
    """Return the values on this process."""
    local: torch.Tensor = getattr(tensor, "_local_tensor", tensor)
    return local.detach().clone()


def assert_same(one: Trained, other: Trained) -> None:
    """Compare bit by bit."""
    assert one.weights.keys() == other.weights.keys()
    for name, value in one.weights.items():
        assert torch.equal(value, other.weights[name]), name
    assert one.optimizer["param_groups"] == other.optimizer["param_groups"]
    for index, state in one.optimizer["state"].items():
        for name, value in state.items():
            same = other.optimizer["state"][index][name]
            assert torch.equal(_own(torch.as_tensor(value)), _own(torch.as_tensor(same)))
    assert torch.equal(one.random[0], other.random[0])
    assert one.random[1:] == other.random[1:]
