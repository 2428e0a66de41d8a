"""The graph rewriter: inserted, replaced and removed nodes, changed tensors, bound sizes, lifetimes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import pyinfercost as ic
from pyinfercost._core import GraphRewriter, TensorId

X, WEIGHT, HIDDEN, RESULT = range(4)
LINEAR, RELU = range(2)


def small(*, held_until: list[int | None] | None = None) -> ic.Graph:
    """x [batch, 6] -> linear with weight [4, 6] -> relu."""
    builder = ic.GraphBuilder("small")
    batch = builder.size("batch", default=2)
    x = builder.tensor("float32", (batch, 6), role="input", name="x")
    weight = builder.tensor("float32", (4, 6), role="parameter", name="a.weight")
    hidden = builder.tensor("float32", (batch, 4))
    result = builder.tensor("float32", (batch, 4))
    builder.node(
        "aten.linear.default", {"input": x, "weight": weight, "bias": None}, [hidden], module="a", source="m:1"
    )
    builder.node("aten.relu.default", {"self": hidden}, [result], module="b", source="m:2")
    return builder.build([x], [result], held_until=held_until)


def ops(graph: ic.Graph) -> list[str]:
    return [node.op for node in graph.nodes]


def test_nothing_changed_is_the_same_graph() -> None:
    graph = small(held_until=[0, None, 1, 1])
    assert GraphRewriter(graph).build() == graph


def test_nodes_go_before_and_after_others_in_the_order_of_calls() -> None:
    rewriter = GraphRewriter(small())
    first = rewriter.tensor("float16", rewriter.shape(HIDDEN))
    second = rewriter.tensor("float32", rewriter.shape(HIDDEN))
    third = rewriter.tensor("float32", rewriter.shape(RESULT))
    rewriter.insert_before(RELU, "aten._to_copy.default", {"self": TensorId(HIDDEN)}, [first])
    rewriter.insert_before(RELU, "aten.neg.default", {"self": first}, [second])
    rewriter.replace_operands(RELU, {HIDDEN: second})
    rewriter.insert_after(RELU, "aten.abs.default", {"self": TensorId(RESULT)}, [third])
    graph = rewriter.build()
    assert ops(graph) == ["aten.linear", "aten._to_copy", "aten.neg", "aten.relu", "aten.abs"]
    assert [(node.module, node.source) for node in graph.nodes] == [("a", "m:1")] + [("b", "m:2")] * 4
    assert graph.node(3).operands == [second.index]
    assert [t.dtype for t in graph.tensors[4:]] == ["float16", "float32", "float32"]
    assert graph.tensor(first.index).strides == (4, 1)


def test_a_node_is_replaced_by_several() -> None:
    rewriter = GraphRewriter(small())
    narrow = rewriter.tensor("int8", (4, 6), role="parameter", name="a.weight.int8", logical_numel=24)
    rewriter.replace(LINEAR, "pyinfercost.linear_weight_only.default", {"input": TensorId(X), "weight": narrow})
    flat = rewriter.tensor("float32", rewriter.shape(RESULT))
    rewriter.remove(RELU)
    rewriter.insert_before(RELU, "aten.exp.default", {"self": TensorId(HIDDEN)}, [flat])
    rewriter.insert_before(RELU, "aten.log.default", {"self": flat}, [TensorId(RESULT)])
    rewriter.drop_if_unread(WEIGHT)
    graph = rewriter.build()
    assert ops(graph) == ["pyinfercost.linear_weight_only", "aten.exp", "aten.log"]
    assert [t.name for t in graph.tensors] == ["x", "", "", "a.weight.int8", ""]  # the old weight is gone
    assert graph.node(0).module == "a"
    assert graph.outputs[0].index == graph.node(2).results[0]
    total = ic.count(graph, batch=3).total
    assert total.contraction_flops == 2 * 3 * 4 * 6
    assert (total.parameters, total.parameter_bytes) == (24, 24)


def test_an_argument_is_set_or_added() -> None:
    rewriter = GraphRewriter(small())
    bias = rewriter.tensor("float32", (4,), role="parameter", name="a.bias")
    rewriter.set_argument(LINEAR, "bias", bias)
    rewriter.set_argument(RELU, "sizes", [-1, ic.Expr.size("batch"), 3])
    graph = rewriter.build()
    assert list(graph.node(LINEAR).args) == ["input", "weight", "bias"]
    assert graph.node(LINEAR).operand("bias") == bias.index
    assert graph.node(RELU).argument("sizes") == [-1, ic.Expr.size("batch"), 3]


def test_all_readers_of_a_tensor_are_redirected() -> None:
    builder = ic.GraphBuilder("readers")
    x = builder.tensor("float32", (3,), role="input", name="x")
    y, z, w = (builder.tensor("float32", (3,)) for _ in range(3))
    builder.node("aten.exp.default", {"self": x}, [y])
    builder.node("aten.stack.default", {"tensors": [y, None, y]}, [z])
    builder.node("aten.relu_.default", {"self": y}, [y])  # in place
    builder.node("aten.add.Tensor", {"self": y, "other": z}, [w])
    rewriter = GraphRewriter(builder.build([x], [w, y]))
    wide = rewriter.tensor("float64", (3,))
    rewriter.insert_after(0, "aten._to_copy.default", {"self": y}, [wide])
    rewriter.redirect(y, wide)
    graph = rewriter.build()
    assert [node.operands for node in graph.nodes] == [[0], [1], [4, 4], [4], [4, 2]]
    assert graph.node(3).results == [4]
    assert [t.index for t in graph.outputs] == [3, 4]


def test_lengths_and_strides_may_be_in_a_new_size() -> None:
    rewriter = GraphRewriter(small())
    width = rewriter.size("width", default=4, role="channel")
    batch = ic.Expr.size("batch")
    rewriter.guard(width, "<=", 8)
    rewriter.set_shape(WEIGHT, (width, 6))
    for t in (HIDDEN, RESULT):
        rewriter.set_shape(t, (batch, width), strides=(1, batch))
    rewriter.set_dtype(RESULT, "float16")
    graph = rewriter.build()
    assert graph.sizes["width"] == {"default": 4, "minimum": 1, "maximum": None, "role": "channel"}
    assert graph.guards == ["width <= 8"]
    assert graph.tensor(WEIGHT).strides == (6, 1)
    assert graph.tensor(RESULT).strides == (1, batch)
    assert graph.tensor(RESULT).dtype == "float16"
    assert ic.count(graph, batch=5, width=3).total.contraction_flops == 2 * 5 * 3 * 6
    with pytest.raises(ValueError, match="holds only where width <= 8"):
        ic.count(graph, batch=5, width=9)


def test_numbers_take_the_place_of_sizes() -> None:
    builder = ic.GraphBuilder("sizes")
    n, m = builder.size("n", default=2), builder.size("m", default=3, maximum=9)
    builder.guard(n * m, ">=", 4)
    builder.guard(m, ">=", 2)
    kept = builder.size("rows.nonzero", default=n, maximum=n * m, origin="rows of a mask", minimum=0)
    x = builder.tensor("float32", (n, m, kept), role="input", name="x")
    y = builder.tensor("float32", (n * m, kept), strides=(1, n * m))
    builder.node("aten.view.default", {"self": x, "size": [n * m, -1], "one": m - 4, "two": [m, 7]}, [y])
    rewriter = GraphRewriter(builder.build([x], [y]))
    rewriter.bind({"m": 3})
    graph = rewriter.build()
    assert list(graph.sizes) == ["n", "rows.nonzero"]
    assert graph.sizes["rows.nonzero"]["maximum"] == 3 * n
    assert graph.guards == ["3*n >= 4"]  # that of m alone is settled
    assert graph.tensor(0).shape == (n, 3, kept)
    assert graph.tensor(1).strides == (1, 3 * n)
    node = graph.node(0)
    assert (node.argument("size"), node.argument("one"), node.argument("two")) == ([3 * n, -1], -1, [3, 7])
    assert ic.Graph.from_json(graph.to_json()) == graph


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"m": 10}, "size 'm' is 10; expected at least 1 and at most 9"),
        ({"k": 1}, "unknown size 'k'; this graph has: m"),
        ({"m": 3}, "holds only where m != 3, got m=3"),
    ],
)
def test_a_size_takes_no_number_that_the_graph_refuses(values: dict[str, int], message: str) -> None:
    builder = ic.GraphBuilder("sizes")
    m = builder.size("m", default=4, maximum=9)
    builder.guard(m, "!=", 3)
    x = builder.tensor("float32", (m,), role="input")
    rewriter = GraphRewriter(builder.build([x], [x]))
    with pytest.raises(ValueError, match=message):
        rewriter.bind(values)


# ---- lifetimes -------------------------------------------------------------------------------------------------------


def test_lifetimes_move_with_their_nodes() -> None:
    rewriter = GraphRewriter(small(held_until=[0, None, 1, 1]))
    copy = rewriter.tensor("float16", rewriter.shape(HIDDEN))
    rewriter.insert_before(LINEAR, "aten._to_copy.default", {"self": TensorId(X)}, [copy])
    # x was let go of at the first node, which is the second now.
    assert rewriter.build().held_until == [1, None, 2, 2, None]


def test_a_lifetime_lasts_as_long_as_the_tensor_is_read() -> None:
    rewriter = GraphRewriter(small(held_until=[0, None, 1, 1]))
    again = rewriter.tensor("float32", rewriter.shape(X))
    rewriter.insert_after(RELU, "aten.exp.default", {"self": TensorId(X)}, [again])
    assert rewriter.build().held_until == [2, None, 1, 1, None]


def test_a_tensor_that_goes_takes_its_lifetime_along() -> None:
    rewriter = GraphRewriter(small(held_until=[0, 1, 1, 1]))
    narrow = rewriter.tensor("int8", (4, 6), role="parameter")
    rewriter.replace_operands(LINEAR, {WEIGHT: narrow})
    rewriter.drop_if_unread(WEIGHT)
    assert rewriter.build().held_until == [0, 1, 1, None]


def test_a_tensor_that_is_no_result_anymore_lives_until_its_last_use() -> None:
    rewriter = GraphRewriter(small(held_until=[0, None, 1, 1]))
    narrow = rewriter.tensor("float16", rewriter.shape(RESULT))
    rewriter.insert_after(RELU, "aten._to_copy.default", {"self": TensorId(RESULT)}, [narrow])
    rewriter.redirect(RESULT, narrow)
    graph = rewriter.build()
    assert [t.index for t in graph.outputs] == [narrow.index]
    assert graph.held_until == [0, None, 1, None, None]


# ---- what goes -------------------------------------------------------------------------------------------------------


def test_what_is_read_or_returned_stays() -> None:
    rewriter = GraphRewriter(small())
    for t in (X, WEIGHT, HIDDEN, RESULT):
        rewriter.drop_if_unread(t)
    assert rewriter.build() == small()


def test_a_view_goes_with_its_weight() -> None:
    builder = ic.GraphBuilder("view")
    x = builder.tensor("float32", (2, 6), role="input", name="x")
    weight = builder.tensor("float32", (4, 6), role="parameter", name="w")
    view = builder.tensor("float32", (6, 4), strides=(1, 6))
    y = builder.tensor("float32", (2, 4))
    builder.node("aten.t.default", {"self": weight}, [view])
    builder.node("aten.mm.default", {"self": x, "mat2": view}, [y])
    rewriter = GraphRewriter(builder.build([x], [y]))
    other = rewriter.tensor("float32", (6, 4), role="parameter", name="other")
    rewriter.replace_operands(1, {view.index: other})
    rewriter.drop_if_unread(weight)  # before the view that reads it
    rewriter.drop_if_unread(view)
    graph = rewriter.build()
    assert ops(graph) == ["aten.mm"]
    assert [t.name for t in graph.tensors] == ["x", "", "other"]
    assert graph.node(0).operands == [0, 2]


def test_results_without_a_maker_and_a_reader_go_with_a_removed_node() -> None:
    rewriter = GraphRewriter(small())
    rewriter.redirect(RESULT, HIDDEN)
    rewriter.remove(RELU)
    graph = rewriter.build()
    assert ops(graph) == ["aten.linear"]
    assert graph.tensor_count == 3
    assert graph.outputs[0].index == HIDDEN


# ---- roles -----------------------------------------------------------------------------------------------------------


def test_a_size_gets_another_role() -> None:
    builder = ic.GraphBuilder("roles")
    n = builder.size("n", default=2)
    x = builder.tensor("float32", (n,), role="input")
    rewriter = GraphRewriter(builder.build([x], [x]))
    rewriter.set_role("n", "batch")
    assert rewriter.build().size_of_role("batch") == "n"


# ---- what is refused -------------------------------------------------------------------------------------------------


def _unread(rewriter: GraphRewriter) -> None:
    rewriter.remove(LINEAR)
    rewriter.build()


def _twice(rewriter: GraphRewriter) -> None:
    rewriter.build()
    rewriter.build()


def _early(rewriter: GraphRewriter) -> None:
    late = rewriter.tensor("float32", rewriter.shape(RESULT))
    rewriter.insert_after(RELU, "aten.exp.default", {"self": TensorId(RESULT)}, [late])
    rewriter.replace_operands(LINEAR, {X: late})
    rewriter.build()


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (lambda r: r.remove(2), IndexError, "node is 2; this graph has 2 of them"),
        (lambda r: r.set_dtype(4, "int8"), IndexError, "tensor is 4; this graph has 4 of them"),
        (lambda r: r.dtype(-1), IndexError, "a tensor is -1; expected the number of an entry"),
        (lambda r: r.replace(RELU, "relu", {"self": TensorId(X)}), ValueError, "'relu' is not a qualified name"),
        (lambda r: r.replace(RELU, "aten.exp", {"self": TensorId(9)}), ValueError, "node 1 names tensor 9"),
        (lambda r: r.replace_operands(RELU, {HIDDEN: 9}), IndexError, "tensor is 9; this graph has 4 of them"),
        (lambda r: r.set_argument(RELU, "dim", object()), TypeError, "argument 'dim' has type .*object"),
        (lambda r: r.set_shape(X, (2, 3), strides=(1,)), ValueError, "2 dimensions but 1 strides"),
        (lambda r: r.size("batch", default=1), ValueError, "size 'batch' is declared twice"),
        (lambda r: r.size("n", default=1, role="batch"), ValueError, "'n' has role batch and so has 'batch'"),
        (lambda r: r.set_role("n", "batch"), ValueError, "this graph has no size of that name"),
        (lambda r: r.set_role("batch", "rows"), ValueError, "unknown role 'rows' of a size; expected batch, seq"),
        (lambda r: r.set_role("batch", "data"), ValueError, "'batch' has role data and no origin"),
        (_unread, ValueError, r"node 0 \(aten.relu.default\) uses tensor 2 before any node produces it"),
        (_early, ValueError, r"node 0 \(aten.linear.default\) uses tensor 4 before any node produces it"),
        (_twice, RuntimeError, "already built its graph"),
    ],
)
def test_what_a_rewriter_refuses(use: Callable[[GraphRewriter], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        use(GraphRewriter(small()))
