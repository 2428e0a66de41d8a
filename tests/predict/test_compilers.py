"""Compilers of whole models (`tensorrt`, `onnxruntime`): which work runs in which kernel, and what it moves."""

from __future__ import annotations

from typing import Any

import pytest

import pyinfercost as ic
from pyinfercost.predict.plans import as_captured, family_of

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch", reason="needs torch: pip install 'pyinfercost[torch]'")
nn = torch.nn


class Block(nn.Module):  # type: ignore[misc]
    """Two convolutions with norms around a sum."""

    def __init__(self, activation: Any) -> None:
        super().__init__()
        self.one = nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.one_norm = nn.BatchNorm2d(16)
        self.two = nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.two_norm = nn.BatchNorm2d(16)
        self.activation = activation

    def forward(self, x: Any) -> Any:
        y = self.activation(self.one_norm(self.one(x)))
        return self.activation(self.two_norm(self.two(y)) + y).mean((2, 3))


class Joined(nn.Module):  # type: ignore[misc]
    """Two branches that are concatenated; one of them is read again where `again`."""

    def __init__(self, again: bool) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(8, 16, 1), nn.Conv2d(8, 32, 1)
        self.last = nn.Conv2d(48 + 16 * again, 8, 1)
        self.again = again

    def forward(self, x: Any) -> Any:
        left, right = self.left(x), self.right(x)
        joined = torch.cat([left, right], 1)
        return self.last(torch.cat([joined, left], 1) if self.again else joined).relu()


