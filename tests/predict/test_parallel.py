"""`parallel`: products that are divided, found through the operators between them, and refusals of others."""

from __future__ import annotations

import re
from typing import Any

import pytest

import pyinfercost as ic
from pyinfercost import Layout
from pyinfercost.deployment import LayoutError

BATCH, LENGTH, WIDTH, HEADS, KEYS, INNER, WORDS = 2, 6, 64, 8, 4, 160, 300
HEAD = WIDTH // HEADS


class Net:
    """One decoder layer with embeddings and logits, node by node."""

    def __init__(self, heads: int = HEADS, keys: int = KEYS, inner: int = INNER, *, one_product: bool = False) -> None:
        self.builder = ic.GraphBuilder("net")
        self.heads, self.keys, self.inner = heads, keys, inner
        self.head = WIDTH // heads if WIDTH % heads == 0 else HEAD
        self.one_product = one_product

    def weight(self, name: str, *shape: int) -> Any:
        return self.builder.tensor("float32", list(shape), role="parameter", name=name)

    def op(self, op: str, shape: list[int], module: str = "", /, **args: Any) -> Any:
        made = self.builder.tensor("float32", shape)
        self.builder.node(op, args, [made], module=module)
        return made

    def linear(self, x: Any, name: str, rows: int, columns: int) -> Any:
        weight = self.weight(f"{name}.weight", rows, columns)
        return self.op("aten.linear.default", [BATCH, LENGTH, rows], name, input=x, weight=weight)

    def norm(self, x: Any, name: str) -> Any:
        weight = self.weight(f"{name}.weight", WIDTH)
        args = {"input": x, "normalized_shape": [WIDTH], "weight": weight}
        return self.op("aten.rms_norm.default", [BATCH, LENGTH, WIDTH], name, **args)

    def add(self, x: Any, y: Any) -> Any:
        return self.op("aten.add.Tensor", [BATCH, LENGTH, WIDTH], "", self=x, other=y)

    def heads_of(self, x: Any, heads: int) -> Any:
        size = [BATCH, LENGTH, heads, self.head]
        apart = self.op("aten.view.default", size, "", self=x, size=size)
        return self.op("aten.transpose.int", [BATCH, heads, LENGTH, self.head], "", self=apart, dim0=1, dim1=2)

    def attention(self, x: Any) -> Any:
        wide, narrow = self.heads * self.head, self.keys * self.head
        if self.one_product:
            whole = self.linear(x, "attn.qkv", wide + 2 * narrow, WIDTH)
            parts = [self.builder.tensor("float32", [BATCH, LENGTH, width]) for width in (wide, narrow, narrow)]
            sizes = [wide, narrow, narrow]
            self.builder.node("aten.split_with_sizes.default", {"self": whole, "split_sizes": sizes, "dim": -1}, parts)
        else:
            widths = {"q": wide, "k": narrow, "v": narrow}
            parts = [self.linear(x, f"attn.{name}", width, WIDTH) for name, width in widths.items()]
        q, k, v = (
            self.heads_of(part, heads) for part, heads in zip(parts, (self.heads, *[self.keys] * 2), strict=True)
        )
        shape = [BATCH, self.heads, LENGTH, self.head]
        mixed = self.op("aten.scaled_dot_product_attention.default", shape, "attn", query=q, key=k, value=v)
        turned = self.op("aten.transpose.int", [BATCH, LENGTH, self.heads, self.head], "", self=mixed, dim0=1, dim1=2)
        flat = self.op("aten.reshape.default", [BATCH, LENGTH, wide], "", self=turned, shape=[BATCH, LENGTH, wide])
        return self.linear(flat, "attn.o", WIDTH, wide)

    def feed_forward(self, x: Any) -> Any:
        gate, up = (self.linear(x, f"mlp.{name}", self.inner, WIDTH) for name in ("gate", "up"))
        act = self.op("aten.silu.default", [BATCH, LENGTH, self.inner], "mlp", self=gate)
        both = self.op("aten.mul.Tensor", [BATCH, LENGTH, self.inner], "mlp", self=act, other=up)
        return self.linear(both, "mlp.down", WIDTH, self.inner)

    def build(self) -> ic.Graph:
        ids = self.builder.tensor("int64", [BATCH, LENGTH], role="input", name="ids")
        table = self.weight("embed.weight", WORDS, WIDTH)
        x = self.op("aten.embedding.default", [BATCH, LENGTH, WIDTH], "embed", weight=table, indices=ids)
        x = self.add(x, self.attention(self.norm(x, "norm1")))
        x = self.add(x, self.feed_forward(self.norm(x, "norm2")))
        return self.builder.build([ids], [self.linear(self.norm(x, "norm3"), "head", WORDS, WIDTH)])


def shapes(graph: ic.Graph) -> dict[str, tuple[int, ...]]:
    return {made.name: made.shape for made in graph.tensors if made.role == "parameter"}


def collectives(graph: ic.Graph) -> list[tuple[str, int, tuple[int, ...]]]:
    """Names of the collectives with their devices and the shapes of their results, in order."""
    return [
        (node.op.removeprefix("collective."), node.argument("devices"), graph.tensor(node.results[0]).shape)
        for node in graph.nodes
        if node.op.startswith("collective.")
    ]


