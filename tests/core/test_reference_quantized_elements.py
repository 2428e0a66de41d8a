"""Elementwise operators on quantized tensors, and tensors with less than a byte per element."""

from __future__ import annotations

import pytest
from support.reference_quantized import CHOOSE, DEQUANTIZE, QUANTIZE, counted, each, rows_of
from support.single_node import INT64, T, work_of

import pyinfercost as ic


def test_the_conventions_are_those_of_the_definitions() -> None:
    assert (QUANTIZE, DEQUANTIZE, CHOOSE) == (5, 2, 2)


# ---- widths ----------------------------------------------------------------------------------------------------------


def test_a_packed_weight_is_half_a_byte_per_element() -> None:
    """What a parameter stands for is counted apart from what it weighs, and both survive JSON."""
    builder = ic.GraphBuilder("packed")
    x = builder.tensor("bfloat16", (1, 64), role="input")
    packed = builder.tensor("uint8", (16, 32), role="parameter", name="fc.weight[qdata]", logical_numel=16 * 64)
    scales = builder.tensor("bfloat16", (2, 16, 2), role="parameter", name="fc.weight[scale]", logical_numel=0)
    y = builder.tensor("bfloat16", (1, 16))
    arguments = {"self": x, "mat2": packed, "qGroupSize": 32, "qScaleAndZeros": scales}
    builder.node("aten._weight_int4pack_mm_for_cpu.default", arguments, [y], module="fc")
    graph = builder.build([x], [y])
    for g in (graph, ic.Graph.from_json(graph.to_json())):
        counts = ic.count(g)
        for row in (counts.total, counts.by_module()["fc"], counts.by_op()["aten._weight_int4pack_mm_for_cpu"]):
            assert row.parameters == 16 * 64
            assert row.parameter_bytes == 16 * 64 // 2 + 2 * 2 * 16 * 2
        (layer,) = counts.layers
        assert layer.work.bytes_read == 2 * 64 + 16 * 32 + 2 * 64
    assert ic.Graph.from_json(graph.to_json()) == graph


def test_a_storage_has_no_negative_number_of_elements() -> None:
    with pytest.raises(ValueError, match=r"storage has -1 elements; expected zero or more"):
        ic.GraphBuilder("x").tensor("float32", (2,), role="kv_cache", storage_elements=-1)


def test_a_tensor_has_no_negative_number_of_logical_elements() -> None:
    with pytest.raises(ValueError, match="has -1 logical elements; expected zero or more"):
        ic.GraphBuilder("x").tensor("int8", (2,), role="parameter", logical_numel=-1)


@pytest.mark.parametrize(
    ("dtype", "bytes_of_9"), [("quint4x2", 5), ("int4", 5), ("int2", 3), ("quint2x4", 3), ("qint32", 36), ("quint8", 9)]
)
def test_widths_below_a_byte(dtype: str, bytes_of_9: int) -> None:
    builder = ic.GraphBuilder("x")
    t = builder.tensor(dtype, (9,), role="parameter", name="w")
    graph = builder.build([], [t])
    for g in (graph, ic.Graph.from_json(graph.to_json())):
        assert g.outputs[0].nbytes == bytes_of_9
        assert ic.count(g).total.parameter_bytes == bytes_of_9
        assert ic.count(g).total.parameters == 9


@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp32", "int8"])
def test_a_precision_leaves_what_is_quantized(precision: str) -> None:
    """fp8 weights stay fp8, and packed weights and their scales what they are."""
    builder = ic.GraphBuilder("x")
    weight = builder.tensor("float8_e4m3fn", (4, 8), role="parameter", name="w[qdata]", logical_numel=32)
    scale = builder.tensor("float32", (4, 1), role="parameter", name="w[scale]", logical_numel=0)
    graph = builder.build([], [weight, scale])
    stored = {"fp32": 4}.get(precision, 2)
    assert ic.count(graph, precision=precision).total.parameter_bytes == 32 + 4 * stored


# ---- element by element ----------------------------------------------------------------------------------------------

SHAPE = (2, 3)
SIX = 6
UNARY = {
    "hardswish": 5,
    "sigmoid": 4,
    "elu": 5,
    "celu": 6,
    "leaky_relu": 3,
    "prelu": 3,
    "softmax": 5,
}
NORMS = {"batch_norm": 2, "batch_norm1d": 2, "batch_norm2d": 2, "batch_norm3d": 2} | {
    name: 5 + 2 for name in ("layer_norm", "group_norm", "instance_norm")
}
AS_FLOAT = {op: f"aten.{op}" for op in UNARY} | {op: f"aten.{op.rstrip('123d')}" for op in NORMS}

