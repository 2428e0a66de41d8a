"""A capture leaves the module, its inputs and torch unchanged, for any forward and any outcome."""

from __future__ import annotations

import copy
import functools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.function_module import Wrapped
from support.left_alone import Snapshot
from torch import nn

import pyinfercost as ic
from pyinfercost.sources.trace.trace import CaptureError, trace_graph

pytestmark = pytest.mark.torch


def ops(graph: ic.Graph) -> list[str]:
    return [graph.node(i).op for i in range(len(graph))]


def network() -> nn.Module:
    """Statistics that training would update, dropout, a hook, frozen and tied weights, a buffer that is not saved."""
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(4 * 36, 5), nn.Linear(5, 5)
    )
    module.tied = module[5]
    module[4].bias.requires_grad_(False)
    module.register_buffer("scratch", torch.zeros(2), persistent=False)
    module[0].register_forward_hook(lambda *_: None)
    module[1].register_forward_pre_hook(lambda *_: None)
    module[4].weight.grad = torch.ones_like(module[4].weight)
    return module


def failing(self: Any, x: torch.Tensor) -> torch.Tensor:
    y = self.net(x)
    raise ZeroDivisionError("on purpose")
    return y


def noisy(self: Any, x: torch.Tensor) -> torch.Tensor:
    """Draws on the CPU, changes buffers in place and by assignment, and keeps things."""
    self.net[1].running_mean.add_(1)
    self.net[1].num_batches_tracked = self.net[1].num_batches_tracked + 1
    self.register_buffer("table", torch.zeros(3), persistent=False)
    self.net.last = x
    self.net[2].register_forward_hook(lambda *_: None)  # as transformers does on a first call
    self.net[3].register_forward_pre_hook(lambda *_: None, with_kwargs=False)
    self.count = random.random() + np.random.random()  # noqa: NPY002 - the global generator, as models use it
    return self.net(x) + torch.rand(5) + F.dropout(torch.randn(5), 0.5, training=True)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("dynamic", [None, {0: {0: "batch"}}])
@pytest.mark.parametrize("function", [lambda self, x: self.net(x), noisy, failing], ids=["plain", "noisy", "failing"])
def test_the_module_is_left_alone(function: Callable[..., Any], device: str, training: bool, dynamic: Any) -> None:
    module = Wrapped(function, net=network()).to(device).train(training)
    x = torch.zeros(4, 3, 8, 8)
    before = Snapshot(module)
    if function is failing:
        with pytest.raises(CaptureError, match="ZeroDivisionError: on purpose"):
            trace_graph(module, (x,), dynamic=dynamic)
    else:
        trace_graph(module, (x,), dynamic=dynamic)
    assert not before.differences()


def test_inputs_are_left_alone() -> None:
    x = torch.ones(3)
    graph = ic.capture(Wrapped(lambda self, x: x.mul_(2).add_(1)), (x,))
    assert ops(graph) == ["aten.mul_", "aten.add_"]
    assert x.tolist() == [1, 1, 1]
    assert x._version == 0


def test_a_module_still_runs_and_trains_after_a_capture() -> None:
    module, x = network(), torch.randn(4, 3, 8, 8)
    twin = copy.deepcopy(module)
    ic.capture(module, (x,))
    for m in (module, twin):
        m.zero_grad()
        torch.manual_seed(0)
        m(x).sum().backward()
    for (name, a), b in zip(module.named_parameters(), twin.parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None), name
        assert a.grad is None or torch.equal(a.grad, b.grad), name


def test_captures_inside_no_grad_or_autocast_are_the_same() -> None:
    module, x = network().eval(), torch.zeros(4, 3, 8, 8)
    plain = ic.capture(module, (x,))
    with torch.no_grad():
        assert ic.capture(module, (x,)) == plain
    assert ic.capture(module, (x.to("meta"),)) == plain

    def on_meta() -> nn.Module:
        with torch.device("meta"):
            return network().eval()

    assert ic.capture(on_meta(), (x,)) == plain


def behind_a_decorator(function: Callable[..., Any]) -> Callable[..., Any]:
    remembering = functools.lru_cache(maxsize=1)(function)

    def decorated(*args: Any) -> Any:
        return remembering(*args)

    return decorated


class Remembers(nn.Module):
    """Results kept by functions: of the file, of the class, and within what a decorator has made."""

    @staticmethod
    @functools.lru_cache
    def table(length: int, device: torch.device) -> torch.Tensor:
        return torch.arange(length, device=device).float()

    @behind_a_decorator
    def scaled(self, length: int, device: torch.device) -> torch.Tensor:
        return self.table(length, device) * 2

    def forward(self, x: torch.Tensor) -> Any:
        y = self.scaled(x.shape[0], x.device)
        return x + self.scaled(x.shape[0], x.device), y, doubled(x.shape[0], x.device)


@functools.lru_cache
def doubled(length: int, device: torch.device) -> torch.Tensor:
    return torch.arange(length, device=device) + 1


def test_what_functions_remember_is_theirs() -> None:
    """A capture sees none of it and adds nothing to it: or the work of a second capture would be less."""
    module, x = Remembers(), torch.zeros(3, device="meta")
    module(x)  # on the device where a capture runs
    before = module.scaled(3, x.device), module.table(3, x.device), doubled(3, x.device)
    graph = ic.capture(module, (x,))
    # the table once, although it is asked for twice
    assert ops(graph) == ["aten.arange", "aten.to", "aten.mul", "aten.add", "aten.arange", "aten.add"]
    assert ic.capture(module, (x,)) == graph
    after = module.scaled(3, x.device), module.table(3, x.device), doubled(3, x.device)
    assert all(a is b for a, b in zip(before, after, strict=True))
    assert Remembers.table.cache_info().misses == 1
