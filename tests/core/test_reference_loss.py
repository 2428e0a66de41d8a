"""Losses and distances compared with definitions that count their own operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.reference import Array, Scalar, Tally, apply, numbers
from support.reference_rows import log_softmax, total
from support.single_node import FLOAT32, INT64, T, work_of

from pyinfercost import _core

SHAPE = (4, 3)
NONE, MEAN = 0, 1


def huber(x: Scalar, y: Scalar) -> Scalar:
    apart = apply("abs", x - y)
    return apply("select", apart < 1.0, 0.5 * (apart * apart), 1.0 * (apart - 0.5))


def smooth(x: Scalar, y: Scalar) -> Scalar:
    apart = apply("abs", x - y)
    return apply("select", apart < 1.0, (0.5 * apart) * apart / 1.0, apart - 0.5)


def cross_entropy(x: Scalar, y: Scalar) -> Scalar:
    return -(y * apply("log", x) + (1 - y) * apply("log", 1 - x))


def log_sigmoid(x: Scalar) -> Scalar:
    return -apply("log", 1 + apply("exp", -x))


LOSSES: dict[str, Callable[[Scalar, Scalar], Scalar]] = {
    "mse_loss": lambda x, y: (x - y) * (x - y),
    "l1_loss": lambda x, y: apply("abs", x - y),
    "smooth_l1_loss": smooth,
    "huber_loss": huber,
    "kl_div": lambda x, y: y * (apply("log", y) - x),
    "soft_margin_loss": lambda x, y: apply("log", 1 + apply("exp", -(x * y))),
    "binary_cross_entropy": cross_entropy,
    "binary_cross_entropy_with_logits": lambda x, y: (1 - y) * x - log_sigmoid(x),
}


def difference_once(op: str) -> int:
    """What a definition above repeats: x - y is one operation."""
    return 1 if op == "mse_loss" else 0


@pytest.mark.parametrize("reduction", [NONE, MEAN], ids=["none", "mean"])
@pytest.mark.parametrize("op", LOSSES)
def test_losses(op: str, reduction: int) -> None:
    tally = Tally()
    pairs = zip(numbers(tally, SHAPE).flat, numbers(tally, SHAPE, 1).flat, strict=True)
    values = [LOSSES[op](x, y) for x, y in pairs]
    if reduction == MEAN:
        total(values)  # the division by their number is one for all
    given = {"self": T(SHAPE), "target": T(SHAPE), "reduction": reduction}
    work = work_of(f"aten.{op}", given, T(() if reduction == MEAN else SHAPE))
    assert work.pointwise_flops == tally.pointwise - 12 * difference_once(op)


def test_weights_of_binary_cross_entropy() -> None:
    given = {"self": T(SHAPE), "target": T(SHAPE), "reduction": NONE}
    plain, weighted = Tally(), Tally()
    for x, y in zip(numbers(plain, (12,)), numbers(plain, (12,), 1), strict=True):
        _ = (1 - y) * x - log_sigmoid(x)
    for x, y, w, p in zip(*(numbers(weighted, (12,), seed) for seed in range(4)), strict=True):
        _ = ((1 - y) * x - ((p - 1) * y + 1) * log_sigmoid(x)) * w
    op = "aten.binary_cross_entropy_with_logits"
    assert work_of(op, given, T(SHAPE)).pointwise_flops == plain.pointwise
    more = {"weight": T(SHAPE), "pos_weight": T(SHAPE)}
    assert work_of(op, given | more, T(SHAPE)).pointwise_flops == weighted.pointwise


PICKING = ["nll_loss", "nll_loss_nd", "nll_loss2d", "nll_loss_forward", "nll_loss2d_forward"]


@pytest.mark.parametrize("weight", [True, False])
@pytest.mark.parametrize("reduction", [NONE, MEAN], ids=["none", "mean"])
@pytest.mark.parametrize("op", PICKING)
def test_likelihoods(op: str, reduction: int, weight: bool) -> None:
    tally = Tally()
    x, target, weights = numbers(tally, (4, 9)), [2, 0, 8, 5], numbers(tally, (9,))
    values = [-row[t] for row, t in zip(x, target, strict=True)]
    values = [v * weights[t] for v, t in zip(values, target, strict=True)] if weight else values
    if reduction == MEAN:
        total(values)
    given = {"self": T((4, 9)), "target": T((4,), "int64"), "reduction": reduction}
    result = T(() if reduction == MEAN else (4,))
    work = work_of(f"aten.{op}", given | ({"weight": T((9,))} if weight else {}), result)
    assert work.pointwise_flops == tally.pointwise
    assert work.bytes_read == INT64 * 4 + FLOAT32 * 4 * (2 if weight else 1)  # one element of each row


def test_cross_entropy_is_a_softmax_and_a_likelihood() -> None:
    tally = Tally()
    x = numbers(tally, (4, 9))
    total([-row[2] for row in [log_softmax(list(row)) for row in x]])
    given = {"self": T((4, 9)), "target": T((4,), "int64"), "reduction": MEAN}
    work = work_of("aten.cross_entropy_loss", given, T(()))
    assert work.pointwise_flops == tally.pointwise
    # The logarithms are written, and one of each row is read again.
    assert work.bytes_read == FLOAT32 * (36 + 4) + INT64 * 4
    assert work.bytes_written == FLOAT32 * (36 + 1)


def test_cross_entropy_with_probabilities() -> None:
    tally = Tally()
    x, p = numbers(tally, (4, 9)), numbers(tally, (4, 9), 1)
    for row, shares in zip(x, p, strict=True):
        total([y * s for y, s in zip(log_softmax(list(row)), shares, strict=True)])
    given = {"self": T((4, 9)), "target": T((4, 9)), "reduction": MEAN}
    assert work_of("aten.cross_entropy_loss", given, T(())).pointwise_flops == tally.pointwise


@pytest.mark.parametrize("weight", [True, False])
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("reduction", [NONE, MEAN], ids=["none", "mean"])
def test_margins_of_classes(reduction: int, p: int, weight: bool) -> None:
    tally = Tally()
    x, weights, target = numbers(tally, (4, 9)), numbers(tally, (9,), 1), [2, 0, 8, 5]
    values = []
    for row, right in zip(x, target, strict=True):
        margin = 1.0 - row[right]
        terms = [apply("maximum", margin + row[j], 0.0) for j in range(9) if j != right]
        terms = [t * t for t in terms] if p == 2 else terms
        terms = [t * weights[right] for t in terms] if weight else terms
        values.append(total(terms) / 9)
    if reduction == MEAN:
        total(values)
    given = {"self": T((4, 9)), "target": T((4,), "int64"), "p": p, "reduction": reduction}
    work = work_of("aten.multi_margin_loss", given | ({"weight": T((9,))} if weight else {}), T(()))
    assert work.pointwise_flops == tally.pointwise


def test_margins_of_labels_are_at_most_those_of_half_of_the_classes() -> None:
    def counted(targets: int) -> int:
        tally = Tally()
        for row in numbers(tally, (4, 8)):
            terms = []
            for right in row[:targets]:
                margin = 1.0 - right
                terms += [apply("maximum", margin + other, 0.0) for other in row[targets:]]
            _ = total(terms) / 8 if terms else 0
        return tally.pointwise

    given = {"self": T((4, 8)), "target": T((4, 8), "int64"), "reduction": NONE}
    work = work_of("aten.multilabel_margin_loss_forward", given, T((4,)))
    assert work.pointwise_flops == max(counted(targets) for targets in range(9)) == counted(4)


@pytest.mark.parametrize("weight", [True, False])
@pytest.mark.parametrize("p", [1, 2])
def test_gradients_of_margins_of_classes(p: int, weight: bool) -> None:
    """What a wrong class gets is taken from the right one; all of a row is multiplied by the gradient of the loss."""
    tally = Tally()
    x, weights, grad = numbers(tally, (4, 9)), numbers(tally, (9,), 1), numbers(tally, (1,))[0]
    for row, right in zip(x, [2, 0, 8, 5], strict=True):
        margin, of_right = 1.0 - row[right], grad
        for j in range(9):
            if j == right:
                _ = of_right * grad
                continue
            distance = margin + row[j]
            share = apply("select", distance > 0.0, grad, 0.0)
            share = share * (2.0 * distance) if p == 2 else share
            share = share * weights[right] if weight else share
            of_right = of_right - share
            _ = share * grad
    given = {"grad_output": T(()), "self": T((4, 9)), "target": T((4,), "int64"), "p": p, "reduction": MEAN}
    work = work_of("aten.multi_margin_loss_backward", given | ({"weight": T((9,))} if weight else {}), T((4, 9)))
    assert work.pointwise_flops == tally.pointwise


def test_gradients_of_margins_of_labels() -> None:
    tally = Tally()
    grad = numbers(tally, (1,))[0]
    for row in numbers(tally, (4, 8)):
        places = list(numbers(tally, (8,)))
        for i in range(4):
            margin = 1.0 - row[i]
            for j in range(4, 8):
                share = apply("select", margin + row[j] > 0.0, grad, 0.0)
                places[i], places[j] = places[i] - share, places[j] + share
        _ = [place * grad for place in places]
    given = {"grad_output": T(()), "self": T((4, 8)), "target": T((4, 8), "int64"), "reduction": MEAN}
    assert work_of("aten.multilabel_margin_loss_backward", given, T((4, 8))).pointwise_flops == tally.pointwise


def test_gradients_of_connectionist_temporal_classification() -> None:
    """States from the end; a step and class gets the sum of both sums of its states, less its probability."""
    tally = Tally()
    for _ in range(2):
        for _ in range(5 * (2 * 3 + 1)):
            before, emission = numbers(tally, (3,)), numbers(tally, (1,))[0]
            largest = apply("maximum", apply("maximum", before[0], before[1]), before[2])
            a, b, c = (apply("exp", x - largest) for x in before)
            both = (largest + apply("log", a + b + c)) + emission + emission
            largest = apply("maximum", both, before[0])
            _ = apply("log", apply("exp", both - largest) + apply("exp", before[0] - largest)) + largest
        for _ in range(5 * 9):
            probability, of_class, loss = numbers(tally, (3,))
            _ = (apply("exp", probability) - apply("exp", of_class + loss - probability)) * loss
    given: dict[str, Any] = {"grad": T((2,)), "log_probs": T((5, 2, 9)), "targets": T((2, 3), "int64")}
    given |= {"input_lengths": [5, 5], "target_lengths": [3, 3]}
    assert work_of("aten._ctc_loss_backward", given, T((5, 2, 9))).pointwise_flops == tally.pointwise


@pytest.mark.parametrize("lengths", [True, False], ids=["lists", "tensors"])
def test_connectionist_temporal_classification(lengths: bool) -> None:
    """Each of 2 * length + 1 states comes from three of the step before."""
    tally = Tally()
    for _ in range(2):
        for _ in range(5 * (2 * 3 + 1)):
            before, emission = numbers(tally, (3,)), numbers(tally, (1,))[0]
            largest = apply("maximum", apply("maximum", before[0], before[1]), before[2])
            a, b, c = (apply("exp", x - largest) for x in before)
            _ = (largest + apply("log", a + b + c)) + emission
    given: dict[str, Any] = {"log_probs": T((5, 2, 9)), "targets": T((2, 3), "int64")}
    if lengths:
        given |= {"input_lengths": [5, 5], "target_lengths": [3, 3]}
    else:
        given |= {"input_lengths": T((2,), "int64"), "target_lengths": T((2,), "int64")}
    assert work_of("aten._ctc_loss", given, T((2,))).pointwise_flops == tally.pointwise


# ---- distances -------------------------------------------------------------------------------------------------------


def cosine(x: Array, y: Array) -> None:
    for a, b in ((x, y), (x, x), (y, y)):
        total(a * b)


def distance(x: Array, y: Array) -> Scalar:
    apart = x - y
    return total(apart * apart)


PAIRWISE: dict[str, Callable[[Array, Array], Any]] = {
    "cosine_similarity": cosine,
    "pairwise_distance": lambda x, y: total([d * d for d in (x - y) + 1e-6]),
    "dist": distance,
}


@pytest.mark.parametrize("op", PAIRWISE)
def test_pairs_of_rows(op: str) -> None:
    tally = Tally()
    for x, y in zip(numbers(tally, (4, 6)), numbers(tally, (4, 6), 1), strict=True):
        PAIRWISE[op](x, y)
    assert work_of(f"aten.{op}", {"x1": T((4, 6)), "x2": T((4, 6))}, T((4,))).pointwise_flops == tally.pointwise


@pytest.mark.parametrize("op", ["cdist", "_cdist_forward"])
def test_all_pairs(op: str) -> None:
    tally = Tally()
    for x in numbers(tally, (4, 6)):
        for y in numbers(tally, (5, 6), 1):
            distance(x, y)
    given = {"x1": T((2, 4, 6)), "x2": T((2, 5, 6))}
    work = work_of(f"aten.{op}", given | {"p": 2.0}, T((2, 4, 5)))
    assert (work.pointwise_flops, work.contraction_flops) == (2 * tally.pointwise, 0)
    absolute = work_of(f"aten.{op}", given | {"p": 1.0, "compute_mode": 1}, T((2, 4, 5)))
    assert absolute.pointwise_flops == 2 * tally.pointwise  # subtract, abs, add
    product = work_of(f"aten.{op}", given | {"p": 2.0, "compute_mode": 1}, T((2, 4, 5)))
    assert product.contraction_flops == 2 * 2 * 4 * 5 * (6 + 2)
    many = {"x1": T((26, 6)), "x2": T((5, 6))}
    assert work_of(f"aten.{op}", many | {"p": 2.0}, T((26, 5))).contraction_flops == 2 * 26 * 5 * (6 + 2)
    never = work_of(f"aten.{op}", many | {"p": 2.0, "compute_mode": 2}, T((26, 5)))
    assert (never.contraction_flops, never.pointwise_flops) == (0, 26 * 5 * 6 * 3)


def test_euclidean_distances_as_one_product() -> None:
    """[-2a, |a|^2, 1] x [b, 1, |b|^2]: torch's own way."""
    tally = Tally("contraction")
    np.matmul(numbers(tally, (4, 6 + 2)), numbers(tally, (6 + 2, 5)))
    with tally.part("pointwise"):
        for row in (*numbers(tally, (4, 6)), *numbers(tally, (5, 6))):
            total(row * row)
        for x in numbers(tally, (20,)):
            apply("sqrt", apply("maximum", x, 0.0))
    work = work_of("aten._euclidean_dist", {"x1": T((4, 6)), "x2": T((5, 6))}, T((4, 5)))
    assert (work.contraction_flops, work.pointwise_flops) == (2 * tally.multiplications, tally.pointwise)


@pytest.mark.parametrize("op", ["pdist", "_pdist_forward"])
def test_pairs_of_one_set(op: str) -> None:
    tally = Tally()
    x = numbers(tally, (4, 6))
    for i in range(4):
        for j in range(i):
            distance(x[i], x[j])
    assert work_of(f"aten.{op}", {"self": T((4, 6)), "p": 2.0}, T((6,))).pointwise_flops == tally.pointwise


def test_every_row_is_among_the_cases() -> None:
    tested = {*LOSSES, *PICKING, *PAIRWISE, "cross_entropy_loss", "_ctc_loss"}
    tested |= {"multi_margin_loss", "multilabel_margin_loss_forward", "multi_margin_loss_backward"}
    tested |= {"multilabel_margin_loss_backward", "_ctc_loss_backward"}
    tested |= {"cdist", "_cdist_forward", "_euclidean_dist", "pdist", "_pdist_forward"}
    assert {r.op for r in _core.rules() if r.family == "loss"} == {f"aten.{op}" for op in tested}