ELEMENTS = {
    **{f"aten.{name}": QUANTIZE for name in ("quantize_per_tensor", "quantize_per_channel")},
    "aten.quantize_per_tensor_dynamic": CHOOSE + QUANTIZE,
    "aten.dequantize": DEQUANTIZE,
    "aten._choose_qparams_per_tensor": CHOOSE,
    **{
        f"quantized_decomposed.quantize_per_{kind}": QUANTIZE
        for kind in ("tensor", "channel", "channel_group", "token")
    },
    **{
        f"quantized_decomposed.dequantize_per_{kind}": DEQUANTIZE
        for kind in ("tensor", "channel", "channel_group", "token")
    },
    **{
        f"quantized_decomposed.{name}": CHOOSE
        for name in (
            "choose_qparams",
            "choose_qparams_symmetric",
            "choose_qparams_per_token",
            "choose_qparams_per_token_asymmetric",
            "_choose_qparams_per_token_asymmetric_impl",
        )
    },
    "pyinfercost.quantize_rows": CHOOSE + QUANTIZE,
    "torchao.quantize_affine": QUANTIZE,
    "torchao.dequantize_affine": DEQUANTIZE,
    "torchao.choose_qparams_affine": CHOOSE,
    "torchao.choose_scale_float8": CHOOSE,  # abs, max
    "torchao.quantize_affine_float8_non_decomposed": QUANTIZE - 2,  # no rounding of its own, no zero point
    "torchao.dequantize_affine_float8_non_decomposed": DEQUANTIZE - 1,
    **{f"quantized.{name}": 2 * DEQUANTIZE + 1 + QUANTIZE for name in ("add", "add_relu", "mul", "mul_relu")},
    **{f"onednn.{name}": 2 * DEQUANTIZE + 1 + QUANTIZE for name in ("qadd", "qadd_relu", "qmul")},
    **{f"quantized.{name}": 1 + QUANTIZE for name in ("add_scalar", "add_scalar_relu")},
    "quantized.mul_scalar_relu": 1,
    **{f"quantized.{name}": DEQUANTIZE + QUANTIZE for name in ("cat", "cat_relu")},
    "quantized.relu6": 2,
    "quantized.threshold": 2,
    **{f"quantized.{name}": DEQUANTIZE + own + QUANTIZE for name, own in (UNARY | NORMS).items()},
    **{f"quantized.batch_norm{kind}_relu": DEQUANTIZE + 2 + QUANTIZE for kind in ("", "1d", "2d", "3d")},
    "aten.quantized_batch_norm": DEQUANTIZE + 2 + QUANTIZE,
    "onednn.qbatch_norm2d": DEQUANTIZE + 2 + QUANTIZE,
}
FREE = {
    "aten.int_repr",
    "aten.q_scale",
    "aten.q_zero_point",
    "aten.q_per_channel_scales",
    "aten.q_per_channel_zero_points",
    "aten._make_per_tensor_quantized_tensor",
    "aten._make_per_channel_quantized_tensor",
    "quantized_decomposed.convert_element_type",
    "quantized.mul_scalar",
}


def one(op: str) -> ic.Work:
    affine = {"weight": T((3,)), "bias": T((3,))} if "norm" in op else {}
    zero_points = {"zero_points": T((3,), "int64")} if "channel" in op else {}
    return work_of(op, {"self": T(SHAPE), **affine, **zero_points}, T(SHAPE))


@pytest.mark.parametrize("op", sorted(ELEMENTS))
def test_elements(op: str) -> None:
    assert one(op).pointwise_flops == SIX * ELEMENTS[op]


@pytest.mark.parametrize("name", sorted(AS_FLOAT))
def test_a_quantized_op_does_what_its_float_twin_does(name: str) -> None:
    twin = one(AS_FLOAT[name]).pointwise_flops
    assert one(f"quantized.{name}").pointwise_flops == twin + SIX * (DEQUANTIZE + QUANTIZE)


@pytest.mark.parametrize("op", sorted(FREE))
def test_free(op: str) -> None:
    assert one(op).pointwise_flops == 0


def test_without_zero_points_nothing_is_subtracted() -> None:
    op = "quantized_decomposed.dequantize_per_channel"
    arguments = {"input": T(SHAPE, "int8"), "scales": T((3,)), "axis": 1}
    assert work_of(op, arguments, T(SHAPE)).pointwise_flops == counted(lambda x: each(lambda v: v * 0.5, x), SHAPE)


POOLS = {op for op in rows_of("quantized elements") if "max_pool" in op}


@pytest.mark.parametrize("op", sorted(POOLS))
def test_pools(op: str) -> None:
    axes = int(op[-2])
    arguments = {"self": T((1, 2, *(4,) * axes), "quint8"), "kernel_size": [2] * axes}
    assert work_of(op, arguments, T((1, 2, *(2,) * axes), "quint8")).pointwise_flops == 2 * 2**axes * 2**axes


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("bag", [False, True])
def test_embeddings_read_the_rows_that_are_asked_for(bits: int, bag: bool) -> None:
    op = f"quantized.embedding{'_bag' if bag else ''}_{'byte' if bits == 8 else '4bit'}"
    float_bytes, dtype = (4, "float32") if bits == 8 else (2, "float16")
    arguments = {
        "weight": T((100, 16), "quint8" if bits == 8 else "quint4x2"),
        "weight_scale": T((100,), dtype),
        "weight_zero_point": T((100,), dtype),
        "indices": T((5,), "int64"),
    }
    work = work_of(op, arguments, T((2 if bag else 5, 16)))
    assert work.bytes_read == 5 * (16 * bits // 8 + 2 * float_bytes) + INT64 * 5
    assert work.pointwise_flops == 5 * 16 * (DEQUANTIZE + (1 if bag else 0))


def test_every_element_row_has_a_definition() -> None:
    embeddings = {op for op in rows_of("quantized elements") if "embedding" in op}
    assert rows_of("quantized elements") == {*ELEMENTS, *FREE, *POOLS, *embeddings}
