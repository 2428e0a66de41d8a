"""A module that was captured in training mode is named as such."""

from __future__ import annotations

import pytest

import pyinfercost as ic

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")

NOTE = "captured in training mode"


class Net(torch.nn.Module):
    def __init__(self, *layers: torch.nn.Module) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


@pytest.mark.parametrize(
    "layer",
    [torch.nn.BatchNorm2d(8), torch.nn.Dropout(0.5), torch.nn.Dropout(0.5, inplace=True), torch.nn.Dropout2d(0.5)],
    ids=["batch norm", "dropout", "in place", "channels"],
)
def test_layers_that_train_are_noted(layer: torch.nn.Module) -> None:
    net = Net(torch.nn.Conv2d(3, 8, 3), layer)
    x = (torch.empty(2, 3, 16, 16),)
    assert NOTE in str(ic.profile(net.train(), x))
    assert NOTE in str(ic.profile(net, x, hardware="l4"))
    assert NOTE not in str(ic.profile(net.eval(), x))


@pytest.mark.parametrize("mode", [True, False])
def test_layers_that_are_the_same_in_both_modes_are_not(mode: bool) -> None:
    layers = (torch.nn.BatchNorm2d(3, track_running_stats=False), torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU())
    assert NOTE not in str(ic.profile(Net(*layers).train(mode), (torch.empty(2, 3, 16, 16),)))


def test_a_training_step_trains() -> None:
    net = Net(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8)).train()
    step = ic.capture(net, (torch.empty(2, 3, 16, 16),), training=True)
    assert NOTE not in str(ic.profile(step))


def test_models_by_name_are_in_eval_mode() -> None:
    pytest.importorskip("torchvision")
    assert NOTE not in str(ic.profile("torchvision:resnet18"))
