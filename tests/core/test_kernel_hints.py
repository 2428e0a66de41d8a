"""Hints describe how a library or compiler runs a kernel; Work and counts are independent of them."""

from __future__ import annotations

from typing import Any

import pytest
from support.single_node import FLOAT32, T, single_node

import pyinfercost as ic
from pyinfercost import _core

HUNDREDTHS = 100  # loops are counted in hundredths of an element


def kernel_of(graph: ic.Graph, execution: str = "eager") -> dict[str, Any]:
    """The only kernel of a graph, copies of operands left out."""
    kernels = _core.plan(graph, {}, execution=execution).kernels()
    (kernel,) = (kernel for kernel in kernels if not kernel["name"].endswith(".operand"))
    return kernel


def hints_of(op: str, arguments: dict[str, Any], *outputs: T) -> _core.KernelHints:
    hints: _core.KernelHints = kernel_of(single_node(op, arguments, *outputs))["hints"]
    return hints


def image(channels: int, height: int, width: int, *, last: bool = False) -> T:
    """Two images, NCHW or NHWC."""
    strides = (channels * height * width, 1, channels * width, channels) if last else None
    return T((2, channels, height, width), strides=strides)


def convolution(
    op: str = "aten.conv2d", *, window: int = 3, last: bool = False, groups: int = 1, **given: Any
) -> ic.Graph:
    """Two images, 8 channels in and out, a result of 10 x 10 positions."""
    side = 10 + window - 1
    weight = T((8, 8 // groups, window, window), role="parameter")
    arguments = {"input": image(8, side, side, last=last), "weight": weight, "groups": groups, **given}
    return single_node(op, arguments, image(8, 10, 10, last=last))


def tiles(graph: ic.Graph) -> tuple[Any, Any]:
    hints = kernel_of(graph)["hints"]
    return hints.winograd_tiles_2, hints.winograd_tiles_4


# ---- Winograd --------------------------------------------------------------------------------------------------------


def test_winograd_tiles_cover_the_result() -> None:
    # 10 positions are 5 tiles of 2, and 3 tiles of 4 of which the last is not full; two images.
    assert tiles(convolution()) == (2 * 5 * 5, 2 * 3 * 3)
    assert tiles(convolution(stride=[1, 1], dilation=[1, 1])) == (2 * 5 * 5, 2 * 3 * 3)


@pytest.mark.parametrize(
    "graph",
    [
        convolution(window=1),
        convolution(window=5),
        convolution(stride=[2, 2]),
        convolution(dilation=[2, 1]),
        convolution(groups=2),
        convolution("aten.conv_transpose2d"),
        convolution("aten.convolution", transposed=True),
    ],
    ids=["1x1", "5x5", "stride", "dilation", "groups", "transpose", "transposed"],
)
def test_other_convolutions_have_no_winograd_tiles(graph: ic.Graph) -> None:
    assert tiles(graph) == (0, 0)


def test_gradients_and_depthwise_ops_have_no_winograd_tiles() -> None:
    x, weight = image(1, 12, 12), T((1, 1, 3, 3), role="parameter")
    depthwise = {"self": x, "weight": weight, "kernel_size": [3, 3], "stride": [1, 1], "dilation": [1, 1]}
    assert tiles(single_node("aten._conv_depthwise2d", depthwise, image(1, 10, 10))) == (0, 0)
    backward = {
        "grad_output": image(1, 10, 10),
        "input": x,
        "weight": weight,
        "stride": [1, 1],
        "dilation": [1, 1],
        "transposed": False,
        "groups": 1,
        "output_mask": [True, True, False],
    }
    assert tiles(single_node("aten.convolution_backward", backward, x, weight)) == (0, 0)


def test_winograd_tiles_stay_open_with_the_batch() -> None:
    builder = ic.GraphBuilder()
    batch = builder.size("batch", default=2)
    x = builder.tensor("float32", (batch, 8, 12, 12), role="input")
    weight = builder.tensor("float32", (8, 8, 3, 3), role="parameter", name="w")
    y = builder.tensor("float32", (batch, 8, 10, 10))
    builder.node("aten.conv2d.default", {"input": x, "weight": weight}, [y])
    hints = kernel_of(builder.build([x], [y]))["hints"]
    assert hints.winograd_tiles_4.evaluate({"batch": 7}) == 7 * 3 * 3


def test_a_filter_has_as_many_elements_as_positions() -> None:
    assert kernel_of(convolution(window=5))["work"].dimensions["filter_elements"] == 5 * 5


# ---- memory access ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [False, True])
def test_layout_of_convolutions_and_pooling(last: bool) -> None:
    assert kernel_of(convolution(last=last))["hints"].channels_first is not last
    pooled = {"self": image(8, 10, 10, last=last), "kernel_size": [2, 2]}
    assert hints_of("aten.avg_pool2d", pooled, image(8, 5, 5, last=last)).channels_first is not last


@pytest.mark.parametrize("last", [False, True])
def test_group_norm_needs_nchw(last: bool) -> None:
    x = image(8, 4, 4, last=last)
    assert hints_of("aten.group_norm", {"input": x, "num_groups": 2}, x).needs_layout_change is last
    assert not hints_of("aten.rms_norm", {"input": x, "normalized_shape": [4]}, x).needs_layout_change


def test_reads_across_the_order_of_the_result() -> None:
    across, along = T((6, 4), strides=(1, 6)), T((6, 4))
    assert hints_of("aten.add.Tensor", {"self": across, "other": along}, along).strided_bytes == 6 * 4 * FLOAT32
    assert hints_of("aten.add.Tensor", {"self": across, "other": across}, across).strided_bytes == 0
    assert hints_of("aten.clone", {"self": across}, along).strided_bytes == 6 * 4 * FLOAT32


def test_operands_that_are_repeated_or_cast() -> None:
    x, row, half = T((6, 4)), T((4,)), T((6, 4), "float16")
    same = hints_of("aten.add.Tensor", {"self": x, "other": x}, x)
    assert (same.broadcast, same.mixed_dtypes) == (False, False)
    repeated = hints_of("aten.add.Tensor", {"self": x, "other": row}, x)
    assert (repeated.broadcast, repeated.mixed_dtypes) == (True, False)
    cast = hints_of("aten.add.Tensor", {"self": x, "other": half}, x)
    assert (cast.broadcast, cast.mixed_dtypes) == (False, True)


def test_kernels_of_equal_work_are_kept_apart_by_their_hints() -> None:
    """Three copies move the same bytes; two of them read across the order in which they write."""
    builder = ic.GraphBuilder()
    along = builder.tensor("float32", (6, 4), role="input")
    across = builder.tensor("float32", (6, 4), strides=(1, 6), role="input")
    results = [builder.tensor("float32", (6, 4)) for _ in range(3)]
    for operand, result in zip((along, across, across), results, strict=True):
        builder.node("aten.clone.default", {"self": operand}, [result])
    kernels = _core.plan(builder.build([along, across], results), {}).kernels()
    assert [kernel["launches"] for kernel in kernels] == [[[0]], [[1], [2]]]
    assert [kernel["work"].bytes_read for kernel in kernels] == [6 * 4 * FLOAT32] * 2
    assert [kernel["hints"].strided_bytes for kernel in kernels] == [0, 6 * 4 * FLOAT32]


# ---- rows ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("op", "accesses", "width"), [("silu_and_mul", 4, 2 * 64), ("gelu_new", 2, 64)])
def test_a_block_of_vllm_goes_along_a_token(op: str, accesses: int, width: int) -> None:
    hints = hints_of(f"_C.{op}", {"input": T((5, width), "float16")}, T((5, 64), "float16"))
    assert (hints.row_count, hints.row_length, hints.threads_per_row) == (5, 64 * accesses, 1024)


def test_a_residual_is_one_more_access_of_a_norm() -> None:
    tokens, weight = T((5, 64), "float16"), T((64,), "float16", role="parameter")
    plain = hints_of("_C.rms_norm", {"input": tokens, "weight": weight}, tokens)
    added = hints_of("_C.fused_add_rms_norm", {"input": tokens, "residual": tokens, "weight": weight}, tokens)
    assert (plain.row_count, plain.row_length) == (5, 64 * 4)
    assert (added.row_count, added.row_length) == (5, 64 * 5)


def test_rotary_embeddings_go_along_heads() -> None:
    query, key = T((5, 4, 16), "float16"), T((5, 2, 16), "float16")
    arguments = {"positions": T((5,), "int64"), "query": query, "key": key, "cos_sin_cache": T((32, 16), "float16")}
    hints = hints_of("_C.rotary_embedding", arguments, query)
    assert (hints.row_count, hints.row_length) == (5 * (4 + 2), 16 * 3)


def test_groups_of_channels_are_four_rows_each() -> None:
    # 2 images x 2 groups; a group is 4 channels x 25 positions.
    x = image(8, 5, 5)
    hints = hints_of("aten.group_norm", {"input": x, "num_groups": 2}, x)
    assert (hints.row_count, hints.row_length, hints.threads_per_row) == (2 * 2 * 4, 4 * 25 / 4, 0)


def test_interpolation_goes_through_planes() -> None:
    hints = hints_of("aten.upsample_bilinear2d", {"input": image(3, 4, 4)}, image(3, 8, 8))
    assert (hints.row_count, hints.row_length, hints.threads_per_row) == (8 * 8, 2 * 3, 0)


def test_softmax_goes_along_the_rows_of_its_work() -> None:
    hints = hints_of("aten.softmax.int", {"self": T((5, 64)), "dim": -1}, T((5, 64)))
    assert (hints.row_count, hints.row_length, hints.threads_per_row) == (0, 0, 0)


# ---- CPUs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "loops"),
    [
        ("aten.sigmoid", {"special": 24 * HUNDREDTHS}),
        ("aten.sigmoid_", {"special": 24 * HUNDREDTHS}),
        ("aten.mish", {"special": 3 * 24 * HUNDREDTHS}),  # three times a sigmoid
        ("aten.tanh", {"library": 24 * HUNDREDTHS}),
        ("aten.relu", {}),
    ],
)
def test_slow_loops(op: str, loops: dict[str, int]) -> None:
    assert hints_of(op, {"self": T((6, 4))}, T((6, 4))).slow_loops == loops


@pytest.mark.parametrize(
    ("op", "loops"),
    [
        ("aten.relu", {"half": 24}),
        ("aten.sigmoid", {"special": 24, "half": 24}),
        ("aten.clone", {}),  # copies bits
    ],
)
def test_loops_over_16_bits_widen_and_round(op: str, loops: dict[str, int]) -> None:
    given = {name: elements * HUNDREDTHS for name, elements in loops.items()}
    assert hints_of(op, {"self": T((6, 4), "bfloat16")}, T((6, 4), "bfloat16")).slow_loops == given


def test_elementwise_kernels_over_bytes_look_results_up() -> None:
    hints = hints_of("aten.sigmoid", {"self": T((6, 4), "uint8")}, T((6, 4), "uint8"))
    assert hints.slow_loops == {"special": 24 * 80}  # four fifths of a sigmoid of floats


@pytest.mark.parametrize(("exponent", "loops"), [(2, {}), (3, {}), (4, {"library": 24}), (0.5, {"library": 24})])
def test_small_whole_exponents_are_products(exponent: float, loops: dict[str, int]) -> None:
    hints = hints_of("aten.pow.Tensor_Scalar", {"self": T((6, 4)), "exponent": exponent}, T((6, 4)))
    assert hints.slow_loops == {name: elements * HUNDREDTHS for name, elements in loops.items()}


def test_fused_kernels_add_up_slow_loops() -> None:
    builder = ic.GraphBuilder()
    x = builder.tensor("float32", (6, 4), role="input")
    y, z = (builder.tensor("float32", (6, 4)) for _ in range(2))
    builder.node("aten.sigmoid.default", {"self": x}, [y])
    builder.node("aten.tanh.default", {"self": y}, [z])
    fused = kernel_of(builder.build([x], [z]), "compiled")["hints"]
    assert fused.slow_loops == {"special": 24 * HUNDREDTHS, "library": 24 * HUNDREDTHS}


@pytest.mark.parametrize(("window", "copies"), [(1, 1), (3, 2)])
def test_a_compiler_copies_weights_once_more_where_the_filter_has_positions(window: int, copies: int) -> None:
    hints = kernel_of(convolution(window=window), "compiled")["hints"]
    assert hints.copied_bytes == copies * 8 * 8 * window * window * FLOAT32


def test_an_eager_convolution_copies_its_workspace() -> None:
    graph = convolution()
    (workspace,) = ic.count(graph).memory.workspace
    assert kernel_of(graph)["hints"].copied_bytes == workspace > 0


# ---- a caller's own rule ---------------------------------------------------------------------------------------------


def test_a_callers_rule_drops_the_hints_of_the_op_it_replaces() -> None:
    """How a kernel meets memory follows from its operands; algorithms and loops belong to the op's own row."""
    across = T((6, 4), strides=(1, 6))
    own = ic.Work(pointwise_flops=1, bytes_read=6 * 4 * FLOAT32, bytes_written=6 * 4 * FLOAT32)
    (kernel,) = _core.plan(single_node("aten.sigmoid", {"self": across}, T((6, 4))), {}, overrides={0: own}).kernels()
    assert kernel["hints"].slow_loops == {}
    assert kernel["hints"].strided_bytes == 6 * 4 * FLOAT32
    replaced = ic.Work(contraction_flops=1, bytes_read=8, bytes_written=8, kind="convolution")
    (kernel,) = _core.plan(convolution(), {}, overrides={0: replaced}).kernels()
    assert (kernel["hints"].winograd_tiles_2, kernel["hints"].copied_bytes) == (0, 0)
