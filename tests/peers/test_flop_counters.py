"""The cases of the test suites of two FLOP counters: each is counted equally, or differs by a stated convention.

fvcore counts a multiplication with its addition as one; its figures are those of its formulas, and are compared with
the library itself where it is installed. `FlopCounterMode` of torch counts two, runs here, and knows no elementwise
work.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import pyinfercost as ic

pytestmark = pytest.mark.torch


class Called(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.function(*inputs)


def shapes(*given: tuple[int, ...]) -> tuple[torch.Tensor, ...]:
    return tuple(torch.randn(shape) for shape in given)


def counted(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> Any:
    return ic.count(ic.capture(module.eval(), inputs)).total


# ---- fvcore ----------------------------------------------------------------------------------------------------------


class Fvcore(NamedTuple):
    """A case of fvcore's suite.

    Attributes:
        name: What is counted.
        module: Makes the module.
        inputs: Shapes of the inputs.
        products: Multiply-adds by fvcore, which are half of our contraction FLOPs.
        others: What fvcore counts for norms, pools and interpolation.
        pointwise: Our pointwise FLOPs.
        why: Why these two differ; empty if they are equal.
    """

    name: str
    module: Callable[[], nn.Module]
    inputs: tuple[tuple[int, ...], ...]
    products: int
    others: int = 0
    pointwise: int | None = None
    why: str = ""


def called(function: Callable[..., Any]) -> Callable[[], nn.Module]:
    return lambda: Called(function)


FVCORE = [
    Fvcore("linear", lambda: nn.Linear(5, 10), ((5, 5),), 5 * 5 * 10),
    Fvcore("linear without bias", lambda: nn.Linear(5, 10, bias=False), ((5, 5),), 250),
    Fvcore("linear of a batch of sequences", lambda: nn.Linear(5, 10), ((3, 4, 5),), 12 * 5 * 10),
    Fvcore("conv1d", lambda: nn.Conv1d(3, 6, 1), ((2, 3, 10),), 2 * 6 * 10 * 3),
    Fvcore("conv2d", lambda: nn.Conv2d(5, 4, 3), ((2, 5, 16, 10),), 2 * 4 * 14 * 8 * 5 * 9),
    Fvcore("conv2d with padding and a stride", lambda: nn.Conv2d(3, 2, 3, 2, 1), ((1, 3, 5, 5),), 2 * 9 * 3 * 9),
    Fvcore("conv2d with dilation", lambda: nn.Conv2d(3, 2, 3, dilation=2), ((1, 3, 8, 8),), 2 * 16 * 3 * 9),
    Fvcore("conv2d in groups", lambda: nn.Conv2d(4, 8, 3, groups=2), ((1, 4, 6, 6),), 8 * 16 * 2 * 9),
    Fvcore("conv2d by channel", lambda: nn.Conv2d(4, 4, 3, groups=4), ((1, 4, 6, 6),), 4 * 16 * 9),
    Fvcore("conv2d, padding same", lambda: nn.Conv2d(3, 2, 3, padding="same"), ((1, 3, 5, 5),), 2 * 25 * 3 * 9),
    Fvcore("conv3d", lambda: nn.Conv3d(3, 2, 3), ((1, 3, 5, 6, 7),), 2 * 3 * 4 * 5 * 3 * 27),
    Fvcore("transposed conv1d", lambda: nn.ConvTranspose1d(3, 6, 4), ((2, 3, 10),), 2 * 3 * 10 * 6 * 4),
    Fvcore("transposed conv2d", lambda: nn.ConvTranspose2d(4, 3, 3, 2), ((1, 4, 5, 6),), 4 * 30 * 3 * 9),
    Fvcore("transposed conv3d", lambda: nn.ConvTranspose3d(2, 3, 2), ((1, 2, 3, 3, 3),), 2 * 27 * 3 * 8),
    Fvcore("matmul", called(torch.matmul), ((20, 10), (10, 30)), 20 * 10 * 30),
    Fvcore("matmul of a batch", called(torch.matmul), ((4, 20, 10), (4, 10, 30)), 4 * 20 * 10 * 30),
    Fvcore("matmul of a batch and a matrix", called(torch.matmul), ((4, 20, 10), (10, 30)), 4 * 20 * 10 * 30),
    Fvcore("matmul that broadcasts", called(torch.matmul), ((2, 1, 5, 6), (3, 6, 7)), 2 * 3 * 5 * 6 * 7),
    Fvcore("matmul with a vector", called(torch.matmul), ((20, 10), (10,)), 20 * 10),
    Fvcore("bmm", called(torch.bmm), ((4, 5, 6), (4, 6, 7)), 4 * 5 * 6 * 7),
    Fvcore("addmm", called(torch.addmm), ((5, 7), (5, 6), (6, 7)), 5 * 6 * 7),
    Fvcore("einsum nct,ncp->ntp", called(lambda a, b: torch.einsum("nct,ncp->ntp", a, b)), ((2, 5, 3), (2, 5, 4)), 120),
    Fvcore("einsum ntg,ncg->nct", called(lambda a, b: torch.einsum("ntg,ncg->nct", a, b)), ((2, 3, 6), (2, 5, 6)), 180),
    Fvcore(
        "einsum of an outer product", called(lambda a, b: torch.einsum("i,j->ij", a, b)), ((5,), (7,)), 0, 35, 35,
    ),
    Fvcore(
        "batch norm in evaluation", lambda: nn.BatchNorm2d(4), ((2, 4, 5, 5),), 0, 2 * 200, 400,
    ),
    Fvcore(
        "layer norm", lambda: nn.LayerNorm(8), ((3, 8),), 0, 5 * 24, 7 * 24,
        "mean, difference, square and sum, and then a product for the scale and two for weight and bias",
    ),
    Fvcore(
        "group norm", lambda: nn.GroupNorm(2, 4), ((2, 4, 5, 5),), 0, 5 * 200, 7 * 200,
        "as in a layer norm",
    ),
    Fvcore(
        "nearest interpolation", lambda: nn.Upsample(scale_factor=2), ((1, 2, 4, 4),), 0, 0, 0,
    ),
    Fvcore(
        "bilinear interpolation", lambda: nn.Upsample(scale_factor=2, mode="bilinear"), ((1, 2, 4, 4),), 0, 4 * 128,
        None, "two lines along one axis and one along the other are 9 additions and multiplications of a result",
    ),
    Fvcore(
        "adaptive average pool", lambda: nn.AdaptiveAvgPool2d(1), ((1, 2, 4, 4),), 0, 32, 32,
    ),
    Fvcore(
        "a model of three layers",
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 10)), ((1, 3, 8, 8),),
        4 * 36 * 27 + 1440, 0, None, "an activation is counted, one FLOP for each result",
    ),
]  # fmt: skip


FVCORE_DIFFERS: dict[str, tuple[int | None, str]] = {
    "conv2d, padding same": (0, "it has no formula for this operator"),
    "matmul that broadcasts": (420, "its formula leaves dimensions of one operand out"),
    "matmul with a vector": (None, "its formula fails"),
    "einsum of an outer product": (18, "it halves the cost of a contraction, and nothing is added here"),
    "nearest interpolation": (128, "it counts one for each copied element"),
}
"""Case -> what fvcore 0.1.5 answers, None where it fails, and why."""


@pytest.mark.parametrize("case", FVCORE, ids=lambda case: case.name)
def test_products_are_those_of_fvcore(case: Fvcore) -> None:
    torch.manual_seed(0)
    module, inputs = case.module(), shapes(*case.inputs)
    total = counted(module, inputs)
    assert total.contraction_flops == 2 * case.products
    if case.products == 0 and case.pointwise is not None:
        assert total.pointwise_flops == case.pointwise
        assert (case.pointwise == case.others) == (not case.why)
    elif not case.products:
        assert total.pointwise_flops > case.others


@pytest.mark.parametrize("case", FVCORE, ids=lambda case: case.name)
def test_stated_figures_are_what_fvcore_counts(case: Fvcore) -> None:
    fvcore = pytest.importorskip("fvcore.nn", reason="needs fvcore: pip install fvcore")
    found = fvcore.FlopCountAnalysis(case.module().eval(), shapes(*case.inputs))
    found.unsupported_ops_warnings(enabled=False).uncalled_modules_warnings(enabled=False)
    if case.name not in FVCORE_DIFFERS:
        assert found.total() == case.products + case.others
        return
    figure, _ = FVCORE_DIFFERS[case.name]
    if figure is None:
        with pytest.raises(IndexError):
            found.total()
    else:
        assert found.total() == figure


# ---- FlopCounterMode of torch ----------------------------------------------------------------------------------------


class Torch(NamedTuple):
    """A case of torch's suite.

    Attributes:
        name: What is counted.
        module: Makes the module.
        inputs: Shapes of the inputs.
        trains: Whether the backward pass is counted, too.
        ours: Our contraction FLOPs over those of torch; 1 where both are equal.
        why: Why they differ.
    """

    name: str
    module: Callable[[], nn.Module]
    inputs: tuple[tuple[int, ...], ...]
    trains: bool = False
    ours: float = 1.0
    why: str = ""


class Variety(nn.Module):
    """Operators of products in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(9, 10)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        out = self.linear(torch.mm(x, y))
        return torch.einsum("ab,ab->a", out, out)


def attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    return F.scaled_dot_product_attention(query, key, value)


HEADS = ((2, 3, 16, 8), (2, 3, 24, 8), (2, 3, 24, 8))
TORCH = [
    Torch("mm", called(torch.mm), ((4, 5), (5, 6))),
    Torch("bmm", called(torch.bmm), ((3, 4, 5), (3, 5, 6))),
    Torch("addmm", called(torch.addmm), ((4, 6), (4, 5), (5, 6))),
    Torch("baddbmm", called(torch.baddbmm), ((3, 4, 6), (3, 4, 5), (3, 5, 6))),
    Torch("matmul of three dimensions", called(torch.matmul), ((3, 4, 5), (5, 6))),
    Torch("einsum", called(lambda a, b: torch.einsum("bij,bjk->bik", a, b)), ((3, 4, 5), (3, 5, 6))),
    Torch(
        "linear, mm and a dot of rows", Variety, ((4, 8), (8, 9)), ours=1.0,
    ),
    Torch("conv1d", lambda: nn.Conv1d(3, 6, 3), ((2, 3, 10),)),
    Torch("conv2d", lambda: nn.Conv2d(2, 6, 3, 2, 1), ((1, 2, 9, 9),)),
    Torch("conv2d with groups and dilation", lambda: nn.Conv2d(4, 6, 3, groups=2, dilation=2), ((1, 4, 9, 9),)),
    Torch("conv3d", lambda: nn.Conv3d(2, 3, 3), ((1, 2, 5, 6, 7),)),
    Torch("transposed conv2d", lambda: nn.ConvTranspose2d(4, 3, 3, 2), ((1, 4, 5, 6),)),
    Torch("a training step of linear", lambda: nn.Linear(5, 10), ((4, 5),), True),
    Torch("a training step of conv2d", lambda: nn.Conv2d(2, 6, (3, 5), 2, 1), ((2, 2, 9, 11),), True),
    Torch("a training step of transposed conv2d", lambda: nn.ConvTranspose2d(4, 3, 3, 2), ((1, 4, 5, 6),), True),
    Torch("a training step of two layers", lambda: nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 3)), ((4, 5),), True),
    Torch("attention", called(attention), HEADS),
    Torch("a training step of attention", called(attention), HEADS, True, 7 / 6, "scores are computed again"),
    Torch(
        "an encoder layer", lambda: nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True), ((2, 6, 16),),
    ),
    Torch("an LSTM", lambda: nn.LSTM(5, 7), ((4, 2, 5),), ours=float("inf"), why="torch has no rule for its kernel"),
]  # fmt: skip


@pytest.mark.parametrize("case", TORCH, ids=lambda case: case.name)
def test_products_are_those_of_torch(case: Torch) -> None:
    torch.manual_seed(0)
    module, inputs = case.module(), shapes(*case.inputs)
    if case.trains:
        module.train()
        inputs = tuple(each.requires_grad_(not list(module.parameters())) for each in inputs)
        graph = ic.capture(module, inputs, training=True)
    else:
        graph = ic.capture(module.eval(), inputs)
    ours = ic.count(graph).total.contraction_flops
    counter = FlopCounterMode(display=False)
    with warnings.catch_warnings(), counter, torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        warnings.simplefilter("ignore")
        out = module(*inputs)
        if case.trains:
            out.sum().backward()
    theirs = counter.get_total_flops()
    if case.ours == float("inf"):
        assert theirs == 0 < ours, case.why
    else:
        assert ours == pytest.approx(case.ours * theirs, rel=1e-12), case.why
