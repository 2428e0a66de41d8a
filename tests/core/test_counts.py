"""Totals, and rows by layer, module and operator; operators that are not modeled; numbers beyond 64 bits."""

from __future__ import annotations

from typing import Any

import pytest
from support.single_node import FLOAT32, T, single_node
from support.toy_graphs import BLOCKS, WIDTH, blocks

import pyinfercost as ic
from pyinfercost import _core

SUMMED = ("nodes", "contraction_flops", "causal_flops", "pointwise_flops", "flops", "bytes_read", "bytes_written")


def summed(rows: Any) -> dict[str, int]:
    rows = list(rows)
    return {name: sum(getattr(row, name) for row in rows) for name in SUMMED}


def picked(row: ic._core.CountRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in SUMMED}


@pytest.fixture(scope="module")
def graph() -> ic.Graph:
    return blocks()


# ---- the toy, by hand ------------------------------------------------------------------------------------------------


def test_totals(graph: ic.Graph) -> None:
    batch = 3
    counts = ic.count(graph, batch=batch)
    total = counts.total
    linears, vectors = BLOCKS + 1, batch * WIDTH
    assert total.macs == linears * batch * WIDTH * WIDTH
    assert total.contraction_flops == total.causal_flops == 2 * total.macs
    assert total.pointwise_flops == 2 * BLOCKS * vectors  # relu and add
    assert total.flops == total.contraction_flops + total.pointwise_flops
    assert total.parameters == linears * WIDTH * WIDTH
    assert total.parameter_bytes == FLOAT32 * total.parameters
    assert total.buffer_bytes == 0
    # linear: its weight and input; relu: one vector; add: two. The view is free.
    assert total.bytes_read == FLOAT32 * (linears * (WIDTH * WIDTH + vectors) + BLOCKS * 3 * vectors)
    assert total.bytes_written == FLOAT32 * (linears + 2 * BLOCKS) * vectors
    assert total.bytes_by_role["weight_read"] == total.parameter_bytes
    assert counts.nodes == counts.modelled_nodes == graph.node_count


def test_layers_are_the_nodes_in_order(graph: ic.Graph) -> None:
    counts = ic.count(graph, batch=3)
    assert [layer.index for layer in counts.layers] == list(range(len(graph)))
    assert [layer.op for layer in counts.layers] == [graph.node(i).op for i in range(len(graph))]
    assert [layer.module for layer in counts.layers] == [graph.node(i).module for i in range(len(graph))]
    assert summed(layer.row for layer in counts.layers) == picked(counts.total)
    for layer in counts.layers:
        assert layer.row.contraction_flops == layer.work.contraction_flops
        assert (
            layer.row.bytes_read
            == layer.work.bytes_read
            == sum(v for k, v in layer.work.bytes_by_role.items() if "read" in k)
        )


def test_ops_add_up(graph: ic.Graph) -> None:
    rows = ic.count(graph, batch=3).by_op()
    assert {op: row.nodes for op, row in rows.items()} == graph.op_counts()
    total = ic.count(graph, batch=3).total
    assert summed(rows.values()) == picked(total)
    assert sum(row.parameters for row in rows.values()) == total.parameters


def test_modules_include_what_lies_below_them(graph: ic.Graph) -> None:
    counts = ic.count(graph, batch=3)
    rows = counts.by_module()
    assert set(rows) == {"", "blocks", "flatten", "head"} | {
        f"blocks.{n}{below}" for n in range(BLOCKS) for below in ("", ".fc", ".act")
    }
    assert picked(rows[""]) == picked(counts.total)
    assert rows[""].parameters == counts.total.parameters
    layers = counts.layers
    for path, row in rows.items():
        inside = [x.row for x in layers if not path or x.module == path or x.module.startswith(path + ".")]
        assert picked(row) == summed(inside), path
    assert rows["blocks"].parameters == BLOCKS * WIDTH * WIDTH
    assert rows["blocks.0.fc"].parameters == WIDTH * WIDTH


