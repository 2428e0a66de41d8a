"""Energy of measured models, from a fake counter."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from support.fake_meters import SteadyCounter
from torch import nn

import pyinfercost as ic
from pyinfercost.cli import main
from pyinfercost.measuring import energy
from pyinfercost.measuring.counters import NoCounterError

pytestmark = pytest.mark.torch

QUICK = {"seconds": 0.01, "threads": 1}
COMMAND = ["measure", "torchvision:squeezenet1_1", "--set", "image_size=64", "--threads", "1", "--seconds", "0"]


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> SteadyCounter:
    steady = SteadyCounter(watts=40)
    monkeypatch.setattr(energy, "energy_counter", lambda *_: steady)
    return steady


@pytest.fixture
def no_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise NoCounterError("a counter", "there is none", "Buy one.")

    monkeypatch.setattr(energy, "energy_counter", none)


def test_joules_of_a_forward_beside_what_is_predicted(counter: SteadyCounter) -> None:
    module, x = nn.Linear(64, 64).eval(), torch.randn(8, 64)
    result = ic.measure(module, x, hardware="core-i9-10940x", **QUICK)
    energy_of = result.energy
    assert result.energy_source == "rapl:package-0+dram"
    assert result.measured_j is not None
    assert energy_of.duration_s is not None
    assert result.measured_j * energy_of.runs == pytest.approx(40 * energy_of.duration_s, rel=0.1)
    assert energy_of.resolution is not None
    assert energy_of.resolution <= 0.01
    predicted = ic.estimate(ic.capture(module, x), hardware="core-i9-10940x", threads=1)
    assert predicted.energy_j is not None
    assert result.predicted_j == pytest.approx(predicted.energy_j)
    assert (result.predicted_low_j, result.predicted_high_j) == (predicted.energy_low_j, predicted.energy_high_j)
    assert result.predicted_j_source == "predicted: model"
    assert counter.closed == 1


def test_the_counter_is_let_go_when_a_forward_fails(counter: SteadyCounter) -> None:
    with pytest.raises(RuntimeError):
        ic.measure(nn.Linear(3, 3), torch.randn(2, 5), **QUICK)
    assert counter.closed == 1


@pytest.mark.usefixtures("no_counter")
def test_without_a_counter_a_warning_says_so_at_the_call() -> None:
    with pytest.warns(
        ic.errors.EnergyUnknownWarning, match=r"a counter not available: there is none\. Buy one"
    ) as told:
        result = ic.measure(nn.Linear(4, 4), torch.randn(2, 4), hardware="core-i9-10940x", **QUICK)
    assert Path(told[0].filename) == Path(__file__)
    assert result.measured_j is None
    assert result.energy_source is None
    assert result.predicted_j is not None, "what is predicted stands apart and says that it is"
    assert result.energy.why_not == "a counter not available: there is none. Buy one."


@pytest.mark.usefixtures("no_counter")
def test_nothing_is_said_where_joules_are_not_asked_for() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = ic.measure(nn.Linear(4, 4), torch.randn(2, 4), energy=False, **QUICK)
    assert result.measured_j is None
    assert result.energy.why_not == "it was not requested"


@pytest.mark.usefixtures("counter")
@pytest.mark.slow
def test_the_commands_show_joules_with_their_source() -> None:
    document = json.loads(CliRunner().invoke(main, [*COMMAND, "--format", "json"]).stdout)["measured"]
    assert document["measured_j"] > 0
    assert document["energy_source"] == "rapl:package-0+dram"
    table = CliRunner().invoke(main, ["profile", COMMAND[1], "-H", "core-i9-10940x", "--measure"])
    assert "rapl:package-0+dram" in table.stdout
    assert "predicted: model" in table.stdout


@pytest.mark.usefixtures("no_counter")
def test_the_command_warns_on_standard_error() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # as outside of tests
        result = CliRunner().invoke(main, [*COMMAND, "--format", "json"])
        quiet = CliRunner().invoke(main, [*COMMAND, "--no-energy", "--format", "json"])
    assert json.loads(result.stdout)["measured"]["measured_j"] is None
    assert "Warning: energy is not measured on cpu" in result.stderr
    assert "Buy one." in result.stderr
    assert quiet.stderr == ""
