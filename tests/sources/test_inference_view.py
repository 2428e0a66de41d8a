"""A module in training is captured as it would be served, whatever wraps it, and is not changed."""

from __future__ import annotations

import copy
import functools
import types
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.inference_view_checks import (
    IMAGES,
    TOKENS,
    Tied,
    compiled,
    figures,
    left_alone,
    network,
    serves_as,
    trains_on,
)
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper, offload_wrapper
from torch.optim.swa_utils import AveragedModel

import pyinfercost as ic
from pyinfercost.sources.inference_view.view import inference_view, plain_name

pytestmark = pytest.mark.torch


def compiled_in_place(module: nn.Module) -> nn.Module:
    module.compile(backend="eager")
    return module


def compiled_forward(module: nn.Module) -> nn.Module:
    module.forward = torch.compile(module.forward, backend="eager")
    return module


WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "compiled": compiled,
    "compiled in place": compiled_in_place,
    "compiled forward": compiled_forward,
    "data parallel": nn.DataParallel,
    "averaged": AveragedModel,
    "checkpointed": checkpoint_wrapper,
    "offloaded": offload_wrapper,
    "averaged, compiled": lambda module: compiled(AveragedModel(module)),
    "compiled, averaged, parallel": lambda module: nn.DataParallel(AveragedModel(compiled(module))),
    "checkpointed, compiled, parallel": lambda module: nn.DataParallel(compiled(checkpoint_wrapper(module))),
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize("place", ["whole", "part", "both"])
@pytest.mark.sample(14)
def test_wrappers_are_taken_off(wrap: Callable[[nn.Module], nn.Module], place: str) -> None:
    module = network()
    if place != "whole":
        module[4] = wrap(module[4])
    wrapped = module if place == "part" else wrap(module)
    expected = [name for name, _ in network().named_parameters()]
    found = serves_as(wrapped, network(), IMAGES)
    assert [name for name, _ in found.module.named_parameters()] == expected
    assert [plain_name(name, wrapped) for name, _ in wrapped.named_parameters()] == expected
    assert found.notes
    assert not found.quantize


def test_norms_over_all_devices_are_norms_of_one() -> None:
    module = nn.SyncBatchNorm.convert_sync_batchnorm(network())
    found = serves_as(module, network(), IMAGES)
    assert isinstance(found.module[1], nn.modules.batchnorm._BatchNorm)
    assert not isinstance(found.module[1], nn.SyncBatchNorm)
    assert found.module[1].running_mean is module[1].running_mean


def test_what_has_nothing_to_take_off_is_returned_itself() -> None:
    module = network()
    found = inference_view(module)
    assert found.module is module
    assert (dict(found.quantize), found.notes) == ({}, ())
    assert inference_view(nn.DataParallel(module)).module is module
    part = nn.Sequential(module, compiled(nn.Linear(10, 10)))
    found = inference_view(part)
    assert found.module[0] is module  # a part that nothing changes
    assert found.module[1] is part[1]._orig_mod
    assert found.notes == ("removed for inference: OptimizedModule",)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("layer.weight", "layer.weight"),
        ("module.layer.weight", "layer.weight"),
        ("module._orig_mod.layer.weight", "layer.weight"),
        ("_orig_mod.module.module.layer.weight", "layer.weight"),
        ("_fsdp_wrapped_module.a._fsdp_wrapped_module._checkpoint_wrapped_module.weight", "a.weight"),
        ("a.module.weight", "a.module.weight"),
        ("module", "module"),
        ("a.parametrizations.weight.original", "a.weight"),
        ("parametrizations.weight.original1", "weight"),
        ("_forward_module.weight", "weight"),
    ],
)
def test_names_without_wrappers(name: str, plain: str) -> None:
    assert plain_name(name) == plain


def test_a_module_called_module_is_told_apart_from_a_wrapper() -> None:
    plain = nn.ModuleDict({"module": nn.Linear(2, 2)})
    assert plain_name("module.weight", plain) == "module.weight"
    assert plain_name("module.module.weight", nn.DataParallel(plain)) == "module.weight"
    assert plain_name("module.weight") == "weight"  # nothing says otherwise


@pytest.mark.parametrize("wrap", [compiled, compiled_in_place, compiled_forward])
def test_nothing_is_compiled_for_it(wrap: Callable[[nn.Module], nn.Module]) -> None:
    counters = torch._dynamo.utils.counters
    torch._dynamo.reset()
    counters.clear()
    module = wrap(Tied())
    module(TOKENS)
    before = copy.deepcopy(counters)
    assert before["stats"]["unique_graphs"] == 1
    for _ in range(2):
        ic.capture(inference_view(module).module, (TOKENS,))
    assert counters == before
    module(TOKENS)  # as compiled before
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["recompiles"]


