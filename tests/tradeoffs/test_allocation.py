"""Allocation of formats: within limits, as good as the best of all combinations, and looked at as a whole."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from support.tiny_sensitivities import PI, Counting, run
from support.tiny_tradeoffs import X, closeness, tiny
from torch import nn

import pyinfercost as ic
from pyinfercost.errors import InputTypeError
from pyinfercost.tradeoffs import AllocationError
from pyinfercost.tradeoffs.candidates import magnitude

pytestmark = pytest.mark.torch
FORMATS = ("fp16", "int8_wo", "int8_dynamic", "int4_wo")


@pytest.fixture(scope="module")
def found() -> ic.results.Sensitivity:
    return run(FORMATS)


def combinations(found: ic.results.Sensitivity) -> list[dict[str, str]]:
    """All combinations of formats that apply."""
    options = [
        [(layer, "original"), *((row.layer, row.format) for row in found.rows if row.layer == layer and row.applicable)]
        for layer in found.layers
    ]
    return [{layer: form for layer, form in each if form != "original"} for each in product(*options)]


def lost_by_sum(found: ic.results.Sensitivity, formats: dict[str, str]) -> float:
    return sum(max(found[layer, form].lost or 0.0, 0.0) for layer, form in formats.items())


def saved_by_sum(found: ic.results.Sensitivity, formats: dict[str, str]) -> float:
    return sum(found[layer, form].saved_s or 0.0 for layer, form in formats.items())


# --- the best choice -----------------------------------------------------------------------------------------------


def limit_of_time(found: ic.results.Sensitivity, share: float) -> float:
    """The latency with a share of all that can be saved."""
    most = max(saved_by_sum(found, each) for each in combinations(found))
    return found.original.latency_s - share * most


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 0.95])
def test_least_loss_within_a_limit_of_time(found: ic.results.Sensitivity, share: float) -> None:
    limit = limit_of_time(found, share)
    chosen = ic.allocate(found, {"latency_s": limit}, rounds=1)
    within = [each for each in combinations(found) if found.original.latency_s - saved_by_sum(found, each) <= limit]
    assert chosen.added["lost"] == pytest.approx(min(lost_by_sum(found, each) for each in within))
    assert chosen.added["latency_s"] <= limit
    assert chosen.optimal
    assert chosen.minimized == "lost"


@pytest.mark.parametrize("lost", [0.0001, 0.0005, 0.001, 0.01])
def test_least_time_within_a_limit_of_loss(found: ic.results.Sensitivity, lost: float) -> None:
    chosen = ic.allocate(found, {"lost": lost}, rounds=1)
    within = [each for each in combinations(found) if lost_by_sum(found, each) <= lost]
    wanted = found.original.latency_s - max(saved_by_sum(found, each) for each in within)
    assert chosen.added["latency_s"] == pytest.approx(wanted, rel=1e-9)
    greedy = ic.allocate(found, {"lost": lost}, rounds=1, method="greedy")
    assert greedy.added["lost"] <= lost
    assert greedy.added["latency_s"] >= chosen.added["latency_s"] * (1 - 1e-9)
    assert not greedy.optimal


def test_time_and_bytes_ask_for_different_formats(found: ic.results.Sensitivity) -> None:
    """The last layer is so small that quantizing its activations costs more than it saves: in time, not in bits."""
    fast = ic.allocate(found, {"lost": 0.01})
    small = ic.allocate(found, {"lost": 0.01}, minimize="parameter_bytes")
    assert small.together.parameter_bytes < fast.together.parameter_bytes
    assert small.together.latency_s > fast.together.latency_s
    assert found["5", "int8_dynamic"].saved_bytes > 0 > found["5", "int8_dynamic"].saved_s
    assert fast.formats.get("5") != "int8_dynamic"


def test_several_limits(found: ic.results.Sensitivity) -> None:
    limits = {"lost": 0.01, "parameter_bytes": 0.35 * found.original.parameter_bytes}
    for method in ("exact", "greedy"):
        chosen = ic.allocate(found, limits, method=method)
        assert chosen.holds
        assert chosen.together.lost <= 0.01
        assert chosen.together.parameter_bytes <= limits["parameter_bytes"]
        assert "lost at most 0.0100, parameter_bytes at most" in str(chosen)


def test_an_accuracy_is_a_limit_too(found: ic.results.Sensitivity) -> None:
    assert ic.allocate(found, {"accuracy": 0.999}).limits == {"lost": pytest.approx(0.001)}
    of_loss = run(["fp16"], evaluate=lambda module: 1 - closeness(module), maximize=False)
    assert ic.allocate(of_loss, {"accuracy": 0.25}).limits == {"lost": 0.25}


def test_gains_of_single_layers_count_as_nothing() -> None:
    found = run(["int8_wo"])
    lucky = replace(found, rows=tuple(replace(row, lost=-0.1) if row.layer == "3" else row for row in found.rows))
    chosen = ic.allocate(lucky, {"lost": 1.0}, rounds=1)
    assert chosen.added["lost"] == sum(found[layer, "int8_wo"].lost for layer in chosen.formats if layer != "3")


# --- the whole -----------------------------------------------------------------------------------------------------


def test_the_whole_is_estimated_and_evaluated_anew(found: ic.results.Sensitivity) -> None:
    chosen = ic.allocate(found, {"lost": 0.001})
    assert chosen.formats
    graph = ic.whatif(ic.capture(tiny(), X), quantize=chosen.quantize)
    fresh = ic.estimate(graph, hardware=PI, price=0.1)
    together = chosen.together
    assert (together.latency_s, together.energy_j, together.cost_usd) == (
        fresh.latency_s,
        fresh.energy_j,
        fresh.cost_usd,
    )
    assert together.parameter_bytes == ic.count(graph).total.parameter_bytes
    assert together.accuracy == closeness(chosen.module())
    assert together.lost == 1.0 - together.accuracy
    assert chosen.prune == {}


def test_zeros_and_formats_are_policies_of_whatif() -> None:
    found = run(["2:4", "int8_wo"])
    chosen = ic.allocate(found, {"lost": 0.03}, minimize="parameter_bytes")
    assert {*chosen.quantize, *chosen.prune} == {*chosen.formats}
    graph = ic.whatif(ic.capture(tiny(), X), quantize=chosen.quantize or None, prune=chosen.prune or None)
    assert ic.count(graph).total.parameter_bytes == chosen.together.parameter_bytes
    assert chosen.graph().to_json() == graph.to_json()


def test_where_sums_and_the_whole_differ_the_choice_is_the_best_by_estimates() -> None:
    """On a GPU the host bounds small forwards: kernels that got faster save nothing more, whatever their sum says."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 1024))
    x = torch.randn(1, 1024)
    wanted = model(x).detach()

    def evaluate(module: nn.Module) -> float:
        return -float((module(x).detach() - wanted).norm() / wanted.norm())

    formats = ("int8_wo", "int8_dynamic", "int4_wo")
    found = run(formats, model, evaluate=evaluate, hardware="t4", host=6.6, inputs=x)
    chosen = ic.allocate(found, {"lost": 1.0})
    least = min(found.mixer.figures(each).latency_s for each in combinations(found))
    assert chosen.together.latency_s == pytest.approx(least, rel=1e-9)
    first = ic.allocate(found, {"lost": 1.0}, rounds=1)
    assert first.added["latency_s"] < 0.99 * first.together.latency_s
    assert chosen.added["lost"] < first.added["lost"], "formats that save nothing more are left out"


