"""Single layers in training: each gradient of a product has as many multiply-accumulates as the product."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.function_module import Wrapped
from torch import nn

import pyinfercost as ic

pytestmark = pytest.mark.torch


def step(module: nn.Module, *args: Any) -> tuple[Any, Any]:
    counts = ic.count(ic.capture(module.train(), args, training=True))
    assert not counts.unmodelled
    rows = counts.by_phase()
    return rows["forward"].macs, rows["backward"].macs


def check(module: nn.Module, macs: int, *shape: int) -> None:
    """Weight and input each have a gradient, the input only where it is asked for."""
    assert step(module, torch.randn(shape)) == (macs, macs)
    assert step(module, torch.randn(shape, requires_grad=True)) == (macs, 2 * macs)
    assert step(module.requires_grad_(False), torch.randn(shape, requires_grad=True)) == (macs, macs)


@pytest.mark.parametrize("shape", [(5, 12), (2, 5, 12), (2, 3, 5, 12)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear(shape: tuple[int, ...], bias: bool) -> None:
    check(nn.Linear(12, 7, bias=bias), math.prod(shape) * 7, *shape)


CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize(
    ("groups", "options"),
    [
        (1, {"padding": 1}),
        (2, {"stride": 2}),
        (4, {"dilation": 2}),
        (8, {"padding": 1, "stride": 2}),  # depthwise
    ],
)
def test_convolution(axes: int, groups: int, options: dict[str, int]) -> None:
    side, window = 9, 3
    stride, padding, dilation = (
        options.get(name, default) for name, default in (("stride", 1), ("padding", 0), ("dilation", 1))
    )
    out = (side + 2 * padding - dilation * (window - 1) - 1) // stride + 1
    macs = 2 * out**axes * 16 * (8 // groups) * window**axes
    check(CONV[axes](8, 16, window, groups=groups, **options), macs, 2, 8, *[side] * axes)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 4])
def test_transposed_convolution(axes: int, groups: int) -> None:
    macs = 2 * 5**axes * 8 * (16 // groups) * 3**axes  # every element of the input meets the window
    check(TRANSPOSED[axes](8, 16, 3, stride=2, groups=groups), macs, 2, 8, *[5] * axes)


def test_a_depthwise_convolution_costs_twice_its_forward() -> None:
    """Where a counter forgets the groups, the gradient of the weight is 64 times too large."""
    module = nn.Conv2d(64, 64, 3, padding=1, groups=64)
    assert step(module, torch.randn(1, 64, 14, 14, requires_grad=True)) == (112_896, 2 * 112_896)


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
@pytest.mark.parametrize("directions", [1, 2])
def test_recurrent_layers(kind: Any, gates: int, directions: int) -> None:
    batch, steps, width, hidden, layers = 3, 5, 12, 8, 2
    module = kind(width, hidden, layers, batch_first=True, bidirectional=directions == 2)
    of_input = [batch * steps * gates * hidden * n for n in (width, directions * hidden)]
    of_state = batch * gates * hidden * hidden
    forward = directions * (sum(of_input) + layers * steps * of_state)
    if kind is nn.LSTM:  # the library's kernel has all gradients, whether they are asked for or not
        assert step(module, torch.randn(batch, steps, width)) == (forward, 2 * forward)
        return
    # Nobody asks for the gradient of the first state, nor here for that of the input.
    backward = 2 * forward - directions * (of_input[0] + layers * of_state)
    assert step(module, torch.randn(batch, steps, width)) == (forward, backward)


@pytest.mark.parametrize("weights", [False, True])
def test_multi_head_attention(weights: bool) -> None:
    """Where its weights are asked for attention is not fused, and has four products backward instead of five."""
    batch, length, width = 2, 10, 16
    attention = nn.MultiheadAttention(width, 4, batch_first=True)
    module = Wrapped(lambda self, x: self.attention(x, x, x, need_weights=weights)[0], attention=attention)
    projections = 4 * batch * length * width * width
    product = batch * length * length * width
    forward, backward = step(module, torch.randn(batch, length, width, requires_grad=True))
    assert forward == projections + 2 * product
    assert backward == 2 * projections + (4 if weights else 5) * product


def test_embedding() -> None:
    """Its gradient is no product: each row is added where it came from, in a table of its own."""
    module = nn.Sequential(nn.Embedding(50, 16), nn.Linear(16, 3))
    counts = ic.count(ic.capture(module.train(), torch.zeros(4, 7, dtype=torch.long), training=True))
    linear = 4 * 7 * 16 * 3
    assert counts.by_phase()["backward"].macs == 2 * linear
    row = counts.by_op()["aten.embedding_dense_backward"]
    assert (row.contraction_flops, row.pointwise_flops) == (0, 4 * 7 * 16)
    assert row.bytes_written == 50 * 16 * 4


@pytest.mark.parametrize("experts", [1, 4])
def test_grouped_products(experts: int) -> None:
    tokens, width, hidden = 12, 16, 32
    weight = nn.Parameter(torch.randn(experts, width, hidden, dtype=torch.bfloat16))
    offsets = torch.arange(1, experts + 1, dtype=torch.int32) * (tokens // experts)
    module = Wrapped(lambda self, x: F.grouped_mm(x, self.weight, offs=offsets), weight=weight)
    x = torch.randn(tokens, width, dtype=torch.bfloat16, requires_grad=True)
    assert step(module, x) == (tokens * width * hidden, 2 * tokens * width * hidden)


@pytest.mark.parametrize(
    ("module", "shape", "op"),
    [
        (nn.BatchNorm2d(6), (2, 6, 5, 5), "native_batch_norm_backward"),
        (nn.LayerNorm(6), (2, 5, 6), "native_layer_norm_backward"),
        (nn.GroupNorm(2, 6), (2, 6, 5, 5), "native_group_norm_backward"),
        (nn.RMSNorm(6), (2, 5, 6), "_fused_rms_norm_backward"),
        (nn.MaxPool2d(2), (2, 6, 4, 4), "max_pool2d_with_indices_backward"),
        (nn.AvgPool2d(2), (2, 6, 4, 4), "avg_pool2d_backward"),
        (nn.AdaptiveAvgPool2d(2), (2, 6, 4, 4), "_adaptive_avg_pool2d_backward"),
        (nn.Upsample(scale_factor=2, mode="bilinear"), (2, 6, 4, 4), "upsample_bilinear2d_backward"),
        (nn.PReLU(), (2, 6), "_prelu_kernel_backward"),
        (nn.GLU(), (2, 6), "glu_backward"),
        (nn.Softplus(), (2, 6), "softplus_backward"),
        (nn.Mish(), (2, 6), "mish_backward"),
        (nn.SELU(), (2, 6), "elu_backward"),
        (nn.LogSigmoid(), (2, 6), "log_sigmoid_backward"),
        (nn.ReflectionPad2d(1), (2, 6, 4, 4), "reflection_pad2d_backward"),
        (nn.ReplicationPad1d(1), (2, 6, 4), "replication_pad1d_backward"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_layers_have_the_backward_of_their_kind(module: nn.Module, shape: tuple[int, ...], op: str) -> None:
    counts = ic.count(ic.capture(module.train(), torch.randn(shape, requires_grad=True), training=True))
    assert not counts.unmodelled
    assert counts.by_op()[f"aten.{op}"].pointwise_flops > 0
