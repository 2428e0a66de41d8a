"""A training step with symbolic sizes has the counts of one with fixed sizes, including backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F

import pyinfercost as ic

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("error")]


class Ends(torch.nn.Module):
    """A linear layer, and behind it what is looked at."""

    def __init__(self, end: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(8, 16)
        self.end = end

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": self.end(self.layer(x), y)}


# What torch has a kernel for meta tensors of, and takes apart above autograd otherwise.
ENDS: dict[str, Callable[..., Any]] = {
    "cross entropy": F.cross_entropy,
    "nll": lambda a, y: F.nll_loss(a.log_softmax(-1), y),
    "mse": lambda a, y: F.mse_loss(a, torch.zeros_like(a)),
    "smooth l1": lambda a, y: F.smooth_l1_loss(a, torch.zeros_like(a)),
    "hinge": lambda a, y: F.hinge_embedding_loss(a, torch.ones_like(a)),
    "margin": lambda a, y: F.margin_ranking_loss(a, 2 * a, torch.ones_like(a)),
    "relu6": lambda a, y: F.relu6(a).sum(),
    "selu": lambda a, y: F.selu(a).sum(),
    "prelu": lambda a, y: F.prelu(a, torch.ones(1)).sum(),
    "variance": lambda a, y: a.var(1).sum() + a.std(),
    "where": lambda a, y: torch.where(a > 0, a, 0.0).sum(),
    "bilinear": lambda a, y: F.interpolate(a[:, None, None], scale_factor=2.0, mode="bilinear").sum(),
    "nearest": lambda a, y: F.interpolate(a[:, None, None], scale_factor=2.0).sum(),
    "distance": lambda a, y: F.pairwise_distance(a, torch.zeros_like(a)).sum(),
    "spectrum": lambda a, y: torch.fft.rfft(a).abs().sum(),
}


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.sample(3)
def test_gradients_pass_what_ends_a_model(name: str) -> None:
    model = Ends(ENDS[name])
    inputs = torch.randn(4, 8), torch.ones(4, dtype=torch.long)
    fixed = ic.count(ic.capture(model, inputs, training=True))
    graph = ic.capture(model, inputs, training=True, dynamic={0: {0: "batch"}, 1: {0: "batch"}})
    # Forward and the gradient of the weight: the inputs need none.
    assert fixed.total.contraction_flops == 2 * 2 * 4 * 8 * 16
    for batch in (2, 4, 7):
        assert ic.count(graph, batch=batch).total.contraction_flops == 2 * 2 * batch * 8 * 16
    if name not in ("bilinear", "nearest"):  # of which torch makes gathers and sums then: more bytes
        assert ic.count(graph, batch=4).total.bytes_written == fixed.total.bytes_written


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet18", "vit_b_16"])
@pytest.mark.slow
def test_models_of_torchvision(name: str) -> None:
    torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed: models to compare")
    with torch.device("meta"):
        model = torchvision.models.get_model(name).train()
    x = torch.empty(2, 3, 224, 224)
    fixed = ic.count(ic.capture(model, x, training=True))
    graph = ic.capture(model, x, training=True, dynamic={0: {0: "batch"}})
    bound = ic.count(graph, batch=2)
    assert bound.total.contraction_flops == fixed.total.contraction_flops


def test_what_torch_dispatches_to_is_put_back() -> None:
    op: Any = torch.ops.aten.nll_loss.default
    known = set(op.py_kernels)
    ic.capture(
        Ends(F.cross_entropy),
        (torch.randn(4, 8), torch.ones(4, dtype=torch.long)),
        training=True,
        dynamic={0: {0: "batch"}, 1: {0: "batch"}},
    )
    assert set(op.py_kernels) == known
