"""Quantized modules of torch.ao: operators, bytes, and results like those of a real forward."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.ao.nn.quantized as nnq
from support.function_module import Wrapped
from support.real_forward import check_against_real_forward, tensors_of
from torch import nn
from torch.ao.quantization import (
    DeQuantStub,
    QConfigMapping,
    QuantStub,
    convert,
    default_dynamic_qconfig,
    float_qparams_weight_only_qconfig,
    get_default_qconfig,
    get_default_qconfig_mapping,
    prepare,
    quantize_dynamic,
)
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

import pyinfercost as ic

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.skipif("fbgemm" not in torch.backends.quantized.supported_engines, reason="torch without fbgemm"),
]


@pytest.fixture(autouse=True)
def _engine() -> Iterator[None]:
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = "fbgemm"
    yield
    torch.backends.quantized.engine = before


def static(module: nn.Module, *inputs: torch.Tensor) -> nn.Module:
    module = module.eval()
    module.qconfig = get_default_qconfig("fbgemm")
    for part in module.modules():
        if isinstance(part, nn.ConvTranspose2d | nn.PReLU):  # no scales per channel
            part.qconfig = get_default_qconfig("qnnpack")
    prepared = prepare(module)
    prepared(*inputs)
    return convert(prepared)


class Quantized(nn.Module):
    """A module between two that quantize and dequantize."""

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        self.quant, self.dequant = QuantStub(), DeQuantStub()
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dequant(self.inner(self.quant(x)))

    def inner(self, x: torch.Tensor) -> torch.Tensor:
        for name, part in self.named_children():
            if "quant" not in name:
                x = part(x)
        return x


class Everything(Quantized):
    """Arithmetic, shapes, pools, norms and activations on quantized tensors."""

    def __init__(self) -> None:
        super().__init__(
            a=nn.Conv2d(3, 8, 3, padding=1, stride=2),
            b=nn.Conv2d(8, 8, 3, groups=8, padding=1),
            c=nn.ConvTranspose2d(16, 4, 2, stride=2),
            d=nn.Conv2d(4, 6, 3, padding=1, bias=False),
            e=nn.Linear(6, 5),
        )
        self.relu, self.add, self.cat = nn.ReLU(), nnq.FloatFunctional(), nnq.FloatFunctional()
        self.pointwise = nn.Sequential(nn.Hardswish(), nn.ELU(), nn.LeakyReLU(), nn.Sigmoid(), nn.ReLU6(), nn.PReLU())
        self.norms = nn.Sequential(nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True))
        self.shapes = nn.Sequential(
            nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Upsample(scale_factor=2), nn.Upsample(scale_factor=2, mode="bilinear")
        )
        self.rest = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout())

    def inner(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.a(x))
        y = self.b(x)
        x = self.cat.cat([self.add.add_relu(x, y), y], 1)
        x = self.norms(self.shapes(self.pointwise(self.c(x))))
        first, second = x.chunk(2, 1)
        x = torch.cat([second, first], 1).transpose(2, 3).contiguous()
        return self.e(self.rest(self.d(x)))


class Functional(nn.Module):
    """What only a traced module can have quantized: functions, and weights of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.linear = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 4)
        self.weight, self.row = nn.Parameter(torch.randn(4, 4)), nn.Conv1d(4, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.conv(x)))
        x = nn.functional.max_pool2d(x, 2) * 0.5
        x = self.linear((x + x).mean([2, 3]))
        x = nn.functional.hardswish(nn.functional.linear(x, self.weight))
        y = self.row(torch.cat([x, x], 1).reshape(x.shape[0], 4, 2))
        return torch.sigmoid(torch.matmul(y, y.transpose(1, 2)))


def image() -> torch.Tensor:
    return torch.randn(2, 3, 16, 16)


def float_counts(module: nn.Module, *inputs: torch.Tensor) -> Any:
    return ic.count(ic.capture(module.eval(), inputs)).total


def traced(mapping: QConfigMapping) -> tuple[nn.Module, nn.Module]:
    module = Functional().eval()
    prepared = prepare_fx(copy.deepcopy(module), mapping, (image(),))
    prepared(image())
    return module, convert_fx(prepared)


