"""Exported programs: conversion of nodes, tensors and sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.export import Dim, ExportedProgram, export

import pyinfercost as ic
from pyinfercost.sources.exported.export import graph_from_exported

# torch.export warns about its own internals.
pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings(
        "ignore::FutureWarning:torch", "ignore::FutureWarning:copyreg", "ignore::UserWarning:torch"
    ),
]

BATCH = 2


class Block(nn.Module):
    """A convolution, an in-place activation and a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.act(self.conv(x))  # <- the addition's line


class Net(nn.Module):
    """Two blocks under a parent, an unused parameter, buffers of both kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Block(), Block())
        self.unused = nn.Parameter(torch.zeros(5))
        self.register_buffer("kept", torch.ones(1))
        self.register_buffer("dropped", torch.ones(1), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.blocks(x) * self.kept * self.dropped


def exported(module: nn.Module, args: tuple[Any, ...], dynamic: Any = None, **kwargs: Any) -> ExportedProgram:
    return export(module.eval(), args, kwargs, dynamic_shapes=dynamic, strict=False)


def ops(graph: ic.Graph) -> list[str]:
    return [graph.node(i).op for i in range(len(graph))]


def tensors(graph: ic.Graph, role: str) -> dict[str, tuple[Any, ...]]:
    found = [graph.tensor(i) for i in range(graph.tensor_count)]
    return {t.name: t.shape for t in found if t.role == role}


@pytest.fixture(scope="module")
def program() -> ExportedProgram:
    return exported(Net(), (torch.zeros(BATCH, 3, 8, 8),), {"x": {0: Dim("n", min=1, max=64)}})


def test_nodes_keep_module_and_source(program: ExportedProgram) -> None:
    graph = graph_from_exported(program, model="net")
    assert graph.model == "net"
    assert ops(graph)[:3] == ["aten.conv2d", "aten.relu_", "aten.add"]
    assert [graph.node(i).module for i in range(6)] == [
        *("blocks.0.conv", "blocks.0.act", "blocks.0"),
        *("blocks.1.conv", "blocks.1.act", "blocks.1"),
    ]
    text = Path(__file__).read_text(encoding="utf-8").splitlines()
    line = next(n for n, content in enumerate(text, 1) if "the addition's line" in content)
    assert graph.node(2).source == f"test_export.py:{line}"
    # The call itself is inside torch.nn; the innermost line of the user's own is where the block calls it.
    assert graph.node(0).source == f"test_export.py:{line}"


def test_arguments_are_named_by_the_schema(program: ExportedProgram) -> None:
    node = graph_from_exported(program).node(0)
    assert node.overload == "default"
    assert list(node.args) == ["input", "weight", "bias", "stride", "padding"]
    assert node.args["padding"] == [1, 1]
    assert [t.name for t in node.inputs] == ["x", "blocks.0.conv.weight", "blocks.0.conv.bias"]


def test_all_that_lies_in_memory_is_registered(program: ExportedProgram) -> None:
    graph = graph_from_exported(program)
    assert tensors(graph, "parameter") == {
        "unused": (5,),
        "blocks.0.conv.weight": (3, 3, 3, 3),
        "blocks.0.conv.bias": (3,),
        "blocks.1.conv.weight": (3, 3, 3, 3),
        "blocks.1.conv.bias": (3,),
    }
    assert tensors(graph, "buffer") == {"kept": (1,), "dropped": (1,)}
    assert [t.name for t in graph.inputs] == ["x"]
    # 5 unused + 2 * (3*3*3*3 + 3)
    assert ic.count(graph, batch=1).total.parameters == 173


def test_the_first_dimension_is_the_batch(program: ExportedProgram) -> None:
    graph = graph_from_exported(program)
    assert graph.sizes == {"batch": {"default": BATCH, "minimum": 1, "maximum": 64, "role": "batch"}}
    assert graph.inputs[0].shape == (ic.Expr.size("batch"), 3, 8, 8)


@pytest.mark.parametrize("key", [0, "x"])
def test_sizes_are_named_on_request(program: ExportedProgram, key: int | str) -> None:
    assert list(graph_from_exported(program, dynamic={key: {0: "images"}}).sizes) == ["images"]


@pytest.mark.parametrize(
    ("dynamic", "message"),
    [
        ({1: {0: "batch"}}, r"input 1; expected one of 0 \(x\)"),
        ({"y": {0: "batch"}}, r"input 'y'; expected one of 0 \(x\)"),
        ({0: {2: "height"}}, r"dimension 2 of input 'x' as 'height'.*dynamic dimensions are \[0\]"),
        ({0: {0: "a"}, "x": {0: "b"}}, "two names, 'a' and 'b'"),
    ],
)
def test_names_that_do_not_fit_are_refused(program: ExportedProgram, dynamic: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        graph_from_exported(program, dynamic=dynamic)


def test_token_inputs_have_a_sequence() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(32, 8)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.embed(ids)

    ids = torch.zeros(BATCH, 6, dtype=torch.int64)
    graph = graph_from_exported(exported(Tokens(), (ids,), {"ids": {0: Dim.DYNAMIC, 1: Dim("s", max=128)}}))
    assert graph.sizes["batch"]["default"] == BATCH
    assert graph.sizes["sequence"] == {"default": 6, "minimum": 1, "maximum": 128, "role": "sequence"}
    assert graph.outputs[0].shape == (ic.Expr.size("batch"), ic.Expr.size("sequence"), 8)


def test_a_derived_dimension_keeps_its_root() -> None:
    class Halve(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, ::2] + 1

    half = Dim("half", min=2, max=50)
    graph = graph_from_exported(exported(Halve(), (torch.zeros(3, 8),), {"x": {1: 2 * half}}))
    (name,) = graph.sizes
    assert graph.sizes[name] == {"default": 4, "minimum": 2, "maximum": 50, "role": "other"}
    assert graph.inputs[0].shape == (3, 2 * ic.Expr.size(name))
    assert [int(ic.Expr(0) + d) if isinstance(d, int) else d.evaluate({name: 5}) for d in graph.outputs[0].shape] == [
        3,
        5,
    ]


def test_tied_weights_are_one_tensor() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(16, 4)
            self.head = nn.Linear(4, 16, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.head(self.embed(ids))

    for device in ("cpu", "meta"):
        with torch.device(device):
            program = exported(Tied(), (torch.zeros(1, 3, dtype=torch.int64),))
        graph = graph_from_exported(program)
        assert tensors(graph, "parameter") == {"embed.weight": (16, 4)}
        assert graph.node(0).inputs[0].index == graph.node(1).inputs[1].index


def test_outputs_of_one_op_are_told_apart() -> None:
    class Several(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            values, indices = torch.topk(x, 2)
            first, _, third = x.chunk(3, -1)
            return values + first + third, indices

    graph = graph_from_exported(exported(Several(), (torch.zeros(4, 6),)))
    assert ops(graph) == ["aten.topk", "aten.chunk", "aten.add", "aten.add"]
    assert [t.dtype for t in graph.node(0).outputs] == ["float32", "int64"]
    chunks = graph.node(1).outputs
    assert len(chunks) == 3
    assert [graph.node(2).inputs[1].index, graph.node(3).inputs[1].index] == [chunks[0].index, chunks[2].index]
    assert graph.outputs[1].index == graph.node(0).outputs[1].index


def test_wrappers_are_inlined() -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                x = self.linear(x)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                x = self.linear(x)
            return torch.cond(x.sum() > 0, lambda y: y + 1, lambda y: y - 1, (x,))

    with torch.enable_grad():
        graph = graph_from_exported(exported(Wrapped(), (torch.zeros(2, 4),)))
    assert ops(graph) == ["aten.linear", "aten.linear", "aten.sum", "aten.gt", "aten.add"]
    assert [graph.node(i).outputs[0].dtype for i in (0, 1)] == ["float32", "bfloat16"]
    assert graph.node(1).inputs[0].index == graph.node(0).outputs[0].index
    assert graph.node(0).module == "linear"
    assert ic.count(graph).unmodelled == {}


def test_checks_and_symbolic_numbers_are_not_nodes() -> None:
    class Reshaped(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            n = x.shape[0]
            torch._check(n < 1000)
            return x.reshape(n * 2, -1)

    graph = graph_from_exported(exported(Reshaped(), (torch.zeros(4, 6),), {"x": {0: Dim("n", max=999)}}))
    assert ops(graph) == ["aten.reshape"]
    assert graph.node(0).args["shape"] == [2 * ic.Expr.size("batch"), -1]


def test_a_data_dependent_size_is_a_size() -> None:
    class Found(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.nonzero() + 1

    graph = graph_from_exported(exported(Found(), (torch.ones(4),)))
    (name,) = graph.sizes
    assert graph.outputs[0].shape == (ic.Expr.size(name), 1)


def test_decomposed_programs_ask_for_the_same_contractions(program: ExportedProgram) -> None:
    whole, parts = graph_from_exported(program), graph_from_exported(program.run_decompositions())
    assert "aten.convolution" in ops(parts)
    assert ic.count(parts).total.contraction_flops == ic.count(whole).total.contraction_flops
    # per block and image: 8*8 outputs x 3 channels x 27 weights, a multiply-add is 2
    assert ic.count(whole, batch=1).total.contraction_flops == 2 * (2 * 8 * 8 * 3 * 27)
