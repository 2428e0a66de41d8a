"""Training steps on ranks that share products: their gradients, sums, work and memory."""

from __future__ import annotations

import re
from collections import Counter
from math import prod
from typing import Any

import pytest
import torch
from support.layout_laws import CONFIGS, LAYERS, PARALLEL_BLOCKS
from torch import nn

import pyinfercost as ic
from pyinfercost.deployment import Layout, LayoutError
from pyinfercost.predict.plans import value_of
from pyinfercost.predict.training_steps import messages

pytestmark = pytest.mark.torch
transformers = pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")

H100 = "h100-sxm-80gb"
EAGER = ("gemma2", "bloom", "gpt_oss")
ROUTERS = (".mlp.gate", ".mlp.router")
EXPERTS = ("mixtral", "qwen3_moe", "gpt_oss")
DIVISIBLE = [name for name in CONFIGS if name != "deepseek_v3"]


def step_of(name: str, **more: Any) -> ic.Graph:
    config = transformers.AutoConfig.for_model(model_type=name, **{**CONFIGS[name], **more})
    how = "eager" if name in EAGER else "sdpa"
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=how).train()
    ids = torch.zeros(4, 64, dtype=torch.int64)
    return ic.capture(model, ic.Inputs((), {"input_ids": ids, "labels": ids, "use_cache": False}), training=True)


def work(graph: ic.Graph) -> Counter[tuple[str, str]]:
    """Contraction FLOPs by module and phase."""
    found: Counter[tuple[str, str]] = Counter()
    for row in ic.count(graph).layers:
        found[row.module, row.phase] += row.work.contraction_flops
    return +found


def sums(graph: ic.Graph, phase: str) -> Counter[tuple[str, int]]:
    """Collectives of a phase by the elements of their operand."""
    sizes = graph.size_values({})
    found: Counter[tuple[str, int]] = Counter()
    for node in graph.nodes:
        if node.op.startswith("collective.") and node.phase == phase:
            elements = prod(value_of(length, sizes) for length in node.inputs[0].shape)
            found[node.op.removeprefix("collective."), elements] += 1
    return found


def shapes(graph: ic.Graph) -> tuple[list[Any], list[Any]]:
    """Shapes of the weights, and of the last results, which are their gradients."""
    weights = [tensor.shape for tensor in graph.tensors if tensor.role == "parameter"]
    return weights, [tensor.shape for tensor in graph.outputs[-len(weights) :]]


@pytest.fixture(scope="module")
def llama() -> ic.Graph:
    return step_of("llama")


