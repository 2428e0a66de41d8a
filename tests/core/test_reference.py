"""Every row that computes, against a definition that counts its own operations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from reference import Array, Scalar, Tally, apply, numbers, pooling
from reference_elements import POINTWISE, REDUCTIONS, ROWS, Definition, layer_norm, reduced, rms_norm
from single_node import T, work_of

from pyinfercost import _core

SHAPE = (2, 3)
ROW_OVERHEAD = 6  # most operations that a definition does once per row


def rows_of(family: str) -> list[str]:
    return [rule.op for rule in _core.rules() if rule.family == family]


# ---- every row is covered --------------------------------------------------------------------------------------------

# The number of comparisons depends on the data; the convention is one per element.
DATA_DEPENDENT = {"aten.topk", "aten.sort", "aten.argsort"}
NORMALIZATIONS = {
    "aten.layer_norm",
    "aten.native_layer_norm",
    "aten.group_norm",
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
}


@pytest.mark.parametrize(
    ("family", "tested"),
    [
        ("pointwise", {d.op for d in POINTWISE}),
        ("reduction", {*REDUCTIONS, *ROWS, "aten.diff"} | DATA_DEPENDENT),
        ("normalization", {*ROWS} | NORMALIZATIONS),
    ],
)
def test_every_row_has_a_definition(family: str, tested: set[str]) -> None:
    missing = set(rows_of(family)) - tested
    assert not missing, f"give these rows a definition in tests/reference_elements.py: {sorted(missing)}"


# ---- element by element ----------------------------------------------------------------------------------------------


def named(definition: Definition) -> str:
    return "-".join([definition.op.removeprefix("aten."), *map(str, definition.attributes.values())])


@pytest.mark.parametrize("definition", POINTWISE, ids=named)
def test_pointwise(definition: Definition) -> None:
    tally = Tally()
    operands = {name: numbers(tally, SHAPE, seed) for seed, name in enumerate(definition.tensors)}
    for index in np.ndindex(*SHAPE):
        definition(*(array[index] for array in operands.values()))
    work = work_of(definition.op, {name: T(SHAPE) for name in operands} | definition.attributes, T(SHAPE))
    assert work.pointwise_flops == tally.pointwise > 0
    assert work.contraction_flops == 0


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


def test_differences_of_neighbours() -> None:
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


@pytest.mark.parametrize("op", [op for op in rows_of("pooling") if "adaptive" in op])
def test_adaptive_pooling(op: str) -> None:
    axes = int(op[-2])
    tally = Tally()
    x = numbers(tally, (2, 3, *(4,) * axes))
    result = pooling(x, (2,) * axes, (2,) * axes, maximum if "max" in op else average)
    work = work_of(op, {"self": T(x.shape), "output_size": [2] * axes}, T(result.shape))
    assert work.pointwise_flops == tally.pointwise > 0


@pytest.mark.parametrize("op", [op for op in rows_of("pooling") if "upsample" in op])
def test_resampling(op: str) -> None:
    """Each result is a weighted sum of its neighbours, with weights that whole rows and columns share."""
    neighbours = {"nearest": 0, "linear": 2, "bilinear": 4, "bicubic": 16}[
        op.split("upsample_")[1].split("_", maxsplit=1)[0].rstrip("12d")
    ]
    tally = Tally()
    for _ in range(3 * 8 * 8):
        if neighbours:
            np.dot(numbers(tally, (neighbours,)), np.full(neighbours, 0.25))
    work = work_of(op, {"self": T((3, 4, 4))}, T((3, 8, 8)))
    assert work.pointwise_flops == tally.pointwise


# ---- rows that only move ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", [op for op in rows_of("movement") if op not in {"aten.bernoulli", "aten.col2im"}])
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
    ],
)
def test_scattered_sums(op: str, values: str) -> None:
    tally = Tally()
    overlapped(numbers(tally, (4, 3)))
    arguments = {"self": T((9, 3)), "index": T((4,), "int64")} | {values: T((4, 3))}
    assert work_of(op, arguments, T((9, 3))).pointwise_flops == tally.pointwise


@pytest.mark.parametrize(
    "op", [op for op in rows_of("indexing") if op not in {"aten.scatter_add", "aten.scatter_reduce", "aten.index_add"}]
)
def test_gathering_computes_nothing(op: str) -> None:
    work = work_of(op, {"self": T((9, 3)), "indices": T((4,), "int64"), "src": T((4, 3))}, T((4, 3)))
    assert (work.contraction_flops, work.pointwise_flops) == (0, 0)
