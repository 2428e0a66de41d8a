"""Lifetimes of results, sharing by views and in-place operators, and the node with the peak."""

from __future__ import annotations

import pytest
from support.single_node import FLOAT32

import pyinfercost as ic


class Line:
    """A builder of float32 vectors joined by ops."""

    def __init__(self) -> None:
        self.builder = ic.GraphBuilder()
        self.x = self.builder.tensor("float32", (10,), role="input")

    def op(self, op: str, *operands: ic._core.TensorId, n: int = 10) -> ic._core.TensorId:
        y = self.builder.tensor("float32", (n,))
        self.builder.node(op, dict(zip(("self", "other"), operands, strict=False)), [y])
        return y

    def memory(self, *outputs: ic._core.TensorId) -> ic._core.Memory:
        return ic.count(self.builder.build([self.x], outputs)).memory

    def floats(self, *outputs: ic._core.TensorId) -> list[float]:
        return [live / FLOAT32 for live in self.memory(*outputs).timeline]


def test_a_chain_needs_two_results_at_a_time() -> None:
    line = Line()
    a = line.op("aten.exp", line.x)  # a
    b = line.op("aten.exp", a, n=20)  # a b
    c = line.op("aten.exp", b, n=5)  # b c
    d = line.op("aten.exp", c, n=1)  # c d
    memory = line.memory(d)
    assert [x / FLOAT32 for x in memory.timeline] == [10, 30, 25, 6]
    assert memory.peak_activation_bytes == FLOAT32 * 30
    assert memory.peak_node == 1
    assert memory.input_bytes == FLOAT32 * 10


def test_a_result_lives_to_its_last_use() -> None:
    line = Line()
    a = line.op("aten.exp", line.x)
    b = line.op("aten.exp", a)
    c = line.op("aten.exp", b)
    d = line.op("aten.add", c, a)  # a was kept for this
    assert line.floats(d) == [10, 20, 30, 30]


def test_results_of_the_graph_live_to_the_end() -> None:
    line = Line()
    a = line.op("aten.exp", line.x)
    b = line.op("aten.exp", a)
    c = line.op("aten.exp", b)
    assert line.floats(a, c) == [10, 20, 30]


def test_what_nobody_reads_is_freed_at_once() -> None:
    line = Line()
    line.op("aten.exp", line.x)
    b = line.op("aten.sin", line.x)
    assert line.floats(b) == [10, 10]


@pytest.mark.parametrize("view", ["aten.view", "aten.detach", "aten.reshape", "aten.contiguous", "aten.dropout"])
def test_a_view_shares_and_prolongs(view: str) -> None:
    line = Line()
    a = line.op("aten.exp", line.x)
    v = line.op(view, a)
    b = line.op("aten.sin", line.x)
    c = line.op("aten.add", v, b)  # keeps a alive through its view
    assert line.floats(c) == [10, 10, 20, 30]


def test_a_view_as_result_keeps_what_it_views() -> None:
    line = Line()
    a = line.op("aten.exp", line.x, n=100)
    v = line.op("aten.slice", a, n=1)
    b = line.op("aten.sin", line.x)
    assert line.floats(v, b) == [100, 100, 110]


def test_a_reshape_that_must_copy_is_new_memory() -> None:
    line = Line()
    a = line.builder.tensor("float32", (5, 2), strides=(1, 5))
    line.builder.node("aten.exp", {"self": line.x}, [a])
    flat = line.op("aten.reshape", a)
    assert line.floats(flat) == [10, 20]


@pytest.mark.parametrize(
    ("op", "live"),
    [("aten.add_", [10, 10]), ("aten.add", [10, 20]), ("aten.__and__", [10, 20]), ("aten.__iand__", [10, 10])],
)
def test_in_place_ops_need_no_new_memory(op: str, live: list[int]) -> None:
    line = Line()
    a = line.op("aten.exp", line.x)
    b = line.op(op, a, line.x)
    assert line.floats(b) == live


def test_writing_into_an_input_needs_nothing() -> None:
    line = Line()
    y = line.op("aten.relu_", line.x)
    assert line.floats(y) == [0]


def test_an_expanded_result_is_one_row() -> None:
    line = Line()
    a = line.op("aten.exp", line.x)
    wide = line.builder.tensor("float32", (1000, 10), strides=(0, 1))
    line.builder.node("aten.expand", {"self": a, "size": [1000, 10]}, [wide])
    b = line.builder.tensor("float32", (1000, 10))
    line.builder.node("aten.clone", {"self": wide}, [b])
    assert line.floats(b) == [10, 10, 10 + 10000]


def test_all_that_lies_in_memory() -> None:
    builder = ic.GraphBuilder()
    x = builder.tensor("float16", (10,), role="input")
    cache = builder.tensor("float16", (100,), role="kv_cache")
    builder.tensor("float32", (3,), role="constant")
    weight = builder.tensor("float32", (10,), role="parameter", name="w")
    builder.tensor("int64", (1,), role="buffer", name="steps")
    y = builder.tensor("float32", (10,))
    builder.node("aten.mul.Tensor", {"self": x, "other": weight}, [y])
    counts = ic.count(builder.build([x, cache], [y]))
    assert counts.memory.input_bytes == 2 * 10 + 2 * 100 + 4 * 3
    assert counts.total.parameter_bytes == 4 * 10
    assert counts.total.buffer_bytes == 8
    assert counts.memory.peak_activation_bytes == 4 * 10
    assert counts.memory.peak_memory_bytes == counts.total.peak_memory_bytes == 232 + 40 + 8 + 40


