"""What tests of advice under traffic compare: figures of an advised setup, and those that its command prints."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from click.testing import CliRunner

import pyinfercost as ic
from pyinfercost.advice import traffic_advice
from pyinfercost.advice.combinations import Choices, allowed_choices, joined
from pyinfercost.cli import main
from pyinfercost.serving import serve as serving

_SERVED = {
    "usd_per_h": ("usd_per_h",),
    "usd_per_million_tokens": ("usd_per_million_tokens",),
    "latency_s": ("e2e_s", "mean"),
    "latency_low_s": ("e2e_s", "mean_low"),
    "latency_high_s": ("e2e_s", "mean_high"),
    "throughput_per_s": ("requests_per_s",),
    "joules_per_token": ("joules_per_token",),
    "tokens_per_s": ("tokens_per_s",),
    "capacity_per_s": ("capacity_per_s",),
    "utilization": ("utilization",),
    "kv_use_peak": ("kv_use_peak",),
    "devices": ("devices",),
    "slo_met": ("slo_met",),
    "slo_share": ("slo_share",),
    **{f"{name}_{each}_s": (f"{name}_s", each) for name in ("ttft", "tpot", "e2e") for each in ("p50", "p99")},
}
_FLEET = {
    "usd_per_month": ("bill", "usd_per_month"),
    "usd_per_h": ("bill", "usd_per_h"),
    "usd_per_million_tokens": ("bill", "usd_per_million_tokens"),
    "latency_s": ("e2e_s", "mean"),
    **{f"{name}_{each}_s": (f"{name}_s", each) for name in ("wait", "ttft", "tpot", "e2e") for each in ("p50", "p99")},
    "late_share": ("late_share",),
    "slo_met": ("slo_met",),
    "replicas": ("mean_replicas",),
    "peak_replicas": ("peak_replicas",),
    "starts": ("starts",),
    "idle_share": ("idle_share",),
    "carbon_g_per_month": ("carbon_g_per_month",),
}


_OF_A_REQUEST = {"cost_usd": ("bill", "usd"), "carbon_g": ("carbon_g",), "energy_per_item_j": ("energy_j",)}


def _per_request(value: float | None, fleet: dict[str, Any]) -> float | None:
    return None if value is None else value / max(1, fleet["finished"])


def of_code(code: str) -> tuple[Any, ...]:
    """The cost of tokens or of a month, and the latencies, that printed lines of Python predict."""
    names: dict[str, Any] = {}
    exec(code, names)
    result = names["result"]
    if isinstance(result, ic.results.FleetComparison):
        (result,) = result
        return result.usd_per_month, result["e2e_s"].mean, result["e2e_s"].p99
    return result.usd_per_million_tokens, result["e2e_s"].mean, result["e2e_s"].p99


def of_same(figures: dict[str, Any], command: str) -> tuple[Any, ...]:
    """The same figures of an advised setup."""
    money = "usd_per_million_tokens" if shlex.split(command)[1] == "serve" else "usd_per_month"
    return figures[money], figures["latency_s"], figures["e2e_p99_s"]


def printed(command: str) -> dict[str, Any]:
    """The figures that a printed command predicts, by the names of advice."""
    program, name, *words = shlex.split(command)
    assert program == "pyinfercost"
    ran = CliRunner().invoke(main, [name, *words, "--format", "json"])
    assert ran.exit_code == 0, f"{command}\n{ran.output}"
    document = json.loads(ran.stdout)
    if name == "serve":
        return {figure: _at(document["serve"], place) for figure, place in _SERVED.items()}
    (fleet,) = document["comparison"]["fleets"]
    found = {figure: _at(fleet, place) for figure, place in _FLEET.items()}
    return found | {figure: _per_request(_at(fleet, place), fleet) for figure, place in _OF_A_REQUEST.items()}


def advised(figures: Any, command: str) -> dict[str, Any]:
    """The same figures of an advised setup."""
    names = _SERVED if shlex.split(command)[1] == "serve" else {**_FLEET, **_OF_A_REQUEST}
    return {name: figures[name] for name in names}


def _at(document: Any, place: tuple[str, ...]) -> Any:
    for name in place:
        document = None if document is None else document[name]
    return document


def capture_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands share the graphs of a spec; everything else of a command runs."""
    captured = serving._captured
    known: dict[str, serving.Phases] = {}

    def once(spec: str) -> serving.Phases:
        if spec not in known:
            known[spec] = captured(spec)
        return known[spec]

    monkeypatch.setattr(serving, "_captured", once)


def best_of_all(ask: Callable[[], ic.results.Advice]) -> tuple[ic.results.Advice, float, int]:
    """An advice, the least objective over all combinations of the options of its tactics, and their number."""
    seen: list[tuple[Any, Any]] = []

    def spy(case: Any, tactics: Any, *others: Any) -> ic.results.Advice:
        seen.append((case, tactics))
        return answered(case, tactics, *others)

    answered = traffic_advice.answer
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(traffic_advice, "answer", spy)
        advice = ask()
    ((case, tactics),) = seen
    setups = list(_combined(case, tactics, ()))
    outcomes = zip(setups, case.evaluator.outcomes(setups), strict=True)
    kept = [each for setup, each in outcomes if case.cannot_run(setup, each) is None and case.is_within_limits(each)]
    return advice, min(each.value(case.objective) for each in kept), len(setups)


def _combined(case: Any, tactics: Sequence[Any], chosen: Choices) -> Iterator[Any]:
    """All combinations of the tactics that are left with those that are chosen; options are those for these."""
    change = joined(chosen)
    if change is None:
        return
    try:
        setup = case.baseline.changed(change)
    except ic.errors.InputError:
        return
    if not tactics:
        yield setup
        return
    yield from _combined(case, tactics[1:], chosen)
    for choice in allowed_choices(tactics[0], setup, case):
        yield from _combined(case, tactics[1:], (*chosen, choice))
