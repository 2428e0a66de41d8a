"""Matrix products compared with their definitions: 2 FLOPs per multiplication."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from support.reference import Array, Tally, apply, einsum, numbers
from support.single_node import T, work_of

from pyinfercost import _core


class Case(NamedTuple):
    """An operator on operands of these shapes, and what it means."""

    op: str
    shapes: dict[str, Any]
    product: Callable[..., Any]
    epilogue: Callable[..., Any] | None = None  # what is done with the product: gets it and the operands
    attributes: dict[str, Any] = {}  # noqa: RUF012 - never changed


def plus(*names: str) -> Callable[..., Any]:
    def added(result: Any, operands: dict[str, Any]) -> Any:
        for name in names:
            result = result + operands[name]
        return result

    return added


def mm(left: str, right: str) -> Callable[..., Any]:
    return lambda o: np.matmul(o[left], o[right])


def grouped(o: dict[str, Any]) -> Any:
    """3 rows for the first matrix, none for the second, 2 for the third."""
    a, b = o["self"], o["mat2"]
    return np.concatenate([np.matmul(a[first:last], b[g]) for g, (first, last) in enumerate([(0, 3), (3, 3), (3, 5)])])


def grouped_reduction(o: dict[str, Any]) -> Any:
    a, b = o["self"], o["mat2"]
    return np.stack([np.matmul(a[:, :3], b[:3]), np.matmul(a[:, 3:], b[3:])])


def grouped_columns(o: dict[str, Any]) -> Any:
    a, b = o["self"], o["mat2"]
    return np.concatenate([np.matmul(a[0], b[:, :2]), np.matmul(a[1], b[:, 2:])], axis=1)


def by_letters(equation: str, *names: str) -> Callable[..., Any]:
    return lambda o: einsum(equation, *(o["tensors"][i] for i in range(len(o["tensors"]))))


def written(equation: str, *shapes: tuple[int, ...], means: str = "") -> Case:
    return Case("aten.einsum", {"tensors": list(shapes)}, by_letters(means or equation), None, {"equation": equation})


def each(function: Callable[[Any], Any], x: Array) -> Array:
    return np.vectorize(function, otypes=[object])(x)


def gelu(x: Any) -> Any:
    return 0.5 * (x * (1 + apply("erf", x * 0.7071)))


def linear(o: dict[str, Any]) -> Any:
    return np.matmul(o["input"], o["weight"].T)


PRODUCTS = [
    Case("aten.mm", {"self": (2, 3), "mat2": (3, 4)}, mm("self", "mat2")),
    Case(
        "aten._addmm_activation",
        {"self": (4,), "mat1": (2, 3), "mat2": (3, 4)},
        mm("mat1", "mat2"),
        lambda y, o: each(lambda x: apply("maximum", x, 0.0), y + o["self"]),
    ),
    Case(
        "aten._addmm_activation",
        {"self": (4,), "mat1": (2, 3), "mat2": (3, 4)},
        mm("mat1", "mat2"),
        lambda y, o: each(gelu, y + o["self"]),
        {"use_gelu": True},
    ),
    Case("aten.linalg_matmul", {"self": (5, 2, 3), "other": (3, 4)}, mm("self", "other")),
    Case("aten.mkldnn_linear", {"self": (2, 3), "weight": (4, 3)}, lambda o: np.matmul(o["self"], o["weight"].T)),
    Case("aten.addmm", {"self": (4,), "mat1": (2, 3), "mat2": (3, 4)}, mm("mat1", "mat2"), plus("self")),
    Case("aten.addmm", {"self": (2, 4), "mat1": (2, 3), "mat2": (3, 4)}, mm("mat1", "mat2"), plus("self")),
    Case("aten.bmm", {"self": (5, 2, 3), "mat2": (5, 3, 4)}, mm("self", "mat2")),
    Case(
        "aten.baddbmm",
        {"self": (5, 2, 4), "batch1": (5, 2, 3), "batch2": (5, 3, 4)},
        mm("batch1", "batch2"),
        plus("self"),
    ),
    Case(
        "aten.addbmm",
        {"self": (2, 4), "batch1": (5, 2, 3), "batch2": (5, 3, 4)},
        mm("batch1", "batch2"),
        lambda y, o: np.sum([o["self"], *y], axis=0),
    ),
    Case("aten.mv", {"self": (2, 3), "vec": (3,)}, mm("self", "vec")),
    Case("aten.addmv", {"self": (2,), "mat": (2, 3), "vec": (3,)}, mm("mat", "vec"), plus("self")),
    Case("aten.dot", {"self": (7,), "tensor": (7,)}, mm("self", "tensor")),
    Case("aten.vdot", {"self": (7,), "other": (7,)}, mm("self", "other")),
    *(
        Case("aten.matmul", {"self": a, "other": b}, mm("self", "other"))
        for a, b in [
            ((3,), (3,)),
            ((2, 3), (3,)),
            ((3,), (3, 4)),
            ((2, 3), (3, 4)),
            ((5, 2, 3), (3, 4)),
            ((5, 2, 3), (3,)),
            ((3,), (5, 3, 4)),
            ((2, 3), (5, 3, 4)),
            ((5, 2, 3), (5, 3, 4)),
            ((6, 1, 2, 3), (5, 3, 4)),
            ((6, 5, 2, 3), (1, 5, 3, 4)),
        ]
    ),
    *(
        case
        for shape in [(3,), (2, 3), (5, 2, 3)]
        for case in [
            Case("aten.linear", {"input": shape, "weight": (4, 3)}, linear),
            Case("aten.linear", {"input": shape, "weight": (4, 3), "bias": (4,)}, linear, plus("bias")),
        ]
    ),
    Case("aten._grouped_mm", {"self": (5, 3), "mat2": (3, 3, 4), "offs": (3,)}, grouped),
    Case(
        "transformers.grouped_mm_fallback",
        {"input": (5, 3), "weight": (3, 3, 4), "offs": (3,)},
        lambda o: grouped({"self": o["input"], "mat2": o["weight"]}),
    ),
    Case("aten._grouped_mm", {"self": (2, 5), "mat2": (5, 4), "offs": (2,)}, grouped_reduction),
    Case("aten._grouped_mm", {"self": (2, 3, 4), "mat2": (4, 5), "offs": (2,)}, grouped_columns),
    Case("aten._grouped_mm", {"self": (2, 3, 4), "mat2": (2, 4, 5)}, mm("self", "mat2")),
    written("ij,jk->ik", (2, 3), (3, 4)),
    written("bhid,bhjd->bhij", (2, 3, 4, 5), (2, 3, 2, 5)),
    written("bij,bjk", (2, 3, 4), (2, 4, 5), means="bij,bjk->ik"),  # nothing is said: b appears twice and is summed
    written(" i j , j k -> k i ", (2, 3), (3, 4), means="ij,jk->ki"),
    written("bii,bi->b", (2, 3, 3), (2, 3)),
    written("i,i->", (3,), (3,)),
    written("bi,bj,ijk->bk", (2, 3), (2, 4), (3, 4, 5)),
    written("bij,bjk->bik", (1, 2, 3), (5, 3, 4)),
    written("ii,ij->j", (3, 3), (3, 4)),
    written("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)),
    written("...ij,...jk->...ik", (6, 5, 2, 3), (6, 5, 3, 4), means="xyij,xyjk->xyik"),
    written("b...d,de->b...e", (2, 5, 6, 3), (3, 4), means="bxyd,de->bxye"),
    written("...d,d", (2, 5, 3), (3,), means="xyd,d->xy"),
    Case(
        "aten.einsum",
        {"tensors": [(5, 2, 3), (3, 4)]},
        lambda o: np.matmul(o["tensors"][0], o["tensors"][1]),
        None,
        {"equation": "...ij,jk->...ik"},
    ),
]


def arrays(tally: Tally, shapes: dict[str, Any]) -> dict[str, Any]:
    return {
        name: [numbers(tally, s, i) for i, s in enumerate(shape)] if isinstance(shape, list) else numbers(tally, shape)
        for name, shape in shapes.items()
    }


def tensors(shapes: dict[str, Any]) -> dict[str, Any]:
    return {name: [T(s) for s in shape] if isinstance(shape, list) else T(shape) for name, shape in shapes.items()}


def described(case: Case) -> str:
    shapes = "-".join(str(shape) for shape in case.shapes.values()).replace(" ", "")
    return f"{case.op.removeprefix('aten.')}-{case.attributes.get('equation', '').replace(' ', '')}{shapes}"


@pytest.mark.parametrize("case", PRODUCTS, ids=described)
def test_products(case: Case) -> None:
    tally = Tally("contraction")
    operands = arrays(tally, case.shapes)
    result = case.product(operands)
    if case.epilogue is not None:
        with tally.part("pointwise"):
            result = case.epilogue(result, operands)
    work = work_of(case.op, tensors(case.shapes) | case.attributes, T(np.shape(result)))
    assert work.contraction_flops == work.causal_flops == 2 * tally.multiplications > 0
    assert work.pointwise_flops == tally.pointwise
    # The machine models see dimensions only: they must say the same.
    d = work.dimensions
    if case.op != "aten.einsum" and "offs" not in case.shapes:
        assert 2 * d["batch"] * d["m"] * d["n"] * d["k"] == work.contraction_flops


def test_a_sum_written_as_einsum_is_a_reduction() -> None:
    tally = Tally()
    np.sum(numbers(tally, (3, 4)), axis=1, initial=numbers(tally, ()).item())
    work = work_of("aten.einsum", {"equation": "ij->i", "tensors": [T((3, 4))]}, T((3,)))
    assert (work.kind, work.contraction_flops, work.pointwise_flops) == ("reduction", 0, tally.pointwise)
    trace = Tally()
    np.sum(np.diagonal(numbers(trace, (4, 4))), initial=numbers(trace, ()).item())
    work = work_of("aten.einsum", {"equation": "ii", "tensors": [T((4, 4))]}, T(()))
    assert (work.kind, work.contraction_flops, work.pointwise_flops) == ("reduction", 0, trace.pointwise)


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("i,j->ij", [(3,), (4,)]),
        ("bi,bi->bi", [(2, 3), (2, 3)]),
        ("ij,k->ik", [(2, 3), (4,)]),  # j belongs to one operand alone: it is summed first
        ("ij,jk->ik", [(2, 1), (3, 4)]),  # and so it is where the other has one element of it
    ],
)
def test_an_einsum_without_a_sum_is_a_product_of_elements(equation: str, shapes: list[tuple[int, ...]]) -> None:
    tally = Tally("contraction")
    result = einsum(equation, *(numbers(tally, s) for s in shapes))
    work = work_of("aten.einsum", {"equation": equation, "tensors": [T(s) for s in shapes]}, T(result.shape))
    assert (work.kind, work.contraction_flops, work.pointwise_flops) == ("pointwise", 0, tally.pointwise)
    assert tally.pointwise >= result.size


@pytest.mark.parametrize(("equation", "result"), [("ij->ji", (4, 4)), ("ii->i", (4,)), ("i...->...i", (4, 4))])
def test_an_einsum_that_only_turns_around_is_a_view(equation: str, result: tuple[int, ...]) -> None:
    work = work_of("aten.einsum", {"equation": equation, "tensors": [T((4, 4))]}, T(result))
    assert (work.kind, work.pointwise_flops, work.bytes_read, work.bytes_written) == ("free", 0, 0, 0)


@pytest.mark.parametrize("equation", ["ij,jk->ik", "ijk->i", "i->i", "...ijk->i"])
def test_an_einsum_that_does_not_fit_is_refused(equation: str) -> None:
    with pytest.raises(ValueError, match=r"einsum '.*' with 1 operands cannot be parsed; expected one letter per"):
        work_of("aten.einsum", {"equation": equation, "tensors": [T((3, 4))]}, T((3,)))


def test_every_row_is_among_the_cases() -> None:
    assert {rule.op for rule in _core.rules() if rule.family == "contraction"} == {case.op for case in PRODUCTS}
