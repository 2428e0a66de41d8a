"""FLOPs of a whole training step compared with arithmetic, layer by layer.

The rules that stand here: a product's gradients of weight and input are one product of the same size each; the first
layer has no gradient of its input; fused attention has two products forward and five backward, because it makes the
scores again.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

import pyinfercost as ic

pytestmark = pytest.mark.torch

BATCH = 2


class Arithmetic:
    """Multiply-accumulates of forward and backward, added up layer by layer."""

    def __init__(self) -> None:
        self.forward = 0
        self.backward = 0

    def product(self, macs: int, *, first: bool = False) -> None:
        self.forward += macs
        self.backward += macs if first else 2 * macs

    def conv(self, inputs: int, outputs: int, window: int, side: int, *, groups: int = 1, first: bool = False) -> None:
        """A square convolution that makes `side` x `side` positions."""
        self.product(BATCH * side * side * outputs * (inputs // groups) * window * window, first=first)

    def linear(self, rows: int, inputs: int, outputs: int) -> None:
        self.product(BATCH * rows * inputs * outputs)

    def attention(self, length: int, width: int) -> None:
        """All heads together: each product has length x length x width multiply-accumulates."""
        self.forward += 2 * BATCH * length * length * width
        self.backward += 5 * BATCH * length * length * width


def resnet50() -> Arithmetic:
    a = Arithmetic()
    a.conv(3, 64, 7, 112, first=True)
    channels, side = 64, 56
    for stage, blocks in enumerate((3, 4, 6, 3)):
        width = 64 * 2**stage
        for block in range(blocks):
            out = side // 2 if stage and not block else side
            a.conv(channels, width, 1, side)
            a.conv(width, width, 3, out)
            a.conv(width, 4 * width, 1, out)
            if not block:
                a.conv(channels, 4 * width, 1, out)
            channels, side = 4 * width, out
    a.linear(1, 2048, 1000)
    return a


def squeeze(a: Arithmetic, channels: int, squeezed: int) -> None:
    a.conv(channels, squeezed, 1, 1)
    a.conv(squeezed, channels, 1, 1)


def mobilenet_v3_large() -> Arithmetic:
    a = Arithmetic()
    a.conv(3, 16, 3, 112, first=True)
    side, channels = 112, 16
    for window, expanded, out, squeezed, stride in [
        (3, 16, 16, 0, 1),
        (3, 64, 24, 0, 2),
        (3, 72, 24, 0, 1),
        (5, 72, 40, 24, 2),
        (5, 120, 40, 32, 1),
        (5, 120, 40, 32, 1),
        (3, 240, 80, 0, 2),
        (3, 200, 80, 0, 1),
        (3, 184, 80, 0, 1),
        (3, 184, 80, 0, 1),
        (3, 480, 112, 120, 1),
        (3, 672, 112, 168, 1),
        (5, 672, 160, 168, 2),
        (5, 960, 160, 240, 1),
        (5, 960, 160, 240, 1),
    ]:
        if expanded != channels:
            a.conv(channels, expanded, 1, side)
        side //= stride
        a.conv(expanded, expanded, window, side, groups=expanded)
        if squeezed:
            squeeze(a, expanded, squeezed)
        a.conv(expanded, out, 1, side)
        channels = out
    a.conv(160, 960, 1, 7)
    a.linear(1, 960, 1280)
    a.linear(1, 1280, 1000)
    return a


def efficientnet_b0() -> Arithmetic:
    a = Arithmetic()
    a.conv(3, 32, 3, 112, first=True)
    side, channels = 112, 32
    for ratio, window, stride, out, layers in [
        (1, 3, 1, 16, 1),
        (6, 3, 2, 24, 2),
        (6, 5, 2, 40, 2),
        (6, 3, 2, 80, 3),
        (6, 5, 1, 112, 3),
        (6, 5, 2, 192, 4),
        (6, 3, 1, 320, 1),
    ]:
        for layer in range(layers):
            expanded = channels * ratio
            if ratio > 1:
                a.conv(channels, expanded, 1, side)
            side //= stride if not layer else 1
            a.conv(expanded, expanded, window, side, groups=expanded)
            squeeze(a, expanded, channels // 4)
            a.conv(expanded, out, 1, side)
            channels = out
    a.conv(320, 1280, 1, 7)
    a.linear(1, 1280, 1000)
    return a


def convnext_tiny() -> Arithmetic:
    a = Arithmetic()
    a.conv(3, 96, 4, 56, first=True)
    side, channels = 56, 96
    for stage, blocks in enumerate((3, 3, 9, 3)):
        if stage:
            side //= 2
            a.conv(channels, 2 * channels, 2, side)
            channels *= 2
        for _ in range(blocks):
            a.conv(channels, channels, 7, side, groups=channels)
            a.linear(side * side, channels, 4 * channels)
            a.linear(side * side, 4 * channels, channels)
    a.linear(1, 768, 1000)
    return a


def transformer(a: Arithmetic, layers: int, length: int, width: int) -> None:
    for _ in range(layers):
        a.linear(length, width, 3 * width)
        a.attention(length, width)
        a.linear(length, width, width)
        a.linear(length, width, 4 * width)
        a.linear(length, 4 * width, width)


def vit_b_16() -> Arithmetic:
    a = Arithmetic()
    a.conv(3, 768, 16, 14, first=True)
    transformer(a, 12, 14 * 14 + 1, 768)
    a.linear(1, 768, 1000)
    return a


def gpt2(length: int) -> Arithmetic:
    a = Arithmetic()
    transformer(a, 12, length, 768)  # the embedding before it has a gradient to be given
    a.linear(length, 768, 50257)
    return a


def check(graph: ic.Graph, expected: Arithmetic) -> None:
    counts = ic.count(graph)
    rows = counts.by_phase()
    assert rows["forward"].macs == expected.forward
    assert rows["backward"].macs == expected.backward
    assert counts.total.contraction_flops == 2 * (expected.forward + expected.backward)
    assert not counts.unmodelled


@pytest.mark.parametrize(
    "arithmetic", [resnet50, mobilenet_v3_large, efficientnet_b0, convnext_tiny, vit_b_16], ids=lambda f: f.__name__
)
@pytest.mark.sample(1)
def test_vision_models(arithmetic: Any) -> None:
    pytest.importorskip("torchvision")
    check(ic.capture(f"torchvision:{arithmetic.__name__}", training=True, batch=BATCH), arithmetic())


def test_gpt2_with_its_own_loss() -> None:
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        model = transformers.GPT2LMHeadModel(transformers.GPT2Config()).train()
    ids = torch.zeros(BATCH, 128, dtype=torch.long)
    check(ic.capture(model, {"input_ids": ids, "labels": ids, "use_cache": False}, training=True), gpt2(128))
