"""Products with stacks of matrices, such as experts: found, stored in narrow formats, and run by grouped kernels."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import pyinfercost as ic
from pyinfercost.formats.products import find_products
from pyinfercost.formats.table import FORMATS, FormatError

pytestmark = pytest.mark.torch

ROWS, EXPERTS, WIDTH, INNER = 32, 4, 256, 128


class Experts(nn.Module):
    """Experts with weights as [experts, outputs, inputs], or `turned` as [experts, inputs, outputs]."""

    def __init__(self, turned: bool) -> None:
        super().__init__()
        up, down = (EXPERTS, WIDTH, INNER), (EXPERTS, INNER, WIDTH)
        self.turned = turned
        self.up_proj = nn.Parameter(torch.empty(up if turned else (up[0], up[2], up[1])))
        self.down_proj = nn.Parameter(torch.empty(down if turned else (down[0], down[2], down[1])))

    def forward(self, x: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
        up, down = self.up_proj, self.down_proj
        if not self.turned:
            up, down = up.transpose(-2, -1), down.transpose(1, 2)
        return torch._grouped_mm(torch._grouped_mm(x, up, offs=ends), down, offs=ends)


class Layer(nn.Module):
    """A router and experts."""

    def __init__(self, turned: bool = False) -> None:
        super().__init__()
        self.router = nn.Linear(WIDTH, EXPERTS, bias=False)
        self.experts = Experts(turned)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ends = torch.bincount(self.router(x).argmax(-1), minlength=EXPERTS).cumsum(0).to(torch.int32)
        y: torch.Tensor = self.experts(x, ends)
        return y


class Batched(nn.Module):
    """One matrix per batch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(EXPERTS, WIDTH, INNER))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.bmm(x, self.weight)


def captured(module: nn.Module, *shape: int, **sizes: int) -> ic.Graph:
    module = module.to(torch.bfloat16)
    return ic.capture(module, (torch.zeros(*shape, dtype=torch.bfloat16, device="cpu"),), sizes=sizes)


ELEMENTS = 2 * EXPERTS * WIDTH * INNER
ROUTER = EXPERTS * WIDTH * 2  # bytes


@pytest.mark.parametrize("turned", [False, True])
def test_experts_are_products(turned: bool) -> None:
    graph = captured(Layer(turned), ROWS, WIDTH)
    products = list(find_products(graph))
    assert [(product.node.module, product.stacked) for product in products] == [
        ("router", False),
        ("experts", True),
        ("experts", True),
    ]
    assert products[1].names == ("experts", "experts.up_proj")
    assert [product.transposed for product in products] == [False, turned, turned]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_stores_experts(form: str, turned: bool) -> None:
    graph = captured(Layer(turned), ROWS, WIDTH)
    changed = ic.whatif(graph, quantize={"experts": form, "router": None})
    before, after = ic.count(graph), ic.count(changed)
    assert after.total.parameters == before.total.parameters == ELEMENTS + EXPERTS * WIDTH
    assert after.total.contraction_flops == before.total.contraction_flops
    assert after.unmodelled == {}
    of = FORMATS[form]
    bits = {"int8": 8, "float8_e4m3fn": 8, "int4": 4, "float4_e2m1fn_x2": 4}.get(of.dtype, 16)
    scales = 0
    for rows, columns in ((INNER, WIDTH), (WIDTH, INNER)):  # outputs and inputs, whichever way they are stored
        along = 1 if of.group is None else columns // of.group
        scales += EXPERTS * along * rows // (of.rows or rows)
    widths = {
        "float32": 4,
        "bfloat16": 2,
        "float16": 2,
        "float8_e4m3fn": 1,
        "uint8": 1,
        "int8": 1,
        "int4": 0.5,
        None: 0,
    }
    index = 4 * EXPERTS * (WIDTH + INNER) if of.index else 0
    beside = scales * (widths[of.scale] + widths[of.zero]) + index
    assert after.total.parameter_bytes == ROUTER + ELEMENTS * bits // 8 + beside
    for hardware in ("h100-sxm-80gb", "b200-sxm-180gb"):
        estimates = [ic.estimate(of_graph, hardware=hardware) for of_graph in (graph, changed)]
        assert all(estimate.latency_s > 0 for estimate in estimates)


