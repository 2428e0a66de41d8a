"""Records of a tracker: cost to serve, zeros, structure changes, settings, state, and failures."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize, prune

import pyinfercost as ic
from pyinfercost import CostTracker
from pyinfercost.errors import InputError
from pyinfercost.training import SinkFailedWarning, TrackingStoppedWarning

pytestmark = pytest.mark.torch


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 32))


X = torch.randn(8, 64)


def tracked(model: nn.Module, **settings: Any) -> CostTracker:
    tracker = CostTracker(model, X, **{"hardware": "l4", "every": 1, **settings})
    assert tracker.error is None
    return tracker


def recorded(model: nn.Module, **settings: Any) -> Any:
    record = tracked(model, **settings).step()
    assert record is not None
    return record


def test_serving_is_what_estimate_says() -> None:
    model = network()
    record = recorded(model, hardware=["l4", "h100-sxm-80gb"], price={"l4": 0.8}, precision="fp16", sizes={"batch": 2})
    graph = ic.capture(model.eval(), X, dynamic={0: {0: "batch"}})
    for machine, price in (("l4", 0.8), ("h100-sxm-80gb", None)):
        expected = ic.estimate(graph, hardware=machine, precision="fp16", price=price, batch=2)
        assert record[f"cost/{machine}/latency_s"] == expected.latency_s
        assert record[f"cost/{machine}/energy_per_item_j"] == expected.energy_per_item_j
        assert record.metrics.get(f"cost/{machine}/cost_usd") == expected.cost_usd
    counted = ic.count(graph, precision="fp16", batch=2).total
    assert record["cost/contraction_flops"] == counted.contraction_flops
    assert record["cost/peak_memory_bytes"] == counted.peak_memory_bytes


def test_a_model_that_is_trained_is_served_in_evaluation_mode() -> None:
    model = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.Dropout(0.5)).train()
    statistics = model[1].running_mean.clone()
    record = recorded(model)
    assert all(part.training for part in model.modules())
    assert torch.equal(model[1].running_mean, statistics)
    expected = ic.estimate(ic.capture(model.eval(), X, dynamic={0: {0: "batch"}}), hardware="l4")
    assert record["cost/l4/latency_s"] == expected.latency_s


def test_zeros_by_how_they_come_about() -> None:
    model = network()
    prune.random_unstructured(model[0], "weight", amount=0.5)
    with torch.no_grad():
        model[2].weight[:16] = 0
    record = recorded(model)
    first, second = 64 * 128, 128 * 32
    assert record["sparsity/mask/zero_share"] == 0.5
    assert record["sparsity/dense/zero_share"] == pytest.approx(second / 2 / (second + 128 + 32))
    assert record["sparsity/zero_share"] == pytest.approx((first + second) / 2 / (first + second + 160))
    assert record["sparsity/effective_contraction_flops"] == record["cost/contraction_flops"] / 2
    # A model in masks is served without them: nothing of them is in its cost.
    assert record["cost/l4/latency_s"] == recorded(network())["cost/l4/latency_s"]


class Halved(nn.Module):
    """Keeps every other row."""

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight * (torch.arange(weight.shape[0]) % 2)[:, None]


def test_parametrizations_are_a_kind_of_their_own() -> None:
    model = network()
    parametrize.register_parametrization(model[0], "weight", Halved())
    record = recorded(model)
    assert record["sparsity/parametrization/zero_share"] == 0.5
    assert record["cost/l4/latency_s"] == recorded(network())["cost/l4/latency_s"]


def test_two_of_four() -> None:
    model = nn.Sequential(nn.Linear(4096, 4096, bias=False))
    weight = model[0].weight.detach().view(-1, 4)
    weight[:, :2] = 0
    x = torch.randn(1, 4096)
    tracker = CostTracker(model, x, hardware=["a100-sxm-80gb", "xeon-8380"], precision="fp16", every=1)
    record = tracker.step()
    assert record is not None
    assert record["sparsity/2_4_share"] == 1
    assert record["cost/a100-sxm-80gb/latency_2_4_s"] < record["cost/a100-sxm-80gb/latency_s"]
    assert "cost/xeon-8380/latency_2_4_s" not in record.metrics


def test_a_structure_that_changes_is_traced_again() -> None:
    model = network()
    tracker = tracked(model)
    before = tracker.step()
    served = tracker._serving.cost  # type: ignore[union-attr]
    tracker.step()
    assert tracker._serving.cost is served  # type: ignore[union-attr]
    model[0], model[2] = nn.Linear(64, 16), nn.Linear(16, 32)
    after = tracker.step()
    assert before is not None
    assert after is not None
    assert after["cost/contraction_flops"] == before["cost/contraction_flops"] / 8
    assert after["cost/parameters"] == 64 * 16 + 16 + 16 * 32 + 32


def test_weights_that_are_going_to_be_quantized() -> None:
    model = network()
    record = recorded(model, quantize="int8_wo")
    graph = ic.whatif(ic.capture(model.eval(), X, dynamic={0: {0: "batch"}}), quantize="int8_wo")
    assert record["converted/l4/latency_s"] == ic.estimate(graph, hardware="l4").latency_s
    assert record["converted/parameter_bytes"] < record["cost/parameter_bytes"] / 3


def test_quantization_aware_training_costs_what_it_converts_to() -> None:
    quantization = pytest.importorskip(
        "torchao.quantization", reason="needs torchao: pip install 'pyinfercost[models]'"
    )
    qat = pytest.importorskip("torchao.quantization.qat")
    model = network()
    plain = recorded(network())
    config = quantization.IntxWeightOnlyConfig(torch.int8, granularity=quantization.PerAxis(0))
    quantization.quantize_(model, qat.QATConfig(config, step="prepare"))
    record = recorded(model)
    assert record["cost/l4/latency_s"] == plain["cost/l4/latency_s"], "fake quantization is not served"
    graph = ic.whatif(ic.capture(network().eval(), X, dynamic={0: {0: "batch"}}), quantize="int8_wo")
    assert record["converted/l4/latency_s"] == ic.estimate(graph, hardware="l4").latency_s
    assert record["converted/parameter_bytes"] == ic.count(graph, batch=8).total.parameter_bytes


def test_records_come_every_so_many_steps() -> None:
    tracker = tracked(network(), every=3)
    assert tracker.record() is not None
    assert [tracker.step() is not None for _ in range(7)] == [False, False, True, False, False, True, False]
    assert tracker.step(9) is not None
    assert tracker.last is not None
    assert tracker.last.step == 9


def test_records_go_to_sinks() -> None:
    seen: list[tuple[int, Mapping[str, float]]] = []
    with tracked(network(), every=2, sinks=[lambda step, metrics: seen.append((step, metrics))]) as tracker:
        for _ in range(4):
            tracker.step()
    assert [step for step, _ in seen] == [2, 4]
    assert seen[0][1]["cost/l4/latency_s"] > 0


def test_state_survives_a_checkpoint() -> None:
    tracker = tracked(network(), every=2)
    for _ in range(6):
        tracker.step()
    state = json.loads(json.dumps(tracker.state_dict()))
    other = tracked(network(), every=2)
    other.load_state_dict(state)
    assert other.state_dict() == tracker.state_dict()
    assert other.state_dict()["step"] == 6
    assert other.state_dict()["totals"]["items"] == 6 * 8
    with pytest.raises(ValueError, match="schema_version"):
        other.load_state_dict({"step": 3})


def test_tied_weights_and_weights_that_cannot_be_copied() -> None:
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64))
    model[1].weight = model[0].weight
    prune.l1_unstructured(model[0], "bias", amount=0.25)
    record = recorded(model)
    assert record["cost/parameters"] == 64 * 64 + 2 * 64


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's compiler itself
def test_compiled_models() -> None:
    model = network()
    whole, in_place = torch.compile(model), network()
    in_place.compile()
    expected = recorded(model)["cost/l4/latency_s"]
    assert recorded(whole)["cost/l4/latency_s"] == expected  # type: ignore[arg-type]
    assert recorded(in_place)["cost/l4/latency_s"] == expected


def test_another_rank_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    tracker = tracked(network(), sinks="never-made.csv")
    tracker.micro_batch(X)
    assert tracker.step() is None
    assert tracker.record() is None


# ---- trouble ---------------------------------------------------------------------------------------------------------


class Unknowable(nn.Module):
    """A forward that cannot be traced."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("only on real weights")


