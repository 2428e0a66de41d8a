"""Students made from a teacher: stacks of layers, channels, configs, and the choice within a budget."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
import torch
from support.tiny_students import WIDTH, Block, blocks, equal, made, student
from torch import nn

import pyinfercost as ic
from pyinfercost.sources.inputs import Inputs
from pyinfercost.tradeoffs import DistillationError
from pyinfercost.tradeoffs.layer_stacks import LayerStack, layer_stacks
from pyinfercost.tradeoffs.student_choice import choose, limits_of
from pyinfercost.tradeoffs.students import fewer_layers, narrower, smaller_config, student_of
from pyinfercost.transform.layers import evenly

pytestmark = pytest.mark.torch

X = torch.linspace(-1, 1, 5 * WIDTH).reshape(5, WIDTH)
INPUTS = Inputs((X,))
ON = ic.Deployment(hardware="epyc-7742")


def convolutional() -> nn.Module:
    return made(
        0,
        lambda: nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * 64, 128),
            nn.ReLU(),
            nn.Linear(128, 10),
        ),
    ).eval()


PICTURES = Inputs((torch.linspace(-1, 1, 4 * 64).reshape(4, 1, 8, 8),))


def llama(**changes: Any) -> Any:
    transformers = pytest.importorskip("transformers")
    sizes = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 6}
    sizes |= {"num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0, **changes}
    return made(0, lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes))).eval()


TOKENS = Inputs((), {"input_ids": torch.arange(1, 21).reshape(2, 10), "use_cache": False})

# --- stacks ----------------------------------------------------------------------------------------------------------


def test_stacks_are_layers_that_read_each_other() -> None:
    assert layer_stacks(blocks(), INPUTS) == [LayerStack("blocks", 0, 6)]
    model = blocks().train()
    layer_stacks(model, INPUTS)
    assert model.training
    assert not any(part._forward_hooks for part in model.modules())


class Branches(nn.Module):
    """Equal modules side by side, whose results are added up."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList(Block(WIDTH) for _ in range(4))

    def forward(self, x: torch.Tensor) -> Any:
        return sum(expert(x) for expert in self.experts)


