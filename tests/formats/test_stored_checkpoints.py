"""Graphs whose weights are stored as a checkpoint stores them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import pyinfercost as ic
from pyinfercost.formats.checkpoints import Checkpoint, with_formats
from pyinfercost.formats.stored_weights import Metadata
from pyinfercost.formats.table import FORMATS

pytestmark = pytest.mark.torch


class Tied(nn.Module):
    """A projection whose weight an embedding shares."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(64, 128)
        self.up = nn.Linear(128, 256)
        self.down = nn.Linear(256, 128, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.down(self.up(self.embed(ids))) @ self.embed.weight.t()


@pytest.fixture(scope="module")
def graph() -> ic.Graph:
    return ic.capture(Tied().to(torch.bfloat16), (torch.zeros(4, dtype=torch.int64),))


def test_products_get_the_kernels_of_their_format(graph: ic.Graph) -> None:
    forms = {"up.weight": FORMATS["int4_awq"], "down.weight": FORMATS["fp8_block"], "missing": FORMATS["int8_wo"]}
    changed = with_formats(graph, Checkpoint("mixed", forms))
    ops = [node.op for node in changed.nodes if "linear" in node.op or "quantize" in node.op]
    assert ops == ["pyinfercost.linear_weight_only", "pyinfercost.quantize_rows", "pyinfercost.linear_quantized"]
    total = ic.count(changed).total
    assert total.parameters == ic.count(graph).total.parameters == 64 * 128 + 256 * 128 + 256 + 128 * 256
    awq = 256 * 128 // 2 + 256 * (2 + 0.5)  # a scale and a zero point per 128 inputs
    block = 128 * 256 + 4 * 2  # a scale per 128 x 128
    assert total.parameter_bytes == 64 * 128 * 2 + 256 * 2 + awq + block
    assert with_formats(graph, Checkpoint("none", {})) == graph


def test_an_embedding_widens_the_rows_that_it_looks_up(graph: ic.Graph) -> None:
    """The table has groups, of which a row has its own; the head multiplies with the same stored table."""
    changed = with_formats(graph, Checkpoint("mixed", {"embed.weight": FORMATS["q8_0"]}))
    ops = [node.op for node in changed.nodes]
    assert ops[0] == "aten.embedding"
    assert ops[-1] == "pyinfercost.linear_weight_only"
    counts = ic.count(changed)
    assert counts.unmodelled == {}
    row = 128 + 4 * 2  # int8, and a float16 scale per 32
    tokens = counts.layers[0].work.bytes_written // (2 * 128)
    assert counts.layers[0].work.bytes_read == tokens * (row + 8)
    assert counts.layers[0].work.pointwise_flops == tokens * 128
    assert counts.total.parameter_bytes == 64 * row + 2 * (256 * 128 + 256 + 128 * 256)


def test_weights_in_other_dtypes_are_read_as_they_are(graph: ic.Graph) -> None:
    """No kernel converts them: only their bytes change."""
    changed = with_formats(graph, Checkpoint("mixed", {}, dtypes={"up.weight": "float32", "down.weight": "bfloat16"}))
    assert [node.op for node in changed.nodes] == [node.op for node in graph.nodes]
    before, after = ic.count(graph).total, ic.count(changed).total
    assert after.parameter_bytes == before.parameter_bytes + 2 * 256 * 128
    assert after.contraction_flops == before.contraction_flops


def test_other_operators_get_the_whole_weight(graph: ic.Graph) -> None:
    """An embedding has no kernel for a weight with one scale per row, which is widened before it."""
    changed = with_formats(graph, Checkpoint("mixed", {"embed.weight": FORMATS["int8_wo"]}))
    ops = [node.op for node in changed.nodes]
    assert ops[:2] == ["quantized_decomposed.dequantize_per_channel_group", "aten.embedding"]
    assert ops[-1] == "pyinfercost.linear_weight_only"  # of the same stored weight
    counts = ic.count(changed)
    assert counts.unmodelled == {}
    assert counts.total.parameter_bytes == 64 * 128 + 64 * 5 + 2 * (256 * 128 + 256 + 128 * 256)
    assert counts.total.parameters == ic.count(graph).total.parameters


def test_parts_are_those_that_files_store(graph: ic.Graph) -> None:
    metadata = {"up.weight": (Metadata("scales", "float16", 256), Metadata("qzeros", "int32", 32))}
    changed = with_formats(graph, Checkpoint("gptq", {"up.weight": FORMATS["int4_gptq"]}, metadata))
    stored = {t.name: (t.dtype, t.shape) for t in changed.tensors if t.name.startswith("up.weight")}
    assert stored == {
        "up.weight.int4_gptq": ("int4", (256, 128)),
        "up.weight.scales": ("float16", (256,)),
        "up.weight.qzeros": ("int32", (32,)),
    }
    before = ic.count(graph).total.parameter_bytes
    assert ic.count(changed).total.parameter_bytes == before - 2 * 256 * 128 + 256 * 128 // 2 + 2 * 256 + 4 * 32
