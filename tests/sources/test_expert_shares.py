"""Choices among experts are evenly distributed, and the shares add up exactly to all choices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import pyinfercost as ic
from pyinfercost.sources.symbols import CaptureError

pytestmark = pytest.mark.torch

WIDTH, EXPERTS, CHOSEN = 16, 8, 2
EXPERT_MACS = WIDTH * WIDTH  # per row


class Gated(nn.Module):
    """A router and experts under the names that loops look them up by."""

    def __init__(self, run: Callable[[Any, torch.Tensor], Any]) -> None:
        super().__init__()
        self.gate = nn.Linear(WIDTH, EXPERTS, bias=False)
        self.experts = nn.ModuleDict({f"expert_{i}": nn.Linear(WIDTH, WIDTH, bias=False) for i in range(EXPERTS)})
        self.run = run

    def forward(self, x: torch.Tensor) -> Any:
        return self.run(self, x)


def captured(run: Callable[[Any, torch.Tensor], Any], tokens: int, **options: Any) -> ic.Graph:
    return ic.capture(Gated(run), (torch.empty(tokens, WIDTH, device="meta"),), **options)


def expert_rows(graph: ic.Graph, number: int, **sizes: Any) -> int:
    """Rows that experts multiply: what is counted beyond the router."""
    macs = int(ic.count(graph, **sizes).total.macs) - number * WIDTH * EXPERTS
    assert macs % EXPERT_MACS == 0
    return macs // EXPERT_MACS


def modules_that_run(graph: ic.Graph) -> list[str]:
    names = [row.module for row in ic.count(graph).layers if row.op == "aten.linear"]
    return [name for name in names if name.startswith("experts.")]


def by_key(m: Any, x: torch.Tensor, classes: int = EXPERTS) -> torch.Tensor:
    """As Switch and NLLB do: the expert that was hit is looked up by a text with its number in it."""
    weights, chosen = torch.topk(m.gate(x).softmax(-1), CHOSEN)
    mask = nn.functional.one_hot(chosen, classes).permute(2, 1, 0)
    out = torch.zeros_like(x)
    for hit in torch.greater(mask.sum(dim=(-1, -2)), 0).nonzero():
        place, token = torch.where(mask[hit].squeeze(0))
        out.index_add_(0, token, m.experts[f"expert_{hit[0]}"](x[token]) * weights[token, place, None])
    return out


def by_key_beyond(m: Any, x: torch.Tensor) -> torch.Tensor:
    """As Mixtral does: one class more than there are experts, which nothing falls on."""
    return by_key(m, x, EXPERTS + 1)


def by_select(m: Any, x: torch.Tensor) -> torch.Tensor:
    mask = nn.functional.one_hot(m.gate(x).topk(CHOSEN).indices, EXPERTS).transpose(0, 2)
    out = torch.zeros_like(x)
    for i, expert in enumerate(m.experts.values()):
        token = torch.where(mask[i])[1]
        if token.numel():
            out[token] += expert(x[token])
    return out


def by_equality(m: Any, x: torch.Tensor) -> torch.Tensor:
    chosen, out = m.gate(x).topk(CHOSEN).indices, torch.zeros_like(x)
    for i, expert in enumerate(m.experts.values()):
        token = torch.where(chosen == i)[0]
        if token.numel():
            out[token] += expert(x[token])
    return out


def by_scatter(m: Any, x: torch.Tensor) -> torch.Tensor:
    """As JetMoe does: counts as a list, from ones that were scattered."""
    chosen = m.gate(x).topk(CHOSEN, dim=1).indices
    counts = torch.zeros(x.shape[0], EXPERTS, device=x.device).scatter(1, chosen, 1).long().sum(0).tolist()
    rows = x[chosen.flatten().sort().indices // CHOSEN].split(counts)
    return torch.cat([expert(part) for expert, part in zip(m.experts.values(), rows, strict=True)])


def by_counts(m: Any, x: torch.Tensor) -> torch.Tensor:
    chosen = m.gate(x).topk(CHOSEN).indices.flatten()
    counts = torch.bincount(chosen, minlength=EXPERTS)
    rows, first, parts = x.repeat_interleave(CHOSEN, dim=0)[chosen.argsort()], 0, []
    for i, expert in enumerate(m.experts.values()):
        number = counts[i].item()
        parts.append(expert(rows[first : first + number]))
        first += number
    return torch.cat(parts)


LOOPS = [by_key, by_key_beyond, by_select, by_equality, by_scatter, by_counts]


@pytest.mark.parametrize("tokens", [32, 31, 30, 29, 5, 3, 1])
@pytest.mark.parametrize("run", LOOPS, ids=lambda run: run.__name__)
@pytest.mark.sample(2)
def test_shares_add_up_to_what_was_chosen(run: Callable[[Any, torch.Tensor], Any], tokens: int) -> None:
    assert expert_rows(captured(run, tokens), tokens) == tokens * CHOSEN


@pytest.mark.parametrize("run", [by_key, by_key_beyond], ids=lambda run: run.__name__)
@pytest.mark.sample(1)
def test_shares_of_a_training_step_are_those_of_a_forward(run: Callable[[Any, torch.Tensor], Any]) -> None:
    graph = ic.capture(Gated(run), (torch.empty(29, WIDTH, device="meta"),), training=True)
    macs = int(ic.count(graph).by_phase()["forward"].macs) - 29 * WIDTH * EXPERTS
    assert macs == 29 * CHOSEN * EXPERT_MACS


def test_numbers_below_all_that_are_chosen_are_no_classes() -> None:
    """A comparison with half of the experts leaves about half of the choices."""

    def run(m: Any, x: torch.Tensor) -> torch.Tensor:
        hot = m.gate(x).topk(CHOSEN).indices.unsqueeze(-1) == torch.arange(EXPERTS // 2, device=x.device)
        return x[torch.where(hot)[0]]

    size = captured(run, 32).sizes["forward.nonzero"]
    assert (size["default"], size["maximum"]) == (32, 32 * CHOSEN * EXPERTS // 2)


def test_the_first_experts_get_what_is_left_over() -> None:
    values = captured(by_equality, 29).size_values({})  # 58 choices among 8
    assert list(values.values()) == [8, 8, 7, 7, 7, 7, 7, 7]


@pytest.mark.parametrize(("tokens", "hit"), [(32, EXPERTS), (3, 6), (1, 2)])
def test_a_loop_over_the_experts_that_were_hit_runs_each_once(tokens: int, hit: int) -> None:
    assert modules_that_run(captured(by_key, tokens)) == [f"experts.expert_{i}" for i in range(hit)]


def test_a_capture_can_say_how_many_experts_are_hit() -> None:
    three = captured(by_key, 32, **{"forward.nonzero": 3})
    assert modules_that_run(three) == ["experts.expert_0", "experts.expert_1", "experts.expert_2"]


def test_of_other_masks_a_place_lies_in_the_middle_of_where_it_may_be() -> None:
    def run(m: Any, x: torch.Tensor) -> torch.Tensor:
        places = (m.gate(x)[0] > 0).nonzero()
        return m.experts[f"expert_{places[0].item()}"](x)

    # Of three among eight the first lies from 0 to 5.
    assert modules_that_run(captured(run, 32, **{"forward.nonzero": 3})) == ["experts.expert_2"]


@pytest.mark.parametrize("tokens", [32, 29, 8, 4])
@pytest.mark.sample(2)
def test_shares_of_an_open_number_of_tokens_add_up(tokens: int) -> None:
    for run in (by_key, by_equality):
        graph = captured(run, 32, dynamic={0: {0: "tokens"}})
        assert expert_rows(graph, tokens, tokens=tokens) == tokens * CHOSEN


@pytest.mark.parametrize(("capacity", "rows"), [(64, 30), (4, 30), (3, 24), (1, 8), (0, 0)])
def test_experts_take_no_more_than_their_capacity(capacity: int, rows: int) -> None:
    def run(m: Any, x: torch.Tensor) -> torch.Tensor:
        hot = nn.functional.one_hot(m.gate(x).argmax(-1), EXPERTS)
        hot = hot * (torch.cumsum(hot, dim=-2) <= capacity)
        out = torch.zeros_like(x)
        for i, expert in enumerate(m.experts.values()):
            token = torch.where(hot[:, i])[0]
            if token.numel():
                out[token] += expert(x[token])
        return out

    assert expert_rows(captured(run, 30), 30) == rows


def test_ones_at_places_that_may_coincide_add_up_to_no_number() -> None:
    def counts(m: Any, x: torch.Tensor) -> torch.Tensor:
        chosen = torch.stack([m.gate(x).argmax(-1), m.gate(x).argmin(-1)], -1)
        return torch.zeros(x.shape[0], EXPERTS, device=x.device).scatter(1, chosen, 1).long().sum(0)

    # A row of equal values chooses one expert twice: an eighth of 64 by default, one per row at most.
    size = captured(lambda m, x: x.new_zeros(counts(m, x)[0].item(), WIDTH), 32).sizes["forward.item"]
    assert (size["default"], size["maximum"]) == (8, 32)
    with pytest.raises(CaptureError, match="capture stopped"):
        captured(lambda m, x: x.repeat_interleave(CHOSEN, dim=0).split(counts(m, x).tolist()), 32)