class Feed(nn.Module):  # type: ignore[misc]
    """The feed-forward part of a transformer layer."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down, self.norm = nn.Linear(64, 256), nn.Linear(256, 64), nn.LayerNorm(64)

    def forward(self, x: Any) -> Any:
        return self.norm(x + self.down(nn.functional.gelu(self.up(x))))


def compiled(model: Any, inputs: Any, engine: str = "tensorrt") -> ic.Graph:
    return ic.engine_graph(ic.capture(model.eval(), inputs), engine)


def kernels(graph: ic.Graph, precision: str = "native") -> list[str]:
    """Names of the kernels in the order of launches."""
    plan = family_of(graph, precision, "cuda_graph").plan_for({})
    launches = [(launch[0], kernel["name"]) for kernel in plan.kernels() for launch in kernel["launches"]]
    return [name for _, name in sorted(launches)]


IMAGE = (2, 16, 8, 8)
VALUES = 2 * 16 * 8 * 8
FILTER = 16 * 16 * 9


def test_norm_sum_and_activation_run_in_the_kernel_of_a_convolution() -> None:
    graph = compiled(Block(nn.ReLU()), torch.randn(IMAGE))
    assert kernels(graph) == ["reformat", "conv2d+batch_norm+relu", "conv2d+batch_norm+add+relu", "aten.mean"]
    assert as_captured(graph) == ()
    second = ic.count(graph).layers[2].work
    assert second.contraction_flops == 2 * FILTER * VALUES // 16
    assert second.pointwise_flops == 3 * VALUES  # bias, sum, activation: a norm is part of the weights
    # The input, the sum's other operand, the filter and 16 biases are read, in float32.
    assert (second.bytes_read, second.bytes_written) == (4 * (2 * VALUES + FILTER + 16), 4 * VALUES)


def test_in_place_operators_fuse_like_others() -> None:
    names = kernels(compiled(Block(nn.ReLU(inplace=True)), torch.randn(IMAGE)))
    assert names[1:] == ["conv2d+batch_norm+relu", "conv2d+batch_norm+add+relu", "aten.mean"]


def test_an_activation_that_no_kernel_of_convolutions_has_is_its_own() -> None:
    # The mean is joined with the activation before it.
    names = kernels(compiled(Block(nn.SiLU()), torch.randn(IMAGE)))
    assert names == [
        "reformat", "conv2d+batch_norm", "pointwise", "conv2d+batch_norm+add", "pointwise",
    ]  # fmt: skip


@pytest.mark.parametrize("engine", ["tensorrt", "onnxruntime"])
def test_convolutions_and_weights_stay(engine: str) -> None:
    before = ic.capture("torchvision:resnet50", sizes={"batch": 4})
    after = ic.engine_graph(before, engine)
    was, now = ic.count(before).total, ic.count(after).total
    assert now.contraction_flops == was.contraction_flops
    # 53 norms of 26,560 channels: weight, mean and variance are folded, the shift is the bias.
    assert was.parameters - now.parameters == 26_560
    assert now.bytes_read < was.bytes_read / 2
    assert as_captured(after) == ()
    names = kernels(after)
    # 53 convolutions, the last product, two poolings; a compiler with a layout of its own copies the input.
    assert len(names) == 56 + (engine == "tensorrt")
    assert sum(name.endswith("add+relu") for name in names) == 16


def test_results_between_kernels_are_narrow() -> None:
    graph = compiled(Block(nn.ReLU()), torch.randn(IMAGE))
    layers = ic.count(graph, precision="int8").layers
    # The second convolution reads its input and the sum's operand as int8, the filter as int8, 16 biases as fp16; the
    # mean reads its result in fp16.
    assert layers[2].work.bytes_read == 2 * VALUES + FILTER + 2 * 16
    assert layers[1].work.bytes_written == VALUES
    assert layers[2].work.bytes_written == 2 * VALUES
    plain = ic.count(graph, precision="fp16").layers
    assert plain[1].work.bytes_written == 2 * VALUES


def test_concatenated_parts_are_written_in_place() -> None:
    image = torch.randn(1, 8, 4, 4)
    names = kernels(compiled(Joined(again=False), image))
    assert names == ["reformat", "conv2d", "conv2d", "conv2d+relu"]
    graph = compiled(Joined(again=True), image)
    copies = [row.work for row in ic.count(graph).layers if row.op == "engine.join"]
    # `left` is read by both concatenations, and has one place only: 16 channels are copied twice.
    assert [work.bytes_read for work in copies] == [16 * 16 * 4, 16 * 16 * 4]


def test_engines_differ_in_what_they_join() -> None:
    tokens = torch.randn(2, 10, 64)
    assert kernels(compiled(Feed(), tokens)) == ["linear+gelu", "linear+add", "layer_norm"]
    assert kernels(compiled(Feed(), tokens, "onnxruntime")) == ["linear+gelu", "linear", "SkipLayerNormalization"]
    swish = nn.Sequential(nn.Conv2d(4, 4, 1), nn.SiLU(), nn.Hardtanh(), nn.Conv2d(4, 4, 1))
    image = torch.randn(1, 4, 8, 8)
    assert kernels(compiled(swish, image)) == ["reformat", "conv2d", "pointwise", "conv2d"]
    assert kernels(compiled(swish, image, "onnxruntime")) == ["conv2d", "aten.silu", "aten.hardtanh", "conv2d"]


def test_a_compiled_model_is_faster_and_int8_more_so() -> None:
    graph = ic.capture("torchvision:resnet50", sizes={"batch": 64})
    times = [
        ic.estimate(graph, hardware="l4", engine=engine, precision=precision).latency_s
        for engine, precision in [("torch", "fp16"), ("tensorrt", "fp16"), ("tensorrt", "int8")]
    ]
    assert times[0] > times[1] > 1.4 * times[2]


@pytest.mark.slow
def test_every_kind_of_machine_runs_a_compiled_model() -> None:
    graph = ic.capture("torchvision:mobilenet_v3_small", sizes={"batch": 1})
    for hardware in ("epyc-9654", "t4", "tpu-v5e", "apple-m2"):
        eager = ic.estimate(graph, hardware=hardware)
        assert 0 < ic.estimate(graph, hardware=hardware, engine="onnxruntime").latency_s < eager.latency_s


def test_settings_of_steps_are_refused() -> None:
    with pytest.raises(ic.errors.InputError, match="engine tensorrt forms no steps; pass a serving engine"):
        ic.Deployment(hardware="l4", engine="tensorrt", serving="draft_tokens=2")


def test_a_training_step_is_refused() -> None:
    graph = ic.capture(Feed(), torch.randn(2, 10, 64), training=True)
    with pytest.raises(ic.errors.InputError, match="training step; expected engine torch"):
        ic.engine_graph(graph, "tensorrt")
    with pytest.raises(ic.errors.InputError, match="expected engine torch, tensorrt or onnxruntime"):
        ic.engine_graph(ic.capture(Block(nn.ReLU()).eval(), torch.randn(IMAGE)), "vllm")
