"""Inference views of pruned, normed and parametrized weights have plain weights."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support.inference_view_checks import IMAGES, TOKENS, Tied, compiled, left_alone, network, serves_as, trains_on
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

import pyinfercost as ic
from pyinfercost.sources.inference_view.view import inference_view, plain_name

pytestmark = pytest.mark.torch


def unstructured(module: nn.Module) -> None:
    for part in (module[0], module[4][0], module[4][2]):
        prune.l1_unstructured(part, "weight", 0.5)


def structured(module: nn.Module) -> None:
    prune.ln_structured(module[0], "weight", 0.5, n=2, dim=0)
    prune.random_structured(module[4][0], "weight", 0.25, dim=1)


def several(module: nn.Module) -> None:
    """Weight and bias of a layer, the weight twice."""
    prune.l1_unstructured(module[4][0], "weight", 0.5)
    prune.ln_structured(module[4][0], "weight", 0.25, n=2, dim=0)
    prune.random_unstructured(module[4][0], "bias", 0.5)


def everywhere(module: nn.Module) -> None:
    prune.global_unstructured([(module[0], "weight"), (module[4][0], "weight")], prune.L1Unstructured, amount=0.5)


def old_norms(module: nn.Module) -> None:
    with pytest.warns(FutureWarning, match="deprecated"):
        torch.nn.utils.weight_norm(module[0])
    torch.nn.utils.spectral_norm(module[4][0])


def pruned_norms(module: nn.Module) -> None:
    old_norms(module)
    prune.l1_unstructured(module[0], "weight_v", 0.5)
    prune.l1_unstructured(module[4][0], "weight_orig", 0.5)


def norms(module: nn.Module) -> None:
    parametrizations.weight_norm(module[0])
    parametrizations.spectral_norm(module[4][0])
    parametrizations.orthogonal(module[4][2])


def orthogonal(module: nn.Module) -> None:
    for each in ("matrix_exp", "cayley", "householder"):
        parametrizations.orthogonal(module[4][2], orthogonal_map=each)
        if each != "householder":
            parametrize.remove_parametrizations(module[4][2], "weight")


class Noisy(nn.Module):
    """Draws numbers, counts its calls and keeps a tensor that is no buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.ones(())
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls.add_(1)
        if self.scale.item() > 2:
            return x
        return x * (self.scale + torch.rand(()) * random.random() * np.random.random())  # noqa: NPY002


class LowRank(nn.Module):
    """A weight of two narrow factors."""

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return left @ right

    def right_inverse(self, weight: torch.Tensor) -> Any:
        return weight[:, :2].clone(), weight[:2].clone()


class AsksForValues(nn.Module):
    """Cannot run on meta tensors, and gives another shape."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, x * 0]) if float(x.sum()) > -1e9 else x

    def right_inverse(self, x: torch.Tensor) -> torch.Tensor:
        return x[: len(x) // 2]


def noisy(module: nn.Module) -> None:
    for name in ("weight", "bias"):
        parametrize.register_parametrization(module[4][0], name, Noisy())


def of_other_shapes(module: nn.Module) -> None:
    parametrize.register_parametrization(module[4][0], "weight", LowRank(), unsafe=True)
    parametrize.register_parametrization(module[4][2], "weight", AsksForValues(), unsafe=True)


def chained(module: nn.Module) -> None:
    parametrizations.weight_norm(module[4][0])
    parametrize.register_parametrization(module[4][0], "weight", Noisy())
    parametrize.register_parametrization(module[1], "running_mean", Noisy())  # a buffer


CHANGES = [
    unstructured,
    structured,
    several,
    everywhere,
    old_norms,
    pruned_norms,
    norms,
    orthogonal,
    noisy,
    of_other_shapes,
    chained,
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("wrap", [None, nn.DataParallel, compiled])
@pytest.mark.sample(14)
def test_weights_are_plain(change: Callable[[nn.Module], None], wrap: Any) -> None:
    module, plain = network(), network()
    change(module)
    wrapped = module if wrap is None else wrap(module)
    found = serves_as(wrapped, plain, IMAGES)
    expected = {name: tuple(value.shape) for name, value in plain.named_parameters()}
    assert {name: tuple(value.shape) for name, value in found.module.named_parameters()} == expected
    assert {name for name, _ in found.module.named_buffers()} == {name for name, _ in plain.named_buffers()}
    assert {type(part) for part in found.module.modules()} == {type(part) for part in plain.modules()}
    assert {plain_name(name, wrapped) for name, _ in wrapped.named_parameters()} == set(expected)
    assert not [note for note in found.notes if "not known" in note]


@pytest.mark.parametrize("change", [unstructured, several, old_norms, norms])
def test_training_goes_on(change: Callable[[nn.Module], None]) -> None:
    module = network()
    change(module)
    torch.manual_seed(0)
    alone = network()
    change(alone)
    alone.load_state_dict(module.state_dict())
    trains_on(module, alone, lambda each: each(IMAGES + 1).square().mean())


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_tied_weights_stay_tied(device: str) -> None:
    module = Tied()
    prune.l1_unstructured(module.embed, "weight", 0.5)
    prune.l1_unstructured(module.head, "weight", 0.5)
    module.to(device)
    if device == "meta":
        module.head.weight_orig = module.embed.weight_orig
    found = inference_view(module).module
    assert found.embed.weight is found.head.weight
    assert found.embed.weight is module.embed.weight_orig
    assert ic.count(ic.capture(found, (TOKENS,))).total.parameters == 50 * 16 + 16 * 16 + 16


def test_one_name_of_a_tied_weight_is_pruned() -> None:
    module = Tied()
    prune.l1_unstructured(module.head, "weight", 0.5)
    serves_as(module, Tied(), TOKENS)


class Uncopied(nn.Module):
    """Refuses to be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 4)
        self.recurrent = nn.LSTM(4, 4)

    def __deepcopy__(self, memo: Any) -> Any:
        raise RuntimeError("not to be copied")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.recurrent(self.layer(x))[0]
        return result


def test_what_cannot_be_copied() -> None:
    """A pruned module of torch cannot, after a forward: its weight is no leaf."""
    module, x = Uncopied(), torch.zeros(3, 2, 8)
    prune.l1_unstructured(module.layer, "weight", 0.5)
    prune.l1_unstructured(module.recurrent, "weight_hh_l0", 0.5)
    module(x)
    with pytest.raises(RuntimeError, match="not to be copied"):
        copy.deepcopy(module)
    found = serves_as(module, Uncopied(), x).module
    assert found.recurrent._flat_weights[1] is module.recurrent.weight_hh_l0_orig


def test_a_shape_that_nothing_tells() -> None:
    class Failing(nn.Module):
        """Runs once, when it is registered."""

        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            type(self).calls += 1
            if self.calls > 1:
                raise RuntimeError("on purpose")
            return x

    module = nn.Sequential(nn.Linear(4, 4))
    parametrize.register_parametrization(module[0], "weight", Failing())
    with left_alone(module):
        found = inference_view(module)
    assert found.module[0].weight is module[0].parametrizations.weight.original
    assert any("the shape of the parametrized 'weight' is unknown" in note for note in found.notes)


def test_notes_count() -> None:
    module = network()
    unstructured(module)
    assert inference_view(nn.DataParallel(module)).notes == (
        "removed for inference: DataParallel",
        "removed for inference: a pruning mask (3 times)",
    )


def test_a_cache_of_parametrizations_is_not_filled() -> None:
    module = network()
    norms(module)
    with parametrize.cached():
        inference_view(module)
        assert not parametrize._cache
