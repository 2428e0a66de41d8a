"""Strides in a capture equal those of a real run on the CPU, which determine which reshapes are copies."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.function_module import Wrapped
from torch import nn

import pyinfercost as ic

pytestmark = pytest.mark.torch

LAST, LAST_3D = torch.channels_last, torch.channels_last_3d
Format = torch.memory_format


def strides_of(graph: ic.Graph) -> list[tuple[Any, ...]]:
    return [tuple(tensor.strides) for tensor in graph.outputs]


def compare(function: Callable[..., Any], inputs: tuple[torch.Tensor, ...]) -> None:
    with torch.inference_mode():
        results = function(*inputs)
    real = [r.stride() for r in (results if isinstance(results, tuple) else (results,))]
    assert strides_of(ic.capture(Wrapped(lambda _, *x: function(*x)), inputs)) == real


CONVOLUTIONS: dict[str, tuple[Callable[..., Any], tuple[int, ...], tuple[int, ...]]] = {
    "plain": (F.conv2d, (2, 4, 8, 8), (6, 4, 3, 3)),
    "1 x 1": (F.conv2d, (2, 4, 8, 8), (6, 4, 1, 1)),
    "on one pixel": (F.conv2d, (2, 4, 1, 1), (6, 4, 1, 1)),
    "depthwise": (lambda x, w: F.conv2d(x, w, groups=4), (2, 4, 8, 8), (4, 1, 3, 3)),
    "one image": (F.conv2d, (1, 4, 8, 8), (6, 4, 3, 3)),
    "one channel in": (F.conv2d, (2, 1, 8, 8), (6, 1, 3, 3)),
    "one channel out": (F.conv2d, (2, 4, 8, 8), (1, 4, 3, 3)),
    "padding in words": (lambda x, w: F.conv2d(x, w, padding="same"), (2, 4, 8, 8), (6, 4, 3, 3)),
    "transposed": (lambda x, w: F.conv_transpose2d(x, w, stride=2), (2, 4, 8, 8), (4, 6, 3, 3)),
    "without a batch": (lambda x, w: F.conv2d(x[0], w), (2, 4, 8, 8), (6, 4, 3, 3)),
    "of a slice": (lambda x, w: F.conv2d(x[:, :2], w), (2, 4, 8, 8), (6, 2, 3, 3)),
    "of a permuted": (lambda x, w: F.conv2d(x.permute(0, 3, 1, 2), w), (2, 8, 8, 4), (6, 4, 3, 3)),
    "in double": (lambda x, w: F.conv2d(x.double(), w.double()), (2, 4, 8, 8), (6, 4, 3, 3)),
}


@pytest.mark.parametrize(("x_format", "w_format"), list(itertools.product((torch.contiguous_format, LAST), repeat=2)))
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name: str, x_format: Format, w_format: Format) -> None:
    function, x, weight = CONVOLUTIONS[name]
    compare(function, (torch.ones(x).to(memory_format=x_format), torch.ones(weight).to(memory_format=w_format)))


@pytest.mark.parametrize(
    ("x_format", "w_format"), list(itertools.product((torch.contiguous_format, LAST_3D), repeat=2))
)
def test_volumes(x_format: Format, w_format: Format) -> None:
    x = torch.ones(2, 4, 8, 8, 8).to(memory_format=x_format)
    weight = torch.ones(6, 4, 3, 3, 3).to(memory_format=w_format)
    compare(F.conv3d, (x, weight))
    compare(lambda x: F.group_norm(x, 2), (x,))


def test_one_dimension_is_always_contiguous() -> None:
    compare(lambda x, w: F.conv1d(x.transpose(1, 2), w), (torch.ones(2, 8, 4), torch.ones(6, 4, 3)))


IMAGES: dict[str, Callable[[torch.Tensor], Any]] = {
    "relu": F.relu,
    "max_pool": lambda x: F.max_pool2d(x, 2),
    "adaptive_avg_pool": lambda x: F.adaptive_avg_pool2d(x, 2),
    "group_norm": lambda x: F.group_norm(x, 2),
    "bilinear": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "antialiased": lambda x: F.interpolate(x, size=(4, 4), mode="bilinear", antialias=True),
    "pad": lambda x: F.pad(x, (1, 1, 1, 1)),
    "reflect": lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"),
    "replicate": lambda x: F.pad(x, (1, 1, 1, 1), mode="replicate"),
    "circular": lambda x: F.pad(x, (1, 1, 1, 1), mode="circular"),
    "pixel_shuffle": lambda x: F.pixel_shuffle(x, 2),
    "pixel_unshuffle": lambda x: F.pixel_unshuffle(x, 2),
    "channel_shuffle": lambda x: F.channel_shuffle(x, 2),
    "roll": lambda x: x.roll(1, 2),
    "roll of a transposed": lambda x: x.transpose(1, 2).roll(1, 1),
    "cat": lambda x: torch.cat([x, x], 1),
    "mean": lambda x: x.mean((2, 3), keepdim=True),
    "squeeze and excite": lambda x: x * x.mean((2, 3), keepdim=True).sigmoid(),
    "fold": lambda x: F.fold(F.unfold(x, 2), (8, 8), 2),
    "grid": lambda x: F.grid_sample(x, torch.zeros(2, 5, 5, 2, device=x.device), align_corners=False),
    "two-dimensional transform": torch.fft.fft2,
    "attention": lambda x: F.scaled_dot_product_attention(*[x.transpose(1, 2)] * 3),
}


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, LAST])
@pytest.mark.parametrize("name", IMAGES)
def test_images(name: str, memory_format: Format) -> None:
    compare(IMAGES[name], (torch.ones(2, 4, 8, 8).to(memory_format=memory_format),))


class Block(nn.Module):
    """Every result on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 1, groups=8)]
        )

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        results = [x]
        for layer in self.layers:
            results.append(layer(results[-1]))
        return (*results[1:], results[-1].flatten(2).transpose(1, 2))


@pytest.mark.parametrize("weights_last", [False, True])
@pytest.mark.parametrize("input_last", [False, True])
def test_channels_last_reaches_the_end(weights_last: bool, input_last: bool) -> None:
    model = Block().eval()
    model = model.to(memory_format=LAST) if weights_last else model
    x = torch.ones(2, 4, 12, 12)
    x = x.to(memory_format=LAST) if input_last else x
    with torch.inference_mode():
        real = [r.stride() for r in model(x)]
    graph = ic.capture(model, (x,))
    assert strides_of(graph) == real
    # Flattening rows of pixels moves nothing where channels lie last or first.
    assert not [row for row in ic.count(graph).layers if row.op == "aten.flatten" and row.work.kind != "free"]


@pytest.mark.parametrize("weights_last", [False, True])
def test_open_sizes_keep_the_layout_of_an_input(weights_last: bool) -> None:
    model = Block().eval()
    model = model.to(memory_format=LAST) if weights_last else model
    x = torch.ones(2, 4, 12, 12).to(memory_format=LAST)
    fixed = ic.capture(model, (x,))
    graph = ic.capture(model, (x,), dynamic={0: {0: "batch"}})
    assert [bound(tensor, batch=2) for tensor in graph.inputs] == [tuple(x.stride())]
    assert [bound(tensor, batch=2) for tensor in graph.outputs] == strides_of(fixed)


def bound(tensor: Any, **sizes: int) -> tuple[int, ...]:
    return tuple(stride if isinstance(stride, int) else stride.evaluate(sizes) for stride in tensor.strides)
