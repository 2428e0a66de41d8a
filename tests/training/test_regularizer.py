"""The cost of a model with prunable channels as a term of its loss: values, gradients, coupling, budgets."""

from __future__ import annotations

import copy
import itertools
import random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from torch import nn
from torch.nn.utils import prune

import pyinfercost as ic
from pyinfercost import CostRegularizer
from pyinfercost.training.soft_cost import Interpolation, nodes_of

pytestmark = pytest.mark.torch

X = torch.randn(1, 3, 16, 16)


class Residual(nn.Module):
    """A stem, a block around which its channels are added, and a classifier."""

    def __init__(self, stem: int = 32, inner: int = 48) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, stem, 3, padding=1)
        self.norm = nn.BatchNorm2d(stem)
        self.inner = nn.Conv2d(stem, inner, 3, padding=1)
        self.outer = nn.Conv2d(inner, stem, 3, padding=1)
        self.head = nn.Linear(stem, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.stem(x)).relu()
        return self.head((x + self.outer(self.inner(x).relu())).mean((2, 3)))


def regularizer(model: nn.Module, **ways: Any) -> CostRegularizer:
    torch.manual_seed(0)
    return CostRegularizer(model, X, **{"hardware": "l4", "execution": "cuda_graph", **ways})


# ---- between whole channels ------------------------------------------------------------------------------------------


@given(st.integers(1, 3), st.integers(0, 10_000))
@settings(max_examples=examples(60), deadline=None)
def test_interpolation(groups: int, seed: int) -> None:
    draw = random.Random(seed)
    nodes = [sorted(draw.sample(range(1, 65), draw.randint(1, 5))) for _ in range(groups)]
    costs = {point: draw.random() for point in itertools.product(*nodes)}
    found = Interpolation(nodes, costs.__getitem__)
    for point, cost in costs.items():
        assert found.at([float(width) for width in point]).cost == pytest.approx(cost)
    for _ in range(20):
        at = [draw.uniform(of[0], of[-1]) for of in nodes]
        known = found.at(at)
        assert min(costs.values()) - 1e-12 <= known.cost <= max(costs.values()) + 1e-12
        for group in range(groups):
            # So small a step stays on one simplex, but for kinks, at which either side is a slope.
            beside = [w + 1e-7 * (g == group) for g, w in enumerate(at)]
            assert found.at(beside).cost - known.cost == pytest.approx(1e-7 * known.slopes[group], abs=1e-12)


@given(st.integers(1, 2000), st.integers(1, 32))
def test_nodes(width: int, granularity: int) -> None:
    nodes = nodes_of(width, min(granularity, width), 8)
    assert nodes == sorted(set(nodes))
    assert nodes[-1] == width
    assert all(node % granularity == 0 for node in nodes[:-1])
    assert nodes[0] == min(granularity, width)
    assert len(nodes) <= 9


# ---- what a model costs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "metric", ["latency_s", "energy_j", "cost_usd", "flops", "contraction_flops", "traffic_bytes", "peak_memory_bytes"]
)
@pytest.mark.sample(3)
def test_a_whole_model_costs_what_is_estimated(metric: str) -> None:
    model = Residual()
    found = regularizer(model, metric=metric, price=3.6, precision="fp16")
    graph = ic.capture(model.eval(), X, dynamic={0: {0: "batch"}})
    known = ic.estimate(graph, hardware="l4", execution="cuda_graph", precision="fp16", price=3.6)
    counted = ic.count(graph, precision="fp16", batch=1).total
    expected = {
        "latency_s": known.latency_s,
        "energy_j": known.energy_j,
        "cost_usd": known.cost_usd,
        "flops": counted.contraction_flops + counted.pointwise_flops,
        "contraction_flops": counted.contraction_flops,
        "traffic_bytes": counted.bytes_read + counted.bytes_written,
        "peak_memory_bytes": counted.peak_memory_bytes,
    }[metric]
    assert found.full_cost == pytest.approx(expected, rel=1e-12)
    assert found.hard() == found.full_cost
    assert float(found.cost().detach()) == pytest.approx(1, abs=0.1)


