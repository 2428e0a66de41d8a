"""Channels removed from real modules: cost equal to the graph with named widths, and the same results."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from support.narrow_models import FAMILIES
from support.small_transformers import MODELS, inputs_of
from torch import nn
from torch.nn.utils import parametrizations, prune

import pyinfercost as ic
from pyinfercost.training import ShrinkError, shrink
from pyinfercost.transform.channels import ChannelGroups

pytestmark = pytest.mark.torch


def drawn(groups: ChannelGroups, seed: int, *, only: str = "") -> dict[str, list[int]]:
    """Some units of every group."""
    choice = random.Random(seed)
    return {
        group.name: choice.sample(range(group.width), choice.randint(1, group.width))
        for group in groups.groups
        if only in group.name
    }


def check_costs(model: nn.Module, groups: ChannelGroups, keep: dict[str, list[int]], **call: Any) -> None:
    """The module costs what the graph says of these widths."""
    fresh, sizes = ic.capture(model, **call), {**groups.widths, **{name: len(units) for name, units in keep.items()}}
    mine, theirs = ic.count(groups.graph, **sizes), ic.count(fresh)
    assert mine.total.to_dict() == theirs.total.to_dict()
    assert [layer.row.to_dict() for layer in mine.layers] == [layer.row.to_dict() for layer in theirs.layers]
    assert mine.memory.timeline == theirs.memory.timeline


@pytest.mark.parametrize(
    ("name", "only"),
    [
        ("resnet18", ""),
        pytest.param("resnext50_32x4d", "", marks=pytest.mark.slow),
        ("mobilenet_v2", ""),
        pytest.param("efficientnet_b0", "", marks=pytest.mark.slow),
        pytest.param("densenet121", "", marks=pytest.mark.slow),
        ("convnext_tiny", ""),
        ("shufflenet_v2_x1_0", ""),
        pytest.param("vit_b_16", "mlp", marks=pytest.mark.slow),
        ("swin_t", "mlp"),
    ],
)
@pytest.mark.sample(2)
def test_models_of_torchvision_run_and_cost_what_the_graph_says(name: str, only: str) -> None:
    models = pytest.importorskip("torchvision").models
    model = models.get_model(name, weights=None).eval()
    x = torch.randn(1, 3, 224 if name == "vit_b_16" else 64, 224 if name == "vit_b_16" else 64)
    groups = ic.channel_groups(ic.capture(model, (x,)))
    keep = drawn(groups, 1, only=only)
    assert len(keep) > 3
    assert shrink(model, groups, keep) is model
    with torch.no_grad():
        assert model(x).shape == (1, 1000)
    check_costs(model, groups, keep, inputs=(x,))


def silence(model: nn.Module, groups: ChannelGroups, names: Sequence[str]) -> dict[str, list[int]]:
    """Draws weights and statistics, and makes every second unit of some groups produce zeros; returns the others."""
    with torch.no_grad():
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            if tensor.is_floating_point():
                tensor.uniform_(0.5, 1.5) if "running_var" in name else tensor.uniform_(-0.5, 0.5)
    tensors = dict((*model.named_parameters(remove_duplicate=False), *model.named_buffers()))
    keep = {}
    for name in names:
        group = groups[name]
        keep[group.name] = list(range(0, group.width, 2))
        for member in group.members:
            if member.role in ("producer", "scale"):
                zeros = torch.from_numpy(member.indices[1::2].reshape(-1).copy())
                tensors[member.tensor].data.index_fill_(member.dim, zeros, 0.0)
    return keep


# Layer norms count channels, and a softmax over channels is none: there zeros take part in the result.
@pytest.mark.parametrize(
    ("name", "widths"),
    [
        ("plain", "abc"),
        ("residual", "smtno"),
        ("inverted", "ser"),
        ("dense", "cght"),
        ("unet", "abcde"),
        ("vision", "hm"),
        ("text", "hm"),
        ("grouped", "g"),
    ],
)
def test_channels_of_zeros_are_not_missed(name: str, widths: str) -> None:
    torch.manual_seed(0)
    family = FAMILIES[name]
    model = family.build(family.full).eval()
    x = family.example
    groups = ic.channel_groups(ic.capture(model, (x,)))
    keep = silence(model, groups, [family.layers[width] for width in widths])
    x = torch.randint(0, 50, x.shape) if x.dtype == torch.int64 else torch.randn(x.shape)
    with torch.no_grad():
        before = model(x)
        if name in ("vision", "text"):  # these take the number of heads from an attribute
            model.attention.heads = len(keep[groups[family.layers["h"]].name])
        after = shrink(model, groups, keep)(x)
    assert before.abs().max() > 0
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_attributes_say_what_is_left(name: str) -> None:
    family = FAMILIES[name]
    model = family.build(family.full).eval()
    groups = ic.channel_groups(ic.capture(model, (family.example,)))
    widths = {key: max(1, full // 2) for key, full in family.full.items()}
    shrink(model, groups, {family.layers[key]: range(width) for key, width in widths.items()})
    expected = family.build(widths)
    assert [(n, p.shape) for n, p in model.named_parameters()] == [(n, p.shape) for n, p in expected.named_parameters()]
    for mine, fresh in zip(model.modules(), expected.modules(), strict=True):
        assert mine.extra_repr() == fresh.extra_repr()


@pytest.mark.parametrize(("name", "layers"), [("GPT2", "c_fc"), ("Llama", "gate_proj"), ("Bert", "intermediate")])
def test_hidden_widths_of_transformers(name: str, layers: str) -> None:
    transformers = pytest.importorskip("transformers")
    kind, settings = MODELS[name]
    made = getattr(transformers, kind)
    model = made(made.config_class(**{**settings, "bos_token_id": 1, "eos_token_id": 2})).eval()
    inputs = inputs_of(model)
    groups = ic.channel_groups(ic.capture(model, inputs))
    hidden = [group for group in groups.groups if any(layers in path for path in group.modules)]
    assert [group.width for group in hidden] == [128 if name == "GPT2" else 48] * 2
    keep = {group.name: list(range(5, 30)) for group in hidden}
    shrink(model, groups, keep)
    with torch.no_grad():
        model(**inputs)
    check_costs(model, groups, keep, inputs=inputs)


def two(width: int = 6) -> tuple[nn.Sequential, ChannelGroups, torch.Tensor]:
    model, x = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2)).eval(), torch.randn(3, 4)
    return model, ic.channel_groups(ic.capture(model, (x,))), x


def test_what_is_kept_may_be_numbers_or_booleans() -> None:
    model, groups, x = two()
    one, other = copy.deepcopy(model), copy.deepcopy(model)
    model[0].bias.requires_grad_(False)
    model(x).sum().backward()
    shrink(model, groups, {"width_0": [4, 0, 1]})
    shrink(one, groups, {"0": torch.tensor([True, True, False, False, True, False])})
    shrink(other, groups, {"0": torch.tensor([0, 1, 4])})
    assert torch.equal(model(x), one(x))
    assert torch.equal(model(x), other(x))
    assert not model[0].bias.requires_grad
    assert model[0].weight.requires_grad
    assert model[0].weight.grad is None
    assert shrink(one, groups, {}) is one


def test_shared_weights_and_layouts_stay() -> None:
    family = FAMILIES["text"]
    text = family.build(family.full).eval()
    groups = ic.channel_groups(ic.capture(text, (family.example,)))
    shrink(text, groups, {"words": range(7)})
    assert text.head.weight is text.words.weight
    assert (text.words.embedding_dim, text.head.in_features, text.norm.normalized_shape) == (7, 7, (7,))
    image = FAMILIES["residual"].build(FAMILIES["residual"].full).eval().to(memory_format=torch.channels_last)
    groups = ic.channel_groups(ic.capture(image, (FAMILIES["residual"].example,)))
    shrink(image, groups, {"down": range(5)})
    assert image.wide[1][0].weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ({"nothing": [0]}, "no channel group 'nothing'; expected"),
        ({"2": [0]}, "the channels of '2' are fixed: they are results of the model"),
        ({"0": []}, "width_0: got no unit to keep, expected at least one of its 6"),
        ({"0": [0, 6]}, "width_0: got unit 6, expected units from 0 to 5, each at most once"),
        ({"0": [-1]}, "width_0: got unit -1, expected units from 0 to 5"),
        ({"0": [2, 1, 2]}, "width_0: got unit 2 several times, expected"),
        ({"0": [0.5]}, "expected whole numbers or a tensor of booleans"),
        ({"0": torch.ones(5, dtype=torch.bool)}, r"got booleans of shape \(5,\), expected \(6,\)"),
        ({"0": [1], "width_0": [1]}, "group 'width_0' is given twice"),
    ],
)
def test_wrong_choices_change_nothing(keep: dict[str, Any], message: str) -> None:
    model, groups, x = two()
    before = model(x)
    with pytest.raises(ShrinkError, match=message):
        shrink(model, groups, {**keep})
    assert torch.equal(model(x), before)
    assert (model[0].out_features, model[2].in_features) == (6, 6)


def test_other_modules_are_refused() -> None:
    model, groups, _ = two()
    with pytest.raises(ShrinkError, match=r"0\.weight has shape \(5, 4\); expected \(6, 4\) as captured"):
        shrink(two(5)[0], groups, {"0": [1]})
    with pytest.raises(ShrinkError, match="expected the module that was captured"):
        shrink(nn.Sequential(nn.ReLU()), groups, {"0": [1]})
    shrink(model, groups, {"0": [1, 2]})
    with pytest.raises(ShrinkError, match="Capture a module again"):
        shrink(model, groups, {"0": [1]})


def test_masks_and_parametrizations_have_to_go_first() -> None:
    model, groups, x = two()
    prune.random_unstructured(model[2], "weight", amount=0.5)
    for found in (groups, ic.channel_groups(ic.capture(model, (x,)))):
        with pytest.raises(ShrinkError, match=r"masked by torch.nn.utils.prune.*prune.remove\(layer, 'weight'\) first"):
            shrink(model, found, {"0": [1]})
    prune.remove(model[2], "weight")
    shrink(model, groups, {"0": [1]})
    model, groups, x = two()
    parametrizations.orthogonal(model[2])
    with pytest.raises(ShrinkError, match=r"parametrized; expected a plain weight.*remove_parametrizations"):
        shrink(model, groups, {"0": [1]})


def test_widths_inside_multihead_attention_are_refused() -> None:
    layer, x = nn.TransformerEncoderLayer(16, 4, 24, batch_first=True).train(), torch.randn(2, 5, 16)
    model = nn.Sequential(nn.Linear(16, 16), layer, nn.Linear(16, 3))
    groups = ic.channel_groups(ic.capture(model, (x,)))
    with pytest.raises(ShrinkError, match=r"belongs to nn\.MultiheadAttention, whose forward takes its widths"):
        shrink(model, groups, {"0": range(8)})
    shrink(model, groups, {"1.linear1": range(8)})
    assert model(x).shape == (2, 5, 3)