@pytest.mark.parametrize(("depth", "paths"), [(0, {""}), (1, {"", "blocks", "flatten", "head"})])
def test_modules_down_to_a_depth(graph: ic.Graph, depth: int, paths: set[str]) -> None:
    counts = ic.count(graph, batch=3)
    rows = counts.by_module(depth)
    assert set(rows) == paths
    every = counts.by_module()
    assert all(picked(rows[path]) == picked(every[path]) for path in paths)


def test_a_path_is_not_its_prefix() -> None:
    """`layer1` does not hold `layer10`."""
    builder = ic.GraphBuilder()
    x = builder.tensor("float32", (4,), role="input")
    for module in ("layer1", "layer10", "layer1.0"):
        y = builder.tensor("float32", (4,))
        builder.node("aten.relu.default", {"self": x}, [y], module=module)
        x = y
    rows = ic.count(builder.build([], [x])).by_module()
    assert {path: row.nodes for path, row in rows.items()} == {"": 3, "layer1": 2, "layer1.0": 1, "layer10": 1}


# ---- parameters ------------------------------------------------------------------------------------------------------


def tied() -> ic.Graph:
    """An embedding whose table is the weight of the last layer; a buffer; a parameter that no node reads."""
    builder = ic.GraphBuilder("tied")
    tokens = builder.tensor("int64", (1, 5), role="input")
    table = builder.tensor("float32", (100, 8), role="parameter", name="embed.weight")
    builder.tensor("float32", (7,), role="parameter", name="unused.weight")
    scale = builder.tensor("float32", (1,), role="buffer", name="scale")
    rows, scaled, logits = (builder.tensor("float32", (1, 5, n)) for n in (8, 8, 100))
    builder.node("aten.embedding.default", {"weight": table, "indices": tokens}, [rows], module="embed")
    builder.node("aten.mul.Tensor", {"self": rows, "other": scale}, [scaled])
    builder.node("aten.linear.default", {"input": scaled, "weight": table}, [logits], module="head")
    return builder.build([tokens], [logits])


def test_tied_weights_count_once() -> None:
    counts = ic.count(tied())
    assert counts.total.parameters == 100 * 8 + 7
    assert counts.total.buffer_bytes == FLOAT32
    modules = counts.by_module()
    # A parameter is where its name says; the layer that borrows it owns nothing.
    assert {path: row.parameters for path, row in modules.items()} == {"": 807, "embed": 800, "unused": 7, "head": 0}
    assert modules["head"].contraction_flops == 2 * 5 * 8 * 100
    # By op and by layer it is shown with everything that reads it, and read it is, every time.
    assert counts.by_op()["aten.linear"].parameters == counts.by_op()["aten.embedding"].parameters == 800
    assert counts.total.bytes_by_role["weight_read"] == FLOAT32 * (5 * 8 + 1 + 800)


@pytest.mark.parametrize(
    ("precision", "parameter_bytes"), [("fp32", 4 * 807), ("fp16", 2 * 807), ("int8", 800 + 2 * 7)]
)
def test_parameters_are_stored_at_the_precision(precision: str, parameter_bytes: int) -> None:
    total = ic.count(tied(), precision=precision).total
    assert total.parameters == 807
    assert total.parameter_bytes == parameter_bytes


# ---- named sizes -----------------------------------------------------------------------------------------------------

FIELDS = (
    "contraction_flops",
    "causal_flops",
    "pointwise_flops",
    "flops",
    "macs",
    "parameters",
    "parameter_bytes",
    "bytes_read",
    "bytes_written",
    "buffer_bytes",
    "peak_activation_bytes",
    "peak_memory_bytes",
)


