"""Values that a forward asks for: computed from real inputs, refused where nothing determines them."""

from __future__ import annotations

import pytest
import torch

import pyinfercost as ic
from pyinfercost.capture.trace import CaptureError


class AsksWhetherMasked(torch.nn.Module):
    """Multiplies by the mask only where the mask hides anything, as attention modules do."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return x if mask.all() else x * mask


class AsksForItsWeight(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if self.scale.item() > 0 else x


class AsksByChance(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if torch.rand(1, device=x.device).item() > 0 else x


class AsksAfterAnIdleConversion(torch.nn.Module):
    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        seen = mask.logical_not().logical_not()
        return x if seen.to(seen.dtype).all() else x * mask


class CountsToItsLength(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps = torch.arange(x.shape[0], device=x.device).sum().item()
        return x.expand(int(steps), *x.shape) + 1


@pytest.mark.parametrize(("masked", "multiplications"), [(False, 0), (True, 6)])
def test_a_mask_is_read(masked: bool, multiplications: int) -> None:
    mask = torch.ones(2, 3)
    mask[0, 0] = 0.0 if masked else 1.0
    counts = ic.count(ic.capture(AsksWhetherMasked(), (torch.ones(2, 3), mask)))
    # `all` reads 6 elements and compares each
    assert counts.total.pointwise_flops == 6 + multiplications


@pytest.mark.parametrize(("masked", "multiplications"), [(False, 0), (True, 6)])
def test_a_conversion_that_hands_its_operand_on_is_seen_through(masked: bool, multiplications: int) -> None:
    mask = torch.ones(2, 3) > float(masked)
    counts = ic.count(ic.capture(AsksAfterAnIdleConversion(), (torch.ones(2, 3), mask)))
    # two negations of 6 elements each, and `all` reads 6
    assert counts.total.pointwise_flops == 18 + multiplications


def test_what_a_model_makes_itself_has_a_value() -> None:
    graph = ic.capture(CountsToItsLength(), (torch.empty(4, device="meta"),))
    assert graph.outputs[0].shape == (0 + 1 + 2 + 3, 4)


@pytest.mark.parametrize(
    ("module", "inputs", "reason"),
    [
        (AsksForItsWeight(), (torch.ones(2),), "depends on a weight"),
        (AsksWhetherMasked(), (torch.ones(2, 3), torch.ones(2, 3, device="meta")), "given without values"),
        (AsksByChance(), (torch.ones(2, device="meta"),), "by chance"),
    ],
)
def test_a_value_that_nothing_determines_is_an_error(
    module: torch.nn.Module, inputs: tuple[torch.Tensor], reason: str
) -> None:
    with pytest.raises(CaptureError, match=reason) as caught:
        ic.capture(module, inputs)
    assert "pass real tensors" in str(caught.value)


def test_with_an_open_size_an_example_proves_nothing() -> None:
    inputs = (torch.ones(2, 3), torch.ones(2, 3))
    with pytest.raises(CaptureError, match="value of a tensor"):
        ic.capture(AsksWhetherMasked(), inputs, dynamic={0: {0: "batch"}, 1: {0: "batch"}})


class ReshapesInPlace(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x * 2
        y.unsqueeze_(0)
        z = torch.matmul(y, torch.ones(4, 5))
        y.squeeze_(0)
        return z + y.sum()


def test_a_tensor_that_changes_shape_in_place_has_each_shape_in_its_time() -> None:
    graph = ic.capture(ReshapesInPlace(), (torch.ones(3, 4),))
    shapes = {graph.node(i).op: [t.shape for t in graph.node(i).outputs] for i in range(len(graph))}
    assert shapes["aten.mul"] == [(3, 4)]
    assert shapes["aten.unsqueeze_"] == [(1, 3, 4)]
    assert shapes["aten.matmul"] == [(1, 3, 5)]
    assert shapes["aten.squeeze_"] == [(3, 4)]
    assert ic.count(graph).total.macs == 3 * 4 * 5
