"""Zeros of activations, counted on real inputs in one forward without side effects."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.left_alone import Snapshot
from torch import nn
from torch.nn import functional as F

import pyinfercost as ic
from pyinfercost.scan import SparsityError

pytestmark = pytest.mark.torch


class Twice(nn.Module):
    """One module that runs twice, a functional activation, and one in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 16)
        self.second = nn.Linear(16, 16)
        self.act = nn.ReLU()
        self.kept: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor, shift: float = 0.0) -> torch.Tensor:
        a = self.act(self.first(x) + shift)
        b = self.act(self.second(a))
        c = F.relu_(b - 0.1)
        self.kept = [a, b, c]
        return F.hardtanh(c, 0.0, 1.0)


def test_counts_are_those_of_the_tensors() -> None:
    model = Twice().eval()
    x = torch.randn(5, 8)
    found = ic.activation_sparsity(model, x)
    by_name = {(row.module, row.op): row for row in found.rows}
    a, b, c = model.kept
    assert list(by_name) == [("act", "relu"), ("", "relu"), ("", "hardtanh")]
    assert by_name["act", "relu"].calls == 2
    assert by_name["act", "relu"].elements == a.numel() + b.numel()
    assert by_name["act", "relu"].zeros == int((a == 0).sum() + (b == 0).sum())
    assert by_name["", "relu"].zeros == int((c == 0).sum())
    assert found.zeros == sum(row.zeros for row in found.rows)
    assert found.elements == 4 * 5 * 16
    assert 0 < found.zero_share < 1
    assert found.to_dict()["activations"]["zeros"] == found.zeros
    assert "hardtanh" in str(found)


def test_named_inputs() -> None:
    model = Twice().eval()
    all_off = ic.activation_sparsity(model, ic.Inputs((torch.randn(5, 8),), {"shift": -1e6}))
    assert all_off.rows[0].zeros >= 5 * 16


class Stateful(nn.Module):
    """Batch norm and dropout, which in training mode update buffers and draw numbers."""

    def __init__(self, fails: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(8)
        self.drop = nn.Dropout(0.5)
        self.act = nn.GELU()
        self.fails = fails

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.drop(self.act(self.norm(x)))
        if self.fails:
            raise RuntimeError("the model's own")
        return x


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left_behind(training: bool, fails: bool) -> None:
    model = Stateful(fails).train(training)
    x = torch.randn(6, 8, requires_grad=True)
    before = Snapshot(model, x)
    if fails:
        with pytest.raises(RuntimeError, match="the model's own"):
            ic.activation_sparsity(model, (x,))
    else:
        assert ic.activation_sparsity(model, (x,)).rows[0].op == "gelu"
    assert not before.differences()
    model.fails = False
    assert model(x).requires_grad


def test_a_module_that_catches_errors_is_still_followed() -> None:
    class Inner(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise ValueError

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            try:
                return self.inner(x)
            except ValueError:
                return torch.relu(x)

    assert [row.module for row in ic.activation_sparsity(Outer(), torch.ones(3)).rows] == [""]


def test_what_cannot_run_is_refused() -> None:
    with pytest.raises(TypeError, match=r"of type str; expected an nn\.Module"):
        ic.activation_sparsity("torchvision:resnet50")
    with torch.device("meta"):
        model: Any = nn.Linear(2, 2)
    with pytest.raises(SparsityError, match="meta device"):
        ic.activation_sparsity(model, torch.ones(1, 2))
