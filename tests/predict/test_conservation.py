"""Checks that rewrites keep products: right rewrites pass, and a product that is lost, doubled or halved is found."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
from torch import nn

import pyinfercost as ic
from pyinfercost import _core
from pyinfercost.predict.plans import family_of

pytestmark = pytest.mark.torch

WIDTH, ROWS = 64, 16


class Chain(nn.Module):
    """Products in a row, of widths in and out."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(widths))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x).relu()
        return x


def chain(*widths: int) -> ic.Graph:
    return ic.capture(Chain(widths), (torch.empty(ROWS, widths[0]),))


WHOLE = (WIDTH, 128, WIDTH, 128, WIDTH)
LOST = (WIDTH, 128, WIDTH)
DOUBLED = (*WHOLE, 128, WIDTH)
HALVED = (WIDTH, 128, WIDTH, 64, WIDTH)


@pytest.fixture
def strict() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ic.errors.ConservationWarning)
        yield


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("layout", ["tensor=2", "tensor=8", "pipeline=2", "tensor=2,pipeline=2", "data=2"])
def test_right_layouts_pass(layout: str) -> None:
    assert len(ic.devices.rank_graph(chain(*WHOLE), layout))


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("quantize", ["int8_wo", "fp8_dynamic", "int4_wo:64", "bf16"])
def test_right_formats_pass(quantize: str) -> None:
    graph = chain(*WHOLE)
    made = ic.whatif(graph, quantize=quantize)
    assert _core.kept_share(graph, made) == 1.0
    assert _core.kept_by_ranks(made, ic.devices.rank_graph(made, "tensor=2"), 2) == 1.0


@pytest.mark.parametrize(("widths", "share"), [(LOST, 0.5), (DOUBLED, 1.5), (HALVED, 0.75)])
def test_a_fault_in_a_graph_of_other_kernels_is_found(widths: tuple[int, ...], share: float) -> None:
    assert _core.kept_share(chain(*WHOLE), chain(*widths)) == share


@pytest.mark.parametrize(
    ("widths", "share"),
    [
        (LOST, math.inf),
        (DOUBLED, math.inf),
        (HALVED, 0.5),  # divided twice
        ((WIDTH, 512, WIDTH, 128, WIDTH), 2.0),  # more than the whole product on one rank
    ],
)
def test_a_fault_in_the_graph_of_a_rank_is_found(widths: tuple[int, ...], share: float) -> None:
    rank = ic.devices.rank_graph(chain(*widths), "tensor=2")
    assert _core.kept_by_ranks(chain(*WHOLE), rank, 2) == share


@pytest.mark.parametrize("precision", ["amp_fp16", "amp_bf16"])
def test_autocast_passes(precision: str) -> None:
    graph = chain(*WHOLE)
    made = family_of(graph, precision, "eager", None, "").plan_for({}).graph
    assert len(made) > len(graph)
    assert _core.kept_share(graph, made) == 1.0


@pytest.mark.usefixtures("strict")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_stages_that_receive_quantized_activations_pass() -> None:
    engine = next(name for name in ("fbgemm", "qnnpack", "x86") if name in torch.backends.quantized.supported_engines)
    torch.backends.quantized.engine = engine
    layers = [torch.ao.nn.quantized.Linear(WIDTH, WIDTH) for _ in range(4)]
    first, last = torch.ao.nn.quantized.Quantize(0.1, 0, torch.quint8), torch.ao.nn.quantized.DeQuantize()
    graph = ic.capture(nn.Sequential(first, *layers, last), torch.empty(ROWS, WIDTH))
    stages = ic.devices.rank_graph(graph, "pipeline=2")
    assert ic.count(stages).total.contraction_flops == 4 * 2 * ROWS * WIDTH * WIDTH


def test_a_fault_in_a_stage_is_found() -> None:
    whole, half = chain(*WHOLE), chain(*LOST)
    assert _core.kept_by_stages(whole, [half, half]) == 1.0
    assert _core.kept_by_stages(whole, [half]) == 0.5
    assert _core.kept_by_stages(whole, [half, half, half]) == 1.5


def test_a_rewrite_that_loses_a_product_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, other = chain(*WHOLE), chain(*LOST)
    rank, _ = _core.graph_of_rank(other, _core.Layout(tensor=2))
    made = rank, [("layout", _core.kept_by_ranks(graph, rank, 2))]
    monkeypatch.setattr(_core, "graph_of_rank", lambda of, layout: made)
    with pytest.warns(
        ic.errors.ConservationWarning, match="one device of layout tensor=2 has another number of products"
    ):
        ic.devices.rank_graph(graph, "tensor=2")
