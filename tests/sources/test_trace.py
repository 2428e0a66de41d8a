"""Tracing: attributes of nodes, counts, and an unchanged module."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.function_module import Wrapped
from torch import nn

import pyinfercost as ic

pytestmark = pytest.mark.torch


def ops(graph: ic.Graph) -> list[str]:
    return [graph.node(i).op for i in range(len(graph))]


def total(module: nn.Module, *args: Any, **kwargs: Any) -> ic._core.CountRow:
    counts = ic.count(ic.capture(module, ic.Inputs(args, kwargs)))
    assert counts.unmodelled == {}
    return counts.total


# ---- nodes -----------------------------------------------------------------------------------------------------------


def test_module_paths_and_source_lines() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        y = self.net(x)
        return F.relu(y + 1)

    line = inspect.getsourcelines(forward)[1]
    graph = ic.capture(
        Wrapped(forward, net=nn.Sequential(nn.Linear(4, 5), nn.Sequential(nn.ReLU(), nn.Linear(5, 6)))),
        (torch.zeros(2, 4),),
    )
    nodes = [graph.node(i) for i in range(len(graph))]
    assert [(n.op, n.module) for n in nodes] == [
        ("aten.linear", "net.0"),
        ("aten.relu", "net.1.0"),
        ("aten.linear", "net.1.1"),
        ("aten.add", ""),
        ("aten.relu", ""),
    ]
    # The innermost line outside of torch: for a layer of torch's, the one that called it.
    assert [n.source for n in nodes] == [f"test_trace.py:{line + at}" for at in (1, 1, 1, 2, 2)]
    assert graph.model == "Wrapped"
    assert [t.name for t in graph.inputs] == ["arg0"]


def test_a_module_that_is_called_twice_is_counted_twice_and_owned_once() -> None:
    """peers.md, "shared Linear called 2x": 65536 MACs."""
    module = Wrapped(lambda self, x: self.layer(self.layer(x)), layer=nn.Linear(64, 64, bias=False))
    row = total(module, torch.zeros(8, 64))
    assert row.macs == 2 * 8 * 64 * 64 == 65536
    assert row.parameters == 64 * 64


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_tied_weights_are_one_tensor(device: str) -> None:
    net = nn.ModuleDict({"embed": nn.Embedding(100, 8), "head": nn.Linear(8, 100, bias=False)})
    net.to(device)
    net["head"].weight = net["embed"].weight
    module = Wrapped(lambda self, x: self.net["head"](self.net["embed"](x)), net=net)
    graph = ic.capture(module, (torch.zeros(2, 5, dtype=torch.int64),))
    parameters = [graph.tensor(i) for i in range(graph.tensor_count) if graph.tensor(i).role == "parameter"]
    assert [(t.name, t.shape) for t in parameters] == [("net.embed.weight", (100, 8))]
    assert ic.count(graph).total.parameters == 800
    assert graph.node(0).inputs[0].index == graph.node(1).inputs[1].index


@pytest.mark.parametrize(
    ("args", "kwargs", "names"),
    [
        ((torch.zeros(2, 3), torch.zeros(2, 3)), {}, ["arg0", "arg1"]),
        ((torch.zeros(2, 3),), {"y": torch.zeros(2, 3)}, ["arg0", "y"]),
        ((), {"x": torch.zeros(2, 3), "y": torch.zeros(2, 3)}, ["x", "y"]),
    ],
)
def test_named_and_positional_inputs(args: tuple[Any, ...], kwargs: dict[str, Any], names: list[str]) -> None:
    class Sum(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor, scale: float = 2.0) -> torch.Tensor:
            return x + y * scale

    graph = ic.capture(Sum(), ic.Inputs(args, kwargs))
    assert [t.name for t in graph.inputs] == names
    assert ops(graph) == ["aten.mul", "aten.add"]
    assert graph.node(0).args["other"] == 2.0


def test_nested_inputs_and_outputs() -> None:
    def forward(self: Any, batch: dict[str, Any]) -> dict[str, Any]:
        first, (second, third) = batch["first"], batch["rest"]
        return {"sum": first + second, "list": [third * 2, batch["flag"]]}

    x, y, z = torch.zeros(2), torch.zeros(2), torch.zeros(3)
    graph = ic.capture(Wrapped(forward), ({"first": x, "rest": [y, (z)], "flag": True},))
    assert [t.shape for t in graph.inputs] == [(2,), (2,), (3,)]
    assert [t.shape for t in graph.outputs] == [(2,), (3,)]


def test_one_tensor_passed_twice_is_one_input() -> None:
    x = torch.zeros(4)
    graph = ic.capture(Wrapped(lambda self, a, b: a + b), (x, x))
    assert len(graph.inputs) == 1
    assert ic.count(graph).memory.input_bytes == 16


def test_a_key_value_cache_is_told_from_other_inputs() -> None:
    cache = torch.zeros(1, 2, 16, 8)
    module = Wrapped(lambda self, x, past_key_values: torch.cat([past_key_values[0], x], dim=2))
    graph = ic.capture(module, ic.Inputs((torch.zeros(1, 2, 1, 8),), {"past_key_values": [cache]}))
    assert [t.role for t in graph.inputs] == ["input", "kv_cache"]
    assert ic.count(graph).total.bytes_by_role["kv_cache_read"] == 4 * cache.numel()


def test_strides_of_inputs_and_weights_are_kept() -> None:
    x = torch.zeros(2, 3, 8, 8).to(memory_format=torch.channels_last)
    graph = ic.capture(nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last), (x,))
    assert graph.inputs[0].strides == (192, 1, 24, 3)
    assert graph.node(0).inputs[1].strides == (27, 1, 9, 3)


# ---- what a forward may do -------------------------------------------------------------------------------------------


def test_nothing_is_computed() -> None:
    """A product that would take minutes; a weight that no memory would hold."""
    with torch.device("meta"):
        module = nn.Linear(2**20, 2**20, bias=False)
    assert total(module, torch.empty(2**20, 2**20, device="meta")).macs == 2**60


def test_tensors_that_a_forward_makes_on_the_cpu() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        positions = torch.arange(x.shape[1])
        table = torch.zeros(x.shape[1], 4)
        return x + table[positions] + torch.tensor([1.0, 2.0, 3.0, 4.0])

    graph = ic.capture(Wrapped(forward), (torch.zeros(2, 5, 4),))
    assert [op for op in ops(graph) if "detach" not in op] == [
        "aten.arange",
        "aten.zeros",
        "aten.index",
        "aten.add",
        "aten.lift_fresh",
        "aten.add",
    ]
    assert graph.outputs[0].shape == (2, 5, 4)
    assert ic.count(graph).unmodelled == {}


def test_a_tensor_that_is_no_parameter_is_a_constant() -> None:
    module = Wrapped(lambda self, x: x + self.plain)
    module.plain = torch.zeros(4)
    graph = ic.capture(module, (torch.zeros(4),))
    roles = {graph.tensor(i).role for i in range(graph.tensor_count)}
    assert roles == {"input", "constant", "activation"}
    assert ic.count(graph).total.parameters == 0
    assert module.plain.device.type == "cpu"


def test_in_place_ops_lie_on_their_operand() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        y = x * 2
        y.add_(1)
        y[:, 0].fill_(5)
        y[1] = y[2]
        return F.relu(y, inplace=True)

    counts = ic.count(ic.capture(Wrapped(forward), (torch.zeros(4, 4),)))
    assert counts.memory.peak_activation_bytes == 4 * 16
    assert counts.unmodelled == {}
    masks = Wrapped(lambda self, a, b: (a & b).__iand__(a))
    counts = ic.count(ic.capture(masks, (torch.zeros(16, dtype=torch.bool),) * 2))
    assert counts.memory.peak_activation_bytes == 16
    assert counts.unmodelled == {}


def test_views_share_their_storage() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        y = x.exp()
        parts = y.chunk(2, dim=-1)
        return parts[0].transpose(0, 1).reshape(-1) + parts[1].flatten()

    counts = ic.count(ic.capture(Wrapped(forward), (torch.zeros(4, 6),)))
    # exp: 24 floats; two copies of 12 while it lives; their sum.
    assert counts.memory.timeline[-1] <= 4 * (24 + 12 + 12 + 12)
    assert [x.op for x in counts.layers if x.work.kind == "copy"] == ["aten.reshape", "aten.flatten"]


def test_an_einsum_with_dots_is_counted() -> None:
    row = total(
        Wrapped(lambda self, x, w: torch.einsum("...d,de->...e", x, w)), torch.zeros(2, 5, 3), torch.zeros(3, 4)
    )
    assert row.macs == 2 * 5 * 3 * 4


def test_dropout_is_free_in_evaluation_only() -> None:
    x = torch.zeros(10)
    assert total(nn.Dropout(0.5).eval(), x).flops == 0
    assert total(nn.Dropout(0.5).train(), x).flops > 0


# ---- errors ----------------------------------------------------------------------------------------------------------


def branching(self: Any, x: torch.Tensor) -> torch.Tensor:
    y = self.net(x)
    return y if y.sum() > 0 else -y


ERRORS: list[tuple[str, Callable[..., Any], tuple[Any, ...], Any, list[str]]] = [
    (
        "the value of a result",
        branching,
        (torch.zeros(2, 4),),
        None,
        ["value of a tensor", "aten.gt.Scalar at test_trace.py:", "choose the branch yourself"],
    ),
    (
        "a wrong shape",
        lambda self, x: self.net(x),
        (torch.zeros(2, 5),),
        None,
        ["in module 'net.0'", "RuntimeError", "check their number, names and shapes"],
    ),
    (
        "too few inputs",
        lambda self, x, y: x + y,
        (torch.zeros(2),),
        None,
        ["capture stopped", "missing 1 required positional argument: 'y'"],
    ),
    (
        "a size fixed by the forward",
        lambda self, x: x + torch.zeros(4),
        (torch.zeros(4),),
        {0: {0: "batch"}},
        ["size 'batch' cannot stay open", "requires it to be 4"],
    ),
    (
        "an input that is not there",
        lambda self, x: x,
        (torch.zeros(4),),
        {1: {0: "batch"}},
        ["dynamic names input 1; expected one of 0"],
    ),
    (
        "a dimension that is not there",
        lambda self, x: x,
        (torch.zeros(4),),
        {0: {1: "batch"}},
        ["dimension 1 of input 'arg0', which has 1 dimensions"],
    ),
    (
        "one name for two lengths",
        lambda self, x: x,
        (torch.zeros(4, 5),),
        {0: {0: "n", 1: "n"}},
        ["the name 'n' to lengths 4 and 5"],
    ),
]


@pytest.mark.parametrize(
    ("function", "args", "dynamic", "messages"), [e[1:] for e in ERRORS], ids=[e[0] for e in ERRORS]
)
def test_errors_say_where_and_what_to_do(function: Any, args: Any, dynamic: Any, messages: list[str]) -> None:
    module = Wrapped(function, net=nn.Sequential(nn.Linear(4, 4)))
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the messages are compared below
        ic.capture(module, args, dynamic=dynamic)
    for message in messages:
        assert message in str(error.value)


# ---- ops of ones own -------------------------------------------------------------------------------------------------


@pytest.fixture
def mix() -> Iterator[Any]:
    """An operator of another library, registered for the time of a test."""
    with torch.library._scoped_library("inference_cost_test", "DEF") as library:
        library.define("mix(Tensor x, Tensor y) -> Tensor")
        library.impl("mix", lambda x, y: x @ y, "CompositeExplicitAutograd")
        yield torch.ops.inference_cost_test.mix


def test_an_operator_of_ones_own(mix: Any) -> None:
    module = Wrapped(lambda self, x: self.layer(mix(x, x)), layer=nn.Linear(4, 4))
    graph = ic.capture(module, (torch.zeros(4, 4),))
    assert ops(graph) == ["inference_cost_test.mix", "aten.linear"]
    counts = ic.count(graph)
    assert counts.unmodelled == {"inference_cost_test.mix": 1}
    assert counts.total.macs == 64
    ruled = ic.count(graph, rules={"inference_cost_test::mix": lambda node: 2 * node.inputs[0].shape[0] ** 3})
    assert ruled.unmodelled == {}
    assert ruled.total.macs == 64 + 64
    assert ic.count(graph).unmodelled == counts.unmodelled


def test_a_lone_input_needs_no_tuple() -> None:
    module, x = nn.Linear(3, 5), torch.ones(2, 3)
    assert ic.capture(module, x) == ic.capture(module, (x,)) == ic.capture(module, [x])
    assert ic.profile(module, x).counts.total.macs == 2 * 3 * 5


def test_the_same_view_of_a_result_and_of_a_weight() -> None:
    """The second one is not run again, and torch must not ask the copy for a version."""

    class Scales(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x + x)[:, None] * self.scale[:, None].expand(-1, 3)

    with torch.device("meta"):
        module, x = Scales(), torch.ones(4)
    graph = ic.capture(module, x)
    assert graph.op_counts()["aten.unsqueeze"] == 2
    # the sum reads x twice; the product reads 4 distinct elements of either side
    assert ic.count(graph).total.bytes_read == 4 * ((4 + 4) + (4 + 4))
