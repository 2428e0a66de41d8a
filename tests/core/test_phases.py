"""Graphs with a backward pass: rows by phase, and saved activations."""

from __future__ import annotations

from typing import Any

import pytest
from support.single_node import FLOAT32

import pyinfercost as ic

Tensor = ic._core.TensorId


class Step:
    """A builder of calls on float32 vectors, forward and backward."""

    def __init__(self) -> None:
        self.builder = ic.GraphBuilder("step")
        self.x = self.builder.tensor("float32", (10,), role="input")
        self.weight = self.builder.tensor("float32", (10,), role="parameter", name="layer.weight")

    def call(self, op: str, phase: str, *operands: Tensor, n: int = 10, **attributes: Any) -> Tensor:
        result = self.builder.tensor("float32", (n,))
        args = dict(zip(("self", "other"), operands, strict=False)) | attributes
        self.builder.node(f"aten.{op}", args, [result], module="layer", phase=phase)
        return result

    def counts(self, *outputs: Tensor) -> ic.results.Counts:
        return ic.count(self.builder.build([self.x], outputs))


def test_rows_by_phase_add_up() -> None:
    step = Step()
    y = step.call("mul", "forward", step.x, step.weight)
    loss = step.call("sum", "forward", y, n=1)
    gradient = step.call("mul", "backward", step.x, loss)
    counts = step.counts(loss, gradient)
    rows = counts.by_phase()
    assert list(rows) == ["forward", "backward"]
    assert (rows["forward"].nodes, rows["backward"].nodes) == (2, 1)
    assert rows["forward"].pointwise_flops == 10 + 10
    assert rows["backward"].pointwise_flops == 10
    assert rows["forward"].parameters == 10
    assert rows["backward"].parameters == 0  # what a phase reads
    assert sum(row.bytes_read for row in rows.values()) == counts.total.bytes_read
    assert [layer.phase for layer in counts.layers] == ["forward", "forward", "backward"]
    assert counts.by_module()["layer"].nodes == 3


def test_a_forward_has_one_phase_and_saves_nothing() -> None:
    step = Step()
    counts = step.counts(step.call("exp", "forward", step.call("exp", "forward", step.x)))
    assert list(counts.by_phase()) == ["forward"]
    assert counts.memory.saved_for_backward_bytes == 0


def test_what_backward_reads_of_the_forward_is_saved_once() -> None:
    step = Step()
    a = step.call("exp", "forward", step.x)
    b = step.call("exp", "forward", a)
    step.call("exp", "forward", b)  # nobody asks for this one
    g = step.call("mul", "backward", b, step.x)  # nor are inputs and weights anything that is kept for it
    g = step.call("mul", "backward", g, step.weight)
    g = step.call("mul", "backward", g, b)
    assert step.counts(g).memory.saved_for_backward_bytes == FLOAT32 * 10


def test_a_view_saves_the_storage_that_it_lies_in() -> None:
    step = Step()
    a = step.call("exp", "forward", step.x)
    part = step.call("slice", "forward", a, n=3)
    inside = step.call("exp_", "forward", part, n=3)
    g = step.call("mul", "backward", inside, step.call("slice", "backward", a, n=3), n=3)
    assert step.counts(g).memory.saved_for_backward_bytes == FLOAT32 * 10


def test_shapes_alone_are_no_reason_to_keep_a_result() -> None:
    step = Step()
    a = step.call("exp", "forward", step.x)
    g = step.call("ones_like", "backward", a)
    assert step.counts(g).memory.saved_for_backward_bytes == 0


def test_an_op_that_is_not_modelled_reads_its_operands() -> None:
    step = Step()
    a = step.call("exp", "forward", step.x)
    g = step.call("of_nobody_knows_what", "backward", a)
    assert step.counts(g).memory.saved_for_backward_bytes == FLOAT32 * 10


def test_phases_in_json() -> None:
    step = Step()
    g = step.call("mul", "backward", step.call("exp", "forward", step.x), step.x)
    graph = step.builder.build([step.x], [g])
    document = graph.to_dict()
    assert [node.get("phase") for node in document["nodes"]] == [None, "backward"]
    assert ic.Graph.from_dict(document) == graph
    document["nodes"][0]["phase"] = "sideways"
    with pytest.raises(ValueError, match=r"node 0.*unknown phase 'sideways'; expected forward or backward"):
        ic.Graph.from_dict(document)
    with pytest.raises(ValueError, match="unknown phase"):
        Step().call("exp", "", step.x)


def test_the_report_of_a_training_step() -> None:
    step = Step()
    a = step.call("exp", "forward", step.x)
    graph = step.builder.build([step.x], [step.call("mul", "backward", a, a)])
    profile = ic.profile(graph)
    assert "training step" in str(profile)
    assert "saved for backward" in str(profile)
    assert [layer["phase"] for layer in profile.to_dict()["layers"]] == ["forward", "backward"]
    assert "training step" not in str(ic.profile(Step().builder.build([], [])))
