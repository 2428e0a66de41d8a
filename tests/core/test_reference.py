"""Rows of all operators that compute, compared with definitions that count their own operations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.element_checks import check_element_by_element, named
from support.reference import Array, Scalar, Tally, apply, numbers, pooling
from support.reference_elements import POINTWISE, Definition
from support.reference_rows import REDUCTIONS, ROWS, layer_norm, masked_softmax, reduced, rms_norm
from support.single_node import T, work_of

import pyinfercost as ic
from pyinfercost import _core

SHAPE = (2, 3)
ROW_OVERHEAD = 6  # most operations that a definition does once per row


def rows_of(family: str) -> list[str]:
    return [rule.op for rule in _core.rules() if rule.family == family]


# ---- every row is covered --------------------------------------------------------------------------------------------

# The number of comparisons depends on the data; the convention is one per element.
DATA_DEPENDENT = {
    f"aten.{name}"
    for name in (
        *("topk", "sort", "argsort", "msort", "kthvalue", "median", "nanmedian", "mode", "quantile", "nanquantile"),
        *("_unique", "_unique2", "unique_dim", "unique_consecutive", "unique_dim_consecutive"),
    )
}
NORMALIZATIONS = {
    "aten.layer_norm",
    "aten.native_layer_norm",
    "aten.group_norm",
    "timm.fast_group_norm",
    "aten.native_group_norm",
    "aten.instance_norm",
    "aten.rms_norm",
    "aten._fused_rms_norm",
    "aten.batch_norm",
    "aten.native_batch_norm",
    "aten.cudnn_batch_norm",
    "aten._native_batch_norm_legit",
    "aten._native_batch_norm_legit_no_training",
    "aten._batch_norm_no_update",
    "aten._batch_norm_impl_index",
    "aten._native_batch_norm_legit_functional",
    "aten.miopen_batch_norm",
}
ALWAYS_TRAINING = {"aten._batch_norm_with_update", "aten._batch_norm_with_update_functional"}


@pytest.mark.parametrize(
    ("family", "tested"),
    [
        ("pointwise", {d.op for d in POINTWISE}),
        ("reduction", {*REDUCTIONS, *ROWS, "aten.diff", "aten.trace"} | DATA_DEPENDENT),
        ("normalization", {*ROWS, "aten._masked_softmax"} | NORMALIZATIONS | ALWAYS_TRAINING),
    ],
)
def test_every_row_has_a_definition(family: str, tested: set[str]) -> None:
    missing = set(rows_of(family)) - tested
    assert not missing, f"give these rows a definition in tests/reference_*.py: {sorted(missing)}"


# ---- element by element ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("definition", POINTWISE, ids=named)
def test_pointwise(definition: Definition) -> None:
    check_element_by_element(definition)


def test_a_switched_off_dropout_is_free() -> None:
    work = work_of("aten.dropout", {"input": T(SHAPE), "p": 0.5, "train": False}, T(SHAPE))
    assert (work.pointwise_flops, work.bytes_read, work.bytes_written) == (0, 0, 0)
    assert work.kind == "free"


def test_an_in_place_op_does_the_same_work() -> None:
    plain = work_of("aten.silu", {"self": T(SHAPE)}, T(SHAPE))
    in_place = work_of("aten.silu_", {"self": T(SHAPE)}, T(SHAPE))
    assert in_place.pointwise_flops == plain.pointwise_flops


# ---- row by row ------------------------------------------------------------------------------------------------------


def counted(function: Callable[[Any], Any], elements: int = 6) -> int:
    """Operations per element of one row; what is done once per row must not grow with it."""
    tally, longer = Tally(), Tally()
    function(numbers(tally, (elements,)))
    function(numbers(longer, (2 * elements,)))
    overhead = tally.done["row"].total()
    assert overhead == longer.done["row"].total() <= ROW_OVERHEAD
    assert longer.pointwise == 2 * tally.pointwise
    return tally.pointwise


@pytest.mark.parametrize("op", REDUCTIONS)
def test_reductions(op: str) -> None:
    work = work_of(op, {"self": T((5, 6)), "dim": [1]}, T((5,)))
    assert work.pointwise_flops == 5 * counted(REDUCTIONS[op]) > 0


@pytest.mark.parametrize("op", ROWS)
def test_scans_and_softmax(op: str) -> None:
    work = work_of(op, {"self": T((5, 6)), "dim": 1}, T((5, 6)))
    assert work.pointwise_flops == 5 * counted(ROWS[op]) > 0


@pytest.mark.parametrize("masked", [True, False])
def test_masked_softmax(masked: bool) -> None:
    mask = {"mask": T((5, 6), "bool")} if masked else {}
    work = work_of("aten._masked_softmax", {"self": T((5, 6))} | mask, T((5, 6)))
    assert work.pointwise_flops == 5 * counted(lambda x: masked_softmax(x, x if masked else None))


def test_trace() -> None:
    tally = Tally()
    x = numbers(tally, (4, 6))
    reduced([x[i, i] for i in range(4)], 0.0, lambda a, y: a + y)
    assert work_of("aten.trace", {"self": T(x.shape)}, T(())).pointwise_flops == tally.pointwise > 0


def test_differences_of_neighbors() -> None:
    tally = Tally()
    row = numbers(tally, (6,))
    result = row[1:] - row[:-1]
    assert work_of("aten.diff", {"self": T((5, 6))}, T((5, len(result)))).pointwise_flops == 5 * tally.pointwise > 0


@pytest.mark.parametrize("op", sorted(DATA_DEPENDENT))
def test_sorting_is_one_per_element_by_convention(op: str) -> None:
    assert work_of(op, {"self": T((5, 6))}, T((5, 6))).pointwise_flops == 5 * 6


@pytest.mark.parametrize(("weight", "bias"), [(True, True), (True, False), (False, False)])
@pytest.mark.parametrize("op", ["layer_norm", "native_layer_norm", "group_norm", "native_group_norm", "instance_norm"])
def test_layer_norm(op: str, weight: bool, bias: bool) -> None:
    scale = {"weight": T((6,))} if weight else {}
    shift = {"bias": T((6,))} if bias else {}
    work = work_of(f"aten.{op}", {"input": T((5, 6))} | scale | shift, T((5, 6)))
    assert work.pointwise_flops == 5 * counted(lambda x: layer_norm(x, x if weight else None, x if bias else None))


@pytest.mark.parametrize("weight", [True, False])
@pytest.mark.parametrize("op", ["aten.rms_norm", "aten._fused_rms_norm"])
def test_rms_norm(op: str, weight: bool) -> None:
    work = work_of(op, {"input": T((5, 6))} | ({"weight": T((6,))} if weight else {}), T((5, 6)))
    assert work.pointwise_flops == 5 * counted(lambda x: rms_norm(x, x if weight else None))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("op", sorted(op for op in NORMALIZATIONS if "batch_norm" in op))
def test_batch_norm(op: str, training: bool) -> None:
    """At inference the statistics fold into one scale and one shift; in training they are those of a layer norm."""
    affine = {name: T((3,), role="parameter") for name in ("weight", "bias")}
    work = work_of(op, {"input": T((2, 3, 4)), **affine, "training": training}, T((2, 3, 4)))
    per_row = counted((lambda x: layer_norm(x, x, x)) if training else (lambda x: x * 0.5 + 0.25))
    assert work.pointwise_flops == 2 * 3 * 4 * per_row // 6  # counted() takes rows of 6


@pytest.mark.parametrize("op", sorted(ALWAYS_TRAINING))
def test_batch_norm_that_updates_its_statistics(op: str) -> None:
    affine = {name: T((3,), role="parameter") for name in ("weight", "bias")}
    work = work_of(op, {"input": T((2, 3, 4)), **affine}, T((2, 3, 4)))
    assert work.pointwise_flops == 2 * 3 * 4 * counted(lambda x: layer_norm(x, x, x)) // 6


# ---- windows ---------------------------------------------------------------------------------------------------------


def maximum(window: Any) -> Scalar:
    return reduced(window, -math.inf, lambda a, x: apply("maximum", a, x))


def average(window: Any) -> Scalar:
    total = window[0]
    for x in window[1:]:
        total = total + x
    return total / len(window)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize(("kind", "pool"), [("max", maximum), ("avg", average)])
def test_pooling(kind: str, pool: Callable[[Any], Scalar], axes: int) -> None:
    tally = Tally()
    x = numbers(tally, (2, 3, *(5,) * axes))
    result = pooling(x, (3,) * axes, (2,) * axes, pool)
    # One number in the schema stands for all axes.
    for kernel in ([3], [3] * axes):
        work = work_of(
            f"aten.{kind}_pool{axes}d", {"self": T(x.shape), "kernel_size": kernel, "stride": [2]}, T(result.shape)
        )
        assert work.pointwise_flops == tally.pointwise > 0


# Windows that share elements are read by both: lengths that do not divide, and more results than elements.
@pytest.mark.parametrize(("length", "results"), [(4, 2), (5, 3), (7, 4), (3, 5), (4, 4), (4, 1)])
@pytest.mark.parametrize("op", [op for op in rows_of("pooling") if "adaptive" in op])
def test_adaptive_pooling(op: str, length: int, results: int) -> None:
    axes = int(op[-2])
    tally = Tally()
    x = numbers(tally, (1, 2, *(length,) * axes))
    starts = [length * i // results for i in range(results)]
    ends = [-(-length * (i + 1) // results) for i in range(results)]
    for channel in range(2):
        for at in np.ndindex(*(results,) * axes):
            window = x[(0, channel, *(slice(starts[i], ends[i]) for i in at))].ravel()
            (maximum if "max" in op else average)(window)
    shape = (1, 2, *(results,) * axes)
    work = work_of(op, {"self": T(x.shape), "output_size": [results] * axes}, T(shape))
    assert work.pointwise_flops == tally.pointwise > 0


def test_adaptive_pooling_with_open_sizes() -> None:
    """The same expression serves lengths that divide and lengths that do not."""
    h = ic.Expr("h")
    builder = ic.GraphBuilder()
    size = builder.size("h", default=7)
    x, y = builder.tensor("float32", (1, 2, size, 8), role="input"), builder.tensor("float32", (1, 2, 7, 7))
    builder.node("aten.adaptive_avg_pool2d.default", {"self": x, "output_size": [7, 7]}, [y])
    graph = builder.build([x], [y])
    assert ic.count(graph).total.pointwise_flops == 2 * (h + 7 - ic.Expr("gcd(7, h)")) * 14
    for length in (7, 8, 14):
        covered = sum(-(-length * (i + 1) // 7) - length * i // 7 for i in range(7))
        assert ic.count(graph, h=length).total.pointwise_flops == 2 * covered * 14


# ---- rows that only move ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "op",
    [op for op in rows_of("movement") + rows_of("creation") if op not in {"aten.bernoulli", "aten.col2im"}],
)
def test_moving_computes_nothing(op: str) -> None:
    work = work_of(op, {"self": T(SHAPE), "src": T(SHAPE)}, T(SHAPE))
    assert (work.contraction_flops, work.pointwise_flops) == (0, 0)


def test_bernoulli_compares() -> None:
    (definition,) = [d for d in POINTWISE if d.op == "aten.bernoulli"]
    tally = Tally()
    definition(*numbers(tally, (2,)))
    assert work_of("aten.bernoulli", {"self": T(SHAPE)}, T(SHAPE)).pointwise_flops == 6 * tally.pointwise


def overlapped(columns: Array) -> None:
    image = Scalar(0.0, columns.flat[0].tally)
    for x in columns.flat:
        image = image + x


@pytest.mark.parametrize(
    ("op", "values"),
    [
        ("aten.col2im", "self"),
        ("aten.scatter_add", "src"),
        ("aten.scatter_reduce", "src"),
        ("aten.index_add", "source"),
        ("aten.index_reduce", "source"),
    ],
)
def test_scattered_sums(op: str, values: str) -> None:
    tally = Tally()
    overlapped(numbers(tally, (4, 3)))
    arguments = {"self": T((9, 3)), "index": T((4,), "int64")} | {values: T((4, 3))}
    assert work_of(op, arguments, T((9, 3))).pointwise_flops == tally.pointwise


SUMS = {f"aten.{name}" for name in ("scatter_add", "scatter_reduce", "index_add", "index_reduce")}
BAGS = {"aten.embedding_bag", "aten._embedding_bag", "aten._embedding_bag_forward_only"}


@pytest.mark.parametrize("op", [op for op in rows_of("indexing") if op not in SUMS | BAGS])
def test_gathering_computes_nothing(op: str) -> None:
    work = work_of(op, {"self": T((9, 3)), "indices": T((4,), "int64"), "src": T((4, 3))}, T((4, 3)))
    assert (work.contraction_flops, work.pointwise_flops) == (0, 0)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("mode", [0, 1, 2], ids=["sum", "mean", "max"])
@pytest.mark.parametrize("op", sorted(BAGS))
def test_embedding_bags(op: str, mode: int, weighted: bool) -> None:
    """Seven rows of three elements in two bags."""
    tally = Tally()
    table = numbers(tally, (9, 3))
    for bag in ([0, 4, 4, 8, 2], [1, 1]):
        rows = [table[i] * (0.5 if weighted else 1) if weighted else table[i] for i in bag]
        for column in range(3):
            values = [row[column] for row in rows]
            result = maximum(values) if mode == 2 else reduced(values, 0.0, lambda a, x: a + x)
            _ = result / len(bag) if mode == 1 else result
    given = {"weight": T((9, 3)), "indices": T((7,), "int64"), "offsets": T((2,), "int64"), "mode": mode}
    weights = {"per_sample_weights": T((7,))} if weighted else {}
    work = work_of(op, given | weights, T((2, 3)), T((7,), "int64"))
    assert work.pointwise_flops == tally.pointwise > 0
    assert work.bytes_read == 4 * 7 * 3 + 8 * (7 + 2) + (4 * 7 if weighted else 0)
    assert work.bytes_written == 4 * 6
