"""Channel groups of hand-built graphs: units, and lengths, strides and arguments in widths."""

from __future__ import annotations

from typing import Any

import pytest
from support import toy_graphs

import pyinfercost as ic
from pyinfercost.transform.channels import ChannelGroupsError


class Built:
    """A graph under construction: a batch of inputs goes through one op after the other."""

    def __init__(self, *shape: int) -> None:
        self.builder = ic.GraphBuilder("built")
        self.batch = self.builder.size("batch", default=2)
        self.input = self.builder.tensor("float32", (self.batch, *shape), role="input", name="x")

    def weight(self, name: str, *shape: int) -> Any:
        return self.builder.tensor("float32", shape, role="parameter", name=name)

    def run(self, op: str, args: dict[str, Any], *shape: Any, module: str = "", strides: Any = None) -> Any:
        y = self.builder.tensor("float32", (self.batch, *shape), strides=strides)
        self.builder.node(f"aten.{op}", args, [y], module=module)
        return y

    def linear(self, x: Any, inputs: int, outputs: int, name: str) -> Any:
        args = {"input": x, "weight": self.weight(f"{name}.weight", outputs, inputs)}
        return self.run("linear.default", args, outputs)

    def groups(self, result: Any) -> ic.results.ChannelGroups:
        return ic.channel_groups(self.builder.build([self.input], [result]))


def named(groups: ic.results.ChannelGroups, *shape: Any) -> dict[str, Any]:
    """The only tensor of this shape."""
    (found,) = [made for made in groups.graph.to_dict()["tensors"] if made["shape"] == list(shape)]
    return dict(found)


def test_a_hidden_width_is_a_size() -> None:
    made = Built(6)
    hidden = made.linear(made.input, 6, 10, "a")
    hidden = made.run("relu.default", {"self": hidden}, 10)
    groups = made.groups(made.linear(hidden, 10, 3, "b"))
    assert groups.widths == {"width_a": 10}
    assert groups.fixed == {"b": "they are results of the model"}
    assert named(groups, "width_a", 6)["strides"] == [6, 1]
    assert named(groups, 3, "width_a")["strides"] == ["width_a", 1]
    total = ic.count(groups.graph, batch=5, width_a=4).total
    assert total.contraction_flops == 2 * 5 * (6 * 4 + 4 * 3)
    assert total.parameters == 6 * 4 + 4 * 3
    assert ic.count(groups.at(width_a=4), batch=5).total.to_dict() == total.to_dict()
    assert groups.at().sizes.keys() == {"batch"}
    assert ic.count(groups.at(), batch=5).total.parameters == 6 * 10 + 10 * 3


def test_concatenated_channels_keep_their_places() -> None:
    made = Built(6)
    left, right = made.linear(made.input, 6, 4, "left"), made.linear(made.input, 6, 3, "right")
    both = made.run("cat.default", {"tensors": [left, made.input, right], "dim": 1}, 13)
    groups = made.groups(made.linear(both, 13, 2, "out"))
    assert groups.widths == {"width_left": 4, "width_right": 3}
    assert [m.indices.reshape(-1).tolist() for m in groups["left"].members] == [[0, 1, 2, 3], [0, 1, 2, 3]]
    assert groups["right"].members[-1].indices.reshape(-1).tolist() == [10, 11, 12]  # after 4 and the 6 inputs
    total = ic.count(groups.graph, batch=1, width_left=1, width_right=2).total
    assert total.parameters == 6 * 1 + 6 * 2 + 2 * (1 + 6 + 2)


def test_views_of_a_wider_tensor_have_its_strides() -> None:
    made = Built(6)
    both = made.linear(made.input, 6, 16, "both")
    halves = [made.builder.tensor("float32", (made.batch, 8), strides=(16, 1)) for _ in range(2)]
    made.builder.node("aten.chunk.default", {"self": both, "chunks": 2, "dim": 1}, halves)
    product = made.run("mul.Tensor", {"self": halves[0], "other": halves[1]}, 8)
    heads = made.run("view.default", {"self": product, "size": [2, 4, -1]}, 4, 2)
    turned = made.run("transpose.int", {"self": heads, "dim0": 1, "dim1": 2}, 2, 4, strides=(8, 1, 2))
    flat = made.run("reshape.default", {"self": turned, "shape": [2, 8]}, 8)
    groups = made.groups(made.linear(flat, 8, 3, "out"))
    # The view leaves the length of heads open, so that their elements are the units: 4 heads of each, twice.
    assert groups.widths == {"width_both": 2}
    assert groups["both"].members[0].indices.tolist() == [[0, 2, 4, 6, 8, 10, 12, 14], [1, 3, 5, 7, 9, 11, 13, 15]]
    assert groups["both"].members[1].indices.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    halves_now = [made for made in groups.graph.to_dict()["tensors"] if made["strides"] == ["8*width_both", 1]]
    assert [made["shape"] for made in halves_now] == [["batch", "8*width_both"]] + [["batch", "4*width_both"]] * 2
    assert named(groups, "batch", "width_both", 4)["strides"] == ["4*width_both", 1, "width_both"]


def test_groups_of_a_depthwise_convolution_follow() -> None:
    made = Built(3, 8, 8)
    first = {"input": made.input, "weight": made.weight("a.weight", 12, 3, 1, 1)}
    x = made.run("conv2d.default", first, 12, 8, 8)
    each = {"input": x, "weight": made.weight("b.weight", 12, 1, 3, 3), "padding": [1, 1], "groups": 12}
    x = made.run("conv2d.default", each, 12, 8, 8)
    x = made.run("mean.dim", {"self": x, "dim": [2, 3]}, 12)
    groups = made.groups(made.linear(x, 12, 2, "head"))
    assert groups["a"].modules == ("a", "b")
    assert groups.graph.to_dict()["nodes"][1]["args"]["groups"] == ["int", "width_a"]
    layers = ic.count(groups.graph, batch=1, width_a=5).layers
    assert [layer.row.contraction_flops for layer in layers] == [2 * 64 * 3 * 5, 2 * 64 * 9 * 5, 0, 2 * 5 * 2]


def test_reasons_are_told_by_the_path_of_a_layer() -> None:
    groups = ic.channel_groups(toy_graphs.blocks(custom_op=True))
    assert groups.widths == {}
    assert groups.fixed["blocks.0.fc"] == "they are inputs of x"
    assert groups.fixed["head"] == "there is no channel rule for mylib.mix of mix"
    with pytest.raises(ChannelGroupsError, match="the groups are none"):
        groups.at(width_head=3)


def test_every_tensor_stays_as_it_is_at_full_width() -> None:
    graph = toy_graphs.transformer()
    groups = ic.channel_groups(graph)
    assert groups.at() == graph