def test_hard_cost_is_that_of_the_narrow_model() -> None:
    model = Residual()
    with torch.no_grad():
        model.norm.weight[[1, 5, 9]] = 0
        model.inner.weight[8:] = 0
        model.inner.bias[8:] = 0
        model.norm.weight[20:] = 0
    found = regularizer(model, granularity=1, metric="latency_s")
    assert {name: len(kept) for name, kept in found.keep().items()} == {"width_stem": 17, "width_inner": 8}
    narrow = Residual(17, 8).eval()
    graph = ic.capture(narrow, X, dynamic={0: {0: "batch"}})
    assert found.hard() == ic.estimate(graph, hardware="l4", execution="cuda_graph").latency_s
    small = found.shrink(copy.deepcopy(model))
    graph = ic.capture(small.eval(), X, dynamic={0: {0: "batch"}})
    assert found.hard() == ic.estimate(graph, hardware="l4", execution="cuda_graph").latency_s


def test_channels_that_are_added_go_together() -> None:
    found = regularizer(Residual())
    assert found.groups["stem"] is found.groups["outer"]
    assert {row.name for row in found.report()} == {"width_stem", "width_inner"}
    with pytest.raises(ValueError, match="which share channels"):
        regularizer(Residual(), gates={"stem": torch.ones(32), "outer": torch.ones(32)})


def test_gates_of_the_callers_own() -> None:
    gate = nn.Parameter(torch.linspace(0.1, 1.0, 48))
    found = regularizer(Residual(), gates={"inner": lambda: gate}, metric="contraction_flops", granularity=1)
    assert found.soft_widths().tolist() == [pytest.approx(float(gate.detach().sum()))]
    # FLOPs are linear in the one width, so that slopes are exact: two convolutions of 3x3 on 16x16 pixels.
    found().backward()
    per_channel = 2 * 2 * 32 * 9 * 16 * 16
    assert gate.grad is not None
    assert gate.grad.tolist() == [pytest.approx(per_channel / found.full_cost)] * 48
    assert len(found.keep()["width_inner"]) == int((gate > 0.5).sum())


# ---- slopes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["latency_s", "contraction_flops", "traffic_bytes"])
def test_gradients_of_weights(metric: str) -> None:
    torch.manual_seed(1)
    model = Residual().double()
    with torch.no_grad():
        model.norm.weight.copy_(torch.linspace(0.1, 1, 32))  # the largest of each group is held: the first is another
        model.inner.weight[0] *= 0.5
        model.inner.bias[0] *= 0.5
    found = CostRegularizer(model, X.double(), metric=metric, hardware="l4", execution="cuda_graph")
    found.cost().backward()
    for weight in (model.norm.weight, model.inner.weight, model.inner.bias):
        assert weight.grad is not None
        index = tuple(0 for _ in weight.shape)
        step = 1e-3
        with torch.no_grad():
            sides = []
            for sign in (1, -1):
                weight[index] += sign * step
                sides.append(float(found.cost()))
                weight[index] -= sign * step
        assert float(weight.grad[index]) == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=2e-2, abs=1e-7)
    assert model.stem.weight.grad is None, "a scale behind it undoes its size"


def test_a_memory_bound_layer_has_a_slope_of_its_bytes() -> None:
    model = nn.Sequential(nn.Linear(4096, 4096, bias=False), nn.ReLU(), nn.Linear(4096, 4096, bias=False))
    found = CostRegularizer(
        model, torch.randn(1, 4096), hardware="l4", execution="cuda_graph", precision="fp16", metric="latency_s"
    )
    (row,) = found.report()
    machine = ic.hardware.load("l4")
    # A hidden unit is a row of one weight and a column of the other, of two bytes an element.
    at_the_sheet_s = 2 * 4096 * 2 / machine.bandwidth_byte_per_s
    assert at_the_sheet_s < row.slope < 2 * at_the_sheet_s


def test_nothing_is_saved_where_launches_bind() -> None:
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 16))
    found = CostRegularizer(model, torch.randn(1, 16), hardware="h100-sxm-80gb", execution="eager")
    (row,) = found.report()
    assert abs(row.slope) * 32 < 0.01 * found.full_cost


def test_a_channel_at_zero_has_a_gradient() -> None:
    model = Residual()
    found = regularizer(model)
    with torch.no_grad():
        model.inner.weight[0] = 0
        model.inner.bias[0] = 0
    found.cost().backward()
    assert model.inner.weight.grad is not None
    assert torch.isfinite(model.inner.weight.grad).all()


