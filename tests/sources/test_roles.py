"""Bytes by role through views, in-place operators and each model source: KV caches, weights, results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.function_module import Wrapped
from torch import nn

import pyinfercost as ic

pytestmark = pytest.mark.torch

SLOTS, HEADS, WIDTH = 32, 2, 8
CACHE_BYTES = 4 * HEADS * SLOTS * WIDTH


class Decoder(nn.Module):
    """Writes one position of a cache in place, then attends over all of it."""

    def forward(self, x: torch.Tensor, past_key_values: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        past_key_values.index_copy_(2, position, x)
        keys = past_key_values.transpose(2, 3)
        return torch.matmul(torch.matmul(x, keys), past_key_values.view(1, HEADS, SLOTS, WIDTH))


def inputs() -> tuple[torch.Tensor, ...]:
    return torch.zeros(1, HEADS, 1, WIDTH), torch.zeros(1, HEADS, SLOTS, WIDTH), torch.zeros(1, dtype=torch.int64)


def graphs(tmp_path: Path) -> dict[str, ic.Graph]:
    x, cache, position = inputs()
    named = {"past_key_values": cache, "position": position}
    program = torch.export.export(Decoder(), (x,), named)
    torch.export.save(program, tmp_path / "decoder.pt2")
    traced = ic.capture(Decoder(), ic.Inputs((x,), named))
    return {
        "trace": traced,
        "export": ic.capture(program),
        "archive": ic.capture(tmp_path / "decoder.pt2"),
        "json": ic.Graph.from_json(traced.to_json()),
    }


@pytest.mark.parametrize("door", ["trace", "export", "archive", "json"])
def test_a_kv_cache_keeps_its_role(door: str, tmp_path: Path) -> None:
    graph = graphs(tmp_path)[door]
    assert [t.role for t in graph.inputs] == ["input", "kv_cache", "input"]
    roles = ic.count(graph).total.bytes_by_role
    # Both products read all of it, through a transposed view and another; one position is written where it lies.
    assert roles["kv_cache_read"] == 2 * CACHE_BYTES
    assert roles["kv_cache_written"] == 4 * HEADS * WIDTH
    assert roles["weight_read"] == 0


def test_what_is_made_from_a_cache_is_a_result() -> None:
    """A functional update makes another tensor: the cache is read, and what is written is no cache any more."""
    module = Wrapped(lambda self, x, past_key_value: torch.cat([past_key_value, x], 2) * 2)
    x, cache, _ = inputs()
    roles = ic.count(ic.capture(module, ic.Inputs((x,), {"past_key_value": cache}))).total.bytes_by_role
    grown = CACHE_BYTES + 4 * HEADS * WIDTH
    assert roles["kv_cache_read"] == CACHE_BYTES
    assert roles["kv_cache_written"] == 0
    assert roles["activation_written"] == 2 * grown


def row_of(module: nn.Module, op: str, *args: torch.Tensor) -> Any:
    (row,) = [row for row in ic.count(ic.capture(module, args)).layers if row.op == op]
    return row.work.bytes_by_role


@pytest.mark.parametrize(
    "view", [lambda w: w.t(), lambda w: w[2:6], lambda w: w.reshape(2, -1), lambda w: w.chunk(2)[1]]
)
def test_a_view_of_a_weight_is_a_weight(view: Any) -> None:
    module = Wrapped(lambda self, x: view(self.weight).sin().sum() + x)
    module.weight = nn.Parameter(torch.zeros(8, 4))
    assert row_of(module, "aten.sin", torch.zeros(()))["weight_read"] == 4 * view(torch.zeros(8, 4)).numel()


def test_an_expanded_row_is_read_once() -> None:
    module = Wrapped(lambda self, x: x + self.weight.expand(64, 4))
    module.weight = nn.Parameter(torch.zeros(1, 4))
    roles = row_of(module, "aten.add", torch.zeros(64, 4))
    assert (roles["weight_read"], roles["activation_read"]) == (4 * 4, 4 * 64 * 4)


def test_an_in_place_op_writes_where_it_reads() -> None:
    module = Wrapped(lambda self, x: (x + 1).mul_(2).view(-1)[:8].add_(1))
    counts = ic.count(ic.capture(module, (torch.zeros(4, 4),)))
    assert [row.work.bytes_written for row in counts.layers if row.work.bytes_written] == [4 * 16, 4 * 16, 4 * 8]
    # One tensor is ever made.
    assert counts.total.peak_activation_bytes == 4 * 16


def test_a_buffer_that_is_written_in_place_is_a_weight() -> None:
    module = Wrapped(lambda self, x: self.state.add_(x))
    module.register_buffer("state", torch.zeros(4))
    roles = row_of(module, "aten.add_", torch.zeros(4))
    assert (roles["weight_read"], roles["weight_written"], roles["activation_read"]) == (16, 16, 16)


def test_tied_weights_count_once_through_every_door(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False))
    module[1].weight = module[0].weight
    program = torch.export.export(module, (torch.zeros(2, 8),))
    torch.export.save(program, tmp_path / "tied.pt2")
    for model in (ic.capture(module, (torch.zeros(2, 8),)), ic.capture(program), ic.capture(tmp_path / "tied.pt2")):
        total = ic.count(model).total
        assert (total.parameters, total.parameter_bytes) == (64, 256)
        assert total.bytes_by_role["weight_read"] == 2 * 256
