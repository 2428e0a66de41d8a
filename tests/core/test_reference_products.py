"""Recurrent layers, three-operand products and deformed convolutions compared with counting definitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.reference import Array, Tally, apply, convolution, einsum, numbers
from support.reference_elements import sigmoid
from support.single_node import FLOAT32, T, work_of

from pyinfercost import _core

STEPS, BATCH, INPUTS, UNITS = 3, 2, 4, 5


def each(function: Callable[[Any], Any], x: Array) -> Array:
    return np.vectorize(function, otypes=[object])(x)


def products(tally: Tally, x: Array, weight: Array, bias: Array | None) -> Array:
    with tally.part("contraction"):
        result = np.matmul(x, weight.T)
    return result if bias is None else result + bias


def lstm_step(a: Array, b: Array, h: Array, c: Array) -> tuple[Array, Array]:
    i, f, g, o = np.split(a + b, 4, axis=1)
    c = each(sigmoid, f) * c + each(sigmoid, i) * each(lambda v: apply("tanh", v), g)
    return each(sigmoid, o) * each(lambda v: apply("tanh", v), c), c


def gru_step(a: Array, b: Array, h: Array, c: Array) -> tuple[Array, Array]:
    (ar, az, an), (br, bz, bn) = np.split(a, 3, axis=1), np.split(b, 3, axis=1)
    r, z = each(sigmoid, ar + br), each(sigmoid, az + bz)
    n = each(lambda v: apply("tanh", v), an + r * bn)
    return (1 - z) * n + z * h, c


def simple_step(a: Array, b: Array, h: Array, c: Array) -> tuple[Array, Array]:
    return each(lambda v: apply("tanh", v), a + b), c


CELLS: dict[str, tuple[int, Callable[..., tuple[Array, Array]]]] = {
    "lstm": (4, lstm_step),
    "gru": (3, gru_step),
    "rnn_tanh": (1, simple_step),
    "rnn_relu": (1, simple_step),
}


def weights_of(gates: int, inputs: int, bias: bool, projection: int = 0) -> list[tuple[int, ...]]:
    state = projection or UNITS
    shapes: list[tuple[int, ...]] = [(gates * UNITS, inputs), (gates * UNITS, state)]
    shapes += [(gates * UNITS,)] * 2 if bias else []
    return shapes + ([(projection, UNITS)] if projection else [])


def run(tally: Tally, kind: str, steps: int, inputs: int, bias: bool, projection: int = 0) -> None:
    """One layer in one direction."""
    gates, step = CELLS[kind]
    w = [numbers(tally, shape, i) for i, shape in enumerate(weights_of(gates, inputs, bias, projection))]
    h, c = numbers(tally, (BATCH, projection or UNITS)), numbers(tally, (BATCH, UNITS))
    for _ in range(steps):
        x = numbers(tally, (BATCH, inputs))
        h, c = step(
            products(tally, x, w[0], w[2] if bias else None), products(tally, h, w[1], w[3] if bias else None), h, c
        )
        if projection:
            h = products(tally, h, w[-1], None)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(("layers", "directions"), [(1, 1), (2, 1), (2, 2)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", CELLS)
def test_recurrent_layers(kind: str, bias: bool, layers: int, directions: int, batch_first: bool) -> None:
    tally, gates = Tally(), CELLS[kind][0]
    shapes: list[tuple[int, ...]] = []
    for layer in range(layers):
        inputs = INPUTS if layer == 0 else UNITS * directions
        for _ in range(directions):
            run(tally, kind, STEPS, inputs, bias)
            shapes += weights_of(gates, inputs, bias)
    state = T((layers * directions, BATCH, UNITS))
    states = [state] * (2 if kind == "lstm" else 1)
    lead = (BATCH, STEPS) if batch_first else (STEPS, BATCH)
    flags = {"num_layers": layers, "bidirectional": directions == 2, "batch_first": batch_first}
    given: dict[str, Any] = {"input": T((*lead, INPUTS)), "hx": states if kind == "lstm" else state}
    params = {"params": [T(s) for s in shapes]}
    work = work_of(f"aten.{kind}.input", given | params | flags, T((*lead, directions * UNITS)), *states)
    assert work.contraction_flops == 2 * tally.multiplications > 0
    assert work.pointwise_flops == tally.pointwise
    assert (work.dimensions["batch"], work.dimensions["m"]) == (STEPS * layers * directions, BATCH)
    # Packed sequences have the same rows without padding; the library's call has a number for the cell.
    rows = STEPS * BATCH
    packed = {"data": T((rows, INPUTS)), "batch_sizes": T((STEPS,), "int64"), "hx": given["hx"]}
    same = work_of(f"aten.{kind}.data", packed | params | flags, T((rows, directions * UNITS)), *states)
    assert (same.contraction_flops, same.pointwise_flops) == (work.contraction_flops, work.pointwise_flops)
    mode = ["rnn_relu", "rnn_tanh", "lstm", "gru"].index(kind)
    for op in ("aten._cudnn_rnn", "aten.miopen_rnn"):
        library = {"input": given["input"], "weight": params["params"], "hx": state, "mode": mode} | flags
        same = work_of(op, library, T((*lead, directions * UNITS)), *states)
        assert (same.contraction_flops, same.pointwise_flops) == (work.contraction_flops, work.pointwise_flops)
    between = (layers - 1) * rows * directions * UNITS
    moved = rows * INPUTS + len(states) * layers * directions * BATCH * UNITS + sum(int(np.prod(s)) for s in shapes)
    assert work.bytes_read == FLOAT32 * (moved + between)


def test_projected_lstm() -> None:
    tally = Tally()
    run(tally, "lstm", STEPS, INPUTS, True, 3)
    given: dict[str, Any] = {
        "input": T((STEPS, BATCH, INPUTS)),
        "hx": [T((1, BATCH, 3)), T((1, BATCH, UNITS))],
        "params": [T(s) for s in weights_of(4, INPUTS, True, 3)],
    }
    work = work_of("aten.lstm.input", given | {"num_layers": 1}, T((STEPS, BATCH, 3)))
    assert work.contraction_flops == 2 * tally.multiplications
    assert work.pointwise_flops == tally.pointwise


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", CELLS)
def test_recurrent_cells(kind: str, bias: bool) -> None:
    tally = Tally()
    run(tally, kind, 1, INPUTS, bias)
    shapes = weights_of(CELLS[kind][0], INPUTS, bias)
    names = ["w_ih", "w_hh", "b_ih", "b_hh"]
    given = {name: T(shape) for name, shape in zip(names, shapes, strict=False)}
    work = work_of(f"aten.{kind}_cell", {"input": T((BATCH, INPUTS))} | given, T((BATCH, UNITS)))
    assert (work.contraction_flops, work.pointwise_flops) == (2 * tally.multiplications, tally.pointwise)
    if kind in {"lstm", "gru"}:
        gates = T((BATCH, CELLS[kind][0] * UNITS))
        biases = {"input_bias": T(shapes[-1]), "hidden_bias": T(shapes[-1])} if bias else {}
        fused = {"input_gates": gates, "hidden_gates": gates, "cx" if kind == "lstm" else "hx": T((BATCH, UNITS))}
        work = work_of(f"aten._thnn_fused_{kind}_cell", fused | biases, T((BATCH, UNITS)))
        assert (work.contraction_flops, work.pointwise_flops) == (0, tally.pointwise)


@pytest.mark.parametrize("bias", [True, False])
def test_mkldnn_layer(bias: bool) -> None:
    """One layer and one direction of two and two; without biases it still gets zeros for them."""
    tally = Tally()
    run(tally, "lstm", STEPS, INPUTS, bias)
    given: dict[str, Any] = {f"weight{i}": T(s) for i, s in enumerate(weights_of(4, INPUTS, True))}
    given |= {"input": T((STEPS, BATCH, INPUTS)), "mode": 2, "num_layers": 2, "bidirectional": True}
    work = work_of("aten.mkldnn_rnn_layer", given | {"has_biases": bias}, T((STEPS, BATCH, UNITS)))
    assert (work.contraction_flops, work.pointwise_flops) == (2 * tally.multiplications, tally.pointwise)


def test_weights_that_do_not_fit_are_refused() -> None:
    given = {"input": T((3, 2, 4)), "hx": T((2, 2, 5)), "params": [T((5, 4))], "num_layers": 2}
    with pytest.raises(ValueError, match="1 weight matrices; expected two or three per layer and direction"):
        work_of("aten.rnn_tanh.input", given, T((3, 2, 5)))


# ---- products --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
def test_bilinear(bias: bool) -> None:
    tally = Tally()
    pairs = einsum("ni,nj->nij", numbers(tally, (3, 4)), numbers(tally, (3, 5)))
    with tally.part("contraction"):
        result = einsum("nij,oij->no", pairs, numbers(tally, (2, 4, 5)))
    shapes = {"input1": T((3, 4)), "input2": T((3, 5)), "weight": T((2, 4, 5))}
    if bias:
        result = result + numbers(tally, (2,))
    work = work_of("aten.bilinear", shapes | ({"bias": T((2,))} if bias else {}), T(result.shape))
    assert (work.contraction_flops, work.pointwise_flops) == (2 * tally.multiplications, tally.pointwise)
    if not bias:
        lists = {"expand1": [1, 3], "expand2": [0], "expand3": [1, 2], "sumdim": [2, 3]}
        three = {"i1": shapes["input1"], "i2": shapes["weight"], "i3": shapes["input2"]}
        taken_apart = work_of("aten._trilinear", three | lists, T(result.shape))
        assert taken_apart.contraction_flops == work.contraction_flops
        assert taken_apart.pointwise_flops == work.pointwise_flops
        assert taken_apart.dimensions == work.dimensions


@pytest.mark.parametrize(
    ("op", "equation", "shapes", "given"),
    [
        ("inner", "abk,ck->abc", {"self": (2, 3, 4), "other": (5, 4)}, {}),
        ("tensordot", "aij,jib->ab", {"self": (2, 3, 4), "other": (4, 3, 5)}, {"dims_self": [1, 2]}),
    ],
)
def test_sums_of_products(op: str, equation: str, shapes: dict[str, Any], given: dict[str, Any]) -> None:
    tally = Tally("contraction")
    result = einsum(equation, *(numbers(tally, s) for s in shapes.values()))
    work = work_of(f"aten.{op}", {name: T(s) for name, s in shapes.items()} | given, T(result.shape))
    assert (work.contraction_flops, work.pointwise_flops) == (2 * tally.multiplications, 0)


@pytest.mark.parametrize(("op", "name"), [("chain_matmul", "matrices"), ("linalg_multi_dot", "tensors")])
def test_chains(op: str, name: str) -> None:
    tally = Tally("contraction")
    shapes = [(2, 3), (3, 4), (4, 5)]
    result = einsum("ij,jk,kl->il", *(numbers(tally, s) for s in shapes))
    work = work_of(f"aten.{op}", {name: [T(s) for s in shapes]}, T(result.shape))
    assert work.contraction_flops == 2 * tally.multiplications


def crossed(a: Array, b: Array) -> Array:
    return np.array([a[(i + 1) % 3] * b[(i + 2) % 3] - a[(i + 2) % 3] * b[(i + 1) % 3] for i in range(3)])


OUTER: dict[str, tuple[dict[str, tuple[int, ...]], Callable[..., Array]]] = {
    **dict.fromkeys(("outer", "ger"), ({"self": (2,), "vec2": (3,)}, np.multiply.outer)),
    "addr": ({"self": (2, 3), "vec1": (2,), "vec2": (3,)}, lambda s, a, b: s + np.multiply.outer(a, b)),
    "kron": ({"self": (2, 3), "other": (4, 5)}, np.multiply.outer),
    **dict.fromkeys(("cross", "linalg_cross"), ({"self": (3,), "other": (3,)}, crossed)),
}


@pytest.mark.parametrize("op", OUTER)
def test_outer_products(op: str) -> None:
    tally = Tally()
    shapes, function = OUTER[op]
    result = function(*(numbers(tally, s) for s in shapes.values()))
    work = work_of(f"aten.{op}", {name: T(s) for name, s in shapes.items()}, T((result.size,)))
    assert (work.contraction_flops, work.pointwise_flops) == (0, tally.pointwise)


def test_every_row_is_among_the_cases() -> None:
    tested = {f"aten.{op}" for op in OUTER}
    tested |= {f"aten.{op}" for op in ("bilinear", "_trilinear", "inner", "tensordot", "chain_matmul")}
    assert {r.op for r in _core.rules() if r.family == "multilinear"} == tested | {"aten.linalg_multi_dot"}


@pytest.mark.parametrize("mask", [True, False])
def test_deformed_convolution(mask: bool) -> None:
    tally = Tally("contraction")
    x, weight = numbers(tally, (1, 2, 4, 4)), numbers(tally, (3, 2, 3, 3))
    options: dict[str, Any] = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    result = convolution(x, weight, **options)
    with tally.part("pointwise"):
        for _ in range(2 * 9 * 16):  # channels, window, positions: a mean of four neighbors, and its share
            sample = np.dot(numbers(tally, (4,)), np.full(4, 0.25))
            _ = sample * 0.5 if mask else sample
        result = result + numbers(tally, (3, 1, 1))
    given: dict[str, Any] = {"input": T(x.shape), "weight": T(weight.shape), "offset": T((1, 18, 4, 4))}
    given |= {"mask": T((1, 9, 4, 4)), "bias": T((3,)), "groups": 1, "use_mask": mask}
    work = work_of("torchvision.deform_conv2d", given, T(result.shape))
    assert (work.contraction_flops, work.pointwise_flops) == (2 * tally.multiplications, tally.pointwise)
    offsets = 18 * 16 + (9 * 16 if mask else 0)
    assert work.bytes_read == FLOAT32 * (x.size + weight.size + offsets + 3)