class Tied(nn.Module):
    """One layer that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Block(WIDTH)] * 3)

    def forward(self, x: torch.Tensor) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x


@pytest.mark.parametrize("make", [Branches, Tied, lambda: nn.Sequential(nn.Linear(WIDTH, 8), nn.Linear(8, 8))])
def test_branches_experts_and_repeated_layers_are_no_stack(make: Any) -> None:
    assert layer_stacks(make(), INPUTS) == []
    with pytest.raises(DistillationError, match="has no stack of equal layers"):
        fewer_layers(0.5).made(make(), INPUTS)


def test_stacks_within_layers_are_left_whole() -> None:
    nested = nn.Sequential(*(nn.Sequential(Block(WIDTH), Block(WIDTH)) for _ in range(3)), nn.Linear(WIDTH, 2))
    assert layer_stacks(nested, INPUTS) == [LayerStack("", 0, 3)]


def test_kept_layers_are_evenly_spaced() -> None:
    assert evenly(12, 6) == [0, 2, 4, 7, 9, 11]  # those of DistilBERT
    assert evenly(6, 3) == [0, 2, 5]
    assert evenly(5, 1) == [0]
    for layers in range(1, 30):
        assert evenly(layers, layers) == list(range(layers))
        for kept in range(2, layers + 1):
            found = evenly(layers, kept)
            assert len(set(found)) == kept
            assert (found[0], found[-1]) == (0, layers - 1)
            steps = [after - before for before, after in itertools.pairwise(found)]
            assert max(steps) - min(steps) <= 1


# --- fewer layers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [3, 0.5])
def test_fewer_layers_are_copies_of_the_teachers(keep: float) -> None:
    teacher = blocks().requires_grad_(False)
    module, hidden = fewer_layers(keep).made(teacher, INPUTS)
    wanted = teacher.enter(X)
    for place in (0, 2, 5):
        wanted = teacher.blocks[place](wanted)
    assert torch.equal(module(X), teacher.leave(wanted))
    assert [name for name, _ in module.blocks.named_children()] == ["0", "1", "2"]
    # A student's layer stands for the teacher's up to the one before the next kept layer.
    assert hidden == {"blocks.0": "blocks.1", "blocks.1": "blocks.4", "blocks.2": "blocks.5"}
    assert all(weight.requires_grad for weight in module.parameters())
    assert len(teacher.blocks) == 6
    with torch.no_grad():
        module.blocks[0].up.weight.zero_()
    assert teacher.blocks[0].up.weight.any(), "a student shares no memory"


def test_a_decoder_of_fewer_layers_generates_with_its_cache() -> None:
    teacher = llama()
    module, hidden = fewer_layers(2).made(teacher, TOKENS)
    assert module.config.num_hidden_layers == 2
    assert [layer.self_attn.layer_idx for layer in module.model.layers] == [0, 1]
    assert hidden == {"model.layers.0": "model.layers.4", "model.layers.1": "model.layers.5"}
    assert torch.equal(module.model.layers[1].mlp.up_proj.weight, teacher.model.layers[5].mlp.up_proj.weight)
    ids = TOKENS.kwargs["input_ids"][:1]
    greedy = {"max_new_tokens": 4, "do_sample": False, "eos_token_id": None}
    cached = module.generate(ids, **greedy)
    assert torch.equal(cached, module.generate(ids, use_cache=False, **greedy))


def test_several_stacks_lose_the_same_share() -> None:
    models = pytest.importorskip("torchvision").models
    model = models.resnet34(weights=None).eval()
    picture = Inputs((torch.randn(1, 3, 64, 64),))
    found = [(stack.path, stack.first, stack.layers) for stack in layer_stacks(model, picture)]
    assert found == [("layer1", 0, 3), ("layer2", 1, 3), ("layer3", 1, 5), ("layer4", 1, 2)]
    module, _ = fewer_layers(0.5).made(model, picture)
    assert [len(getattr(module, f"layer{stage}")) for stage in (1, 2, 3, 4)] == [2, 1 + 2, 1 + 2, 1 + 1]


# --- fewer channels --------------------------------------------------------------------------------------------------


def test_a_narrower_student_keeps_the_largest_channels() -> None:
    teacher = nn.Sequential(nn.Linear(WIDTH, 8), nn.ReLU(), nn.Linear(8, 3))
    with torch.no_grad():
        for unit in range(8):
            teacher[0].weight[unit] = 0.1 * (1 + (unit * 3) % 8)  # 0 3 6 1 4 7 2 5
    module, hidden = narrower(0.5).made(teacher, INPUTS)
    kept = [2, 4, 5, 7]  # they have 6, 4, 7, 5
    assert torch.equal(module[0].weight, teacher[0].weight[kept])
    assert torch.equal(module[2].weight, teacher[2].weight[:, kept])
    assert (module[0].out_features, module[2].in_features) == (4, 4)
    assert hidden == {"0": "0"}


def test_widths_are_rounded_up_to_a_multiple() -> None:
    module, _ = narrower(0.3, multiple=8).made(convolutional(), PICTURES)
    assert (module[0].out_channels, module[3].out_channels, module[6].out_features) == (16, 24, 40)
    module, _ = narrower(0.3, multiple=64).made(convolutional(), PICTURES)
    assert (module[0].out_channels, module[3].out_channels, module[6].out_features) == (32, 64, 64)


def test_patterns_choose_groups() -> None:
    module, _ = narrower(0.5, only=["6"]).made(convolutional(), PICTURES)
    assert (module[0].out_channels, module[3].out_channels, module[6].out_features) == (32, 64, 64)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_graph_of_a_narrower_student_costs_what_the_student_costs(share: float) -> None:
    way, teacher = narrower(share), convolutional()
    predicted = ic.estimate(way.graph(teacher, PICTURES), on=ON)
    built = ic.estimate(ic.capture(way.made(teacher, PICTURES).module, PICTURES), on=ON)
    assert predicted.latency_s == built.latency_s


def test_attention_of_torch_keeps_its_widths() -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    tokens = Inputs((torch.randn(2, 5, 16),))
    module, _ = narrower(0.5).made(layer, tokens)
    assert (module.linear1.out_features, module.self_attn.embed_dim) == (16, 16)


# --- smaller configs -------------------------------------------------------------------------------------------------


def test_a_smaller_config_scales_heads_and_widths() -> None:
    teacher = llama()
    module, hidden = smaller_config(0.5, num_hidden_layers=3).made(teacher, TOKENS)
    config = module.config
    assert (config.hidden_size, config.intermediate_size, config.num_hidden_layers) == (16, 24, 3)
    assert (config.num_attention_heads, config.num_key_value_heads, config.vocab_size) == (2, 2, 64)
    assert hidden == {f"model.layers.{own}": f"model.layers.{other}" for own, other in ((0, 1), (1, 3), (2, 5))}
    assert equal(module, smaller_config(0.5, num_hidden_layers=3).made(teacher, TOKENS).module), "seeded"
    assert teacher.config.hidden_size == 32


# --- budgets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [narrower(), narrower(multiple=8)])
@pytest.mark.sample(1)
def test_the_largest_student_within_a_budget_is_chosen(family: Any) -> None:
    teacher = convolutional()
    whole = ic.estimate(ic.capture(teacher, PICTURES), on=ON).latency_s

    def latency_s(way: Any) -> float:
        return ic.estimate(way.graph(teacher, PICTURES), on=ON).latency_s

    found = choose([family], teacher, PICTURES, limits_of(0.6), ON)
    assert latency_s(found) <= 0.6 * whole
    sizes = [str(each) for each in family.sizes(teacher, PICTURES)]
    larger = family.sizes(teacher, PICTURES)[sizes.index(str(found)) - 1]
    assert latency_s(larger) > 0.6 * whole
    seconds = latency_s(found)
    assert str(choose([family], teacher, PICTURES, {"latency_s": seconds}, ON)) == str(found)


def test_several_limits_hold_together() -> None:
    teacher = blocks(8, 64)
    layers = choose([fewer_layers()], teacher, INPUTS, limits_of({"latency_s": "90 %", "parameter_bytes": "30%"}), ON)
    assert str(layers) == "fewer_layers(0.25)"  # 2 of 8 layers, and the linear layers around them
    module, _ = layers.made(teacher, INPUTS)
    of_teacher, of_student = (sum(each.numel() for each in m.parameters()) for m in (teacher, module))
    assert of_student <= 0.3 * of_teacher


def test_of_several_ways_the_slowest_within_the_budget_is_chosen() -> None:
    teacher = blocks(8, 64)
    ways = [fewer_layers(1), fewer_layers(4), fewer_layers(6)]
    assert choose(ways, teacher, INPUTS, limits_of(0.6), ON) is ways[1]


def test_a_budget_of_a_config() -> None:
    found = choose([smaller_config()], llama(), TOKENS, limits_of({"parameter_bytes": "40 %"}), ON)
    assert str(found) == "smaller_config(0.5)"


def test_a_budget_that_nothing_meets_says_what_comes_closest() -> None:
    with pytest.raises(
        DistillationError, match=r"no student is within latency_s 1e-09 on epyc-7742: narrower\(0\.0625\)"
    ):
        choose([narrower()], convolutional(), PICTURES, {"latency_s": 1e-9}, ON)
    with pytest.raises(DistillationError, match="within limits cost_usd, which is unknown here"):
        choose([narrower()], convolutional(), PICTURES, {"cost_usd": 1.0}, ON)
    with pytest.raises(DistillationError, match=re.escape("run the candidate in ic.tradeoff(..., hardware=...)")):
        choose([narrower()], convolutional(), PICTURES, {"latency_s": 1.0}, None)


@pytest.mark.parametrize(
    ("within", "error", "message"),
    [
        (1.5, DistillationError, "within is 1.5; expected a number from 1e-06 to 1"),
        ({}, DistillationError, "within is empty"),
        ({"speed": 1}, DistillationError, "within has 'speed'; expected one of latency_s, energy_j"),
        ({"latency_s": -1}, DistillationError, "within['latency_s'] is -1"),
        ({"latency_s": "fast"}, TypeError, "within['latency_s'] is 'fast'; expected a number, or a share such as"),
        ({"latency_s": "200 %"}, DistillationError, "within['latency_s'] as a share is 2.0"),
    ],
)
def test_wrong_budgets_are_refused(within: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        limits_of(within)


# --- errors ----------------------------------------------------------------------------------------------------------


class Rigid(nn.Module):
    """A forward with a width of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(WIDTH, 8), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> Any:
        return self.two(self.one(x) + torch.arange(self.one.weight.shape[0]) * torch.ones(len(range(8)))[:8])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fewer_layers(0), DistillationError, "keep is 0; expected a whole number from 1"),
        (lambda: fewer_layers(1.5), DistillationError, "keep is 1.5"),
        (lambda: narrower(0.0), DistillationError, "keep is 0.0"),
        (lambda: narrower(0.5, only="*mlp*"), TypeError, "only is '*mlp*'; expected a list of patterns"),
        (lambda: smaller_config(2), DistillationError, "scale is 2"),
        (lambda: student_of(5), TypeError, "student is of type int; expected fewer_layers(...)"),
        (lambda: fewer_layers(6).made(blocks(), INPUTS), DistillationError, "removes no layer of stacks of 6 layers"),
        (lambda: fewer_layers().made(blocks(), INPUTS), DistillationError, "has no number of layers; pass one, or a"),
        (lambda: narrower().made(blocks(), INPUTS), DistillationError, "has no share of channels; pass one, or a"),
        (lambda: narrower(1.0).made(blocks(), INPUTS), DistillationError, "removes no channel of Blocks"),
        (
            lambda: narrower(0.5, only=["no*"]).made(blocks(), INPUTS),
            DistillationError,
            "whose groups are width_enter, width_blocks_0_up",
        ),
        (lambda: smaller_config(0.5).made(blocks(), INPUTS), DistillationError, "Blocks has none with"),
        (lambda: smaller_config().made(llama(), TOKENS), DistillationError, "smaller_config() changes nothing"),
        (
            lambda: smaller_config(wings=2).made(llama(), TOKENS),
            DistillationError,
            "the config of LlamaForCausalLM has no field 'wings'",
        ),
        (
            lambda: smaller_config(vocab_size=4).made(llama(), TOKENS),
            DistillationError,
            "smaller_config(vocab_size=4) of LlamaForCausalLM does not run (IndexError",
        ),
        (lambda: student_of(lambda model: model).made(blocks(), INPUTS), DistillationError, "returned the teacher"),
        (lambda: student_of(lambda model: 5).made(blocks(), INPUTS), TypeError, "returned a int; expected an nn.Mod"),
    ],
)
def test_wrong_students_are_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_students_of_the_caller_are_copied_or_seeded() -> None:
    mine = student()
    module, hidden = student_of(mine).made(blocks(), INPUTS)
    assert equal(module, mine)
    assert module is not mine
    assert hidden == {}
    fresh = student_of(lambda model: nn.Linear(WIDTH, 4))
    assert equal(fresh.made(blocks(), INPUTS).module, fresh.made(blocks(), INPUTS).module)