class Shifted:
    """A mixer whose changed models take more time, or lose more accuracy, than the sum says."""

    def __init__(self, mixer: Any, seconds: float = 0.0, lost: float = 0.0) -> None:
        self._mixer, self._seconds, self._lost = mixer, seconds, lost

    def figures(self, formats: dict[str, str]) -> Any:
        found = self._mixer.figures(formats)
        return replace(found, latency_s=found.latency_s + self._seconds * bool(formats))

    def accuracy(self, formats: dict[str, str]) -> float:
        accuracy: float = self._mixer.accuracy(formats)
        return accuracy - self._lost * bool(formats)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mixer, name)


def test_a_limit_on_loss_that_the_whole_exceeds_is_tightened(found: ic.results.Sensitivity) -> None:
    first = ic.allocate(found, {"lost": 0.001}, rounds=1)
    assert len(first.formats) > 1
    shifted = replace(found, mixer=Shifted(found.mixer, lost=0.0008))
    chosen = ic.allocate(shifted, {"lost": 0.001})
    assert chosen.holds
    assert chosen.together.lost <= 0.001
    assert chosen.rounds > 1
    assert not chosen.optimal
    never = ic.allocate(replace(found, mixer=Shifted(found.mixer, lost=1.0)), {"lost": 0.001}, rounds=1)
    assert not never.holds
    assert "none of 1 combinations is within it" in " ".join(str(never).split())


def test_a_limit_on_time_that_the_whole_exceeds_is_tightened(found: ic.results.Sensitivity) -> None:
    limit = limit_of_time(found, 0.5)
    first = ic.allocate(found, {"latency_s": limit}, rounds=1)
    added = limit - first.added["latency_s"] + 1e-7
    chosen = ic.allocate(replace(found, mixer=Shifted(found.mixer, seconds=added)), {"latency_s": limit})
    assert chosen.holds
    assert chosen.together.latency_s <= limit
    assert chosen.rounds > 1


