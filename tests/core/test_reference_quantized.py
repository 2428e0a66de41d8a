"""Quantized products compared with definitions that count their own operations; bytes at the stored width."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from support.reference import Tally, convolution, numbers
from support.reference_quantized import CHOOSE, QUANTIZE, rows_of
from support.single_node import FLOAT32, T, single_node, work_of

import pyinfercost as ic

M, N, K = 3, 4, 6


# ---- products --------------------------------------------------------------------------------------------------------


class Product(NamedTuple):
    """An operator on an input [M, K], and what it does besides the product.

    The numbers are operations per element of the input, of the weight and of the result.
    """

    op: str
    arguments: dict[str, Any]
    engine: str
    result: str = "float32"
    per_input: int = 0
    per_weight: int = 0
    per_result: int = 0


INT8_WEIGHT = {
    "weight": T((N, K), "qint8"),
    "bias": T((N,)),
    "weight_scale": T((N,)),
    "weight_zero_point": T((N,), "int32"),
}
QUANTIZED = {"X": T((M, K), "quint8"), **INT8_WEIGHT}
FLOAT = {"X": T((M, K)), **INT8_WEIGHT}
HALF = {"X": T((M, K)), "weight": T((N, K), "float16"), "bias": T((N,))}
PACKED = {"mat2": T((N, K // 2), "uint8"), "qGroupSize": 2, "qScaleAndZeros": T((K // 2, N, 2), "bfloat16")}
ONEDNN = {
    "qx": T((M, K), "uint8"),
    "x_scale": 0.5,
    "x_zero_point": 3,
    "qw": T((K, N), "int8"),
    "w_scale": T((N,)),
    "w_zero_point": T((N,), "int8"),
    "bias": T((N,)),
}
FP8 = {
    "self": T((M, K), "float8_e4m3fn"),
    "mat2": T((K, N), "float8_e4m3fn", strides=(1, K)),
    "scale_a": T((M, 1)),
    "scale_b": T((1, N)),
}
FP4 = {
    "self": T((M, K // 2), "float4_e2m1fn_x2"),
    "mat2": T((K // 2, N), "float4_e2m1fn_x2", strides=(1, K // 2)),
    "scale_a": [T((M, 1), "float8_e4m3fn")],
    "scale_b": [T((N, 1), "float8_e4m3fn")],
}
BIAS = SCALE = ACTIVATION = 1

PRODUCTS = [
    Product("aten._int_mm", {"self": T((M, K), "int8"), "mat2": T((K, N), "int8")}, "int8", "int32"),
    Product("aten._scaled_mm", FP8, "float8_e4m3fn", "bfloat16", per_result=SCALE),
    Product("aten._scaled_mm", FP8 | {"bias": T((N,))}, "float8_e4m3fn", "bfloat16", per_result=SCALE + BIAS),
    Product("aten._scaled_mm_v2", FP4, "float4_e2m1fn_x2", "bfloat16", per_result=SCALE),
    Product(
        "aten._weight_int8pack_mm",
        {"self": T((M, K), "bfloat16"), "mat2": T((N, K), "int8"), "scales": T((N,), "bfloat16")},
        "bfloat16",
        "bfloat16",
        per_result=SCALE,
    ),
    Product(
        "aten._mixed_dtypes_linear",
        {
            "input": T((M, K), "float16"),
            "weight": T((K, N), "int8"),
            "scale": T((N,), "float16"),
            "bias": T((N,), "float16"),
        },
        "float16",
        "float16",
        per_result=SCALE + BIAS,
    ),
    *(
        Product(
            "pyinfercost.linear_weight_only",
            {"input": T((M, K), "bfloat16"), "weight": weight, "weight_scale": T((N, scales)), **more},
            "bfloat16",
            "bfloat16",
            per_weight=int(scales > 1),
            per_result=(SCALE if scales == 1 else 0) + ("bias" in more),
        )
        for weight, scales, more in (
            (T((N, K), "int8"), 1, {}),
            (T((N, K), "float8_e4m3fn"), 1, {"bias": T((N,))}),
            (T((N, K), "int4"), 3, {"group_size": 2}),
            (T((N, K // 2), "float4_e2m1fn_x2"), 3, {"group_size": 2, "bias": T((N,))}),
        )
    ),
    *(
        Product(
            "pyinfercost.linear_semi_structured",
            {"input": T((M, K)), "weight": T((N, K // 2)), "places": T((N, 1), "int32"), **bias},
            "float32",
            per_result=len(bias),
        )
        for bias in ({}, {"bias": T((N,))})
    ),
    *(
        Product(
            "pyinfercost.linear_quantized",
            {"input": T((M, width), dtype), "weight": T((N, width), dtype), "weight_scale": T((N, 1)), **bias},
            dtype,
            "bfloat16",
            per_result=SCALE + len(bias),
        )
        for dtype, width in (("int8", K), ("float8_e4m3fn", K), ("float4_e2m1fn_x2", K // 2))
        for bias in ({}, {"bias": T((N,))})
    ),
    *(
        Product(op, {"self": T((M, K), "bfloat16"), **PACKED}, "bfloat16", "bfloat16", per_weight=2)
        for op in (
            "aten._weight_int4pack_mm",
            "aten._weight_int4pack_mm_for_cpu",
            "aten._weight_int4pack_mm_with_scales_and_zeros",
            "quantized.int4mm_packed_weight_cpu",
        )
    ),
    Product(
        "aten._dyn_quant_matmul_4bit",
        {
            "inp": T((M, K)),
            "packed_weights": T((100,), "uint8"),
            "block_size": 2,
            "in_features": K,
            "out_features": N,
        },
        "int8",
        per_input=CHOOSE + QUANTIZE,
        per_result=K // 2,  # the sum of each block has its scale
    ),
    *(
        Product(f"quantized.{op}", QUANTIZED, "int8", "quint8", per_result=BIAS + QUANTIZE + more)
        for op, more in (("linear", 0), ("linear_relu", 0), ("linear_leaky_relu", 3), ("linear_tanh", 1))
    ),
    *(
        Product(f"quantized.{op}", FLOAT, "int8", per_input=QUANTIZE, per_result=BIAS + SCALE)
        for op in (
            "linear_with_input_q_dq_qweight_dq_output_fp32",
            "linear_with_input_q_dq_qweight_dq_relu_output_fp32",
        )
    ),
    Product("quantized.linear_dynamic", FLOAT, "int8", per_input=CHOOSE + QUANTIZE, per_result=BIAS + SCALE),
    Product(
        "quantized.linear_relu_dynamic",
        FLOAT,
        "int8",
        per_input=CHOOSE + QUANTIZE,
        per_result=BIAS + SCALE + ACTIVATION,
    ),
    *(
        Product(op, HALF, "float32", per_result=BIAS + more)
        for op, more in (
            ("quantized.linear_dynamic_fp16", 0),
            ("quantized.linear_dynamic_fp16_unpacked_weight", 0),
            ("quantized.linear_relu_dynamic_fp16", ACTIVATION),
            ("onednn.linear_dynamic_fp16", 0),
            ("onednn.linear_relu_dynamic_fp16", ACTIVATION),
        )
    ),
    Product(
        "quantized.matmul",
        {"qa": T((M, K), "quint8"), "qb": T((K, N), "quint8")},
        "int8",
        "quint8",
        per_result=QUANTIZE,
    ),
    Product("onednn.qlinear_pointwise", ONEDNN, "int8", "uint8", per_result=BIAS + QUANTIZE),
    Product(
        "onednn.qlinear_pointwise",
        ONEDNN | {"post_op_name": "relu"},
        "int8",
        "float32",
        per_result=BIAS + SCALE + ACTIVATION,
    ),
    Product(
        "onednn.qlinear_pointwise",
        ONEDNN | {"other": T((M, N)), "binary_post_op": "add", "unary_post_op": "relu"},
        "int8",
        "float32",
        per_result=BIAS + SCALE + 2 * ACTIVATION,
    ),
]


def named(product: Product) -> str:
    return f"{product.op}-{len(product.arguments)}"


@pytest.mark.parametrize("product", PRODUCTS, ids=named)
def test_products(product: Product) -> None:
    tally = Tally("contraction")
    np.matmul(numbers(tally, (M, K)), numbers(tally, (K, N)))
    work = work_of(product.op, product.arguments, T((M, N), product.result))
    assert work.contraction_flops == 2 * tally.multiplications
    assert work.dtype == product.engine
    assert work.pointwise_flops == (M * K * product.per_input + N * K * product.per_weight + M * N * product.per_result)
    # Each operand once, at its width; a quantized product never reads a wider copy of its weight.
    tensors = [v for value in product.arguments.values() for v in (value if isinstance(value, list) else [value])]
    bits = {"qint8": 8, "quint8": 8, "int8": 8, "uint8": 8, "float16": 16, "bfloat16": 16, "int32": 32, "float32": 32}
    bits |= {"float8_e4m3fn": 8, "float4_e2m1fn_x2": 8, "int4": 4}
    assert work.bytes_read == sum(int(np.prod(t.shape)) * bits[t.dtype] // 8 for t in tensors if isinstance(t, T))
    assert work.bytes_written == M * N * bits[product.result] // 8


def test_a_batch_of_rows_is_one_product() -> None:
    flat = work_of("quantized.linear", QUANTIZED, T((M, N), "quint8"))
    batch = work_of("quantized.linear", QUANTIZED | {"X": T((M, 1, K), "quint8")}, T((M, 1, N), "quint8"))
    assert batch.contraction_flops == flat.contraction_flops
    assert batch.bytes_read == flat.bytes_read


@pytest.mark.parametrize("op", ["aten._scaled_grouped_mm", "aten._scaled_grouped_mm_v2"])
def test_grouped_products(op: str) -> None:
    """5 rows for 3 experts: each row meets one of them."""
    tally = Tally("contraction")
    for expert, rows in enumerate((3, 0, 2)):
        np.matmul(numbers(tally, (rows, K), expert), numbers(tally, (K, N)))
    scales = {"scale_a": T((5,)), "scale_b": T((3, N))}
    if op.endswith("v2"):
        scales = {name: [t] for name, t in scales.items()}
    operands = {
        "self": T((5, K), "float8_e4m3fn"),
        "mat2": T((3, K, N), "float8_e4m3fn"),
        "offs": T((3,), "int32"),
        **scales,
    }
    work = work_of(op, operands, T((5, N), "bfloat16"))
    assert work.contraction_flops == 2 * tally.multiplications
    assert work.pointwise_flops == 5 * N * SCALE
    assert work.dtype == "float8_e4m3fn"
    assert work.bytes_read == 5 * K + 3 * K * N + 4 * 3 + FLOAT32 * (5 + 3 * N)


GROUPED_WEIGHTS = [
    # dtype, elements in memory per weight, scales per row, bits
    ("int8", 1, 1, 8),
    ("float8_e4m3fn", 1, 3, 8),
    ("int4", 1, 3, 4),
    ("float4_e2m1fn_x2", 2, 3, 4),
]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("dtype", "values", "scales", "bits"), GROUPED_WEIGHTS)
@pytest.mark.parametrize("rows", [2, 5])
def test_experts_with_narrow_weights(rows: int, dtype: str, values: int, scales: int, bits: int, bias: bool) -> None:
    """Rows for 3 experts: each row meets one of them, and an expert without rows is not read."""
    tally = Tally("contraction")
    used = min(rows, 3)
    for expert in range(used):
        np.matmul(numbers(tally, (rows // used + (expert < rows % used), K), expert), numbers(tally, (K, N)))
    operands: dict[str, Any] = {
        "input": T((rows, K), "bfloat16"),
        "weight": T((3, N, K // values), dtype, role="parameter"),
        "weight_scale": T((3, N, scales), role="parameter"),
        "offs": T((3,), "int32"),
    }
    if scales > 1:
        operands["group_size"] = K // scales
    if bias:
        operands["bias"] = T((3, N), "bfloat16")
    work = work_of("pyinfercost.grouped_weight_only", operands, T((rows, N), "bfloat16"))
    assert work.contraction_flops == 2 * tally.multiplications
    scaled = used * N * K if scales > 1 else rows * N
    assert work.pointwise_flops == scaled * SCALE + rows * N * bias
    assert work.dtype == "bfloat16"
    weights = used * N * K * bits // 8 + FLOAT32 * used * N * scales
    assert work.bytes_by_role["weight_read"] == weights
    assert work.bytes_read == weights + 2 * rows * K + 4 * 3 + (2 * 3 * N if bias else 0)


@pytest.mark.parametrize(
    ("dtype", "values"), [("int8", 1), ("float8_e4m3fn", 1), ("float4_e2m1fn_x2", 2)], ids=["int8", "fp8", "fp4"]
)
def test_experts_of_narrow_operands(dtype: str, values: int) -> None:
    """5 rows for 3 experts, and the same for one matrix per batch."""
    operands = {
        "input": T((5, K // values), dtype),
        "weight": T((3, N, K // values), dtype, role="parameter"),
        "weight_scale": T((3, N, 1), role="parameter"),
        "offs": T((3,), "int32"),
    }
    work = work_of("pyinfercost.grouped_quantized", operands, T((5, N), "bfloat16"))
    assert work.contraction_flops == 2 * 5 * N * K
    assert work.pointwise_flops == 5 * N * SCALE
    assert work.dtype == dtype
    assert work.bytes_read == 5 * K // values + 3 * N * K // values + FLOAT32 * 3 * N + 4 * 3
    batch = {**operands, "input": T((3, 5, K // values), dtype)}
    del batch["offs"]
    work = work_of("pyinfercost.grouped_quantized", batch, T((3, 5, N), "bfloat16"))
    assert work.contraction_flops == 2 * 3 * 5 * N * K


# ---- convolutions ----------------------------------------------------------------------------------------------------

CONVOLUTIONS = sorted(op for op in rows_of("quantized") if "conv" in op and "_convert" not in op)


@pytest.mark.parametrize("op", CONVOLUTIONS)
@pytest.mark.sample(10)
def test_convolutions(op: str) -> None:
    fused = "pointwise" in op
    axes = (
        int(op.rsplit("conv_transpose", maxsplit=1)[-1][0])
        if "transpose" in op
        else int((op + "2").split("conv")[1][0].replace("_", "2"))
    )
    dynamic = "dynamic" in op
    groups, inputs, outputs, window, side = 2, 4, 6, 3, 5
    transposed = "transpose" in op
    tally = Tally("contraction")
    x = numbers(tally, (2, inputs, *(side,) * axes))
    # A transposed convolution is the other one run backwards: its input has the place of the other's result.
    if transposed:
        weight = (inputs, outputs // groups, *(window,) * axes)
        result = (2, outputs, *(side + window - 1,) * axes)
        for _ in range(2 * side**axes * inputs):
            np.multiply(numbers(tally, (1,)), numbers(tally, (outputs // groups * window**axes,)))
    else:
        weight = (outputs, inputs // groups, *(window,) * axes)
        y = convolution(
            x, numbers(tally, weight), stride=(1,) * axes, padding=(0,) * axes, dilation=(1,) * axes, groups=groups
        )
        result = y.shape
    source = T(x.shape, "float32" if dynamic else "uint8")
    held = {"bias": T((outputs,)), "groups": groups, "transposed": transposed}
    operands = {"qx": source, ("qw" if fused else "weight"): T(weight, "int8"), **held}
    if fused:
        operands |= {"attr": "relu"}
    work = work_of(op, operands, T(result, "float32" if dynamic else "uint8"))
    results = int(np.prod(result))
    assert work.contraction_flops == 2 * tally.multiplications
    assert work.dtype == "int8"
    assert work.kind == "convolution"
    finish = SCALE if dynamic else QUANTIZE
    added = ACTIVATION if fused or "_add" in op else 0
    asked = x.size * (CHOOSE + QUANTIZE) if dynamic else 0
    assert work.pointwise_flops == results * (BIAS + finish + added) + asked
    assert work.bytes_read == x.size * (FLOAT32 if dynamic else 1) + int(np.prod(weight)) + FLOAT32 * outputs


# ---- layouts ---------------------------------------------------------------------------------------------------------

PACKS = {op for op in rows_of("quantized") if op.startswith(("aten._convert_weight", "aten._dyn_quant_pack"))}


@pytest.mark.parametrize("op", sorted(PACKS))
def test_packing_moves_bytes(op: str) -> None:
    work = work_of(op, {"self": T((N, K // 2), "uint8")}, T((1, 1, 32, 2), "int32"))
    assert (work.contraction_flops, work.pointwise_flops) == (0, 0)
    assert (work.bytes_read, work.bytes_written) == (N * K // 2, 4 * 64)


def test_every_product_has_a_definition() -> None:
    grouped = {"aten._scaled_grouped_mm", "aten._scaled_grouped_mm_v2"}
    grouped |= {"pyinfercost.grouped_weight_only", "pyinfercost.grouped_quantized"}
    tested = {p.op for p in PRODUCTS} | set(CONVOLUTIONS) | PACKS | grouped
    assert rows_of("quantized") == tested


# ---- time ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "operand", "result"),
    [("aten._int_mm", "int8", "int32"), ("aten._scaled_mm", "float8_e4m3fn", "bfloat16")],
)
def test_an_estimate_takes_the_engine_of_the_operands(op: str, operand: str, result: str) -> None:
    """At the captured dtypes a narrow product runs on its own engine, which is faster than that for bfloat16."""
    side = 8192

    def seconds(name: str, dtype: str, out: str) -> float:
        square = (side, side)
        scales = {} if name != "aten._scaled_mm" else {"scale_a": T(()), "scale_b": T(())}
        graph = single_node(name, {"self": T(square, dtype), "mat2": T(square, dtype), **scales}, T(square, out))
        return ic.estimate(graph, hardware="h100-sxm-80gb", precision="native", execution="compiled").latency_s

    assert seconds(op, operand, result) < 0.8 * seconds("aten.mm", "bfloat16", "bfloat16")