def test_the_size_of_a_whole_group_says_nothing() -> None:
    model = Residual()
    with torch.no_grad():
        model.norm.weight.copy_(torch.rand(32))
    found = regularizer(model)
    first = float(found.cost().detach())
    with torch.no_grad():
        model.norm.weight *= 0.01
        model.inner.weight *= 100
        model.inner.bias *= 100
    assert float(found.cost().detach()) == pytest.approx(first, rel=1e-4)


def test_channels_behind_masks_are_gone() -> None:
    model = Residual()
    mask = (torch.arange(48) % 2).float()
    prune.custom_from_mask(model.inner, "weight", mask[:, None, None, None].expand(48, 32, 3, 3))
    prune.custom_from_mask(model.inner, "bias", mask)
    found = regularizer(model, granularity=1)
    assert found.keep()["width_inner"] == list(range(1, 48, 2))
    found.cost().backward()
    assert model.inner.weight_orig.grad is not None
    assert (model.inner.weight_orig.grad[1::2] != 0).any()


# ---- in a loop -------------------------------------------------------------------------------------------------------


def test_gradients_that_are_injected_are_those_of_the_loss() -> None:
    one, other = Residual(), Residual()
    other.load_state_dict(one.state_dict())
    ways = {"lam": 3.0}
    x = torch.randn(4, 3, 16, 16)
    (one(x).square().mean() + regularizer(one, **ways)()).backward()
    injects = regularizer(other, **ways)
    other(x).square().mean().backward()
    share = injects.inject_grad()
    assert share == pytest.approx(float(injects.cost().detach()))
    for (name, a), b in zip(one.named_parameters(), other.parameters(), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        assert torch.allclose(a.grad, b.grad, atol=1e-7), name


def test_a_budget_moves_lambda() -> None:
    model = Residual()
    found = regularizer(model, target=0.5, rate=0.1, metric="contraction_flops")
    assert [found.step() for _ in range(3)] == pytest.approx([1.05127, 1.10517, 1.16183], rel=1e-3)
    with torch.no_grad():
        model.norm.weight[4:] *= 0.001
        model.inner.weight[4:] *= 0.001
        model.inner.bias[4:] *= 0.001
    assert found.step() < 1.16183
    assert found.pressure(0.5) == 0
    assert found.pressure(0.525) == pytest.approx(0.5)
    assert found.pressure(0.9) == 1
    assert float(found().detach()) == 0, "under its budget it pushes no more"
    other = regularizer(Residual(), target=0.5, metric="contraction_flops")
    other.load_state_dict(found.state_dict())
    assert other.lam == found.lam


@pytest.mark.slow
def test_a_budget_is_met() -> None:
    torch.manual_seed(0)
    model = Residual()
    found = CostRegularizer(model, X, metric="contraction_flops", target=0.4, rate=0.02)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    x = torch.randn(8, 3, 16, 16)
    for _ in range(350):
        optimizer.zero_grad()
        (nn.functional.cross_entropy(model(x), torch.arange(8)) + found()).backward()
        optimizer.step()
        found.step()
    assert float(found.cost().detach()) == pytest.approx(0.4, abs=0.1)
    assert found.hard() < 0.6 * found.full_cost


def test_slopes_may_be_kept_for_some_steps() -> None:
    model = Residual()
    found = regularizer(model, refresh=3)
    first = found.cost()
    with torch.no_grad():
        model.norm.weight[:8] *= 0.5
    second = found.cost()
    assert second < first
    assert found._calls == 2


@pytest.mark.parametrize(
    ("ways", "words"),
    [
        ({"metric": "speed"}, "expected one of latency_s"),
        ({"hardware": None}, "pass hardware="),
        ({"hardware": ["l4", "t4"]}, "hardware is of type list; expected one value"),
        ({"metric": "cost_usd"}, "pass price="),
        ({"target": 2}, "between 0 and 1"),
        ({"softness": 0}, "softness"),
        ({"gates": {"stem": torch.ones(3)}}, "expected a tensor of 32"),
        ({"gates": {"nowhere": torch.ones(3)}}, "nowhere"),
        ({"gates": {}}, "no prunable channels"),
        ({"granularity": 0}, "granularity is 0"),
    ],
)
def test_settings_that_cannot_be(ways: dict[str, Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        regularizer(Residual(), **ways)


def test_a_model_without_channels_that_can_go() -> None:
    with pytest.raises(ValueError, match="no prunable channels"):
        CostRegularizer(nn.Linear(16, 4), torch.randn(1, 16), hardware="l4")