@pytest.mark.parametrize("name", DIVISIBLE)
@pytest.mark.sample(2)
def test_ranks_have_the_whole_step_together(name: str) -> None:
    whole = step_of(name)
    of_whole = work(whole)
    for ranks in (2, 4):
        rank = ic.devices.rank_graph(whole, f"tensor={ranks}")
        weights, gradients = shapes(rank)
        assert gradients == weights

        for (module, phase), flops in work(rank).items():
            copies = ranks if module.endswith(ROUTERS) else 1
            assert flops * ranks == copies * of_whole[module, phase], (module, phase)
        for share in ic.devices.weight_shares(rank):
            assert share.elements in (share.of, share.of // ranks)

        # One sum after each attention and feed-forward part, and one before it in backward; those of the embedding
        # and of the logits, whose columns are gathered.
        hidden = 4 * 64 * 128
        parts = 1 if name in PARALLEL_BLOCKS else 2
        assert sums(rank, "forward") == {
            ("all_reduce", hidden): LAYERS * parts + 1, ("all_gather", 4 * 64 * 1024 // ranks): 1
        }  # fmt: skip
        expected = {("all_reduce", hidden): LAYERS * 2 + 1}
        if name in EXPERTS:  # the gradients of the weights of experts, which a router gives
            per_token = 4 if name == "gpt_oss" else 2
            expected["all_reduce", 4 * 64 * per_token] = LAYERS
        if name.startswith("qwen3"):  # norms of queries and keys, which all heads share
            expected["all_reduce", 16] = LAYERS * 2
        assert sums(rank, "backward") == expected


def test_a_rank_reads_its_columns_of_the_gradient_of_logits(llama: ic.Graph) -> None:
    rank = ic.devices.rank_graph(llama, "tensor=4")
    of_head = [node for node in rank.nodes if node.module == "lm_head" and node.op == "aten.mm"]
    assert [tuple(made.shape for made in node.inputs) for node in of_head] == [
        ((256, 128), (128, 256)), ((256, 256), (256, 128)), ((256, 256), (256, 128))
    ]  # fmt: skip
    # Losses are of whole rows on every rank.
    assert {tuple(node.outputs[0].shape) for node in rank.nodes if "softmax" in node.op} == {(256, 1024)}


def test_gradients_of_a_shared_head_are_added_up() -> None:
    # One head of keys: each rank has its gradient from its own queries, and the whole product before it.
    whole = step_of("llama", num_key_value_heads=1)
    rank = ic.devices.rank_graph(whole, "tensor=4")
    assert sums(rank, "backward") == {
        ("all_reduce", 4 * 64 * 128): LAYERS * 2 + 1,
        ("all_reduce", 4 * 64 * 8): LAYERS * 2,
    }
    weights, gradients = shapes(rank)
    assert weights == gradients


def test_heads_beyond_those_of_keys_are_refused(llama: ic.Graph) -> None:
    message = (
        "tensor=8 does not divide the 4 heads before model.layers.1.self_attn.v_proj; expected tensor to be one of"
    )
    with pytest.raises(LayoutError, match=re.escape(f"{message} 1, 2, 4")):
        ic.devices.rank_graph(llama, "tensor=8")


@pytest.mark.parametrize("layout", ["tensor=2,attention_data=2", "context=2", "tensor=2,expert=2"])
def test_shares_of_tokens_are_refused(llama: ic.Graph, layout: str) -> None:
    with pytest.raises(
        LayoutError, match=r"this graph is of a training step, which tensor=, sequence=, pipeline=, data= and zero="
    ):
        ic.devices.rank_graph(llama, layout)


ELEMENTWISE = ("aten.add", "aten.mul", "aten.sub", "aten.div", "aten.silu_backward", "aten.gelu_backward")


@pytest.mark.parametrize("name", ["llama", "qwen3", "gpt2", "gemma2"])
@pytest.mark.slow
def test_ranks_share_the_tokens_between_products(name: str) -> None:
    config = transformers.AutoConfig.for_model(model_type=name, **CONFIGS[name])
    how = "eager" if name in EAGER else "sdpa"
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=how).train()
    ids = torch.zeros(4, 64, dtype=torch.int64)
    inputs = ic.Inputs((), {"input_ids": ids, "labels": ids, "use_cache": False})
    named = {0: "batch", 1: "sequence"}
    whole = ic.capture(
        model, inputs, training=True, dynamic={"input_ids": named, "labels": named}, roles={"sequence": "sequence"}
    )
    rank = ic.devices.rank_graph(whole, "tensor=4,sequence=1")
    sizes = {"batch": 4, "sequence": 64}
    flops = [ic.count(graph, sizes=sizes).total.contraction_flops for graph in (whole, rank)]
    assert flops[0] == 4 * flops[1]

    # Each sum scatters the tokens, and each product gathers them.
    hidden, norms = 4 * 64 * 128, 4 if name == "gemma2" else 2
    assert sums(rank, "forward") == {
        ("reduce_scatter", hidden): 2 * LAYERS + 1, ("all_gather", hidden // 4): 2 * LAYERS + 1,
        ("all_gather", 4 * 64 * 1024 // 4): 1,
    }  # fmt: skip
    backward = sums(rank, "backward")
    assert backward["reduce_scatter", hidden] == 2 * LAYERS + 1
    assert backward["all_gather", hidden // 4] == 2 * LAYERS + 1
    # Gradients of norms are of the tokens of a rank; with weights and biases, and biases after each sum, in GPT-2.
    of_norms = 2 * (norms * LAYERS + 1) if name == "gpt2" else norms * LAYERS + 1
    assert backward["all_reduce", 128] == of_norms

    # Operands of elementwise work have as many tokens.
    bound = rank.size_values(sizes)
    for node in rank.nodes:
        if node.op in ELEMENTWISE:
            shapes_of = [tuple(value_of(length, bound) for length in tensor.shape) for tensor in node.inputs]
            made = tuple(value_of(length, bound) for length in node.outputs[0].shape)
            assert torch.broadcast_shapes(*shapes_of) == made, node


def test_views_that_are_not_followed_are_refused() -> None:
    with pytest.raises(LayoutError, match=r"tensor=2 does not divide .*q_b_proj.weight: aten.as_strided of"):
        ic.devices.rank_graph(step_of("deepseek_v3"), "tensor=2")


def test_memory_is_that_of_the_rank(llama: ic.Graph) -> None:
    rank = ic.devices.rank_graph(llama, "tensor=4")
    shares = {share.name: share for share in ic.devices.weight_shares(rank)}
    parameters = [tensor.name for tensor in llama.tensors if tensor.role == "parameter"]
    own, all_of_them = (sum(getattr(shares[name], what) for name in parameters) for what in ("elements", "of"))
    assert own < all_of_them / 3
    one = ic.training_memory(rank, optimizer="adamw")
    whole = ic.training_memory(llama, optimizer="adamw")
    assert (one.parameter_bytes, whole.parameter_bytes) == (4 * own, 4 * all_of_them)
    assert (one.gradient_bytes, whole.gradient_bytes) == (4 * own, 4 * all_of_them)
    assert one.optimizer_bytes == 8 * own + 4 * len(parameters)

    profile = ic.profile(llama, hardware=H100, layout="tensor=4", optimizer="adamw")
    assert profile.training_memory is not None
    assert profile.training_memory.optimizer_bytes == one.optimizer_bytes
    assert profile.estimate is not None
    assert profile.estimate.exchanges


class Net(nn.Module):
    """Four pairs of products, each of which ranks can divide between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ups = nn.ModuleList(nn.Linear(width, 4 * width, bias=False) for _ in range(4))
        self.downs = nn.ModuleList(nn.Linear(4 * width, width, bias=False) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for up, down in zip(self.ups, self.downs, strict=True):
            x = x + down(torch.relu(up(x)))
        return x


@pytest.fixture(scope="module")
def net() -> ic.Graph:
    return ic.capture(Net(512).train(), torch.randn(4096, 512), training=True, dynamic={0: {0: "batch"}})


def test_copies_exchange_the_gradients_of_a_rank(net: ic.Graph) -> None:
    layout = Layout.parse("tensor=4,data=2")
    rank = ic.devices.rank_graph(net, layout)
    sent = messages(rank, rank.size_values({}), layout, "native")
    assert sum(each.bytes for each in sent) == 8 * 4 * 512 * 512 * 4 // 4
    # The first product reads an input without a gradient.
    assert sums(rank, "backward") == {("all_reduce", 4096 * 512): 3}


def test_copies_add_their_exchange_to_the_time_of_a_rank(net: ic.Graph) -> None:
    one = ic.estimate(net, hardware=H100, layout="tensor=4", batch=4096)
    two = ic.estimate(net, hardware=H100, layout="tensor=4,data=2", batch=2 * 4096)
    assert one.latency_s < two.latency_s < one.latency_s + 2e-3
    result = ic.sweep(net, hardware=H100, layout=["tensor=4", "tensor=4,data=2"], batch=[8192])
    for row in range(2):
        known = ic.estimate(net, hardware=H100, layout=str(result["layout"][row]), batch=8192, sustained=True)
        assert result["latency_s"][row] == pytest.approx(known.latency_s, rel=1e-12)
        assert result["energy_j"][row] == pytest.approx(known.energy_j, rel=1e-12)


@pytest.mark.parametrize(
    ("layout", "machines", "expected"),
    [
        ("data=8", 2, 2),
        ("tensor=8,data=4", 4, 4),
        ("tensor=4,data=4", 2, 2),
        ("tensor=16,data=2", 4, 2),
        ("data=8", 1, 1),
    ],
)
def test_copies_of_a_part_are_in_several_machines(layout: str, machines: int, expected: int) -> None:
    assert Layout.parse(layout).nodes_of_copies(machines) == expected


def test_layouts_of_a_step_are_found(llama: ic.Graph) -> None:
    found = ic.find_layouts(llama, 4)
    # Without a size 'batch', copies and micro-batches have nothing to share.
    assert [str(layout) for layout in found.found] == ["pipeline=4", "tensor=2,pipeline=2", "tensor=4"]