@pytest.mark.parametrize("batch", [1, 2, 7, 4096])
def test_binding_before_and_after_counting_agree(graph: ic.Graph, batch: int) -> None:
    open_counts, bound = ic.count(graph), ic.count(graph, batch=batch)

    def value(quantity: int | ic.Expr) -> int:
        return quantity if isinstance(quantity, int) else quantity.evaluate({"batch": batch})

    for name in FIELDS:
        expected = getattr(bound.total, name)
        assert isinstance(expected, int)
        assert value(getattr(open_counts.total, name)) == expected, name
    assert [value(x) for x in open_counts.memory.timeline] == bound.memory.timeline
    for a, b in zip(open_counts.layers, bound.layers, strict=True):
        assert {n: value(getattr(a.row, n)) for n in FIELDS} == {n: getattr(b.row, n) for n in FIELDS}


def test_some_sizes_may_stay_open() -> None:
    builder = ic.GraphBuilder()
    batch, sequence = builder.size("batch", default=1), builder.size("sequence", default=8)
    q, k, v = (builder.tensor("float32", (batch, 2, sequence, 4), role="input") for _ in range(3))
    y = builder.tensor("float32", (batch, 2, sequence, 4))
    builder.node(
        "aten.scaled_dot_product_attention.default", {"query": q, "key": k, "value": v, "is_causal": True}, [y]
    )
    total = ic.count(builder.build([q, k, v], [y]), batch=3).total
    assert total.contraction_flops.names == ["sequence"]
    assert total.contraction_flops == 3 * 2 * 2 * 8 * ic.Expr("sequence*sequence")
    # 1 + 2 + ... + sequence scores per head.
    assert total.causal_flops.evaluate({"sequence": 5}) == 3 * 2 * 15 * 2 * 8


# ---- what is not modelled --------------------------------------------------------------------------------------------


def test_an_unknown_op_is_in_the_ledger_and_adds_nothing() -> None:
    counts = ic.count(blocks(custom_op=True), batch=3)
    assert counts.unmodelled == {"mylib.mix": 1}
    assert (counts.nodes, counts.modelled_nodes) == (3 * BLOCKS + 3, 3 * BLOCKS + 2)
    assert counts.total.flops == ic.count(blocks(), batch=3).total.flops
    assert [x.op for x in counts.layers if not x.modelled] == ["mylib.mix"]
    assert counts.layers[-1].work.kind == "unknown"
    # Its result has to lie somewhere all the same.
    assert counts.memory.timeline[-1] >= FLOAT32 * 3 * WIDTH


def test_a_rule_of_ones_own_is_counted_and_stays_local() -> None:
    graph = blocks(custom_op=True)

    def rule(node: Any) -> ic.Work:
        return ic.Work(contraction_flops=1000, pointwise_flops=10, bytes_read=node.inputs[0].shape[1], bytes_written=5)

    counts = ic.count(graph, batch=3, rules={"mylib::mix": rule})
    plain = ic.count(graph, batch=3)
    assert counts.unmodelled == {}
    assert counts.modelled_nodes == counts.nodes
    assert counts.total.contraction_flops == plain.total.contraction_flops + 1000
    assert counts.total.pointwise_flops == plain.total.pointwise_flops + 10
    assert counts.total.bytes_read == plain.total.bytes_read + WIDTH
    assert counts.total.bytes_written == plain.total.bytes_written + 5
    assert plain.unmodelled == {"mylib.mix": 1}


@pytest.mark.parametrize(
    ("op", "row"),
    [
        ("aten.add.Tensor", "aten.add"),
        ("aten.add_.Tensor", "aten.add"),  # in place: the row of its twin
        ("aten.max.default", "aten.max"),
        ("aten.max.other", "aten.max.other"),  # a comparison of two tensors, not a reduction
        ("aten.__and__.Tensor", "aten.__and__"),
        ("mylib.mix.default", None),
        ("aten.nonsense", None),
    ],
)
def test_which_row_counts_an_op(op: str, row: str | None) -> None:
    found = _core.find_rule(op)
    assert (found and found.op) == row