def test_the_peak_may_depend_on_a_size() -> None:
    builder = ic.GraphBuilder()
    batch = builder.size("batch", default=1)
    x = builder.tensor("float32", (batch,), role="input")
    a, b, c = builder.tensor("float32", (batch,)), builder.tensor("float32", (50,)), builder.tensor("float32", (batch,))
    builder.node("aten.exp", {"self": x}, [a])
    builder.node("aten.sin", {"self": a}, [b])
    builder.node("aten.sin", {"self": b}, [c])
    d = builder.tensor("float32", (3 * batch,))
    builder.node("aten.cat", {"tensors": [c, c, c]}, [d])
    graph = builder.build([x], [d])
    peak = ic.count(graph).memory.peak_activation_bytes
    # batch + 50 while b is made and used, 4 * batch at the end: which is more changes at 17.
    for n in (1, 16, 17, 1000):
        assert (
            peak.evaluate({"batch": n})
            == ic.count(graph, batch=n).memory.peak_activation_bytes
            == FLOAT32 * max(n + 50, 4 * n)
        )
    assert ic.count(graph, batch=16).memory.peak_node == 1
    assert ic.count(graph, batch=17).memory.peak_node == 3


# ---- lifetimes that were observed ------------------------------------------------------------------------------------


def observed(*held_until: int | None) -> list[float]:
    """exp, sin, cos of the input, one after the other, with the given ends for input and results."""
    line = Line()
    y = line.x
    for op in ("aten.exp", "aten.sin", "aten.cos"):
        y = line.op(op, y)
    graph = line.builder.build([line.x], [y], held_until=held_until)
    assert graph.held_until == list(held_until)
    memory = ic.count(graph).memory
    assert memory.lifetimes == "observed"
    assert ic.count(graph.without_lifetimes()).memory.lifetimes == "last_use"
    assert ic.Graph.from_json(graph.to_json()) == graph
    assert graph.without_lifetimes().held_until is None
    assert graph.without_lifetimes() != graph
    return [live / FLOAT32 for live in memory.timeline]


def test_a_result_is_held_as_long_as_was_seen() -> None:
    assert observed(None, 1, 2, 2) == [10, 20, 20]
    assert observed(None, 2, 2, 2) == [10, 20, 30]


def test_what_was_not_seen_ends_with_its_last_use() -> None:
    assert observed(None, None, None, None) == [10, 20, 20]
    assert observed(None, 2, None, None) == [10, 20, 30]


def test_a_view_that_is_held_holds_its_storage() -> None:
    line = Line()
    a = line.op("aten.exp", line.x)
    v = line.op("aten.slice", a, n=1)
    b = line.op("aten.sin", line.x)
    c = line.op("aten.cos", b)
    graph = line.builder.build([line.x], [c], held_until=[None, 1, 3, 3, 3])
    assert ic.count(graph).memory.timeline == [FLOAT32 * n for n in (10, 10, 20, 30)]
    assert v.index == 2


@pytest.mark.parametrize(
    ("held_until", "message"),
    [
        ([None, 1], "held_until has 2 entries; expected one for each of 4 tensors"),
        ([None, 0, 2, 2], "tensor 1 is held until node 0 but node 1 .aten.sin. uses it"),
        ([None, 1, 2, 3], "tensor 3 is held until node 3; the graph has 3"),
        ([None, -1, 2, 2], "expected the number of a node, or None"),
        ([None, 1.0, 2, 2], "entry of type float"),
    ],
)
def test_lifetimes_that_cannot_be(held_until: list[int | None], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        observed(*held_until)


def test_what_is_held_at_the_peak() -> None:
    builder = ic.GraphBuilder()
    x = builder.tensor("float32", (10,), role="input")
    small, large = builder.tensor("float32", (10,)), builder.tensor("float32", (40,))
    last = builder.tensor("float32", (1,))
    builder.node("aten.exp", {"self": x}, [small], module="a")
    builder.node("aten.repeat", {"self": small}, [large], module="b.c")
    builder.node("aten.sum", {"self": large}, [last])
    memory = ic.count(builder.build([x], [last])).memory
    assert (memory.peak_node, memory.peak_op, memory.peak_module) == (1, "aten.repeat", "b.c")
    held = [(s.bytes, s.tensor, s.made_by, s.held_until) for s in memory.live(memory.peak_node)]
    assert held == [(FLOAT32 * 40, large.index, 1, 2), (FLOAT32 * 10, small.index, 0, 1)]
    assert sum(s.bytes for s in memory.live(2)) == memory.timeline[2]
    with pytest.raises(IndexError, match="node 3 of a graph that has 3"):
        memory.live(3)


def test_a_workspace_counts_while_its_node_runs() -> None:
    builder = ic.GraphBuilder()
    x = builder.tensor("float32", (8, 4), role="input")
    y, z = builder.tensor("float32", (8, 4)), builder.tensor("float32", (8, 4))
    builder.node("aten.layer_norm", {"input": x, "normalized_shape": [4]}, [y])
    builder.node("aten.exp", {"self": y}, [z])
    memory = ic.count(builder.build([x], [z])).memory
    assert memory.workspace == [2 * 8 * FLOAT32, 0]  # mean and scale of each row
    assert memory.timeline == [FLOAT32 * (32 + 16), FLOAT32 * 64]
