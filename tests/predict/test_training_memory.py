"""Memory of training with an optimizer: arithmetic, torch's own optimizers, and ZeRO."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import pyinfercost as ic
from pyinfercost.cli import main

pytestmark = pytest.mark.torch

FLOAT32 = 4
WIDE, NARROW = 512, 64
WEIGHTS = 256 * WIDE + WIDE + WIDE * NARROW + NARROW
"""Elements of the two layers below."""


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(256, WIDE), nn.ReLU(), nn.Linear(WIDE, NARROW)).train()


def step(module: nn.Module | None = None, batch: int = 8) -> ic.Graph:
    return ic.capture(module or network(), torch.randn(batch, 256), training=True)


@pytest.mark.parametrize(
    ("optimizer", "batch", "hardware", "phase"),
    [
        ("adamw", 8, "l4", "update"),  # lists of all weights at once
        ("sgd", 8, "epyc-9654", "backward"),
        ("sgd", 4096, "l4", "backward"),
    ],
)
def test_the_parts_of_the_line_add_up(optimizer: str, batch: int, hardware: str, phase: str) -> None:
    profile = ic.profile(step(batch=batch), hardware=hardware, optimizer=optimizer)
    memory = profile.training_memory
    assert memory.peak_phase == phase
    parts = memory.peak_parts
    assert sum(parts.values()) == memory.peak_bytes
    assert all(size >= 0 for size in parts.values())
    assert parts["weights"] == memory.parameter_bytes
    if phase == "update":
        assert (parts["gradients"], parts["the update"]) == (memory.gradient_bytes, memory.update_bytes)
    else:
        assert parts["activations"] == memory.activation_bytes
        assert parts["gradients"] <= memory.gradient_bytes
    text = " ".join(profile.to_text().split())
    assert f"at the peak of {'the update' if phase == 'update' else 'forward and backward'}: weights" in text


def test_gradients_stay_on_the_device() -> None:
    graph = step()
    moved = ic.profile(graph, hardware="l4").estimate.transfer
    assert moved.output_bytes == FLOAT32 * (8 * NARROW + 1)  # the result of the forward, and the loss
    assert moved.input_bytes >= FLOAT32 * 8 * 256


@pytest.mark.parametrize(
    ("optimizer", "states"),
    [
        ("sgd", 0),
        ("sgd_momentum", FLOAT32 * WEIGHTS),
        ("adam", 2 * FLOAT32 * WEIGHTS + 4 * 4),
        ("adamw", 2 * FLOAT32 * WEIGHTS + 4 * 4),
        # Rows and columns of each matrix, each element of a bias, a counter for each tensor.
        ("adafactor", FLOAT32 * ((WIDE + 256) + WIDE + (NARROW + WIDE) + NARROW) + 4 * 4),
        # A byte for each element of the matrices and a scale for 256, and two float32 for each element of a bias.
        ("adamw_8bit", 2 * (256 * WIDE + WIDE * FLOAT32 + WIDE * NARROW + 128 * FLOAT32) + 8 * (WIDE + NARROW)),
    ],
)
def test_states(optimizer: str, states: int) -> None:
    memory = ic.training_memory(step(), optimizer=optimizer)
    assert memory.optimizer_bytes == states
    assert memory.parameter_bytes == memory.gradient_bytes == FLOAT32 * WEIGHTS
    assert memory.master_bytes == 0
    assert memory.fits_in_memory is None


OPTIMIZERS: dict[str, Any] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "sgd_momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "adafactor": torch.optim.Adafactor,
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_torch_keeps_as_much(name: str) -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 36, 10)).train()
    x = torch.randn(2, 3, 8, 8)
    optimizer = OPTIMIZERS[name](module.parameters())
    module(x).sum().backward()
    optimizer.step()
    tensors = [t for state in optimizer.state.values() for t in state.values() if isinstance(t, torch.Tensor)]
    kept = sum(t.numel() * t.element_size() for t in tensors)
    graph = ic.capture(module, x, training=True)
    assert ic.training_memory(graph, optimizer=name).optimizer_bytes == kept


def test_a_frozen_weight_has_neither_gradient_nor_states() -> None:
    module = network()
    module[0].requires_grad_(False)
    memory = ic.training_memory(step(module), optimizer="adam")
    assert memory.parameter_bytes == FLOAT32 * WEIGHTS
    trained = WIDE * NARROW + NARROW
    assert memory.gradient_bytes == FLOAT32 * trained
    assert memory.optimizer_bytes == 2 * FLOAT32 * trained + 2 * 4


def test_the_peak_is_in_the_step_or_in_the_update() -> None:
    small, large = (ic.training_memory(step(batch=n), optimizer="adamw") for n in (8, 4096))
    activations = ic.count(step(batch=4096)).total.peak_memory_bytes
    assert large.peak_bytes == activations + large.optimizer_bytes
    # The update of the largest weight has one copy of it; the caller holds the result, the loss and the input.
    held = FLOAT32 * (8 * NARROW + 1 + 8 * 256)
    update = FLOAT32 * 256 * WIDE
    assert small.update_bytes == update
    assert small.peak_bytes == 2 * FLOAT32 * WEIGHTS + held + small.optimizer_bytes + update


@pytest.mark.parametrize("shards", [2, 8])
def test_stages_of_zero(shards: int) -> None:
    graph = step()
    all_weights, states = FLOAT32 * WEIGHTS, 2 * FLOAT32 * WEIGHTS + 16
    stages = [ic.training_memory(graph, optimizer="adamw", zero_stage=n, shards=shards) for n in range(4)]
    part, part_of_states = -(-all_weights // shards), -(-states // shards)
    assert [m.optimizer_bytes for m in stages] == [states, *[part_of_states] * 3]
    assert [m.gradient_bytes for m in stages] == [all_weights, all_weights, part, part]
    gathered = FLOAT32 * (256 * WIDE + WIDE)  # the largest layer, which is whole while it runs
    assert [m.parameter_bytes for m in stages] == [*[all_weights] * 3, part + gathered]
    assert stages[0].peak_bytes > stages[1].peak_bytes > stages[2].peak_bytes


def test_master_weights_beside_bf16() -> None:
    graph = step()
    plain = ic.training_memory(graph, optimizer="adamw", precision="bf16")
    assert (plain.parameter_bytes, plain.gradient_bytes) == (2 * WEIGHTS, 2 * WEIGHTS)
    assert plain.optimizer_bytes == 2 * 2 * WEIGHTS + 16
    # 2 for the weight, 2 for its gradient, 4 for the master weight, 8 for the moments: the 16 bytes of mixed precision.
    mixed = ic.training_memory(graph, optimizer="adamw", precision="bf16", master_weights=True)
    parts = mixed.parameter_bytes + mixed.gradient_bytes + mixed.master_bytes + mixed.optimizer_bytes
    assert parts == 16 * WEIGHTS + 16
    # Under autocast the weights are float32 themselves.
    autocast = ic.training_memory(graph, optimizer="adamw", precision="amp_bf16", master_weights=True)
    assert (autocast.parameter_bytes, autocast.master_bytes) == (FLOAT32 * WEIGHTS, 0)


def test_whether_it_fits() -> None:
    graph = step()
    on_gpu = ic.training_memory(graph, optimizer="adamw", hardware="l4")
    assert on_gpu.fits_in_memory is True
    assert on_gpu.machine_memory_bytes == int(ic.hardware.load("l4").memory_bytes)
    assert on_gpu.update_bytes == FLOAT32 * WEIGHTS  # lists of all weights at once
    assert ic.training_memory(graph, optimizer="adamw", hardware="epyc-9654").fits_in_memory is None


def test_a_profile_has_it_in_text_and_json() -> None:
    profile = ic.profile(step(), hardware="l4", optimizer="adamw", zero_stage=2, shards=4)
    memory = profile.training_memory
    assert memory == ic.training_memory(step(), optimizer="adamw", zero_stage=2, shards=4, hardware="l4")
    assert json.loads(profile.to_json())["training_memory"] == memory.to_dict()
    assert "training memory" in profile.to_text()
    assert "with adamw, ZeRO 2 on 4 devices" in " ".join(profile.to_text().split())
    again = ic.profile(profile, optimizer="sgd")
    assert again.training_memory.zero_stage == 2
    assert again.training_memory.optimizer_bytes == 0
    assert ic.profile(step()).training_memory is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "lion"}, "unknown optimizer 'lion'; expected one of sgd"),
        ({"optimizer": "adamw", "zero_stage": 4, "shards": 2}, "zero_stage is 4"),
        ({"optimizer": "adamw", "zero_stage": 1}, "zero_stage is 1 with 1 shard"),
        ({"optimizer": "adamw", "shards": 0}, "shards is 0"),
        ({"zero_stage": 1}, "zero_stage is given without optimizer"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ic.errors.InputError, match=message):
        ic.profile(step(), **options)


def test_a_forward_has_no_optimizer() -> None:
    with pytest.raises(ic.errors.InputError, match="capture the model with training=True"):
        ic.training_memory(ic.capture(network(), torch.randn(8, 256)), optimizer="sgd")


def test_the_command_line() -> None:
    model = ("profile", "torchvision:squeezenet1_1", "--batch", "2", "--training")
    done = CliRunner().invoke(main, [*model, "--optimizer", "sgd_momentum", "--format", "json"])
    assert done.exit_code == 0, done.output
    memory = json.loads(done.output)["training_memory"]
    assert memory["optimizer_bytes"] == memory["parameter_bytes"] == memory["gradient_bytes"]
    for wrong, message in (
        ([*model, "--zero-stage", "1"], "need --optimizer"),
        (["profile", "torchvision:squeezenet1_1", "--optimizer", "adam"], "needs --training"),
        ([*model, "--optimizer", "lion"], "unknown optimizer"),
    ):
        refused = CliRunner().invoke(main, wrong)
        assert refused.exit_code == 2
        assert message in refused.output
