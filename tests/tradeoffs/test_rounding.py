"""Values that formats can hold: by hand, by torchao, and by laws of rounding."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from pyinfercost.formats.table import FORMATS, Format, format_of
from pyinfercost.tradeoffs import NotApplicableError
from pyinfercost.tradeoffs.rounding import kept_2_4, rounded_rows, rounded_tensor, rounded_weight

pytestmark = pytest.mark.torch


def random(*shape: int, seed: int = 0) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


NARROW = [name for name, form in FORMATS.items() if not form.is_cast]
LEVELS = {"int8": 255, "int4": 16, "float8_e4m3fn": 253, "float4_e2m1fn_x2": 15}


@pytest.mark.parametrize("name", NARROW)
def test_a_block_has_no_more_values_than_the_dtype(name: str) -> None:
    form = FORMATS[name]
    matrix = random(256, 256)
    rounded = rounded_weight(matrix, form)
    assert rounded.shape == matrix.shape
    assert rounded.dtype == matrix.dtype
    tall, wide = form.rows or 256, form.group or 256
    for row in range(0, 256, tall):
        for column in range(0, 256, wide):
            block = rounded[row : row + tall, column : column + wide]
            assert len(block.unique()) <= LEVELS[form.dtype]


@pytest.mark.parametrize("name", NARROW)
def test_more_levels_lose_less_and_none_loses_much(name: str) -> None:
    form = FORMATS[name]
    matrix = random(64, 256)
    lost = float((rounded_weight(matrix, form) - matrix).norm() / matrix.norm())
    # int8 steps are 1/127 of the largest of a row, about 3 sigma: 0.007 on average. fp8 has 3 bits of mantissa: 0.026.
    low, high = {"int8": (0.003, 0.009), "int4": (0.05, 0.12), "float8_e4m3fn": (0.02, 0.035)}.get(
        form.dtype, (0.07, 0.15)
    )
    assert low < lost < high


@pytest.mark.parametrize("name", NARROW)
def test_zeros_and_scaled_weights(name: str) -> None:
    form = FORMATS[name]
    assert torch.equal(rounded_weight(torch.zeros(4, 64), form), torch.zeros(4, 64))
    matrix = random(8, 128)
    scaled = rounded_weight(1024 * matrix, form) / 1024  # a power of two shifts all scales alike
    assert torch.allclose(scaled, rounded_weight(matrix, form), rtol=1e-3, atol=1e-3)


def test_rows_of_int8_by_hand() -> None:
    rounded = rounded_weight(torch.tensor([[127.0, 0.4, -1.6], [1.0, 0.5, -254.0]]), FORMATS["int8_wo"])
    assert rounded.tolist() == [[127.0, 0.0, -2.0], [0.0, 0.0, -254.0]]


def test_groups_of_int4_by_hand() -> None:
    form = format_of("int4_wo:4")
    rounded = rounded_weight(torch.tensor([[0.0, 15.0, 7.4, 7.6, 100.0, 101.5, 100.8]]), form)
    # The first group has steps of 1, the second of 0.1 (in bf16), from its least value.
    assert rounded[0, :4].tolist() == [0.0, 15.0, 7.0, 8.0]
    assert rounded[0, 4:].tolist() == pytest.approx([100.0, 101.5, 100.8], abs=0.3)


def test_whole_zero_points_keep_zeros() -> None:
    matrix = random(8, 256).relu()
    for name in ("int4_gptq", "int4_awq"):
        assert (rounded_weight(matrix, FORMATS[name])[matrix == 0] == 0).all()


def test_q4_0_takes_its_largest_value_to_minus_eight() -> None:
    row = torch.tensor([[8.0, -7.0, 1.4, *([0.0] * 29)]])
    assert rounded_weight(row, FORMATS["q4_0"])[0, :3].tolist() == [8.0, -7.0, 1.0]


def test_nf4_has_the_quantiles_of_qlora() -> None:
    matrix = random(8, 64)
    levels = (rounded_weight(matrix, FORMATS["nf4_wo"]) / matrix.abs().amax(dim=1, keepdim=True)).unique()
    wanted = [-1.0, -0.6961928, -0.5250731, -0.3949175, -0.2844414, -0.1847734, -0.0910500, 0.0]
    wanted += [0.0795803, 0.1609302, 0.2461123, 0.3379152, 0.4407098, 0.5626170, 0.7229568, 1.0]
    assert all(min(abs(float(level) - each) for each in wanted) < 1e-5 for level in levels)


def test_mxfp4_is_what_torchao_stores() -> None:
    mx = pytest.importorskip("torchao.prototype.mx_formats.mx_tensor")
    matrix = random(16, 64)
    for name, dtype in (("mxfp4_wo", torch.float4_e2m1fn_x2), ("mxfp8_dynamic", torch.float8_e4m3fn)):
        known = mx.MXTensor.to_mx(matrix, dtype, 32).dequantize(torch.float32)
        assert torch.equal(rounded_weight(matrix, FORMATS[name]), known), name


def test_int8_is_what_torchao_stores() -> None:
    quantization = pytest.importorskip("torchao.quantization")
    layer = nn.Linear(64, 16, bias=False)
    matrix = layer.weight.detach().clone()
    quantization.quantize_(layer, quantization.Int8WeightOnlyConfig())
    known = layer.weight.dequantize()
    step = matrix.abs().amax(dim=1, keepdim=True) / 127
    assert ((rounded_weight(matrix, FORMATS["int8_wo"]) - known).abs() <= step).all()


def test_activations_have_a_scale_per_row_or_one() -> None:
    values = torch.tensor([[127.0, 0.6], [1.27, 0.006]])
    form = FORMATS["int8_dynamic"]
    assert rounded_rows(values, form)[1, 1] == pytest.approx(0.01)
    assert rounded_tensor(values, form)[1].tolist() == [1.0, 0.0]
    assert rounded_tensor(values, form, largest=12.7)[0].tolist() == pytest.approx([12.7, 0.6])  # saturates
    assert rounded_rows(values.reshape(1, 2, 1, 2), form).shape == (1, 2, 1, 2)


def test_two_of_four_are_kept() -> None:
    kept = kept_2_4(torch.tensor([[1.0, -3.0, 2.0, 0.5, 0.0, 0.0, 4.0, -5.0]]))
    assert kept.tolist() == [[0.0, -3.0, 2.0, 0.0, 0.0, 0.0, 4.0, -5.0]]


def test_low_precision_weights_keep_their_dtype() -> None:
    matrix = random(8, 64).bfloat16()
    assert rounded_weight(matrix, FORMATS["fp8_wo"]).dtype == torch.bfloat16


def test_an_unknown_dtype_cannot_be_rounded() -> None:
    with pytest.raises(NotApplicableError, match="int2_wo cannot be rounded"):
        rounded_weight(torch.ones(2, 2), Format("int2_wo", "int2"))
