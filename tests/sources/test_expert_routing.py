"""Routing of grouped products as a size: the number of experts with rows, whose weights are read."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import pyinfercost as ic
from pyinfercost.sources.symbols import UnknownSizeError

pytestmark = pytest.mark.torch

ROWS, EXPERTS, WIDTH, INNER = 64, 8, 16, 32


class Experts(nn.Module):
    """Two grouped products by one routing."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Parameter(torch.empty(EXPERTS, WIDTH, INNER))
        self.down = nn.Parameter(torch.empty(EXPERTS, INNER, WIDTH))

    def forward(self, x: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
        return torch._grouped_mm(torch._grouped_mm(x, self.up, offs=ends), self.down, offs=ends)


class Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Experts() for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            ends = torch.bincount(x[:, :EXPERTS].argmax(-1), minlength=EXPERTS).cumsum(0).to(torch.int32)
            x = layer(x, ends)
        return x


def captured(rows: int = ROWS, dynamic: Any = None, **sizes: Any) -> ic.Graph:
    return ic.capture(Layers(), (torch.empty(rows, WIDTH, device="meta"),), dynamic=dynamic, **sizes)


def weights_read(graph: ic.Graph, **sizes: Any) -> list[int]:
    """Bytes of weights that each product reads."""
    rows = [row.row for row in ic.count(graph, **sizes).layers if row.op == "aten._grouped_mm"]
    return [int(row.bytes_by_role["weight_read"]) for row in rows]


ONE_EXPERT = WIDTH * INNER * 4  # bytes, in either product


def test_by_default_every_expert_gets_rows_as_long_as_there_are_rows() -> None:
    assert weights_read(captured()) == [EXPERTS * ONE_EXPERT] * 4
    assert weights_read(captured(3)) == [3 * ONE_EXPERT] * 4
    assert [name for name in captured().sizes if "groups" in name] == []


def test_a_capture_can_say_how_many_experts_get_rows() -> None:
    graph = captured(**{"layers.0.groups": 3})
    assert weights_read(graph) == [3 * ONE_EXPERT] * 2 + [EXPERTS * ONE_EXPERT] * 2
    size = graph.sizes["layers.0.groups"]
    assert (size["default"], size["maximum"]) == (3, EXPERTS)
    assert "any row is routed to; default: as given when capturing" in size["origin"]
    # The work is that of the rows, wherever they go.
    macs = ic.count(captured()).total.macs
    assert ic.count(graph).total.macs == macs == 2 * ROWS * 2 * WIDTH * INNER


def test_a_pattern_says_it_of_all_layers_and_leaves_it_open() -> None:
    given: dict[str, Any] = {"layers.*.groups": 2}
    graph = captured(**given)
    assert weights_read(graph) == [2 * ONE_EXPERT] * 4
    assert weights_read(graph, **{"layers.1.groups": 5}) == [2 * ONE_EXPERT] * 2 + [5 * ONE_EXPERT] * 2
    again = ic.Graph.from_json(graph.to_json())
    assert again == graph
    assert weights_read(again, **{"layers.*.groups": 4}) == [4 * ONE_EXPERT] * 4
    axis: dict[str, Any] = {"layers.0.groups": [1, 8]}
    few, all_of_them = ic.sweep(graph, hardware="l4", **axis)["latency_s"]
    assert few <= all_of_them * (1 + 1e-12)


def test_no_more_experts_get_rows_than_there_are() -> None:
    with pytest.raises(UnknownSizeError, match=r"'layers.0.groups' .* must be from 1 to 8, got 9"):
        captured(**{"layers.0.groups": 9})
    with pytest.raises(UnknownSizeError, match=r"must be from 1 to 3, got 4"):
        captured(3, **{"layers.0.groups": 4})
    with pytest.raises(ValueError, match=r"'layers.0.groups' .*must be from 1 to 8"):
        ic.count(captured(**{"layers.0.groups": 2}), **{"layers.0.groups": 9})
    with pytest.raises(UnknownSizeError, match=r"unknown size 'layers.7.groups'.*layers.0.groups"):
        captured(**{"layers.7.groups": 2})
