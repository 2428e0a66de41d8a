"""A trace observes the lifetime of each result: frames, modules, lists, views."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

import pyinfercost as ic
from pyinfercost.sources.trace.trace import trace_graph

pytestmark = pytest.mark.torch

WIDTH = 10
FLOAT32 = 4


class Steps(nn.Module):
    """A forward that is given as a function, so that a test can say what is held."""

    def __init__(self, forward: Any) -> None:
        super().__init__()
        self.steps = forward
        self.kept: Any = None

    def forward(self, x: torch.Tensor) -> Any:
        return self.steps(self, x)


def held(forward: Any, width: int = WIDTH) -> list[float]:
    """Vectors of `width` that are held while each node of a forward runs."""
    graph = trace_graph(Steps(forward), (torch.empty(width),))
    memory = ic.count(graph).memory
    assert memory.lifetimes == "observed"
    return [live / FLOAT32 / width for live in memory.timeline]


def test_a_name_that_is_rebound_lets_go() -> None:
    def forward(_: Any, x: torch.Tensor) -> Any:
        x = x.exp()
        x = x.sin()
        return x.cos()

    assert held(forward) == [1, 2, 2]


def test_a_local_name_holds_to_the_end_of_its_function() -> None:
    def forward(_: Any, x: torch.Tensor) -> Any:
        a = x.exp()
        b = a.sin()
        c = b.cos()
        return c.exp()

    assert held(forward) == [1, 2, 3, 4]


def test_a_caller_holds_the_arguments_of_a_call() -> None:
    def block(x: torch.Tensor) -> torch.Tensor:
        x = x.exp()
        x = x.sin()
        return x.cos()

    def forward(_: Any, x: torch.Tensor) -> Any:
        x = block(x.exp())  # nobody but the call holds its argument, and block rebinds it
        y = block(x)  # x is held here
        del x
        return y.exp()

    assert held(forward) == [1, 2, 2, 2, 2, 3, 3, 2]


def test_a_module_that_is_called_holds_its_input() -> None:
    # Module.__call__ has its arguments in a tuple all through forward.
    layers = nn.Sequential(nn.Sigmoid(), nn.Tanh(), nn.Sigmoid())

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = layers

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x.exp()
            return self.layers(x)

    memory = ic.count(trace_graph(Outer(), (torch.empty(WIDTH),))).memory
    assert [live / FLOAT32 / WIDTH for live in memory.timeline] == [1, 2, 3, 3]


def test_a_list_holds_what_is_in_it() -> None:
    def forward(_: Any, x: torch.Tensor) -> Any:
        features = []
        for _i in range(3):
            x = x.exp()
            features.append(x)
        x = x.sin()
        del features
        return x.cos()

    assert held(forward) == [1, 2, 3, 4, 2]


def test_a_view_holds_the_storage() -> None:
    def forward(_: Any, x: torch.Tensor) -> Any:
        view = x.exp()[:1]
        y = x.sin()
        y = y + view
        del view
        return y.cos()

    # exp, slice, sin, add (the sum has a place of its own), cos
    assert held(forward) == [1, 1, 2, 3, 2]


def test_in_place_needs_no_new_memory() -> None:
    def forward(_: Any, x: torch.Tensor) -> Any:
        x = x.exp()
        x = x.relu_()
        x.squeeze_()
        return x.sin_()

    assert held(forward) == [1, 1, 1, 1]


def test_a_module_keeps_a_result() -> None:
    def forward(module: Any, x: torch.Tensor) -> Any:
        x = x.exp()
        module.kept = x
        x = x.sin()
        x = x.cos()
        return x.exp()

    assert held(forward) == [1, 2, 3, 3]


def test_calls_that_repeat_have_lifetimes_of_their_own() -> None:
    def forward(_: Any, x: torch.Tensor) -> Any:
        a = x.exp()
        for _i in range(3):
            x = x.exp()
        return a + x

    assert held(forward) == [1, 2, 3, 3, 3]


def test_parts_of_a_result_die_apart() -> None:
    def forward(_: Any, x: torch.Tensor) -> Any:
        values, places = x.view(2, -1).sort(-1)
        del places  # int64: two vectors
        return values.sin().cos()

    # view, sort, sin, cos: values, then sin and its copy while the name holds values
    assert held(forward) == [0, 3, 2, 3]


def test_results_survive_a_deep_copy() -> None:
    def forward(_: Any, x: torch.Tensor) -> Any:
        x = copy.deepcopy(x.exp())
        return x.sin()

    graph = trace_graph(Steps(forward), (torch.empty(WIDTH),))
    assert graph.node(len(graph) - 1).op == "aten.sin"


def test_equal_captures_are_equal() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    assert trace_graph(module, (torch.empty(2, 4),)) == trace_graph(module, (torch.empty(2, 4),))


def test_open_sizes_have_lifetimes() -> None:
    def forward(_: Any, x: torch.Tensor) -> Any:
        a = x.exp()
        b = a.sin()
        return b.cos()

    graph = trace_graph(Steps(forward), (torch.empty(3, WIDTH),), dynamic={0: {0: "batch"}})
    memory = ic.count(graph, batch=5).memory
    assert memory.timeline == [FLOAT32 * WIDTH * 5 * n for n in (1, 2, 3)]


@pytest.mark.parametrize("container", [True, False], ids=["in a list", "bare"])
def test_a_cache_that_is_replaced_is_free(container: bool) -> None:
    """A step makes a longer cache of the old one, which only its container held; a bare input is its caller's."""

    class Step(nn.Module):
        def forward(self, x: torch.Tensor, past_key_values: Any) -> Any:
            cache = past_key_values if container else [past_key_values]
            cache[0] = torch.cat([cache[0], x])
            y = cache[0].sum()
            return y.exp(), cache

    old = torch.empty(WIDTH)
    graph = trace_graph(Step(), (torch.empty(1),), {"past_key_values": [old] if container else old})
    new, freed = WIDTH + 1, WIDTH if container else 0
    assert [live / FLOAT32 for live in ic.count(graph).memory.timeline] == [new, new - freed + 1, new - freed + 2]
    # Flat inputs of an exported program belong to the caller.
    planned = ic.count(graph.without_lifetimes()).memory
    assert [live / FLOAT32 for live in planned.timeline] == [new, new + 1, new + 2]


@pytest.mark.parametrize("made", ["inside", "given"])
def test_weights_and_inputs_are_no_activations(made: str) -> None:
    def forward(module: Any, x: torch.Tensor) -> Any:
        return (module.weight if made == "inside" else x).t().contiguous().t()

    module = Steps(forward)
    module.weight = nn.Parameter(torch.empty(2, 3))
    memory = ic.count(trace_graph(module, (torch.empty(2, 3),))).memory
    assert memory.timeline == [0, 6 * FLOAT32, 6 * FLOAT32]
