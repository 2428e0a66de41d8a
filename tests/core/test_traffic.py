"""Bytes of single rows, by hand: every expected number has its arithmetic beside it."""

from __future__ import annotations

from typing import Any

import pytest
from support.single_node import FLOAT32, INT64, T, single_node, work_of

import pyinfercost as ic

BOOL = 1
FLOAT16 = 2


def moved(work: ic.Work) -> tuple[Any, Any]:
    return work.bytes_read, work.bytes_written


# (what it shows, op, arguments, outputs, bytes read, bytes written)
CASES = [
    (
        "each operand once, the result once",
        "aten.mm",
        {"self": T((2, 3)), "mat2": T((3, 4))},
        [T((2, 4))],
        FLOAT32 * (6 + 12),
        FLOAT32 * 8,
    ),
    (
        "mixed dtypes",
        "aten.add",
        {"self": T((8,), "float16"), "other": T((8,))},
        [T((8,))],
        FLOAT16 * 8 + FLOAT32 * 8,
        FLOAT32 * 8,
    ),
    (
        "a broadcast operand is read once",
        "aten.add",
        {"self": T((64, 8)), "other": T((8,))},
        [T((64, 8))],
        FLOAT32 * (512 + 8),
        FLOAT32 * 512,
    ),
    (
        "an expanded operand has one row",
        "aten.mul",
        {"self": T((64, 8)), "other": T((64, 8), strides=(0, 1))},
        [T((64, 8))],
        FLOAT32 * (512 + 8),
        FLOAT32 * 512,
    ),
    (
        "a comparison writes booleans",
        "aten.gt",
        {"self": T((8,)), "other": 0.0},
        [T((8,), "bool")],
        FLOAT32 * 8,
        BOOL * 8,
    ),
    ("half a byte, rounded up to whole ones", "aten.clone", {"self": T((3, 5), "int4")}, [T((3, 5), "int4")], 8, 8),
    (
        "embedding: only the rows asked for",
        "aten.embedding",
        {"weight": T((50000, 16), role="parameter"), "indices": T((2, 7), "int64")},
        [T((2, 7, 16))],
        FLOAT32 * 14 * 16 + INT64 * 14,
        FLOAT32 * 14 * 16,
    ),
    (
        "index: what is selected, and the indices",
        "aten.index",
        {"self": T((100, 16)), "indices": [None, T((3,), "int64")]},
        [T((100, 3))],
        FLOAT32 * 300 + INT64 * 3,
        FLOAT32 * 300,
    ),
    (
        "gather",
        "aten.gather",
        {"self": T((100, 16)), "dim": 0, "index": T((2, 16), "int64")},
        [T((2, 16))],
        FLOAT32 * 32 + INT64 * 32,
        FLOAT32 * 32,
    ),
    (
        "index_put_: only the places written",
        "aten.index_put_",
        {"self": T((100, 16)), "indices": [T((3,), "int64")], "values": T((3, 16))},
        [T((100, 16))],
        FLOAT32 * 48 + INT64 * 3,
        FLOAT32 * 48,
    ),
    (
        "index_put_ that accumulates: the places are read as well",
        "aten.index_put_",
        {"self": T((100, 16)), "indices": [T((3,), "int64")], "values": T((3, 16)), "accumulate": True},
        [T((100, 16))],
        FLOAT32 * (48 + 48) + INT64 * 3,
        FLOAT32 * 48,
    ),
    (
        "index_add_: the rows that are added to",
        "aten.index_add_",
        {"self": T((100, 16)), "dim": 0, "index": T((3,), "int64"), "source": T((3, 16))},
        [T((100, 16))],
        FLOAT32 * (48 + 48) + INT64 * 3,
        FLOAT32 * 48,
    ),
    (
        "scatter_add_: the elements that are added to",
        "aten.scatter_add_",
        {"self": T((100, 16)), "dim": 0, "index": T((5, 16), "int64"), "src": T((5, 16))},
        [T((100, 16))],
        FLOAT32 * (80 + 80) + INT64 * 80,
        FLOAT32 * 80,
    ),
    (
        "scatter_add_ of more values than places: each place once",
        "aten.scatter_add_",
        {"self": T((2, 16)), "dim": 0, "index": T((5, 16), "int64"), "src": T((5, 16))},
        [T((2, 16))],
        FLOAT32 * (80 + 32) + INT64 * 80,
        FLOAT32 * 32,
    ),
    (
        "scatter_reduce_ with the places",
        "aten.scatter_reduce_.two",
        {"self": T((100, 16)), "dim": 0, "index": T((5, 16), "int64"), "src": T((5, 16)), "reduce": "amax"},
        [T((100, 16))],
        FLOAT32 * (80 + 80) + INT64 * 80,
        FLOAT32 * 80,
    ),
    (
        "scatter_reduce_ of the values alone",
        "aten.scatter_reduce_.two",
        {
            "self": T((100, 16)),
            "dim": 0,
            "index": T((5, 16), "int64"),
            "src": T((5, 16)),
            "reduce": "amax",
            "include_self": False,
        },
        [T((100, 16))],
        FLOAT32 * 80 + INT64 * 80,
        FLOAT32 * 80,
    ),
    (
        "a 1x1 convolution with stride 2 reads every second row and column: 4 x 4 of 7 x 7",
        "aten.conv2d",
        {"input": T((1, 8, 7, 7)), "weight": T((6, 8, 1, 1), role="parameter"), "stride": [2, 2]},
        [T((1, 6, 4, 4))],
        FLOAT32 * (8 * 16 + 48),
        FLOAT32 * 6 * 16,
    ),
    (
        "a 3x3 convolution with stride 2 reads everything",
        "aten.conv2d",
        {"input": T((1, 8, 7, 7)), "weight": T((6, 8, 3, 3), role="parameter"), "stride": [2, 2], "padding": [1, 1]},
        [T((1, 6, 4, 4))],
        FLOAT32 * (8 * 49 + 6 * 8 * 9),
        FLOAT32 * 6 * 16,
    ),
    (
        "windows of 2 with a step of 3 along one axis",
        "aten.conv1d",
        {"input": T((2, 4, 11)), "weight": T((5, 4, 2), role="parameter"), "stride": [3]},
        [T((2, 5, 4))],
        FLOAT32 * (2 * 4 * 8 + 40),
        FLOAT32 * 2 * 5 * 4,
    ),
    (
        "index_put: a copy of the whole besides",
        "aten.index_put",
        {"self": T((100, 16)), "indices": [T((3,), "int64")], "values": T((3, 16))},
        [T((100, 16))],
        FLOAT32 * (1600 + 48) + INT64 * 3,
        FLOAT32 * 1600,
    ),
    ("cat", "aten.cat", {"tensors": [T((2, 3)), T((4, 3))], "dim": 0}, [T((6, 3))], FLOAT32 * 18, FLOAT32 * 18),
    ("stack", "aten.stack", {"tensors": [T((2, 3)), T((2, 3))], "dim": 0}, [T((2, 2, 3))], FLOAT32 * 12, FLOAT32 * 12),
    (
        "copy_: the destination is not read",
        "aten.copy_",
        {"self": T((4, 6)), "src": T((4, 6), "float16")},
        [T((4, 6))],
        FLOAT16 * 24,
        FLOAT32 * 24,
    ),
    (
        "copy_ of one row to all",
        "aten.copy_",
        {"self": T((4, 6)), "src": T((6,))},
        [T((4, 6))],
        FLOAT32 * 6,
        FLOAT32 * 24,
    ),
    (
        "repeat reads once, writes often",
        "aten.repeat",
        {"self": T((1, 6)), "repeats": [5, 1]},
        [T((5, 6))],
        FLOAT32 * 6,
        FLOAT32 * 30,
    ),
    (
        "a clone of an expanded tensor writes it out",
        "aten.clone",
        {"self": T((5, 6), strides=(0, 1))},
        [T((5, 6))],
        FLOAT32 * 6,
        FLOAT32 * 30,
    ),
    ("a fill writes only", "aten.full", {"size": [3, 4], "fill_value": 1.0}, [T((3, 4))], 0, FLOAT32 * 12),
    ("an allocation moves nothing", "aten.empty", {"size": [3, 4]}, [T((3, 4))], 0, 0),
    ("zero_ does not read", "aten.zero_", {"self": T((3, 4))}, [T((3, 4))], 0, FLOAT32 * 12),
    ("relu_ reads and writes in place", "aten.relu_", {"self": T((3, 4))}, [T((3, 4))], FLOAT32 * 12, FLOAT32 * 12),
    (
        "a cast",
        "aten._to_copy",
        {"self": T((3, 4)), "dtype": "float16"},
        [T((3, 4), "float16")],
        FLOAT32 * 12,
        FLOAT16 * 12,
    ),
    ("a conversion to what it already is", "aten.to", {"self": T((3, 4)), "dtype": "float32"}, [T((3, 4))], 0, 0),
    (
        "unless a copy is asked for",
        "aten.to",
        {"self": T((3, 4)), "dtype": "float32", "copy": True},
        [T((3, 4))],
        FLOAT32 * 12,
        FLOAT32 * 12,
    ),
    ("contiguous: nothing to do", "aten.contiguous", {"self": T((3, 4))}, [T((3, 4))], 0, 0),
    (
        "contiguous: a transposed operand is copied",
        "aten.contiguous",
        {"self": T((3, 4), strides=(1, 3))},
        [T((3, 4))],
        FLOAT32 * 12,
        FLOAT32 * 12,
    ),
    (
        "contiguous: strides of length-1 dimensions say nothing",
        "aten.contiguous",
        {"self": T((2, 1, 4), strides=(4, 99, 1))},
        [T((2, 1, 4))],
        0,
        0,
    ),
    (
        "softmax: one pass over memory each way",
        "aten._softmax",
        {"self": T((3, 4)), "dim": 1},
        [T((3, 4))],
        FLOAT32 * 12,
        FLOAT32 * 12,
    ),
    (
        "convolution",
        "aten.conv2d",
        {
            "input": T((1, 3, 8, 8)),
            "weight": T((4, 3, 3, 3), role="parameter"),
            "bias": T((4,), role="parameter"),
            "padding": [1, 1],
        },
        [T((1, 4, 8, 8))],
        FLOAT32 * (192 + 108 + 4),
        FLOAT32 * 256,
    ),
    (
        "attention: scores never reach memory",
        "aten.scaled_dot_product_attention",
        {"query": T((1, 4, 9, 8)), "key": T((1, 2, 7, 8)), "value": T((1, 2, 7, 8)), "enable_gqa": True},
        [T((1, 4, 9, 8))],
        FLOAT32 * (288 + 112 + 112),
        FLOAT32 * 288,
    ),
    (
        "experts that no row reaches stay in memory",
        "aten._grouped_mm",
        {"self": T((2, 3)), "mat2": T((8, 3, 4)), "offs": T((8,), "int32")},
        [T((2, 4))],
        FLOAT32 * (6 + 2 * 12) + 4 * 8,
        FLOAT32 * 8,
    ),
]


