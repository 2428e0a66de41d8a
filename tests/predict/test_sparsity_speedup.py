"""Speedup from zeros: effective and dense FLOPs, and the machine's kernels for them, or none."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import pyinfercost as ic
from pyinfercost.formats.table import FormatError

pytestmark = pytest.mark.torch

WIDTH = 4096


def model() -> nn.Sequential:
    """A layer with 2:4 zeros, one with 90 % zeros anywhere, one with half of its rows gone, one without zeros."""
    torch.manual_seed(0)
    layers = nn.Sequential(*(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))).to(torch.bfloat16)
    with torch.no_grad():
        groups = layers[0].weight.view(-1, 4)
        groups[:, 2:] = 0
        layers[1].weight[torch.rand(WIDTH, WIDTH) < 0.9] = 0
        layers[2].weight[: WIDTH // 2] = 0
        layers[3].weight[layers[3].weight == 0] = 1  # a draw may be zero in bfloat16
    return layers


@pytest.fixture(scope="module")
def pruned() -> nn.Sequential:
    return model()


@pytest.fixture(scope="module")
def graph(pruned: nn.Sequential) -> ic.Graph:
    return ic.capture(pruned, (torch.zeros(8, WIDTH, dtype=torch.bfloat16),), dynamic={0: {0: "batch"}})


def test_a_matrix_unit_that_knows_2_4_is_told_apart(pruned: nn.Sequential, graph: ic.Graph) -> None:
    found = ic.sparsity_speedup(graph, ic.sparsity(pruned), hardware="a100-sxm-80gb", batch=4096)
    half, anywhere, rows, none = found.layers
    assert 1.2 < half.speedup <= 1.6 + 1e-9  # twice the rate, of which libraries reach 0.8
    assert half.effective_flops == pytest.approx(half.dense_flops / 2)
    assert half.dense_flops == 2 * 4096 * WIDTH * WIDTH
    assert half.dense_bytes == 2 * WIDTH * WIDTH
    assert half.compressed_bytes == WIDTH * WIDTH // 2 * 18 // 8
    assert [layer.speedup for layer in (anywhere, rows, none)] == [1.0, 1.0, 1.0]
    assert "90 % zeros, unstructured, on dense kernels: 1.0x" in anywhere.why
    assert "2048 rows wholly zero" in rows.why
    assert none.why == "no zeros"
    assert found.speedup == pytest.approx(found.latency_s / found.realizable_s)
    assert found.latency_s > found.realizable_s
    text = found.to_text()
    assert "unstructured" in " ".join(text.split())
    assert json.loads(json.dumps(found.to_dict()))["sparsity_speedup"]["layers"][0]["speedup"] == half.speedup


@pytest.mark.parametrize("hardware", ["v100-pcie-16gb", "xeon-8480+"])
def test_other_machines_make_nothing_of_it(pruned: nn.Sequential, graph: ic.Graph, hardware: str) -> None:
    found = ic.sparsity_speedup(graph, ic.sparsity(pruned), hardware=hardware, batch=64)
    assert found.speedup == 1.0
    assert all(layer.speedup == 1.0 for layer in found.layers)
    assert "no unit that skips zeros, 1.0x" in found.layers[0].why


def test_few_rows_wait_for_weights_and_gain_by_their_bytes(graph: ic.Graph) -> None:
    def seconds(of: ic.Graph, hardware: str, batch: int) -> float:
        return ic.estimate(of, hardware=hardware, execution="cuda_graph", batch=batch).latency_s

    half = ic.whatif(graph, prune="2:4")
    assert 1.3 < seconds(graph, "a100-sxm-80gb", 1) / seconds(half, "a100-sxm-80gb", 1) < 1.78  # 18 bits of 32 are read
    before, after = ic.count(graph, batch=1).total, ic.count(half, batch=1).total
    assert after.parameter_bytes * 16 == before.parameter_bytes * 9
    assert after.parameters == before.parameters
    assert after.contraction_flops == before.contraction_flops


def test_rows_too_short_for_kernels_stay_as_they_are() -> None:
    layers = nn.Sequential(nn.Linear(10, 16, bias=False)).to(torch.bfloat16)
    with torch.no_grad():
        layers[0].weight.zero_()
    graph = ic.capture(layers, (torch.zeros(2, 10, dtype=torch.bfloat16),))
    found = ic.sparsity_speedup(graph, ic.sparsity(layers), hardware="a100-sxm-80gb")
    assert found.speedup == 1.0
    assert "rows wholly zero" in found.layers[0].why


def test_masks_are_zeros_that_save_nothing() -> None:
    layer = nn.Sequential(nn.Linear(64, 64))
    prune.l1_unstructured(layer[0], "weight", 0.9)
    graph = ic.capture(layer, (torch.zeros(2, 64),))
    with pytest.raises(ValueError, match="no product of the graph has a scanned weight"):
        ic.sparsity_speedup(graph, ic.sparsity(nn.Linear(3, 3)), hardware="t4")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prune": "unstructured"}, "prune is 'unstructured'; expected 2:4. Dense kernels multiply"),
        ({"prune": "2:4", "quantize": "int8_wo"}, "'0' is both quantized and pruned"),
        ({"prune": {"7": "2:4"}}, "no layer with a weight matches '7'"),
    ],
)
def test_what_cannot_be_pruned_says_why(graph: ic.Graph, options: dict[str, object], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        ic.whatif(graph, **options)
    both = ic.whatif(graph, prune={"0": "2:4"}, quantize={"1": "int8_wo"})
    assert [both.node(i).op.partition(".")[2] for i in range(2)] == ["linear_semi_structured", "linear_weight_only"]
