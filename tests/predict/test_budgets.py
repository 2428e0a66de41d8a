"""Budgets in a training loop and as an assertion in a test."""

from __future__ import annotations

import re
import warnings
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import pyinfercost as ic
from pyinfercost import CostTracker
from pyinfercost.errors import InputError
from pyinfercost.predict.budgets import CostBudget, CostBudgetExceededError, CostBudgetWarning, assert_cost

pytestmark = pytest.mark.torch

X = torch.randn(8, 256)


def network(width: int = 1024) -> nn.Sequential:
    return nn.Sequential(nn.Linear(256, width), nn.ReLU(), nn.Linear(width, 256))


def cost(**ways: Any) -> Any:
    return ic.estimate(ic.capture(network().eval(), X, dynamic={0: {0: "batch"}}), hardware="l4", **ways)


def test_what_keeps_to_its_budget_passes() -> None:
    latency_s = cost().latency_s
    assert_cost(network(), X, hardware="l4", latency_s=latency_s)
    assert_cost(network(), (X,), parameters=2 * 256 * 1024 + 1024 + 256, contraction_flops=2 * 2 * 8 * 256 * 1024)


def test_what_is_over_fails_and_says_by_how_much() -> None:
    latency_s = cost().latency_s
    with pytest.raises(AssertionError, match=r"latency_s is .* limit .*, 100\.0 % over") as caught:
        assert_cost(network(), X, hardware="l4", latency_s=latency_s / 2, parameters=10**9)
    assert isinstance(caught.value, CostBudgetExceededError)
    (overrun,) = caught.value.overruns
    assert overrun == ("latency_s", latency_s, latency_s / 2)
    assert "l4" in str(caught.value)


def test_every_limit_is_compared() -> None:
    ways = {"precision": "fp16", "execution": "cuda_graph", "price": 1.5, "utilization": 0.5, "region": "deu"}
    known = cost(**ways, batch=4)
    values = {
        "latency_s": known.latency_s,
        "energy_per_item_j": known.energy_per_item_j,
        "cost_usd": known.cost_usd,
        "carbon_g": known.carbon_g,
    }
    limits = {name: value * 0.99 for name, value in values.items()}
    budget = CostBudget(hardware="l4", sizes={"batch": 4}, **ways, **limits)
    graph = ic.capture(network().eval(), X, dynamic={0: {0: "batch"}})
    assert {over.name: over.value for over in budget.overruns(graph)} == values
    budget = CostBudget(hardware="l4", sizes={"batch": 4}, **ways, **values)
    assert budget.overruns(graph) == ()


def test_the_end_of_a_band_may_be_meant() -> None:
    known = cost()
    between = (known.latency_s + known.latency_high_s) / 2
    assert_cost(network(), X, hardware="l4", latency_s=between)
    with pytest.raises(AssertionError):
        assert_cost(network(), X, hardware="l4", latency_s=between, at="high")


def test_masks_and_modes_of_training_are_not_served() -> None:
    model = network().train()
    prune.random_unstructured(model[0], "weight", amount=0.5)
    assert_cost(model, X, hardware="l4", latency_s=cost().latency_s)
    assert model.training


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({}, "has no limit"),
        ({"latency_s": 0.1}, "pass hardware="),
        ({"latency_s": -1, "hardware": "l4"}, "limit latency_s is -1; expected a number from 1e-30"),
        ({"flops": []}, r"limit flops is \[\]; expected a number"),
        ({"parameters": 10**400}, "limit parameters is a whole number of 401 digits"),
        ({"parameters": True}, "limit parameters is True"),
        ({"parameters": 1, "at": []}, r"at is \[\]; expected one of"),
        ({"parameters": 1, "at": "low"}, "expected one of estimate, high"),
        ({"cost_usd": 1, "hardware": "l4"}, "costs need price="),
        ({"latency_s": 0.1, "hardware": "l5"}, "l5"),
    ],
)
def test_budgets_that_cannot_be(limits: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        assert_cost(network(), X, **limits)


def test_a_model_that_is_over_from_the_start_is_not_trained() -> None:
    with pytest.raises(CostBudgetExceededError, match="parameters"):
        CostTracker(network(), X, budgets=CostBudget(parameters=1000))


def test_a_budget_ends_training_when_the_model_grows() -> None:
    model = network(64)
    tracker = CostTracker(model, X, every=2, budgets=[CostBudget(parameters=100_000)])
    tracker.step()
    assert tracker.step() is not None
    model[0], model[2] = nn.Linear(256, 1024), nn.Linear(1024, 256)
    assert tracker.step() is None, "looked at every two steps"
    with pytest.raises(CostBudgetExceededError):
        tracker.step()
    assert tracker.enabled, "a budget is no failure"
    tracker.step()
    with pytest.raises(CostBudgetExceededError):
        tracker.step()


def test_a_warning_comes_once_each_time_that_a_model_goes_over() -> None:
    model = network(64)
    tracker = CostTracker(model, X, every=1, budgets=[CostBudget(parameters=100_000, action="warn")])

    def warned() -> int:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            for _ in range(3):
                assert tracker.step() is not None
        assert all(entry.category is CostBudgetWarning for entry in told)
        return len(told)

    def change(width: int) -> None:
        model[0], model[2] = nn.Linear(256, width), nn.Linear(width, 256)

    assert warned() == 0
    change(1024)
    assert warned() == 1
    change(2048)
    assert warned() == 0, "still over"
    change(64)
    assert warned() == 0
    change(1024)
    assert warned() == 1


def test_limits_may_have_units() -> None:
    budget = CostBudget(hardware="l4", latency_s="20ms", peak_memory_bytes="80GB", parameters="1.5M", cost_usd="0.5")
    assert budget.limits == {"latency_s": 0.02, "cost_usd": 0.5, "parameters": 1.5e6, "peak_memory_bytes": 80e9}
    with pytest.raises(CostBudgetExceededError, match="parameter_bytes is"):
        assert_cost(network().eval(), X, parameter_bytes="1MB")


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"latency_s": "20MB"}, "the limit latency_s is '20MB'; expected a number, or one in s, such as '20ms'"),
        ({"latency_s": "soon"}, "such as '20ms'"),
        ({"parameters": "2s"}, "the limit parameters is '2s'; expected a number, such as 1.5M"),
        ({"latency_s": "-1s"}, "the limit latency_s"),
    ],
)
def test_a_limit_in_another_unit_says_what_is_expected(limits: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        CostBudget(hardware="l4", **limits)


@pytest.mark.parametrize("sizes", [["batch"], "batch", 8])
def test_sizes_of_a_budget_are_a_mapping(sizes: Any) -> None:
    with pytest.raises(TypeError, match=r"sizes is .*; expected a mapping of names to values"):
        CostBudget(parameters=1, sizes=sizes)
