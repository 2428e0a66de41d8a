"""Smoke test: a small graph is built, counted, estimated and stored."""

from __future__ import annotations

import pytest

import pyinfercost as ic

BATCH, INPUT, HIDDEN, OUTPUT = 2, 8, 16, 4
FLOAT32 = 4  # bytes


@pytest.fixture(scope="module")
def graph() -> ic.Graph:
    """linear -> relu -> linear over a batch of vectors, in float32, built by hand and so without torch."""
    builder = ic.GraphBuilder("mlp")
    batch = builder.size("batch", default=1)
    x = builder.tensor("float32", (batch, INPUT), role="input", name="x")
    weight_1 = builder.tensor("float32", (HIDDEN, INPUT), role="parameter", name="first.weight")
    bias_1 = builder.tensor("float32", (HIDDEN,), role="parameter", name="first.bias")
    weight_2 = builder.tensor("float32", (OUTPUT, HIDDEN), role="parameter", name="second.weight")
    bias_2 = builder.tensor("float32", (OUTPUT,), role="parameter", name="second.bias")
    hidden = builder.tensor("float32", (batch, HIDDEN))
    activated = builder.tensor("float32", (batch, HIDDEN))
    y = builder.tensor("float32", (batch, OUTPUT))
    builder.node("aten.linear.default", {"input": x, "weight": weight_1, "bias": bias_1}, [hidden], module="first")
    builder.node("aten.relu.default", {"self": hidden}, [activated], module="activation")
    builder.node("aten.linear.default", {"input": activated, "weight": weight_2, "bias": bias_2}, [y], module="second")
    return builder.build([x], [y])


def test_count(graph: ic.Graph) -> None:
    counts = ic.count(graph, batch=BATCH)
    total = counts.total
    # A multiply-add is 2 FLOPs; each linear layer makes one per weight and row of the batch.
    macs = BATCH * (INPUT * HIDDEN + HIDDEN * OUTPUT)
    assert macs == 384
    assert total.macs == macs
    assert total.contraction_flops == 2 * macs
    # Pointwise: the two bias additions and the relu, one per element of their results.
    assert total.pointwise_flops == BATCH * (HIDDEN + HIDDEN + OUTPUT)
    parameters = INPUT * HIDDEN + HIDDEN + HIDDEN * OUTPUT + OUTPUT
    assert parameters == 212
    assert total.parameters == parameters
    assert total.parameter_bytes == FLOAT32 * parameters
    # Every parameter, the input, and both intermediate results are read once; all three results are written once.
    assert total.bytes_read == FLOAT32 * (parameters + BATCH * (INPUT + HIDDEN + HIDDEN))
    assert total.bytes_written == FLOAT32 * BATCH * (HIDDEN + HIDDEN + OUTPUT)
    assert counts.modelled_nodes == counts.nodes == 3
    assert not counts.unmodelled


def test_count_by_layer(graph: ic.Graph) -> None:
    rows = ic.count(graph, batch=BATCH).by_module()
    assert rows["first"].contraction_flops == 2 * BATCH * INPUT * HIDDEN
    assert rows["activation"].contraction_flops == 0
    assert rows["second"].contraction_flops == 2 * BATCH * HIDDEN * OUTPUT


def test_an_unbound_size_stays_symbolic(graph: ic.Graph) -> None:
    flops = ic.count(graph).total.contraction_flops
    assert isinstance(flops, ic.Expr)
    assert flops.names == ["batch"]
    assert flops.evaluate({"batch": BATCH}) == ic.count(graph, batch=BATCH).total.contraction_flops


def test_estimate(graph: ic.Graph) -> None:
    ids = ic.hardware.names()
    assert ids
    machine = ic.hardware.load("a100-sxm-80gb")
    assert machine.id in ids
    estimate = ic.estimate(graph, hardware=machine, batch=BATCH)
    # The bandwidth bounds from below what reading the parameters takes.
    parameter_bytes = ic.count(graph, batch=BATCH).total.parameter_bytes
    assert estimate.latency_s > parameter_bytes / machine.bandwidth_byte_per_s > 0
    assert estimate.latency_low_s <= estimate.latency_s <= estimate.latency_high_s
    assert estimate.fits_in_memory
    assert sum(estimate.bound_shares.values()) == pytest.approx(1)


def test_json_keeps_the_graph(graph: ic.Graph) -> None:
    again = ic.Graph.from_json(graph.to_json())
    assert again == graph
    assert ic.count(again, batch=BATCH).total.to_dict() == ic.count(graph, batch=BATCH).total.to_dict()


def test_an_error_says_what_was_got(graph: ic.Graph) -> None:
    with pytest.raises(ValueError, match="sequence"):
        ic.count(graph, sequence=3)