# ---- static ----------------------------------------------------------------------------------------------------------


def test_every_kind_of_quantized_module() -> None:
    plain = Everything().eval()
    expected = float_counts(plain, image())
    counts = check_against_real_forward(static(copy.deepcopy(plain), image()), image())
    assert counts.total.contraction_flops == expected.contraction_flops
    assert {row.work.dtype for row in counts.layers if row.work.contraction_flops} == {"int8"}


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.sample(1)
def test_traced_modules(dynamic: bool) -> None:
    mapping = QConfigMapping().set_global(default_dynamic_qconfig)
    plain, quantized = traced(mapping if dynamic else get_default_qconfig_mapping("fbgemm"))
    counts = check_against_real_forward(quantized, image())
    assert counts.total.contraction_flops == float_counts(plain, image()).contraction_flops


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_convolutions_of_any_rank(axes: int) -> None:
    convolution = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[axes]
    plain = Quantized(a=convolution(4, 6, 3, stride=2, padding=1, groups=2))
    x = torch.randn(2, 4, *(7,) * axes)
    expected = float_counts(plain, x)
    counts = check_against_real_forward(static(plain, x), x)
    assert counts.total.contraction_flops == expected.contraction_flops
    assert counts.total.parameters == 6 * 2 * 3**axes + 6


def test_bytes_of_packed_weights() -> None:
    counts = ic.count(ic.capture(static(Quantized(a=nn.Conv2d(3, 8, 3)), image()), (image(),)))
    weight, bias, scales, zero_points = 8 * 3 * 9, 4 * 8, 4 * 8, 4 * 8
    assert counts.total.parameters == 8 * 3 * 9 + 8
    assert counts.total.parameter_bytes == weight + bias + scales + zero_points
    row = next(row for row in counts.layers if row.op == "quantized.conv2d")
    assert (row.module, row.work.bytes_by_role["weight_read"]) == ("a", weight + bias + scales + zero_points)
    # An image of bytes is read, and one is written.
    assert row.work.bytes_by_role["activation_read"] == 2 * 3 * 16 * 16
    assert row.work.bytes_written == 2 * 8 * 14 * 14
    assert counts.by_module()["a"].parameters == counts.total.parameters


# ---- dynamic ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "width"), [(torch.qint8, 1), (torch.float16, 2)])
def test_dynamic_linear(dtype: torch.dtype, width: int) -> None:
    counts = check_against_real_forward(
        quantize_dynamic(nn.Sequential(nn.Linear(8, 4)), dtype=dtype), torch.randn(2, 3, 8)
    )
    scales = 8 if width == 1 else 0  # one scale and one zero point
    assert counts.total.macs == 2 * 3 * 8 * 4
    assert (counts.total.parameters, counts.total.parameter_bytes) == (36, 32 * width + 4 * 4 + scales)
    (row,) = [row for row in counts.layers if row.work.contraction_flops]
    assert row.work.dtype == ("int8" if width == 1 else "float32")
    assert row.work.bytes_by_role["weight_read"] == counts.total.parameter_bytes


@pytest.mark.parametrize("dtype", [torch.qint8, torch.float16])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_dynamic_recurrent_layers(kind: Any, batch_first: bool, bidirectional: bool, dtype: torch.dtype) -> None:
    plain = nn.Sequential(kind(8, 4, 2, bidirectional=bidirectional, batch_first=batch_first))
    x = torch.randn(5, 3, 8)
    expected = float_counts(plain, x)
    counts = check_against_real_forward(quantize_dynamic(plain, dtype=dtype), x)
    assert counts.total.contraction_flops == expected.contraction_flops
    assert counts.total.parameters == expected.parameters
    weights = sum(p.numel() for p in plain.parameters() if p.dim() == 2)
    cells = 2 * (2 if bidirectional else 1)
    beside = 2 * cells * 8 if dtype is torch.qint8 else 0  # a scale and a zero point for each of two matrices
    biases = 4 * (expected.parameters - weights)
    assert counts.total.parameter_bytes == weights * (1 if dtype is torch.qint8 else 2) + biases + beside


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_dynamic_cells(kind: Any) -> None:
    plain = Wrapped(lambda self, x: self.cell(x), cell=kind(8, 4))
    x = torch.randn(5, 8)
    expected = float_counts(plain, x)
    counts = check_against_real_forward(quantize_dynamic(plain, {kind}, dtype=torch.qint8), x)
    assert counts.total.contraction_flops == expected.contraction_flops
    assert counts.total.parameters == expected.parameters


