"""Programs with quantize and dequantize calls around operators, as modules, exported programs and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.real_forward import check_against_real_forward, figures
from torch import nn

import pyinfercost as ic

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.linear = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.conv(x)))
        return self.linear((x + x).mean([2, 3]))


def image() -> torch.Tensor:
    return torch.randn(2, 3, 12, 12)


@pytest.fixture(scope="module")
def converted(request: pytest.FixtureRequest) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHAO_FORCE_SKIP_LOADING_SO_FILES", "1")
        pytest.importorskip("torchao", reason="needs torchao: pip install 'pyinfercost[models]'")
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
        X86InductorQuantizer,
        get_default_x86_inductor_quantization_config,
    )

    quantizer = X86InductorQuantizer().set_global(
        get_default_x86_inductor_quantization_config(is_dynamic=request.param)
    )
    prepared = prepare_pt2e(torch.export.export(Network().eval(), (image(),)).module(), quantizer)
    prepared(image())
    module = convert_pt2e(prepared)
    module.eval = lambda: module  # an exported module refuses, and is in that mode already
    return request.param, module


@pytest.mark.parametrize("converted", [False, True], indirect=True, ids=["static", "dynamic"])
@pytest.mark.sample(1)
def test_all_doors_count_the_same(converted: Any, tmp_path: Path) -> None:
    dynamic, module = converted
    plain = ic.count(ic.capture(Network().eval(), (image(),))).total
    program = torch.export.export(module, (image(),))
    torch.export.save(program, tmp_path / "converted.pt2")
    counts = check_against_real_forward(module, image())
    assert counts.total.contraction_flops == plain.contraction_flops
    convolution, linear = 8 * 3 * 9, 8 * 4
    graph = ic.capture(module, (image(),))
    narrow = [t for t in map(graph.tensor, range(graph.tensor_count)) if t.role == "buffer" and t.dtype == "int8"]
    assert sorted(t.nbytes for t in narrow if t.nbytes > 8) == [linear, convolution]
    for model in (program, tmp_path / "converted.pt2"):
        other = ic.count(ic.capture(model))
        assert other.unmodelled == {}
        assert figures(other.total) == figures(counts.total)
    # Per element: 5 to quantize what goes into the two layers, 2 to take it and both weights back.
    quantized_elements = 2 * 3 * 12 * 12 + 2 * 8
    by_op = counts.by_op()
    assert by_op["quantized_decomposed.quantize_per_tensor"].pointwise_flops == 5 * quantized_elements
    assert by_op["quantized_decomposed.dequantize_per_tensor"].pointwise_flops == 2 * quantized_elements
    assert by_op["quantized_decomposed.dequantize_per_channel"].pointwise_flops == 2 * (convolution + linear)
    if dynamic:
        assert by_op["quantized_decomposed.choose_qparams"].pointwise_flops == 2 * quantized_elements