@pytest.mark.parametrize("one_product", [False, True])
@pytest.mark.parametrize("ranks", [2, 4])
def test_a_decoder_layer_is_divided_by_heads_columns_and_words(ranks: int, one_product: bool) -> None:
    rank = ic.devices.rank_graph(Net(one_product=one_product).build(), Layout(tensor=ranks))
    wide, narrow = WIDTH // ranks, KEYS * HEAD // ranks
    found = shapes(rank)
    products = {"attn.qkv": wide + 2 * narrow} if one_product else {"attn.q": wide, "attn.k": narrow, "attn.v": narrow}
    for name, rows in products.items():
        assert found[f"{name}.weight"] == (rows, WIDTH)
    assert found["attn.o.weight"] == (WIDTH, wide)
    assert found["mlp.gate.weight"] == found["mlp.up.weight"] == (INNER // ranks, WIDTH)
    assert found["mlp.down.weight"] == (WIDTH, INNER // ranks)
    assert found["embed.weight"] == found["head.weight"] == (WORDS // ranks, WIDTH)
    assert found["norm1.weight"] == found["norm3.weight"] == (WIDTH,)
    tokens = (BATCH, LENGTH, WIDTH)
    assert collectives(rank) == [
        ("all_reduce", ranks, tokens), ("all_reduce", ranks, tokens), ("all_reduce", ranks, tokens),
        ("all_gather", ranks, (BATCH, LENGTH, WORDS)),
    ]  # fmt: skip


def test_weights_and_flops_of_all_ranks_are_those_of_the_whole() -> None:
    whole = Net().build()
    rank = ic.devices.rank_graph(whole, "tensor=4")
    one, all_of_it = ic.count(rank).total, ic.count(whole).total
    # Three norms of WIDTH weights are on every rank.
    assert 4 * one.parameters == all_of_it.parameters + 3 * 3 * WIDTH
    assert 4 * one.contraction_flops == all_of_it.contraction_flops
    norms = {share.name for share in ic.devices.weight_shares(rank) if share.elements == share.of}
    assert norms == {"norm1.weight", "norm2.weight", "norm3.weight"}


def test_heads_of_keys_are_replicated_beyond_their_number() -> None:
    rank = ic.devices.rank_graph(Net().build(), Layout(tensor=8))
    assert shapes(rank)["attn.q.weight"] == (HEAD, WIDTH)
    assert shapes(rank)["attn.k.weight"] == shapes(rank)["attn.v.weight"] == (HEAD, WIDTH)  # half of a quarter each
    copies = {share.name: 8 * share.elements // share.of for share in ic.devices.weight_shares(rank)}
    assert (copies["attn.q.weight"], copies["attn.k.weight"]) == (1, 2)


def test_arguments_give_the_lengths_of_the_rank() -> None:
    rank = ic.devices.rank_graph(Net(one_product=True).build(), Layout(tensor=2))
    views = [node.argument("size") for node in rank.nodes if node.op == "aten.view"]
    assert views == [[BATCH, LENGTH, heads // 2, HEAD] for heads in (HEADS, KEYS, KEYS)]
    split = next(node for node in rank.nodes if node.op == "aten.split_with_sizes")
    assert split.argument("split_sizes") == [WIDTH // 2, KEYS * HEAD // 2, KEYS * HEAD // 2]


@pytest.mark.parametrize(
    ("net", "layout", "message"),
    [
        (Net(heads=4, keys=4), "tensor=8", "the 4 heads before attn.o; expected tensor to be one of 1, 2, 4"),
        (Net(inner=150), "tensor=4", "the 150 columns before mlp.down; expected tensor to be one of 1, 2"),
        (Net(), "tensor=2,expert=2", "expert=2, and this model has no experts; expected expert=1"),
    ],
)  # fmt: skip
def test_what_cannot_be_divided_is_refused_with_the_layouts_that_can(net: Net, layout: str, message: str) -> None:
    with pytest.raises(LayoutError, match=re.escape(message)):
        ic.devices.rank_graph(net.build(), layout)


def test_a_model_without_two_products_in_a_row_is_refused() -> None:
    net = Net()
    x = net.builder.tensor("float32", [BATCH, LENGTH, WIDTH], role="input", name="x")
    graph = net.builder.build([x], [net.linear(net.norm(x, "norm"), "one", WIDTH, WIDTH)])
    with pytest.raises(LayoutError, match=r"tensor=2 divides no product of this model: at one, .*; expected tensor=1"):
        ic.devices.rank_graph(graph, "tensor=2")


def test_one_device_is_the_graph_itself() -> None:
    graph = Net().build()
    assert ic.devices.rank_graph(graph, Layout()) is graph
    assert ic.devices.rank_graph(graph, "data=8") is graph
    rank = ic.devices.rank_graph(graph, "tensor=2")
    assert ic.devices.rank_graph(graph, "tensor=2,data=4") is rank
    assert ic.devices.rank_graph(rank, "tensor=2") is rank
    with pytest.raises(LayoutError, match="of one rank already"):
        ic.devices.rank_graph(rank, "tensor=4")