def test_each_op_has_one_row_with_its_convention() -> None:
    rows = _core.rules()
    assert len({rule.op for rule in rows}) == len(rows) > 300
    assert all(rule.convention and rule.family for rule in rows)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"contraction_flops": -1}, "contraction_flops is -1; expected zero or more"),
        ({"kind": "gem"}, "unknown kind of work 'gem'; expected one of"),
        ({"dtype": "float33"}, "unknown dtype 'float33'"),
    ],
)
def test_work_that_cannot_be(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ic.Work(**fields)


def test_a_missing_argument_is_named() -> None:
    with pytest.raises(ValueError, match=r"node 0 \(aten.mm\) needs a tensor argument 'mat2'; it has: self, other"):
        ic.count(single_node("aten.mm", {"self": T((2, 3)), "other": T((3, 4))}, T((2, 4))))


# ---- 64 bits ---------------------------------------------------------------------------------------------------------

LAYERS, HIDDEN, FEED_FORWARD, KEYS, VOCABULARY = 126, 16384, 53248, 1024, 128256  # a model of 405 billion parameters
CONTEXT = 131072
WEIGHTS = LAYERS * (2 * HIDDEN * HIDDEN + 2 * KEYS * HIDDEN + 3 * FEED_FORWARD * HIDDEN) + VOCABULARY * HIDDEN


@pytest.fixture(scope="module")
def large() -> ic.Graph:
    """Its matrix products alone."""
    builder = ic.GraphBuilder("405b")
    batch = builder.size("batch", default=1)
    x = builder.tensor("bfloat16", (batch, CONTEXT, HIDDEN), role="input")
    wide = builder.tensor("bfloat16", (batch, CONTEXT, FEED_FORWARD), role="input")
    shapes = [
        ("q", x, HIDDEN),
        ("k", x, KEYS),
        ("v", x, KEYS),
        ("o", x, HIDDEN),
        ("gate", x, FEED_FORWARD),
        ("up", x, FEED_FORWARD),
    ]
    layers = [(f"layers.{i}.{name}", a, n) for i in range(LAYERS) for name, a, n in [*shapes, ("down", wide, HIDDEN)]]
    for module, operand, outputs in [*layers, ("lm_head", x, VOCABULARY)]:
        inputs = FEED_FORWARD if operand is wide else HIDDEN
        weight = builder.tensor("bfloat16", (outputs, inputs), role="parameter", name=f"{module}.weight")
        y = builder.tensor("bfloat16", (batch, CONTEXT, outputs))
        builder.node("aten.linear.default", {"input": operand, "weight": weight}, [y], module=module)
    return builder.build([x, wide], [])


def test_what_fits_64_bits_is_exact(large: ic.Graph) -> None:
    assert WEIGHTS == 403_747_897_344
    exact = 2 * WEIGHTS * CONTEXT * 64  # arbitrary precision
    assert 2**62 < exact < 2**63
    counts = ic.count(large, batch=64)
    assert counts.total.contraction_flops == exact
    assert ic.count(large).total.contraction_flops.evaluate({"batch": 64}) == exact


def test_what_does_not_fit_64_bits_names_the_node(large: ic.Graph) -> None:
    assert 2 * WEIGHTS * CONTEXT * 128 > 2**63
    with pytest.raises(
        OverflowError,
        match=r"node \d+ \(aten.linear.default in 'layers.\d+.\w+'\): integer overflow: .* does not fit 64 bits",
    ):
        ic.count(large, batch=128)
    with pytest.raises(OverflowError, match="does not fit 64 bits"):
        ic.count(large).total.contraction_flops.evaluate({"batch": 128})


def test_a_single_product_that_does_not_fit_names_its_node() -> None:
    graph = single_node("aten.mm", {"self": T((2**31, 2**20)), "mat2": T((2**20, 2**20))}, T((2**31, 2**20)))
    with pytest.raises(OverflowError, match=r"node 0 \(aten.mm\): integer overflow"):
        ic.count(graph)


def test_a_row_of_counts_is_readable() -> None:
    total = ic.count(blocks(), batch=2).total
    assert repr(total).startswith("CountRow(contraction_flops=49152, pointwise_flops=512, macs=24576, ")
    assert f"peak_memory_bytes={total.peak_memory_bytes})" in repr(total)
    assert "contraction_flops=Expr('" in repr(ic.count(blocks()).total)