def test_evaluations_are_few_and_resumed(tmp_path: Any) -> None:
    path = tmp_path / "accuracies.jsonl"
    ic.allocate(run(FORMATS, resume=path), {"lost": 0.001})
    count = Counting()
    chosen = ic.allocate(run(FORMATS, evaluate=count, resume=path), {"lost": 0.001})
    assert count.calls == 0
    assert chosen.rounds <= 5


def test_changes_of_the_callers_own_are_captured_together() -> None:
    found = run({"half": magnitude(0.5), "int8_wo": None})
    module = found.mixer.module({"0": "half", "3": "int8_wo"})
    assert float((module[0].weight == 0).float().mean()) == pytest.approx(0.5)
    assert type(module[3].weight.data).__name__ != "Tensor"
    assert found.mixer.figures({"0": "half", "3": "int8_wo"}) == found.mixer.figures({"3": "int8_wo"})
    chosen = ic.allocate(found, {"lost": 1.0}, minimize="parameter_bytes")
    assert "0" not in chosen.formats, "zeros that dense kernels multiply save nothing"


def test_nothing_helps() -> None:
    found = run(["int8_dynamic"], layers=["5"])
    assert found.rows[0].saved_s < 0
    chosen = ic.allocate(found, {"lost": 1.0})
    assert chosen.formats == {}
    assert chosen.together.latency_s == found.original.latency_s
    assert "All layers stay as they are." in str(chosen)


# --- arguments and reports -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "options", "error", "message"),
    [
        ({"latency_s": 1e-9}, {}, AllocationError, "latency_s is at most 1e-09, and the least sum of all choices is"),
        ({"latency_s": 1e-9, "parameter_bytes": 1}, {}, AllocationError, "or they do not go together"),
        ({}, {}, AllocationError, "limit is empty"),
        (0.1, {}, InputTypeError, "limit is 0.1; expected a mapping"),
        ({"time": 1.0}, {}, AllocationError, "limit has 'time'; expected accuracy, lost, latency_s"),
        ({"lost": "much"}, {}, AllocationError, "limit['lost'] is 'much'"),
        ({"lost": float("nan")}, {}, AllocationError, "limit['lost'] is nan"),
        ({"lost": 0.1}, {"minimize": "lost"}, AllocationError, "'lost' is both limited and minimized"),
        ({"lost": 0.1}, {"minimize": "peak_memory_bytes"}, AllocationError, "minimize is 'peak_memory_bytes'"),
        ({"lost": 0.1}, {"method": "best"}, AllocationError, "method is 'best'; expected one of exact, greedy"),
        ({"lost": 0.1}, {"rounds": 0}, AllocationError, "rounds is 0"),
    ],
)
def test_arguments_that_do_not_fit(
    found: ic.results.Sensitivity, limit: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        ic.allocate(found, limit, **options)


def test_unknown_costs_are_refused() -> None:
    with pytest.raises(AllocationError, match="cost_usd is unknown: no price was given"):
        ic.allocate(run(["fp16"], price=None), {"cost_usd": 1.0})
    with pytest.raises(InputTypeError, match=r"expected the result of ic\.sensitivity"):
        ic.allocate("found", {"lost": 0.1})  # type: ignore[arg-type]


def test_formats_that_fail_together() -> None:
    def evaluate(model: nn.Module) -> float:
        narrow = sum(type(part.weight.data).__name__ != "Tensor" for part in (model[3], model[5]))
        if narrow > 1:
            raise RuntimeError("out of memory")
        return closeness(model)

    found = run(["int8_wo"], evaluate=evaluate)
    with pytest.raises(AllocationError, match=r"the chosen formats fail together \(RuntimeError: out of memory\)"):
        ic.allocate(found, {"lost": 1.0}, minimize="parameter_bytes")


def test_the_report_compares_the_choice_with_sums_and_single_formats(found: ic.results.Sensitivity) -> None:
    chosen = ic.allocate(found, {"lost": 0.001})
    text = chosen.to_text()
    for line in ("original ", "chosen, by sums ", "chosen ", "int8_wo in all 2", "limit      lost at most 0.0010"):
        assert line in text
    assert re.search(r"ic\.whatif\(graph, quantize=\{'", text)
    document = json.loads(chosen.to_json())["allocation"]
    assert document["together"]["accuracy"] == chosen.together.accuracy
    assert [row["layer"] for row in document["layers"]] == ["0", "3", "5"]
    assert chosen.to_rows() == document["layers"]
    assert chosen.to_markdown().count("|") > 50