@pytest.mark.parametrize("make", [nn.Embedding, lambda *a: nn.EmbeddingBag(*a, mode="sum")], ids=["rows", "bags"])
def test_quantized_tables(make: Callable[..., nn.Module]) -> None:
    module = Wrapped(lambda self, x: self.table(x), table=make(10, 16))
    module.qconfig, module.table.qconfig = None, float_qparams_weight_only_qconfig
    counts = check_against_real_forward(convert(prepare(module.eval())), torch.zeros(2, 3, dtype=torch.int64))
    assert (counts.total.parameters, counts.total.parameter_bytes) == (160, 10 * (16 + 4 + 4))
    (row,) = [row for row in counts.layers if row.op.startswith("quantized")]
    assert row.work.bytes_by_role["weight_read"] == 2 * 3 * (16 + 4 + 4)


# ---- tied weights, and what stays as it was ------------------------------------------------------------------------


def test_tied_packed_weights_count_once() -> None:
    layer = quantize_dynamic(nn.Sequential(nn.Linear(8, 8)), dtype=torch.qint8)[0]
    tied = ic.count(ic.capture(nn.Sequential(layer, layer), (torch.zeros(2, 8),))).total
    assert tied.parameters == 8 * 8 + 8
    assert tied.macs == 2 * 2 * 8 * 8
    assert tied.bytes_by_role["weight_read"] == 2 * tied.parameter_bytes  # read twice, stored once


def test_layers_with_equal_weights_are_not_tied() -> None:
    layers = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False))
    layers[1].load_state_dict(layers[0].state_dict())
    # Called past their hooks, so that nothing but the content of their weights tells them apart.
    module = Wrapped(lambda self, x: self.net[1].forward(self.net[0].forward(x)), net=layers)
    graph = ic.capture(quantize_dynamic(module, dtype=torch.qint8), (torch.zeros(2, 8),))
    assert ic.count(graph).total.parameters == 2 * 8 * 8
    weights = [graph.node(i).args["weight"].name for i in range(len(graph)) if "weight" in graph.node(i).args]
    assert weights == ["net.0.weight", "net.1.weight"]


def test_a_capture_leaves_a_quantized_module_as_it_was() -> None:
    module = static(Everything(), image())
    x = image()
    before, state = module(x), copy.deepcopy(module.state_dict())
    ic.capture(module, (x,))
    assert torch.equal(module(x), before)
    for name, value in module.state_dict().items():
        same = tensors_of(value), tensors_of(state[name])
        assert all(torch.equal(a, b) for a, b in zip(*same, strict=True)), name


def test_a_float_module_with_a_scale_of_one_number_has_no_real_copy() -> None:
    """Only modules with packed weights keep their single numbers: others are captured on meta tensors alone."""
    module = Wrapped(lambda self, x: x * self.scale)
    module.register_buffer("scale", torch.ones(()))
    graph = ic.capture(module, (torch.zeros(2),))
    assert [t.role for t in graph.node(0).inputs] == ["input", "buffer"]


@pytest.mark.skipif("qnnpack" not in torch.backends.quantized.supported_engines, reason="torch without qnnpack")
def test_a_weight_that_its_engine_does_not_unpack_is_an_error() -> None:
    torch.backends.quantized.engine = "qnnpack"
    module = Quantized(a=nn.Conv3d(2, 2, 2)).eval()
    module.qconfig = get_default_qconfig("qnnpack")
    x = torch.randn(1, 2, 4, 4, 4)
    prepared = prepare(module)
    prepared(x)
    with pytest.raises(ValueError, match=r"module 'a' has .*Conv3d.* whose weight cannot be read"):
        ic.capture(convert(prepared), (x,))