def test_a_model_that_cannot_be_traced() -> None:
    with pytest.warns(TrackingStoppedWarning, match="training continues without it") as told:
        tracker = CostTracker(Unknowable(), X, hardware="l4", every=1)
    assert len(told) == 1
    assert not tracker.enabled
    assert tracker.error is not None
    tracker.micro_batch(X)
    with tracker.paused():
        assert tracker.step() is None
    assert tracker.state_dict()["step"] == 0
    tracker.close()


def test_a_sink_that_fails_is_one_warning_and_the_others_get_all_records() -> None:
    seen: list[int] = []
    tries: list[int] = []

    def fails(step: int, metrics: Mapping[str, float]) -> None:
        tries.append(step)
        if step < 3:
            raise OSError("the disk is full")

    tracker = tracked(network(), sinks=[fails, lambda step, metrics: seen.append(step)])
    with pytest.warns(SinkFailedWarning, match="Callback did not take a record.*OSError: the disk is full") as told:
        assert tracker.step() is not None
    assert len(told) == 1
    assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(4):
            tracker.micro_batch(X)
            assert tracker.step() is not None
    assert tracker.enabled
    assert tracker.error is None
    assert tries == seen == [1, 2, 3, 4, 5]  # the disk has room again at step 3


def test_a_sink_that_does_not_close_leaves_the_others_to_close() -> None:
    class Closing:
        def __init__(self, error: Exception | None) -> None:
            self.closed = 0
            self.error = error

        def write(self, step: int, metrics: Mapping[str, float]) -> None: ...

        def close(self) -> None:
            self.closed += 1
            if self.error is not None:
                raise self.error

    first, second = Closing(OSError("gone")), Closing(None)
    tracker = tracked(network(), sinks=[first, second])
    with pytest.warns(SinkFailedWarning, match="Closing did not close.*gone"):
        tracker.close()
    assert (first.closed, second.closed) == (1, 1)


