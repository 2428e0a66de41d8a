"""Rows of backward operators compared with gradients that count their own operations."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from support import reference_backward as backward
from support.element_checks import check_element_by_element, named
from support.reference import Array, Scalar, Tally, numbers, pooling
from support.reference_elements import Definition
from support.single_node import T, work_of

from pyinfercost import _core

SHAPE = (2, 3)
ELEMENTS = 6
MASKS = [mask for mask in itertools.product((True, False), repeat=3) if any(mask)]


def rows_of(family: str) -> set[str]:
    return {rule.op for rule in _core.rules() if rule.family == family}


# ---- element by element ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("definition", backward.ACTIVATIONS, ids=named)
def test_element_by_element(definition: Definition) -> None:
    check_element_by_element(definition)


def test_glu() -> None:
    tally = Tally()
    for g, a, b in zip(*(numbers(tally, (6,), seed) for seed in range(3)), strict=True):
        backward.glu(g, a, b)
    work = work_of("aten.glu_backward", {"grad_output": T((2, 3)), "self": T((2, 6)), "dim": 1}, T((2, 6)))
    assert work.pointwise_flops == tally.pointwise


NLL = ["aten.nll_loss_backward", "aten.nll_loss2d_backward"]


@pytest.mark.parametrize("op", NLL)
def test_negative_log_likelihood(op: str) -> None:
    """The place of each target gets the negative of the gradient; the log probabilities themselves are not read."""
    places = (4,) if "2d" not in op else (4, 3, 3)
    shape = (4, 7) if "2d" not in op else (4, 7, 3, 3)
    tally = Tally()
    shares = [-g for g in numbers(tally, places).flat]
    assert len(shares) == np.prod(places)
    arguments = {"grad_output": T(()), "self": T(shape), "target": T(places, "int64"), "reduction": 1}
    work = work_of(op, arguments | {"total_weight": T(())}, T(shape))
    assert work.pointwise_flops == tally.pointwise
    assert work.bytes_read == 4 + 8 * np.prod(places) + 4
    assert work.bytes_written == 4 * np.prod(shape)


# ---- row by row ------------------------------------------------------------------------------------------------------


def counted(function: Callable[..., Any], operands: int) -> int:
    """Operations per row of six; what is done once per row must not grow with it."""
    tally, longer = Tally(), Tally()
    function(*(numbers(tally, (ELEMENTS,), seed) for seed in range(operands)))
    function(*(numbers(longer, (2 * ELEMENTS,), seed) for seed in range(operands)))
    assert tally.done["row"] == longer.done["row"]
    assert longer.pointwise == 2 * tally.pointwise
    return tally.pointwise


SOFTMAX = {"aten._softmax_backward_data": backward.softmax, "aten._log_softmax_backward_data": backward.log_softmax}


@pytest.mark.parametrize("op", SOFTMAX)
def test_softmax(op: str) -> None:
    work = work_of(op, {"grad_output": T((5, 6)), "output": T((5, 6)), "dim": 1}, T((5, 6)))
    assert work.pointwise_flops == 5 * counted(SOFTMAX[op], 2)


@pytest.mark.parametrize("mask", MASKS, ids=str)
@pytest.mark.parametrize("weight", [True, False])
@pytest.mark.parametrize("op", ["aten.native_layer_norm_backward", "aten.native_group_norm_backward"])
def test_layer_norm(op: str, weight: bool, mask: Sequence[bool]) -> None:
    arguments = {"grad_out": T((5, 6)), "input": T((5, 6)), "mean": T((5, 1)), "rstd": T((5, 1))}
    arguments |= {"weight": T((6,))} if weight else {}
    work = work_of(op, arguments | {"output_mask": list(mask)}, T((5, 6)), T((6,)), T((6,)))
    expected = counted(lambda g, x: backward.layer_norm(g, x, x if weight else None, mask=mask), 2)
    assert work.pointwise_flops == 5 * expected


@pytest.mark.parametrize("mask", [[True, True], [True, False], [False, True]], ids=str)
@pytest.mark.parametrize("weight", [True, False])
def test_rms_norm(weight: bool, mask: list[bool]) -> None:
    arguments: dict[str, Any] = {"grad_out": T((5, 6)), "input": T((5, 6)), "rstd": T((5, 1))}
    arguments |= {"weight": T((6,))} if weight else {}
    work = work_of("aten._fused_rms_norm_backward", arguments | {"output_mask": mask}, T((5, 6)), T((6,)))
    assert work.pointwise_flops == 5 * counted(
        lambda g, x: backward.rms_norm_backward(g, x, x if weight else None, mask), 2
    )


BATCH_NORMS = {"native_batch_norm_backward", "batch_norm_backward"}
FUSED_BATCH_NORMS = {"cudnn_batch_norm_backward", "miopen_batch_norm_backward"}  # training, and every gradient


@pytest.mark.parametrize("mask", MASKS, ids=str)
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("op", sorted(BATCH_NORMS))
def test_batch_norm(op: str, train: bool, mask: Sequence[bool]) -> None:
    arguments = {"grad_out": T((2, 5, 3)), "input": T((2, 5, 3)), "weight": T((5,)), "train": train}
    work = work_of(f"aten.{op}", arguments | {"output_mask": list(mask)}, T((2, 5, 3)), T((5,)), T((5,)))
    expected = counted(lambda g, x: backward.batch_norm(g, x, g[0], train=train, mask=mask), 2)
    assert work.pointwise_flops == 5 * expected


@pytest.mark.parametrize("op", sorted(FUSED_BATCH_NORMS))
def test_fused_batch_norm(op: str) -> None:
    arguments = {"input": T((2, 5, 3)), "grad_output": T((2, 5, 3)), "weight": T((5,))}
    work = work_of(f"aten.{op}", arguments, T((2, 5, 3)), T((5,)), T((5,)))
    assert work.pointwise_flops == 5 * counted(lambda g, x: backward.batch_norm(g, x, g[0], train=True), 2)


# ---- back to the places ----------------------------------------------------------------------------------------------


def added(values: int) -> int:
    tally = Tally()
    place = Scalar(0.0, tally)
    for x in numbers(tally, (values,)):
        place = place + x
    return tally.pointwise


ONE_EACH = {
    "aten.unfold_backward",
    "aten.embedding_dense_backward",
    *(f"aten.{kind}_pad{axes}d_backward" for kind in ("reflection", "replication") for axes in (1, 2, 3)),
    *(f"aten.{kind}_pool{axes}d_with_indices_backward" for kind in ("max",) for axes in (2, 3)),
    *(f"aten.{kind}_max_pool{axes}d_backward" for kind in ("fractional", "adaptive") for axes in (2, 3)),
    *(f"aten.{kind}{axes}d_backward" for kind in ("upsample_nearest", "_upsample_nearest_exact") for axes in (1, 2, 3)),
}
MOVED = {"aten.slice_backward", "aten.select_backward", "aten.diagonal_backward"}
NEIGHBORS = {
    "aten.upsample_linear1d_backward": 2,
    "aten.upsample_bilinear2d_backward": 4,
    "aten.upsample_trilinear3d_backward": 8,
    "aten.upsample_bicubic2d_backward": 16,
    "aten._upsample_bilinear2d_aa_backward": 4,
    "aten._upsample_bicubic2d_aa_backward": 16,
}


@pytest.mark.parametrize("op", sorted(ONE_EACH))
def test_every_gradient_is_added_once(op: str) -> None:
    work = work_of(op, {"grad_output": T((2, 3, 4)), "indices": T((2, 3, 4), "int64")}, T((2, 3, 9)))
    assert work.pointwise_flops == added(24)
    assert work.bytes_read == 24 * (4 + 8)
    assert work.bytes_written == 54 * 4


@pytest.mark.parametrize("op", sorted(MOVED))
def test_a_gradient_among_zeros(op: str) -> None:
    work = work_of(op, {"grad_output": T((2, 3)), "input_sizes": [2, 9]}, T((2, 9)))
    assert (work.pointwise_flops, work.bytes_read, work.bytes_written) == (0, 24, 72)


def test_the_operand_of_the_forward_is_there_for_its_shape() -> None:
    work = work_of("aten.max_pool2d_with_indices_backward", {"grad_output": T((2, 3)), "self": T((4, 6))}, T((4, 6)))
    assert work.bytes_read == 24


@pytest.mark.parametrize("op", NEIGHBORS)
def test_resampling(op: str) -> None:
    tally = Tally()
    place = Scalar(0.0, tally)
    for g, _ in itertools.product(numbers(tally, (24,)), range(NEIGHBORS[op])):
        place = place + g * 0.25
    assert work_of(op, {"grad_output": T((2, 3, 4))}, T((2, 3, 2))).pointwise_flops == tally.pointwise


@pytest.mark.parametrize("axes", [2, 3])
def test_average_pooling(axes: int) -> None:
    window = 3**axes
    tally = Tally()
    x = numbers(tally, (2, 3, *(5,) * axes))
    spread = backward.spread_over(window)

    def pool(elements: Sequence[Scalar]) -> Scalar:
        spread(elements[0], list(elements))
        return elements[0]

    result: Array = pooling(x, (3,) * axes, (2,) * axes, pool)
    for kernel in ([3], [3] * axes):
        arguments = {"grad_output": T(result.shape), "self": T(x.shape), "kernel_size": kernel}
        work = work_of(f"aten.avg_pool{axes}d_backward", arguments, T(x.shape))
        assert work.pointwise_flops == tally.pointwise


@pytest.mark.parametrize("axes", [2, 3])
def test_adaptive_pooling(axes: int) -> None:
    tally = Tally()
    x = numbers(tally, (2, 3, *(4,) * axes))
    window = 2**axes
    spread = backward.spread_over(window)

    def pool(elements: Sequence[Scalar]) -> Scalar:
        spread(elements[0], list(elements))
        return elements[0]

    result: Array = pooling(x, (2,) * axes, (2,) * axes, pool)
    work = work_of(f"aten._adaptive_avg_pool{axes}d_backward", {"grad_output": T(result.shape)}, T(x.shape))
    assert work.pointwise_flops == tally.pointwise


@pytest.mark.parametrize("mask", [[True, True], [True, False], [False, True]], ids=str)
@pytest.mark.parametrize(("axes", "mode", "neighbors"), [(2, 0, 4), (2, 1, 1), (2, 2, 16), (3, 0, 8), (3, 1, 1)])
def test_sampling_at_a_grid(axes: int, mode: int, neighbors: int, mask: list[bool]) -> None:
    tally = Tally()
    place = Scalar(0.0, tally)
    for g, _ in itertools.product(numbers(tally, (24,)), range(neighbors)):
        if mask[0]:
            place = place + (g if mode == 1 else g * 0.25)
        if mask[1] and mode != 1:  # the nearest does not change with the position
            change = g * place
            for _axis in range(axes):
                place = place + change * 0.5
    arguments = {"grad_output": T((2, 3, 4)), "interpolation_mode": mode, "output_mask": mask}
    assert work_of(f"aten.grid_sampler_{axes}d_backward", arguments, T((2, 3, 9))).pointwise_flops == tally.pointwise


BAGS = ["aten._embedding_bag_backward", "aten._embedding_bag_dense_backward"]


@pytest.mark.parametrize("op", BAGS)
def test_bags(op: str) -> None:
    """Each member gets the gradient of its bag, or its share of a mean; of a maximum one member does."""
    sums, means = added(7 * 5), 2 * added(7 * 5)
    for mode, wanted in enumerate((sums, means, added(2 * 5))):
        arguments = {"grad": T((2, 5)), "indices": T((7,), "int64"), "mode": mode}
        assert work_of(op, arguments, T((9, 5))).pointwise_flops == wanted
    arguments = {"grad": T((2, 5)), "indices": T((7,), "int64"), "mode": 0, "per_sample_weights": T((7,))}
    assert work_of(op, arguments, T((9, 5))).pointwise_flops == sums + 7 * 5


def test_distances() -> None:
    """The gradient of a distance goes along the difference of its two points."""
    tally = Tally()
    a, b, place = numbers(tally, (3, 4)), numbers(tally, (5, 4)), Scalar(0.0, tally)
    for i, j, feature in np.ndindex(3, 5, 4):
        place = place + (a[i, feature] - b[j, feature]) * 0.5
    arguments = {"grad": T((3, 5)), "x1": T((3, 4)), "x2": T((5, 4)), "p": 2.0, "cdist": T((3, 5))}
    assert work_of("aten._cdist_backward", arguments, T((3, 4))).pointwise_flops == tally.pointwise


def test_distances_of_one_set() -> None:
    """What one point of a pair gets is taken from the other."""
    tally = Tally()
    points, grad = numbers(tally, (4, 6)), numbers(tally, (1,))[0]
    places = numbers(tally, (4, 6))
    for i, j in itertools.combinations(range(4), 2):
        for feature in range(6):
            share = (points[i, feature] - points[j, feature]) * grad
            places[i, feature] = places[i, feature] + share
            places[j, feature] = places[j, feature] - share
    arguments = {"grad": T((6,)), "self": T((4, 6)), "p": 2.0, "pdist": T((6,))}
    assert work_of("aten._pdist_backward", arguments, T((4, 6))).pointwise_flops == tally.pointwise


# ---- every row is covered --------------------------------------------------------------------------------------------

TESTED = {
    "backward_pointwise": {
        *(d.op for d in backward.ACTIVATIONS),
        *NLL,
        *SOFTMAX,
        *(f"aten.{op}" for op in BATCH_NORMS | FUSED_BATCH_NORMS),
        "aten.glu_backward",
        "aten.native_layer_norm_backward",
        "aten.native_group_norm_backward",
        "aten._fused_rms_norm_backward",
    },
    "backward_movement": {
        *ONE_EACH,
        *MOVED,
        *NEIGHBORS,
        *(f"aten.{name}{axes}d_backward" for name in ("avg_pool", "_adaptive_avg_pool") for axes in (2, 3)),
        *(f"aten.grid_sampler_{axes}d_backward" for axes in (2, 3)),
        *BAGS,
        "aten._cdist_backward",
        "aten._pdist_backward",
    },
}


@pytest.mark.parametrize("family", TESTED)
def test_every_row_has_a_definition(family: str) -> None:
    missing = rows_of(family) - TESTED[family]
    assert not missing, f"give these rows a definition: {sorted(missing)}"
