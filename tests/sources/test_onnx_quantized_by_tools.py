"""Models that ONNX Runtime's own tools quantize: contractions as before, bytes as in the file, an empty ledger."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.onnx_texts import filled

import pyinfercost as ic

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'pyinfercost[onnx]'")
pytest.importorskip("onnxruntime", reason="needs onnxruntime, whose tools quantize")
quantization = pytest.importorskip("onnxruntime.quantization", reason="needs the tools of onnxruntime")

TEXT = """
    <ir_version: 10, opset_import: ["" : 17]>
    net (float[1, 3, 32, 32] x) => (float[1, 10] y)
    <float[16, 3, 3, 3] first, float[16] first_bias, float[16, 16, 3, 3] second, float[16] second_bias,
     float[256, 64] wide, float[64] wide_bias, float[64, 10] narrow>
    {
        a = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (x, first, first_bias)
        b = Relu(a)
        c = Conv <pads = [1, 1, 1, 1]> (b, second, second_bias)
        d = Add(b, c)
        e = Relu(d)
        f = AveragePool <kernel_shape = [4, 4], strides = [4, 4]> (e)
        g = Flatten(f)
        h = MatMul(g, wide)
        i = Add(h, wide_bias)
        j = Tanh(i)
        y = MatMul(j, narrow)
    }
"""
FLOPS = 2 * (16 * 16 * 16 * (27 + 144) + 256 * 64 + 64 * 10)
ELEMENTS = 16 * (27 + 144) + 256 * 64 + 64 * 10


class Feeds:
    """Random inputs, for the ranges of activations."""

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        self._feeds = iter([{"x": random.random((1, 3, 32, 32), dtype=np.float32)}])

    def get_next(self) -> Any:
        """Return the next one."""
        return next(self._feeds, None)


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Path]:
    """The model in floats, with random weights."""
    model = filled(onnx.parser.parse_model(TEXT))
    random = np.random.default_rng(0)
    for tensor in model.graph.initializer:
        values = random.standard_normal(tuple(tensor.dims)).astype(np.float32)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    path = tmp_path / "plain.onnx"
    onnx.save(model, path)
    logging.disable(logging.WARNING)
    yield path
    logging.disable(logging.NOTSET)


def dynamic(source: Path, target: Path) -> None:
    quantization.quantize_dynamic(source, target, weight_type=quantization.QuantType.QUInt8)


def static(form: str, per_channel: bool) -> Callable[[Path, Path], None]:
    def quantize(source: Path, target: Path) -> None:
        quantization.quantize_static(
            source, target, Feeds(), quant_format=quantization.QuantFormat[form], per_channel=per_channel
        )

    return quantize


def total_of(path: Path) -> Any:
    counts = ic.count(ic.capture(path))
    assert counts.unmodelled == {}
    return counts.total


@pytest.mark.parametrize(
    "quantize",
    [
        pytest.param(dynamic, id="dynamic"),
        pytest.param(static("QDQ", False), id="qdq"),
        pytest.param(static("QDQ", True), id="qdq per channel"),
        pytest.param(static("QOperator", False), id="qoperator"),
    ],
)
def test_weights_of_a_byte(quantize: Callable[[Path, Path], None], plain: Path, tmp_path: Path) -> None:
    target = tmp_path / "quantized.onnx"
    quantize(plain, target)
    before, after = total_of(plain), total_of(target)
    assert before.contraction_flops == after.contraction_flops == FLOPS
    biases = 16 + 16 + 64
    assert before.parameter_bytes == 4 * (ELEMENTS + biases)
    assert after.parameters == pytest.approx(ELEMENTS + biases, abs=biases)  # integer biases may be constants
    assert ELEMENTS <= after.parameter_bytes <= ELEMENTS + 4 * (biases + 200)  # and the scales
    for engine in ("torch", "onnxruntime", "tensorrt"):
        estimate = ic.estimate(ic.capture(target), hardware="t4", engine=engine)
        assert estimate.latency_s > 0


@pytest.mark.parametrize("symmetric", [True, False])
def test_weights_of_four_bits_have_the_bytes_of_the_file(symmetric: bool, plain: Path, tmp_path: Path) -> None:
    tools = pytest.importorskip("onnxruntime.quantization.matmul_nbits_quantizer", reason="needs a newer onnxruntime")
    quantizer = tools.MatMulNBitsQuantizer(onnx.load(plain), block_size=32, is_symmetric=symmetric)
    quantizer.process()
    target = tmp_path / "packed.onnx"
    quantizer.model.save_model_to_file(str(target), False)
    model = onnx.load(target)
    packed = [node for node in model.graph.node if node.op_type == "MatMulNBits"]
    assert len(packed) == 2
    total = total_of(target)
    assert total.contraction_flops == FLOPS
    assert total.parameters == ELEMENTS + 16 + 16 + 64
    assert total.parameter_bytes == sum(len(tensor.raw_data) for tensor in model.graph.initializer)
