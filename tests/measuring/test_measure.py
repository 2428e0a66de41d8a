"""Measurements of models with their predictions; durations are not checked."""

from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import pyinfercost as ic
from pyinfercost.cli import main
from pyinfercost.measuring.real_models import forward_of, real_inputs, real_model
from pyinfercost.sources.loaded_model import LoadedModel
from pyinfercost.sources.models import load_model

pytestmark = pytest.mark.torch

QUICK = {"seconds": 0.01, "threads": 1}


class Residual(nn.Module):
    """A product in a child, and an addition of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(32, 32)
        self.act = nn.GELU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.act(self.fc(x))


def test_each_module_by_itself_beside_its_prediction() -> None:
    module = Residual().eval()
    result = ic.measure(module, torch.randn(4, 32), hardware="core-i9-10940x", **QUICK)
    layers = {layer.module: layer for layer in result.layers}
    assert set(layers) == {"", "fc", "act"}
    assert layers["fc"].ops == ("aten.linear",)
    assert layers[""].ops == ("aten.add",)
    predicted = ic.estimate(ic.capture(module, torch.randn(4, 32)), hardware="core-i9-10940x", threads=1)
    assert sum(layer.predicted_s or 0.0 for layer in result.layers) == pytest.approx(predicted.latency_s)
    assert result.predicted_s == pytest.approx(predicted.latency_s)
    assert all(layer.measured_s > 0 for layer in result.layers)
    assert result.threads == 1


def test_a_trace_has_what_ran_below_what_was_predicted() -> None:
    module = Residual().eval()
    result = ic.measure(module, torch.randn(4, 32), hardware="core-i9-10940x", energy=False, **QUICK)
    trace = result.to_trace()
    slices: dict[int, dict[str, float]] = {}
    for event in trace["traceEvents"]:
        if event["ph"] in "BE":
            process = slices.setdefault(event["pid"], {})
            sign = 1 if event["ph"] == "E" else -1
            process[event["name"]] = process.get(event["name"], 0.0) + sign * event["ts"]
    estimated, measured = slices[1], slices[2]
    assert estimated["Residual"] == pytest.approx(1e6 * result.predicted_s)
    assert measured["fc"] == pytest.approx(2e6 * {layer.module: layer for layer in result.layers}["fc"].measured_s)
    assert trace["otherData"]["estimated"] is True
    assert trace["otherData"]["measured"]["measured_s"] == result.measured_s
    alone = ic.measure(module, torch.randn(4, 32), energy=False, **QUICK).to_trace()
    assert {event["pid"] for event in alone["traceEvents"]} == {2}


def test_hooks_are_taken_off_and_threads_put_back() -> None:
    module, before = Residual().eval(), torch.get_num_threads()
    ic.measure(module, torch.randn(4, 32), **QUICK)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    assert torch.get_num_threads() == before


def test_a_module_on_meta_gets_values() -> None:
    with torch.device("meta"):
        module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.LazyLinear(2)).eval()
        module(torch.empty(1, 3, 8, 8))
        loaded = real_inputs(load_like(module, torch.empty(1, 3, 8, 8)), "cpu")
    result = forward_of(loaded)()
    assert result.device.type == "cpu"
    assert torch.isfinite(result).all()


def load_like(module: nn.Module, x: torch.Tensor) -> LoadedModel:
    return LoadedModel(module, (x,), {}, {})


def test_a_spec_is_built_with_real_weights_and_captured_without() -> None:
    real = real_model("torchvision:squeezenet1_1", {"batch": 2, "image_size": 64})
    assert {p.device.type for p in real.module.parameters()} == {"cpu"}
    assert real.args[0].shape == (2, 3, 64, 64)
    assert forward_of(real)().shape == (2, 1000)
    meta = load_model("torchvision:squeezenet1_1", {})
    assert {p.device.type for p in meta.module.parameters()} == {"meta"}


def test_a_precision_casts_weights_and_inputs() -> None:
    real = real_model("torchvision:squeezenet1_1", {"image_size": 64})
    assert forward_of(real, precision="bf16")().dtype is torch.bfloat16


@pytest.mark.parametrize(("execution", "mode"), [("compiled", None), ("reduce-overhead", "reduce-overhead")])
def test_compiled_executions_are_modes_of_torch(
    execution: str, mode: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []

    def compiled(module: nn.Module, *, mode: str | None) -> nn.Module:
        modes.append(mode)
        return module

    monkeypatch.setattr(torch, "compile", compiled)
    result = ic.measure(Residual(), torch.randn(1, 32), execution=execution, energy=False, **QUICK)
    assert modes == [mode]
    assert result.execution == execution
    assert result.layers == ()


def test_a_cuda_graph_needs_a_cuda_device() -> None:
    with pytest.raises(ValueError, match="records CUDA kernels; pass device='cuda'"):
        ic.measure(Residual(), torch.randn(1, 32), execution="cuda_graph", energy=False, **QUICK)


@pytest.mark.parametrize(("argument", "value"), [("execution", "fast"), ("precision", "fp8")])
def test_ways_of_running_are_known(argument: str, value: str) -> None:
    with pytest.raises(ValueError, match=value):
        ic.measure(Residual(), torch.randn(1, 32), **{argument: value}, **QUICK)


def test_the_command_shows_what_ran() -> None:
    arguments = ["measure", "torchvision:squeezenet1_1", "--set", "image_size=64", "--threads", "1", "--seconds", "0"]
    result = CliRunner().invoke(main, [*arguments, "-H", "core-i9-10940x", "--format", "json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)["measured"]
    assert document["hardware"] == "core-i9-10940x"
    assert document["sizes"] == {"image_size": 64}
    assert any(layer["module"] == "features.0" for layer in document["layers"])
    table = CliRunner().invoke(main, [*arguments, "--top", "2"])
    assert "2 of" in table.stdout