def test_patterns_reach_one_weight_of_experts() -> None:
    graph = captured(Layer(), ROWS, WIDTH)
    changed = ic.whatif(graph, quantize={"*.down_proj": "mxfp4_wo"})
    ops = [node.op for node in changed.nodes if "linear" in node.op or "grouped" in node.op]
    assert ops == ["aten.linear", "aten._grouped_mm", "pyinfercost.grouped_weight_only"]
    names = [t.name for t in changed.tensors if t.role == "parameter"]
    assert "experts.up_proj" in names
    assert "experts.down_proj" not in names
    assert "experts.down_proj.mxfp4_wo" in names
    # The module's pattern means both; so does the list of layers.
    for options in ({"quantize": {"experts": "int8_wo"}}, {"quantize": "int8_wo", "layers": "experts"}):
        both = ic.whatif(graph, **options)
        assert sum(node.op == "pyinfercost.grouped_weight_only" for node in both.nodes) == 2
    with pytest.raises(FormatError, match=r"similar ones are experts\.down_proj"):
        ic.whatif(graph, quantize={"experts.down": "int8_wo"})


def test_experts_without_rows_are_not_read() -> None:
    graph = captured(Layer(), 2, WIDTH)
    changed = ic.whatif(graph, quantize={"experts": "mxfp4_wo"})
    read = [int(layer.row.bytes_by_role["weight_read"]) for layer in ic.count(changed).layers if "grouped" in layer.op]
    one = WIDTH * INNER
    assert read == [2 * (one // 2 + one // 32)] * 2  # two rows, two experts


def test_a_known_routing_stays() -> None:
    graph = captured(Layer(), ROWS, WIDTH, **{"experts.groups": 3})
    changed = ic.whatif(graph, quantize={"experts": "fp8_dynamic"})
    read = [int(layer.row.bytes_by_role["weight_read"]) for layer in ic.count(changed).layers if "grouped" in layer.op]
    one = WIDTH * INNER
    assert read == [3 * (one + 4 * INNER), 3 * (one + 4 * WIDTH)]
    assert sum(node.op == "pyinfercost.quantize_rows" for node in changed.nodes) == 2


def test_a_matrix_per_batch() -> None:
    graph = captured(Batched(), EXPERTS, 8, WIDTH)
    changed = ic.whatif(graph, quantize="int4_wo")
    assert [node.op for node in changed.nodes] == ["pyinfercost.grouped_weight_only"]
    before, after = ic.count(graph).total, ic.count(changed).total
    assert after.contraction_flops == before.contraction_flops == 2 * EXPERTS * 8 * WIDTH * INNER
    assert after.parameter_bytes == EXPERTS * INNER * (WIDTH // 2 + 2 * 2 * WIDTH // 128)


def test_narrow_experts_are_faster_where_weights_take_the_time() -> None:
    graph = captured(Layer(), ROWS, WIDTH)
    seconds = {
        form: ic.estimate(
            graph if form is None else ic.whatif(graph, quantize={"experts": form}),
            hardware="h100-sxm-80gb",
            execution="cuda_graph",
        ).latency_s
        for form in (None, "int8_wo", "mxfp4_wo")
    }
    assert seconds["mxfp4_wo"] <= seconds["int8_wo"] <= seconds[None]


def test_kernels_that_have_no_experts() -> None:
    graph = captured(Layer(), ROWS, WIDTH)
    pruned = ic.whatif(graph, prune="2:4")
    assert [node.op for node in pruned.nodes if "grouped" in node.op] == ["aten._grouped_mm"] * 2
    torchao = ic.whatif(graph, quantize="int8_wo", kernels="torchao")
    assert [node.op for node in torchao.nodes if "grouped" in node.op] == ["aten._grouped_mm"] * 2
    with pytest.raises(FormatError, match="2:4 applies to no layer"):
        ic.whatif(captured(Batched(), EXPERTS, 8, WIDTH), prune="2:4")