@pytest.mark.parametrize(
    ("op", "arguments", "outputs", "read", "written"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_bytes(op: str, arguments: dict[str, Any], outputs: list[T], read: int, written: int) -> None:
    work = work_of(op, arguments, *outputs)
    assert moved(work) == (read, written)
    by_role = work.bytes_by_role
    assert sum(v for k, v in by_role.items() if k.endswith("_read")) == read
    assert sum(v for k, v in by_role.items() if k.endswith("_written")) == written


VIEWS = [
    ("aten.view", {"size": [6, 2]}, T((6, 2))),
    ("aten.transpose", {"dim0": 0, "dim1": 1}, T((4, 3), strides=(1, 4))),
    ("aten.permute", {"dims": [1, 0]}, T((4, 3), strides=(1, 4))),
    ("aten.select", {"dim": 0, "index": 1}, T((4,))),
    ("aten.slice", {"dim": 1, "start": 1, "end": 3}, T((3, 2), strides=(4, 1))),
    ("aten.unsqueeze", {"dim": 0}, T((1, 3, 4))),
    ("aten.detach", {}, T((3, 4))),
    ("aten.expand", {"size": [5, 3, 4]}, T((5, 3, 4), strides=(0, 4, 1))),
]


@pytest.mark.parametrize(("op", "attributes", "output"), VIEWS, ids=[v[0] for v in VIEWS])
def test_views_move_nothing_and_run_no_kernel(op: str, attributes: dict[str, Any], output: T) -> None:
    work = work_of(op, {"self": T((3, 4))} | attributes, output)
    assert moved(work) == (0, 0)
    assert work.kind == "free"


@pytest.mark.parametrize(
    ("shape", "strides", "new_shape", "copied"),
    [
        ((4, 6), None, (2, 12), False),
        ((4, 6), None, (24,), False),
        ((4, 6), (1, 4), (24,), True),  # transposed
        ((4, 6), (1, 4), (4, 2, 3), False),  # a dimension is only cut
        ((4, 6), (1, 4), (2, 2, 6), False),
        ((4, 6), (12, 1), (24,), True),  # every other row of something larger
        ((4, 6), (12, 1), (4, 3, 2), False),
        ((2, 3, 4), (12, 4, 1), (6, 4), False),
        ((2, 3, 4), (12, 1, 3), (6, 4), True),  # heads and sequence swapped: the attention's output
        ((1, 3, 4), (12, 1, 3), (3, 4), False),
        ((3, 1, 4), (4, 77, 1), (12,), False),  # the stride of one element says nothing
        ((4, 6), (0, 1), (24,), True),  # expanded
        ((4, 6), (0, 1), (4, 3, 2), False),
    ],
)
@pytest.mark.parametrize("op", ["aten.reshape", "aten.flatten"])
def test_reshape_copies_only_where_strides_force_it(
    op: str, shape: Any, strides: Any, new_shape: Any, copied: bool
) -> None:
    work = work_of(op, {"self": T(shape, strides=strides)}, T(new_shape))
    elements = 1
    for n in new_shape:
        elements *= n
    distinct = 6 if strides == (0, 1) else elements  # an expanded dimension is one row in memory
    assert moved(work) == ((FLOAT32 * distinct, FLOAT32 * elements) if copied else (0, 0))
    assert work.kind == ("copy" if copied else "free")


def test_traffic_goes_by_the_role_of_what_is_read() -> None:
    work = work_of(
        "aten.embedding",
        {"weight": T((50, 16), "float16", role="parameter"), "indices": T((7,), "int64")},
        T((7, 16), "float16"),
    )
    read = {key: value for key, value in work.bytes_by_role.items() if value}
    assert read == {"weight_read": FLOAT16 * 112, "index_read": INT64 * 7, "activation_written": FLOAT16 * 112}
    cached = work_of("aten.cat", {"tensors": [T((5, 4), role="kv_cache"), T((1, 4))]}, T((6, 4)))
    assert cached.bytes_by_role["kv_cache_read"] == FLOAT32 * 20


def test_a_view_of_a_weight_is_still_a_weight() -> None:
    builder = ic.GraphBuilder()
    weight = builder.tensor("float32", (4, 3), role="parameter", name="weight")
    x = builder.tensor("float32", (2, 3), role="input")
    turned = builder.tensor("float32", (3, 4), strides=(1, 3))
    y = builder.tensor("float32", (2, 4))
    builder.node("aten.t.default", {"self": weight}, [turned])
    builder.node("aten.mm.default", {"self": x, "mat2": turned}, [y])
    total = ic.count(builder.build([x], [y])).total
    assert total.bytes_by_role["weight_read"] == FLOAT32 * 12


@pytest.mark.parametrize(
    ("precision", "operand", "vector", "dtype"),
    [
        ("fp32", 4, 4, "float32"),
        ("fp16", 2, 2, "float16"),
        ("bf16", 2, 2, "bfloat16"),
        ("tf32", 4, 4, "tf32"),
        ("fp8", 1, 2, "float8_e4m3fn"),
        ("int8", 1, 2, "int8"),
    ],
)
def test_precision_sets_the_width_of_what_moves(precision: str, operand: int, vector: int, dtype: str) -> None:
    arguments = {"input": T((5, 3)), "weight": T((4, 3), role="parameter"), "bias": T((4,), role="parameter")}
    (layer,) = ic.count(single_node("aten.linear", arguments, T((5, 4))), precision=precision).layers
    assert layer.work.dtype == dtype
    assert moved(layer.work) == (operand * (15 + 12) + vector * 4, vector * 20)
    assert layer.work.contraction_flops == 2 * 5 * 3 * 4
    indices = ic.count(
        single_node("aten.add", {"self": T((8,), "int64"), "other": 1}, T((8,), "int64")), precision=precision
    )
    assert moved(indices.layers[0].work) == (INT64 * 8, INT64 * 8)
