"""What tests of advice under traffic compare: figures of an advised setup, and those that its command prints."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
from click.testing import CliRunner

from pyinfercost.cli import main
from pyinfercost.serving import serve as serving

_SERVED = {
    "usd_per_h": ("usd_per_h",),
    "usd_per_million_tokens": ("usd_per_million_tokens",),
    "latency_s": ("e2e_s", "mean"),
    "latency_low_s": ("e2e_s", "low"),
    "latency_high_s": ("e2e_s", "high"),
    "throughput_per_s": ("requests_per_s",),
    "joules_per_token": ("joules_per_token",),
    "tokens_per_s": ("tokens_per_s",),
    "capacity_per_s": ("capacity_per_s",),
    "utilization": ("utilization",),
    "kv_use_peak": ("kv_use_peak",),
    "devices": ("devices",),
    "slo_met": ("slo_met",),
    "slo_share": ("slo_share",),
    "ttft_p99_s": ("ttft_s", "p99"),
    "tpot_p50_s": ("tpot_s", "p50"),
    "e2e_p99_s": ("e2e_s", "p99"),
}
_FLEET = {
    "usd_per_month": ("bill", "usd_per_month"),
    "usd_per_h": ("bill", "usd_per_h"),
    "usd_per_million_tokens": ("bill", "usd_per_million_tokens"),
    "latency_s": ("e2e_s", "mean"),
    "wait_p99_s": ("wait_s", "p99"),
    "ttft_p50_s": ("ttft_s", "p50"),
    "tpot_p99_s": ("tpot_s", "p99"),
    "late_share": ("late_share",),
    "slo_met": ("slo_met",),
    "replicas": ("mean_replicas",),
    "peak_replicas": ("peak_replicas",),
    "starts": ("starts",),
    "idle_share": ("idle_share",),
    "carbon_g_per_month": ("carbon_g_per_month",),
}


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
    return {figure: _at(fleet, place) for figure, place in _FLEET.items()}


def advised(figures: Any, command: str) -> dict[str, Any]:
    """The same figures of an advised setup."""
    names = _SERVED if shlex.split(command)[1] == "serve" else _FLEET
    return {name: _known(figures[name]) for name in names}


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and value != value else value  # noqa: PLR0124  # not a number


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
