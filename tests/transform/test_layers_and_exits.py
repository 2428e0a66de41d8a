"""Fewer layers and early exits: the graphs are those of models that were built so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.language_configs import LLAMA, spec_of

import pyinfercost as ic
from pyinfercost.transform.exits import ExitsError, exits, leaving_at
from pyinfercost.transform.layers import LayersError, evenly, fewer_layers, graph_stacks
from pyinfercost.transform.variants import varied

torch: Any = pytest.importorskip("torch")
nn = torch.nn

pytestmark = pytest.mark.torch

EXECUTIONS = ("eager", "compiled", "cuda_graph")


def check_equal(one: ic.Graph, other: ic.Graph) -> None:
    """Check that two graphs have the same counts and times."""
    assert one.op_counts() == other.op_counts()
    totals = [ic.count(graph).total for graph in (one, other)]
    for name in ("flops", "parameters", "parameter_bytes", "bytes_read", "bytes_written", "peak_memory_bytes"):
        assert len({getattr(total, name) for total in totals}) == 1, name
    for execution in EXECUTIONS:
        at = {"hardware": "l4", "execution": execution}
        assert ic.estimate(one, **at).latency_s == ic.estimate(other, **at).latency_s


class Block(nn.Module):  # type: ignore[misc, name-defined]
    """A residual block that adds in place."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Any) -> Any:
        out = self.norm(self.conv(x))
        out += x
        return self.act(out)


class Classifier(nn.Module):  # type: ignore[misc, name-defined]
    """Blocks with a classifier after some of them: the early exits, and the last one."""

    def __init__(self, blocks: int, exits_after: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.blocks = nn.Sequential(*(Block(16) for _ in range(blocks)))
        self.early = nn.ModuleDict({str(place): nn.Linear(16, 10) for place in exits_after})
        self.head = nn.Linear(16, 10)

    def forward(self, x: Any) -> Any:
        x = self.stem(x)
        found = []
        for place, block in enumerate(self.blocks):
            x = block(x)
            if str(place) in self.early:
                found.append(self.early[str(place)](x.mean((2, 3))).softmax(-1))
        found.append(self.head(x.mean((2, 3))))
        return found if len(found) > 1 else found[0]


IMAGES = torch.zeros(2, 3, 32, 32)


def captured(model: Any) -> ic.Graph:
    return ic.capture(model.eval(), (IMAGES,), dynamic={0: {0: "batch"}})


@pytest.mark.parametrize(("layers", "share", "left"), [(6, 0.5, 3), (5, 0.5, 2), (4, 0.75, 3), (4, 0.1, 1)])
@pytest.mark.sample(2)
def test_fewer_layers_are_those_of_a_smaller_model(layers: int, share: float, left: int) -> None:
    graph = captured(Classifier(layers))
    (stack,) = graph_stacks(graph)
    assert (stack.path, len(stack.layers)) == ("blocks.", layers)
    check_equal(fewer_layers(graph, share), captured(Classifier(left)))


@pytest.mark.parametrize(("phase", "sizes"), [("decode", {"context": 40}), ("prefill", {"sequence": 24})])
@pytest.mark.sample(1)
def test_fewer_layers_of_a_language_model(phase: str, sizes: dict[str, int], tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    graphs = []
    for layers in (6, 3):
        folder = tmp_path / str(layers)
        folder.mkdir()
        spec = spec_of(folder, {**LLAMA, "num_hidden_layers": layers})
        graphs.append(ic.capture(f"{spec}#{phase}", batch=2, **sizes))
    fewer = fewer_layers(graphs[0], 0.5)
    check_equal(fewer, graphs[1])
    served = [ic.estimate(graph, hardware="l4", engine="vllm", precision="fp16") for graph in (fewer, graphs[1])]
    assert served[0].latency_s == served[1].latency_s
    assert served[0].max_sequences == served[1].max_sequences
    assert len(fewer.inputs) == len(graphs[1].inputs)


def test_layers_are_evenly_spaced() -> None:
    assert evenly(5, 1) == [0]
    assert evenly(5, 2) == [0, 4]
    assert evenly(7, 4) == [0, 2, 4, 6]


def test_a_model_without_equal_layers() -> None:
    graph = captured(Classifier(1))
    with pytest.raises(LayersError, match="has no stack of equal layers"):
        fewer_layers(graph, 0.5)
    with pytest.raises(LayersError, match="removes no layer of stacks of 2 layers"):
        fewer_layers(captured(Classifier(2)), 0.9)


def test_layers_of_different_widths_are_no_stack() -> None:
    model = nn.Sequential(nn.Sequential(*(nn.Linear(8 + i, 9 + i) for i in range(3))))
    assert graph_stacks(ic.capture(model, (torch.zeros(1, 8),))) == []
    # Equal results, but weights of other lengths.
    convolutions = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, padding=1))
    assert graph_stacks(ic.capture(nn.Sequential(convolutions), (torch.zeros(1, 4, 8, 8),))) == []


def test_an_early_exit_is_the_model_that_ends_there() -> None:
    graph = captured(Classifier(6, (1, 3)))
    assert len(exits(graph)) == 2
    for number, blocks in ((1, 2), (2, 4)):
        at = leaving_at(graph, number)
        expected = captured(nn.Sequential(Classifier(blocks), nn.Softmax(-1)))
        check_equal(at, expected)
        assert len(at.outputs) == 1
    assert ic.estimate(leaving_at(graph, 1), hardware="l4").latency_s < ic.estimate(graph, hardware="l4").latency_s


def test_models_without_early_exits() -> None:
    class States(nn.Module):  # type: ignore[misc, name-defined]
        """Returns hidden states, which are no exits."""

        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x: Any) -> Any:
            first = x + self.one(x).relu() * 2
            return first, first + self.two(first).relu() * 2

    graph = ic.capture(States(), (torch.zeros(1, 8),))
    assert exits(graph) == []
    with pytest.raises(ExitsError, match="no early exit"):
        leaving_at(graph, 1)
    with pytest.raises(ExitsError, match="exit 3 is not one of the 2 early exits"):
        leaving_at(captured(Classifier(6, (1, 3))), 3)


def test_variants_combine() -> None:
    graph = captured(Classifier(6, (3,)))
    left = varied(graph, exit_at=1, layers=0.5)
    expected = captured(nn.Sequential(Classifier(2), nn.Softmax(-1)))
    check_equal(left, expected)
    narrow = varied(graph, exit_at=1, layers=0.5, width=0.5)
    assert ic.count(narrow).total.parameters < ic.count(left).total.parameters
