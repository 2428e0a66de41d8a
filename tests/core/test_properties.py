"""Properties that hold for any expression and any graph."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

import pyinfercost as ic

SUMMED = ("contraction_flops", "causal_flops", "pointwise_flops", "bytes_read", "bytes_written")

# The same examples every time, few of them: these laws are also checked by every other test.
law = partial(settings, derandomize=True, deadline=None, database=None)

# ---- expressions -----------------------------------------------------------------------------------------------------

NAMES = ("a", "b", "c")
Pair = tuple[ic.Expr, Callable[[dict[str, int]], int]]  # an expression, and the same in Python's integers

small = st.integers(-20, 20)
leaves: st.SearchStrategy[Pair] = st.one_of(
    small.map(lambda n: (ic.Expr(n), lambda _: n)),
    st.sampled_from(NAMES).map(lambda name: (ic.Expr.size(name), lambda sizes: sizes[name])),
)


def joined(children: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    def join(pair: tuple[tuple[Any, Any], Pair, Pair]) -> Pair:
        (core, python), (left, left_value), (right, right_value) = pair
        return core(left, right), lambda sizes: python(left_value(sizes), right_value(sizes))

    def divide(pair: tuple[tuple[Any, Any], Pair, int]) -> Pair:
        (core, python), (left, left_value), divisor = pair
        return core(left, divisor), lambda sizes: python(left_value(sizes), divisor)

    def by_size(pair: tuple[tuple[Any, Any], Pair, str]) -> Pair:
        (core, python), (left, left_value), name = pair
        return core(left, ic.Expr.size(name)), lambda sizes: python(left_value(sizes), sizes[name])

    pairs = [
        (operator.add, operator.add),
        (operator.sub, operator.sub),
        (operator.mul, operator.mul),
        (ic.Expr.maximum, max),
        (ic.Expr.minimum, min),
    ]
    divisions = [
        (operator.floordiv, operator.floordiv),
        (operator.mod, operator.mod),
        (ic.Expr.ceil_div, lambda a, b: -(-a // b)),
    ]
    return st.one_of(
        st.tuples(st.sampled_from(pairs), children, children).map(join),
        st.tuples(st.sampled_from(divisions), children, st.integers(1, 12)).map(divide),
        st.tuples(st.sampled_from(divisions), children, st.sampled_from(NAMES)).map(by_size),
    )


expressions = st.recursive(leaves, joined, max_leaves=6)
size_values = st.fixed_dictionaries({name: st.integers(1, 50) for name in NAMES})


@law(max_examples=examples(400))
@given(expressions, size_values)
def test_expressions_are_integers(pair: Pair, sizes: dict[str, int]) -> None:
    expression, python = pair
    expected = python(sizes)
    assert expression.evaluate(sizes) == expected
    assert ic.Expr(str(expression)) == expression
    assert ic.Expr(str(expression)).evaluate(sizes) == expected
    bound = expression.substitute(sizes)
    assert bound.is_constant
    assert int(bound) == expected
    first = expression.substitute({"a": sizes["a"]})
    assert "a" not in first.names
    assert first.evaluate(sizes) == expected
    columns = {name: np.array([value, 1], dtype=np.int64) for name, value in sizes.items()}
    assert expression.evaluate_columns(columns).tolist() == [expected, python(dict.fromkeys(NAMES, 1))]


@law(max_examples=examples(150))
@given(expressions, expressions, expressions)
def test_the_algebra_of_expressions(a: Pair, b: Pair, c: Pair) -> None:
    x, y, z = a[0], b[0], c[0]
    for left, right in (
        (x + y, y + x),
        (x * y, y * x),
        ((x + y) + z, x + (y + z)),
        (x * (y + z), x * y + x * z),
        (x - x, ic.Expr(0)),
        (ic.Expr.maximum(x, y), ic.Expr.maximum(y, x)),
        (ic.Expr.minimum(x, x), x),
    ):
        assert left == right
        assert hash(left) == hash(right)
    if x == y:
        assert hash(x) == hash(y)


@law(max_examples=examples(100))
@given(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([operator.add, operator.sub, operator.mul]),
)
def test_exact_or_an_error_never_wrapped(a: int, b: int, op: Callable[[Any, Any], Any]) -> None:
    exact = op(a, b)
    if -(2**63) <= exact < 2**63:
        assert int(op(ic.Expr(a), b)) == exact
    else:
        with pytest.raises(OverflowError):
            op(ic.Expr(a), b)


@given(st.integers(-(2**63), 2**63 - 1))
@law(max_examples=examples(50))
def test_a_constant_is_its_integer(n: int) -> None:
    assert ic.Expr(n) == n
    assert hash(ic.Expr(n)) == hash(n)
    assert {n: "found"}[ic.Expr(n)] == "found"  # type: ignore[index]


# ---- graphs ----------------------------------------------------------------------------------------------------------

Step = tuple[str, int]
steps = st.tuples(st.sampled_from(["linear", "relu", "softmax", "view", "clone", "relu_"]), st.sampled_from([4, 8, 16]))


def branch(
    builder: ic.GraphBuilder, x: ic._core.TensorId, width: int, rows: Any, path: list[Step], name: str
) -> Callable[[], ic._core.TensorId]:
    """Declares the tensors of a branch; the returned function adds its nodes."""
    calls: list[tuple[str, dict[str, Any], ic._core.TensorId]] = []
    for number, (op, n) in enumerate(path):
        if op == "linear":
            weight = builder.tensor("float32", (n, width), role="parameter", name=f"{name}.{number}.weight")
            arguments, width = {"input": x, "weight": weight}, n
        else:
            arguments = {"self": x}
        x_next = builder.tensor("float32", (rows, width))
        calls.append((op, arguments, x_next))
        x = x_next

    def add() -> ic._core.TensorId:
        for number, (op, arguments, y) in enumerate(calls):
            builder.node(f"aten.{op}", arguments, [y], module=f"{name}.{number}")
        return x

    return add


def two_branches(left: list[Step], right: list[Step], *, swapped: bool = False) -> ic.Graph:
    """Independent branches on two inputs, in either order."""
    builder = ic.GraphBuilder()
    rows = builder.size("batch", default=1)
    x, y = (builder.tensor("float32", (rows, 8), role="input", name=n) for n in "xy")
    adds = [branch(builder, x, 8, rows, left, "left"), branch(builder, y, 8, rows, right, "right")]
    results = [add() for add in (reversed(adds) if swapped else adds)]
    return builder.build([x, y], results)


def picked(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in SUMMED}


paths = st.lists(steps, min_size=1, max_size=6)


@law(max_examples=examples(60))
@given(paths, paths, st.integers(1, 100))
def test_a_graph_is_the_sum_of_its_parts(left: list[Step], right: list[Step], batch: int) -> None:
    counts = ic.count(two_branches(left, right), batch=batch)
    for rows in ([x.row for x in counts.layers], list(counts.by_op().values()), list(counts.by_module(1).values())[1:]):
        assert {name: sum(getattr(row, name) for row in rows) for name in SUMMED} == picked(counts.total)
    assert counts.memory.peak_activation_bytes == max(counts.memory.timeline)


@law(max_examples=examples(60))
@given(paths, paths, st.integers(1, 100))
def test_the_order_of_independent_branches_does_not_matter(left: list[Step], right: list[Step], batch: int) -> None:
    straight = ic.count(two_branches(left, right), batch=batch)
    swapped = ic.count(two_branches(left, right, swapped=True), batch=batch)
    assert picked(straight.total) == picked(swapped.total)
    assert straight.total.parameters == swapped.total.parameters
    for by in ("by_op", "by_module"):
        a, b = getattr(straight, by)(), getattr(swapped, by)()
        assert {key: picked(row) for key, row in a.items()} == {key: picked(row) for key, row in b.items()}


@law(max_examples=examples(60))
@given(paths, st.integers(1, 1000), st.integers(2, 9))
def test_work_is_linear_in_the_batch(path: list[Step], batch: int, times: int) -> None:
    graph = two_branches(path, path)
    one, many = ic.count(graph, batch=batch).total, ic.count(graph, batch=times * batch).total
    for name in ("contraction_flops", "causal_flops", "pointwise_flops", "bytes_written", "peak_activation_bytes"):
        assert getattr(many, name) == times * getattr(one, name)
    # Weights are read once, whatever the batch.
    weights = one.bytes_by_role["weight_read"]
    assert many.bytes_by_role["weight_read"] == weights == one.parameter_bytes
    assert many.bytes_read - weights == times * (one.bytes_read - weights)


@law(max_examples=examples(40))
@given(paths, paths, st.integers(1, 50), st.sampled_from(ic._core.executions()))
def test_plans_conserve_work(left: list[Step], right: list[Step], batch: int, execution: str) -> None:
    graph = two_branches(left, right)
    total = ic.count(graph, batch=batch).total
    kernels = ic._core.plan(graph, {"batch": batch}, execution=execution).kernels()
    planned = {name: sum(getattr(k["work"], name) * len(k["launches"]) for k in kernels) for name in SUMMED}
    assert {n: planned[n] for n in SUMMED[:3]} == {n: getattr(total, n) for n in SUMMED[:3]}
    assert all(planned[n] <= getattr(total, n) for n in SUMMED[3:])
    assert all(k["work"].bytes_read >= 0 <= k["work"].bytes_written for k in kernels)


@law(max_examples=examples(40))
@given(paths, paths)
def test_json_keeps_any_graph(left: list[Step], right: list[Step]) -> None:
    graph = two_branches(left, right)
    assert ic.Graph.from_json(graph.to_json()) == graph
