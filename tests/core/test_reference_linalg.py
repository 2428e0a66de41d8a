"""Factorizations: compared with loops, exactly or to leading order as the row is, else with arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.reference import Array, Scalar, Tally, numbers
from support.reference_linalg import backward, cholesky, forward, householder, inverse, lu, lu_solve, orthogonal
from support.single_node import T, work_of

from pyinfercost import _core


def well_posed(tally: Tally, rows: int, columns: int) -> Array:
    a = numbers(tally, (rows, columns))
    for i in range(min(rows, columns)):
        a[i, i].value += 10.0
    return a


def library(op: str, given: dict[str, Any], *results: T) -> int:
    work = work_of(f"aten.{op}", given, *results)
    assert (work.kind, work.contraction_flops) == ("library", 0)
    flops = work.pointwise_flops
    assert isinstance(flops, int)
    return flops


EXACT: dict[str, tuple[Callable[[Array], Any], tuple[str, ...]]] = {
    "cholesky": (cholesky, ("linalg_cholesky", "linalg_cholesky_ex", "cholesky")),
    "ldl": (cholesky, ("linalg_ldl_factor", "linalg_ldl_factor_ex")),
    "lu": (lu, ("linalg_lu", "linalg_lu_factor", "linalg_lu_factor_ex", "_lu_with_info")),
    "inverse": (inverse, ("linalg_inv", "linalg_inv_ex", "inverse")),
}


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("op", [op for _, ops in EXACT.values() for op in ops])
def test_factorisations(op: str, n: int) -> None:
    (function,) = [function for function, ops in EXACT.values() if op in ops]
    tally = Tally()
    function(well_posed(tally, n, n))
    assert library(op, {"A": T((3, n, n))}, T((3, n, n))) == 3 * tally.pointwise
    # A multiply-add of complex numbers is four of real ones.
    assert library(op, {"A": T((n, n), "complex64")}, T((n, n), "complex64")) == 4 * tally.pointwise


@pytest.mark.parametrize(("rows", "columns"), [(5, 3), (3, 5)])
def test_lu_of_matrices_that_are_not_square(rows: int, columns: int) -> None:
    tally = Tally()
    lu(well_posed(tally, rows, columns))
    assert library("linalg_lu_factor", {"A": T((rows, columns))}, T((rows, columns))) == tally.pointwise


@pytest.mark.parametrize("op", ["linalg_det", "_linalg_det", "det", "linalg_slogdet", "_linalg_slogdet", "slogdet"])
def test_determinants(op: str) -> None:
    tally = Tally()
    lu(well_posed(tally, 5, 5))
    per_factor = 3 if "slog" in op else 1  # abs, log, add; or a product
    assert library(op, {"A": T((2, 5, 5))}, T((2,))) == 2 * (tally.pointwise + per_factor * 5)


def two_triangles(a: Array, b: Array) -> None:
    backward(a, forward(a, b, unit=False))


SOLVERS: dict[str, tuple[Callable[[Array, Array], Any], dict[str, Any]]] = {
    "linalg_solve": (lambda a, b: lu_solve(lu(a), b), {"A": T((5, 5)), "B": T((5, 1))}),
    "linalg_solve_ex": (lambda a, b: lu_solve(lu(a), b), {"A": T((5, 5)), "B": T((5, 1))}),
    "_linalg_solve_ex": (lambda a, b: lu_solve(lu(a), b), {"A": T((5, 5)), "B": T((5, 1))}),
    "linalg_lu_solve": (lu_solve, {"LU": T((5, 5)), "pivots": T((5,), "int32"), "B": T((5, 1))}),
    "lu_solve": (lu_solve, {"self": T((5, 1)), "LU_data": T((5, 5)), "LU_pivots": T((5,), "int32")}),
    "cholesky_solve": (two_triangles, {"self": T((5, 1)), "input2": T((5, 5))}),
    "_cholesky_solve_helper": (two_triangles, {"self": T((5, 1)), "A": T((5, 5))}),
    "linalg_ldl_solve": (two_triangles, {"LD": T((5, 5)), "pivots": T((5,), "int32"), "B": T((5, 1))}),
    "linalg_solve_triangular": (lambda a, b: forward(a, b, unit=False), {"self": T((5, 5)), "B": T((5, 1))}),
    "triangular_solve": (lambda a, b: forward(a, b, unit=False), {"self": T((5, 1)), "A": T((5, 5))}),
}


@pytest.mark.parametrize("op", SOLVERS)
def test_solvers(op: str) -> None:
    function, given = SOLVERS[op]
    tally = Tally()
    function(well_posed(tally, 5, 5), numbers(tally, (5,)))
    assert library(op, given, T((5, 1))) == tally.pointwise


def test_more_right_hand_sides_share_the_factors() -> None:
    factors, solve = Tally(), Tally()
    a = lu(well_posed(factors, 5, 5))
    for scalar in a.flat:
        scalar.tally = solve
    lu_solve(a, numbers(solve, (5,)))
    given = {"A": T((2, 5, 5)), "B": T((2, 5, 7))}
    assert library("linalg_solve", given, T((2, 5, 7))) == 2 * (factors.pointwise + 7 * solve.pointwise)


@pytest.mark.parametrize(("rows", "columns"), [(24, 24), (30, 20), (20, 30)])
def test_qr_to_leading_order(rows: int, columns: int) -> None:
    """The loops do a few operations more for each vector: they are of one order less."""
    r, q = Tally(), Tally()
    shorter = min(rows, columns)
    _, vectors = householder(well_posed(r, rows, columns))
    for vector in vectors:
        for scalar in vector:
            scalar.tally = q
    orthogonal(vectors, np.array([[Scalar(float(i == j), q) for j in range(shorter)] for i in range(rows)]))
    lower_order = 8 * max(rows, columns) * shorter
    a = {"A": T((rows, columns))}
    only_r = library("linalg_qr", a | {"mode": "r"}, T((0,)), T((shorter, columns)))
    assert 0 <= r.pointwise - only_r <= lower_order
    assert library("geqrf", a, T((rows, columns))) == only_r
    both = library("linalg_qr", a | {"mode": "reduced"}, T((rows, shorter)), T((shorter, columns)))
    assert 0 <= r.pointwise + q.pointwise - both <= 2 * lower_order
    for op in ("linalg_householder_product", "orgqr"):
        assert library(op, {"input": T((rows, shorter))}, T((rows, shorter))) == both - only_r
    assert library("qr", a | {"some": True}, T((rows, shorter)), T((shorter, columns))) == both


def test_complete_qr() -> None:
    # m = 6, n = k = 4: R is 2*6*16 - 2*64//3; Q of 6 x 6 is 4*6*6*4 - 2*12*16 + 4*64//3.
    expected = (192 - 42) + (576 - 384 + 85)
    assert library("linalg_qr", {"A": T((6, 4)), "mode": "complete"}, T((6, 6)), T((6, 4))) == expected
    assert library("qr", {"self": T((6, 4)), "some": False}, T((6, 6)), T((6, 4))) == expected


# Operation counts of Golub and Van Loan; iterations are in their constants. 6 x 4, and 5 x 5 where it is square.
PUBLISHED = [
    ("linalg_eigh", (5, 5), {}, 9 * 125),
    ("_linalg_eigh", (5, 5), {"compute_v": True}, 9 * 125),
    ("_linalg_eigh", (5, 5), {"compute_v": False}, 4 * 125 // 3),
    ("linalg_eigvalsh", (5, 5), {}, 4 * 125 // 3),
    ("linalg_eig", (5, 5), {}, 25 * 125),
    ("linalg_eigvals", (5, 5), {}, 10 * 125),
    ("_linalg_eigvals", (5, 5), {}, 10 * 125),
    ("linalg_svdvals", (6, 4), {}, 4 * 6 * 16 - 4 * 64 // 3),
    ("_linalg_svd", (6, 4), {"compute_uv": False}, 4 * 6 * 16 - 4 * 64 // 3),
    ("_linalg_svd", (6, 4), {"full_matrices": False, "compute_uv": True}, 14 * 6 * 16 + 8 * 64),
    ("linalg_svd", (4, 6), {"full_matrices": False}, 14 * 6 * 16 + 8 * 64),
    ("linalg_svd", (6, 4), {"full_matrices": True}, 4 * 36 * 4 + 8 * 6 * 16 + 9 * 64),
    ("svd", (6, 4), {"some": True}, 14 * 6 * 16 + 8 * 64),
    ("linalg_pinv", (6, 4), {}, 14 * 6 * 16 + 8 * 64 + 16 + 2 * 6 * 16),
    ("pinverse", (4, 6), {}, 14 * 6 * 16 + 8 * 64 + 16 + 2 * 6 * 16),
    ("cholesky_inverse", (5, 5), {}, (4 * 125 + 3 * 25 + 5 * 5) // 6),
    ("linalg_lstsq", (6, 4), {"b": T((6, 2))}, 2 * 6 * 16 - 2 * 64 // 3 + 2 * (4 * 6 * 4 - 16)),
]


@pytest.mark.parametrize(("op", "shape", "given", "expected"), PUBLISHED, ids=str)
def test_published_counts(op: str, shape: tuple[int, int], given: dict[str, Any], expected: int) -> None:
    assert library(op, {"A": T(shape)} | given, T(shape)) == expected


@pytest.mark.parametrize("op", ["linalg_matrix_exp", "matrix_exp"])
def test_exponential_is_five_products(op: str) -> None:
    tally = Tally("contraction")
    for _ in range(5):
        np.matmul(numbers(tally, (4, 4)), numbers(tally, (4, 4)))
    assert (
        work_of(f"aten.{op}", {"self": T((2, 4, 4))}, T((2, 4, 4))).contraction_flops == 2 * 2 * tally.multiplications
    )


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 8, 13])
@pytest.mark.parametrize("op", ["linalg_matrix_power", "matrix_power"])
def test_powers(op: str, n: int) -> None:
    tally = Tally("contraction")
    a = numbers(tally, (3, 3))
    power, result, left = a, None, n
    while left:
        if left % 2:
            result = power if result is None else np.matmul(result, power)
        left //= 2
        power = np.matmul(power, power) if left else power
    work = work_of(f"aten.{op}", {"self": T((3, 3)), "n": n}, T((3, 3)))
    assert work.contraction_flops == 2 * tally.multiplications


def test_dot_products_of_rows() -> None:
    tally = Tally("contraction")
    for i in range(4):
        np.dot(numbers(tally, (5,), i), numbers(tally, (5,), i))
    work = work_of("aten.linalg_vecdot", {"x": T((4, 5)), "y": T((4, 5)), "dim": -1}, T((4,)))
    assert work.contraction_flops == 2 * tally.multiplications


def test_every_row_is_among_the_cases() -> None:
    tested = {op for _, ops in EXACT.values() for op in ops} | set(SOLVERS) | {case[0] for case in PUBLISHED}
    tested |= {"linalg_det", "_linalg_det", "det", "linalg_slogdet", "_linalg_slogdet", "slogdet", "linalg_vecdot"}
    tested |= {"linalg_qr", "qr", "geqrf", "linalg_householder_product", "orgqr", "linalg_matrix_exp", "matrix_exp"}
    tested |= {"linalg_matrix_power", "matrix_power"}
    moving = {"lu_unpack", "_linalg_check_errors"}
    assert {r.op for r in _core.rules() if r.family == "linalg"} == {f"aten.{op}" for op in tested | moving}
