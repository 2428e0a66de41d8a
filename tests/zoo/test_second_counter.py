"""The second counter of the zoo: correct counts, and reports of incomparable ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from zoo.check import counted_again, lengths_of_data
from zoo.flop_counter import torch_counted

import pyinfercost as ic

pytestmark = pytest.mark.torch


class _PlacesForFeatures(nn.Module):
    """Requires as many placeholder tokens as features, like vision models."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(10, 4)
        self.head = nn.Linear(4, 10)

    def forward(self, ids: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        places = ids == 7
        if int(places.sum()) != features.shape[0]:
            raise ValueError("features and places do not match")
        return self.head(self.words(ids))


class _Chooses(nn.Module):
    """A product of rows selected by a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x[(x + self.linear.bias.sum() * 0).sum(1) > 0])


class _ExpertByExpert(_Chooses):
    """A loop over the chosen experts, which depend on data."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = (x + self.linear.bias.sum() * 0).sum(1)
        chosen = torch.stack([score > 0, score > 100])
        results = [self.linear(x[chosen[expert[0]].nonzero()]) for expert in chosen.any(1).nonzero()]
        return torch.cat(results) if results else x[:0]


def _again(module: nn.Module, *args: Any) -> tuple[str, list[str]]:
    graph = ic.capture(module, args)
    return counted_again(module, args, {}, graph, graph.size_values({}))


def test_inputs_with_values_are_used_as_they_are() -> None:
    ids = torch.tensor([[1, 7, 7, 2]])
    assert torch_counted(_PlacesForFeatures(), (ids, torch.empty(2, 4, device="meta")), {}).flops == 2 * 4 * 4 * 10
    refused = torch_counted(_PlacesForFeatures(), (ids, torch.empty(3, 4, device="meta")), {})
    assert refused.flops is None
    assert "with weights, ValueError: features and places do not match" in refused.reason


def test_a_module_without_weights_runs_on_meta_tensors() -> None:
    module = nn.Linear(8, 4).to("meta")
    assert torch_counted(module, (torch.ones(2, 8),), {})[:2] == (2 * 2 * 8 * 4, "")


def test_a_difference_is_found() -> None:
    graph = ic.capture(nn.Linear(8, 4), (torch.ones(2, 8),))
    reason, failures = counted_again(nn.Linear(8, 5), (torch.ones(2, 8),), {}, graph, {})
    assert not reason
    assert failures == ["128 contraction FLOPs, a second counter finds 160"]


def test_what_has_no_rule_is_named() -> None:
    class Sums(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.addbmm(x[0], x, x)

    assert _again(Sums(), torch.ones(2, 3, 3)) == ("no rule for aten.addbmm.default", [])


def test_distances_recurrent_layers_and_vectors_have_rules() -> None:
    class Distances(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cdist(x, x)

    assert torch_counted(Distances(), (torch.ones(2, 30, 5),), {})[:2] == (2 * 2 * 30 * 30 * (5 + 2), "")
    lstm = nn.LSTM(6, 5, num_layers=2, bidirectional=True)
    steps = 3 * 2 * 2  # and two directions
    expected = 2 * steps * 4 * 5 * ((6 + 5) + (2 * 5 + 5))
    assert torch_counted(lstm, (torch.ones(3, 2, 6),), {})[:2] == (expected, "")
    assert _again(lstm, torch.ones(3, 2, 6)) == ("", [])
    assert _again(Distances(), torch.ones(2, 30, 5)) == ("", [])


def test_lengths_that_data_decide_are_those_of_the_run() -> None:
    x = torch.tensor([[1.0] * 4, [-1.0] * 4, [2.0] * 4])
    assert torch_counted(_Chooses(), (x,), {}).lengths == {"forward.nonzero": [2]}
    assert _again(_Chooses(), x) == ("", [])
    graph = ic.capture(_Chooses(), (x,))
    assert ic.count(graph).total.contraction_flops == 2 * 3 * 4 * 3  # at its default it would differ
    assert _again(_ExpertByExpert(), x) == ("data decide how often a loop runs", [])


def test_sizes_are_matched_one_to_one_or_not_at_all() -> None:
    sizes = {"a.nonzero": 9, "a.nonzero_2": 9, "b.nonzero": 9}
    found = {"a.nonzero": [1, 2], "b.nonzero": [3]}
    assert lengths_of_data(sizes, found) == {"a.nonzero": 1, "a.nonzero_2": 2, "b.nonzero": 3}
    assert lengths_of_data(sizes, {**found, "b.nonzero": [3, 4]}) is None
    assert lengths_of_data({**sizes, "a.item": 9}, found) is None
    assert lengths_of_data({}, {}) == {}