def test_a_budget_ends_training_beside_a_sink_that_fails() -> None:
    model = network()
    limit = ic.CostBudget(parameters=sum(t.numel() for t in model.parameters()))
    tracker = tracked(model, sinks=lambda step, metrics: 1 / 0, budgets=limit)
    with pytest.warns(SinkFailedWarning, match="ZeroDivisionError"):
        tracker.step()
    model.append(nn.Linear(32, 4))
    with pytest.raises(ic.CostBudgetExceededError):
        tracker.step()


def test_a_warning_of_a_sink_does_not_stop_training_where_warnings_are_errors() -> None:
    tracker = tracked(network(), sinks=lambda step, metrics: 1 / 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tracker.step() is not None
    assert tracker.enabled


@pytest.mark.parametrize("lengths", [None, []])
def test_a_batch_without_items_is_left_out(lengths: list[int] | None) -> None:
    tracker = tracked(network())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tracker.step()  # starts the clock
        tracker.micro_batch(X[:0], lengths=lengths)
        record = tracker.step()
        assert record is not None
        assert record["training/items_per_s"] == 0
        tracker.micro_batch(X[:0], lengths=lengths)
        tracker.micro_batch(X)
        record = tracker.step()
        assert record is not None
        assert record["training/total_items"] == 2 * len(X)  # of the first step, too
    assert tracker.enabled


@pytest.mark.parametrize("name", ["inputs", "training_inputs"])
def test_an_example_without_items_is_refused(name: str) -> None:
    given = {"inputs": X, name: X[:0]}
    with pytest.raises(InputError, match="batch of the example inputs is 0; pass an example with at least one item"):
        CostTracker(network(), hardware="l4", **given)


def test_steps_in_no_time_have_no_throughput() -> None:
    tracker = tracked(network())
    tracker.pause()
    for _ in range(3):
        tracker.micro_batch(X)
        record = tracker.step()
    assert record is not None
    assert "training/items_per_s" not in record.metrics
    assert any("no time passed" in note for note in record.notes)
    assert tracker.enabled


def test_sequences_of_no_length_and_a_model_without_contractions() -> None:
    tracker = CostTracker(nn.ReLU(), torch.randn(4, 6), hardware="l4", every=1)
    for lengths in ([6, 3, 0, 0], [0, 0, 0, 0]):
        tracker.micro_batch(torch.randn(4, 6), lengths=lengths)
        assert tracker.step() is not None
    assert tracker.error is None


def test_a_batch_that_is_not_understood() -> None:
    tracker = tracked(network())
    with pytest.warns(TrackingStoppedWarning):
        tracker.micro_batch(["no tensor"])
    assert tracker.step() is None


def test_a_warning_does_not_stop_training_where_warnings_are_errors() -> None:
    tracker = tracked(network())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tracker.micro_batch(["no tensor"])
    assert tracker.step() is None
    assert not tracker.enabled


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hardware": "l5"}, "l5"),
        ({"hardware": ["l4", "l4"]}, "l4 twice"),
        ({"every": 0}, "every is 0"),
        ({"every": 2.5}, "every is 2.5"),
        ({"price": {"t4": 1.0}}, "price has t4"),
        ({"sinks": "costs.xls"}, "costs.xls"),
        ({"training_precision": "fp7"}, "fp7"),
        ({"accumulation": 0}, "accumulation is 0"),
        ({"sizes": {"batch": 0}}, "size batch is 0"),
        ({"sizes": {"batch": []}}, r"size batch is \[\]"),
        ({"training_price": "on-demand"}, "training_hardware="),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        CostTracker(network(), X, **{"hardware": "l4", **settings})


def test_what_is_no_module() -> None:
    with pytest.raises(TypeError, match=r"expected the nn\.Module"):
        CostTracker("torchvision:resnet50", X)  # type: ignore[arg-type]


def test_a_tracker_that_is_not_wanted_does_nothing() -> None:
    tracker = CostTracker(Unknowable(), X, enabled=False)
    tracker.micro_batch(X)
    with tracker.paused():
        assert tracker.step() is None
    assert not tracker.enabled