class Compiled(nn.Module):
    """Its class has a forward that is compiled."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    @functools.partial(torch.compile, backend="eager")
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x).relu()


def test_a_forward_that_its_class_compiles() -> None:
    module, x = Compiled(), torch.zeros(2, 4)
    with left_alone(module):
        found = inference_view(module)
        graph = ic.capture(found.module, (x,))
    assert isinstance(found.module, Compiled)
    assert figures(graph)[""] == figures(ic.capture(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), (x,)))[""]


class Entangled(nn.Module):
    """Refers to its parts and to itself by other ways than registering them, and cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        self.listed = [self.layers[0], (self.layers[1], {"last": self.layers[2]})]
        self.layers[0].__dict__["parent"] = self
        self.layers[1].parent = weakref.ref(self)
        self.run = functools.partial(self.step, 1, layer=self.layers[2])
        self.first = lambda x: self.listed[0](x) + 0
        self.forward = types.MethodType(type(self).in_turn, self)
        self.calls: list[int] = []
        self.recurrent = nn.LSTM(4, 4, batch_first=True)

    def __deepcopy__(self, memo: Any) -> Any:
        raise RuntimeError("not to be copied")

    def step(self, times: int, x: torch.Tensor, layer: nn.Module) -> torch.Tensor:
        self.calls.append(times)
        return layer(x) * times

    def in_turn(self, x: torch.Tensor) -> torch.Tensor:
        assert self.layers[0].parent is self
        assert self.layers[1].parent() is self
        assert self.listed[0] is self.layers[0]
        second, last = self.listed[1]
        assert last["last"] is self.layers[2]
        return self.recurrent(self.run(second(self.first(x))))[0]


@pytest.mark.parametrize("part", ["layers.0", "layers.1", "layers.2", "recurrent"])
def test_all_that_refers_to_a_part_refers_to_its_twin(part: str) -> None:
    module, plain, x = Entangled(), Entangled(), torch.zeros(2, 3, 4)
    expected = ic.capture(plain, (x,))
    module.get_submodule(part).compile(backend="eager")
    with left_alone(module):
        found = inference_view(module)
        graph = ic.capture(found.module, (x,))
    assert figures(graph) == figures(expected)
    assert module.calls == []
    assert module.recurrent._flat_weights[0] is module.recurrent.weight_ih_l0


def test_hooks_of_users_stay() -> None:
    module = network()
    module[2].register_forward_hook(lambda _, __, output: output * 2)
    wrapped = nn.DataParallel(compiled(module))
    wrapped.register_forward_pre_hook(lambda _, args, kwargs: ((args[0] + 1,), kwargs), with_kwargs=True)
    wrapped.module.register_forward_hook(lambda _, args, kwargs, output: output.neg(), with_kwargs=True)
    with left_alone(wrapped):
        found = inference_view(wrapped).module
        graph = ic.capture(found, (IMAGES,))
    ops = [graph.node(i).op for i in range(len(graph))]
    assert ops[0] == "aten.add"
    assert ops[-1] == "aten.neg"
    assert ops.count("aten.mul") == 1
    assert not module._forward_pre_hooks


def test_weights_are_shared_and_ties_stay() -> None:
    module = Tied()
    compiled_in_place(module.layer)
    found = serves_as(module, Tied(), TOKENS).module
    assert found is not module
    assert found.head.weight is found.embed.weight
    assert found.head.weight is module.head.weight
    assert found.layer.weight is module.layer.weight


@pytest.mark.parametrize("training", [True, False])
def test_statistics_of_the_original_stay(training: bool) -> None:
    """They are the twin's too, and a forward in training mode writes to them."""
    module = compiled(compiled_in_place(network())).train(training)
    found = inference_view(module).module
    assert found[1].running_mean is module._orig_mod[1].running_mean
    with left_alone(module):
        graph = ic.capture(found, (IMAGES + 1,))
        ic.capture(found, (IMAGES + 1,), training=True) if training else None
    assert len(graph)
    assert module._orig_mod[1].num_batches_tracked == 0


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # that dynamo looks at
@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_training_goes_on(wrap: Callable[[nn.Module], nn.Module]) -> None:
    module = network()
    alone = copy.deepcopy(module)
    for each in (module, alone):  # only a part: torch fails to run statistics again in a compiled checkpoint
        each[4] = wrap(each[4])
    trains_on(module, alone, lambda each: each(IMAGES + 1).square().mean())


def test_what_has_no_twin_is_left_and_named() -> None:
    class Mapping(nn.Module, dict):  # type: ignore[type-arg]
        """Laid out as a dictionary."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = compiled(nn.Linear(4, 4))

        __hash__ = nn.Module.__hash__

    module = Mapping()
    found = inference_view(module)
    assert found.module is module
    assert "kept: a module of class Mapping" in found.notes[0]


def test_scripted_modules_are_left() -> None:
    with pytest.warns(DeprecationWarning, match="jit"):
        scripted = torch.jit.script(nn.Linear(4, 4))
    module = nn.Sequential(scripted, compiled(nn.Linear(4, 4)))
    found = inference_view(module).module
    assert found[0] is scripted
