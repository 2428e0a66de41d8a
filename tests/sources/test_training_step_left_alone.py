"""A capture of a training step leaves the module, its gradients, its inputs and torch unchanged."""

from __future__ import annotations

import copy
import threading
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.function_module import Wrapped
from support.left_alone import Snapshot
from torch import nn
from torch.utils.checkpoint import checkpoint

import pyinfercost as ic
from pyinfercost.sources.trace.trace import CaptureError

pytestmark = pytest.mark.torch

FUSED = [f"aten::{name}" for name in ("scaled_dot_product_attention", "dropout", "rms_norm", "silu_backward")]


def registered() -> list[bool]:
    """Whether torch has kernels of a capture's own."""
    return [torch._C._dispatch_has_kernel_for_dispatch_key(name, "AutogradMeta") for name in FUSED]


def network() -> nn.Module:
    """Statistics, dropout, attention, a frozen and a tied weight, hooks, and a gradient from an earlier step."""
    module = nn.Sequential(
        nn.Linear(8, 16),
        nn.BatchNorm1d(5),
        nn.Dropout(0.5),
        nn.TransformerEncoderLayer(16, 2, 32, batch_first=True),
        nn.Linear(16, 16),
    )
    module.tied = module[4]
    module[0].bias.requires_grad_(False)
    module[0].weight.grad = torch.ones_like(module[0].weight)
    module[4].register_forward_hook(lambda *_: None)
    module[4].register_full_backward_hook(lambda *_: None)
    return module


def plain(self: Any, x: torch.Tensor) -> torch.Tensor:
    return self.net(x)


def noisy(self: Any, x: torch.Tensor) -> torch.Tensor:
    self.net[1].running_mean.add_(1)
    self.net[1].num_batches_tracked = self.net[1].num_batches_tracked + 1
    self.register_buffer("table", torch.zeros(3), persistent=False)
    y = checkpoint(self.net, x, use_reentrant=False)
    self.last = y
    return y + F.dropout(torch.randn(16), 0.5, training=True)


def failing(self: Any, x: torch.Tensor) -> torch.Tensor:
    y = self.net(x)
    raise ZeroDivisionError("on purpose")
    return y


def failing_in_backward(self: Any, x: torch.Tensor) -> torch.Tensor:
    y = self.net(x)

    def fail(_: torch.Tensor) -> None:
        raise ZeroDivisionError("on purpose")

    y.register_hook(fail)
    return y


@pytest.mark.filterwarnings("ignore:the module is in evaluation mode")
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("dynamic", [None, {0: {0: "batch"}}])
@pytest.mark.parametrize("function", [plain, noisy, failing, failing_in_backward])
@pytest.mark.sample(3)
def test_the_module_is_left_alone(function: Any, device: str, dynamic: Any, training: bool) -> None:
    module = Wrapped(function, net=network()).to(device).train(training)
    x = torch.zeros(3, 5, 8, requires_grad=True)
    before, kernels = Snapshot(module, (x,)), registered()
    if function in (failing, failing_in_backward):
        with pytest.raises(CaptureError, match="ZeroDivisionError: on purpose"):
            ic.capture(module, (x,), dynamic=dynamic, training=True)
    else:
        ic.capture(module, (x,), dynamic=dynamic, training=True)
    assert not before.differences()
    assert registered() == kernels == [False] * 4


def test_a_module_still_trains_after_a_capture() -> None:
    module, x = network(), torch.randn(3, 5, 8)
    twin = copy.deepcopy(module)
    ic.capture(module, (x,), training=True)
    for m in (module, twin):
        m.zero_grad()
        torch.manual_seed(0)
        m(x).sum().backward()
    for (name, a), b in zip(module.named_parameters(), twin.parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None), name
        assert a.grad is None or torch.equal(a.grad, b.grad), name


def test_captures_of_several_threads_do_not_disturb_each_other() -> None:
    graphs: list[ic.Graph] = []

    def capture() -> None:
        graphs.append(ic.capture(network(), (torch.zeros(3, 5, 8),), training=True))

    threads = [threading.Thread(target=capture) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(graphs) == 4
    assert all(graph == graphs[0] for graph in graphs)
    assert registered() == [False] * 4


def test_equal_captures_are_equal() -> None:
    module, x = network(), torch.zeros(3, 5, 8)
    graphs = [ic.capture(module, (given,), training=True) for given in (x, x, x.to("meta"))]
    assert graphs[0] == graphs[1] == graphs[2]
