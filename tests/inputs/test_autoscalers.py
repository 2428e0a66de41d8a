"""Settings of autoscalers, which the core declares: classes, texts and signatures."""

from __future__ import annotations

import importlib.util
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from pyinfercost.errors import InputError
from pyinfercost.fleets import Knative, Kubernetes, Scheduled, Static, parse_autoscaler
from pyinfercost.inputs.autoscalers import split_autoscalers

ROOT = Path(__file__).parents[2]


def test_settings_are_frozen_and_by_keyword() -> None:
    scaler = Knative(target=45)
    assert scaler.replace(tick_s=1).target == 45.0
    assert scaler != Kubernetes(target=45)
    with pytest.raises(FrozenInstanceError, match=r"use replace\(target=...\)"):
        scaler.target = 3.0
    with pytest.raises(FrozenInstanceError):
        del scaler.target
    with pytest.raises(TypeError):
        Knative(45)  # type: ignore[misc]
    with pytest.raises(TypeError, match="kpa has no setting 'speed'; expected NAME=VALUE of min_replicas"):
        Knative(speed=1)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kpx", "autoscaler is 'kpx'; expected one of static, scheduled, kpa, "),
        ("keda", r"\(KEDA is hpa:keda=true\)"),
        ("kpa:target", "kpa has 'target'; expected NAME=VALUE of min_replicas"),
        ("kpa:speed=1", "kpa has no setting 'speed'; expected NAME=VALUE of min_replicas"),
        ("kpa:tick_s=1,tick_s=2", "kpa has 'tick_s' twice"),
        ("kpa:tick_s=fast", "tick_s of kpa is 'fast'; expected a number"),
        ("kpa:tick_s=0", "tick_s of kpa is 0; expected a number from 0.01 to 1e.07 s"),
        ("kpa:stable_window_s=1.5", "stable_window_s of kpa is 1.5; expected a whole number from 1 to 3600"),
        ("hpa:keda=yes", "keda of hpa is 'yes'; expected true or false"),
        ("hpa:min_replicas=0", "a HorizontalPodAutoscaler keeps one replica; pass keda=true"),
        ("scheduled:8=2,0=1", "expected hours that ascend"),
        ("scheduled:0=few", "replicas of scheduled is 'few'; expected a whole number"),
        ("static:-1", "replicas of static is -1"),
    ],
)
def test_wrong_texts_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_autoscaler(text)


def test_several_are_separated_by_commas() -> None:
    several = ["kpa:target=45,tick_s=1", "hpa:keda,min_replicas=0", "static", "scheduled:0=2,8=10"]
    assert split_autoscalers(",".join(several)) == several


def test_hours_are_mappings_or_pairs() -> None:
    expected = parse_autoscaler("scheduled:0=2,8=10")
    assert Scheduled(replicas={0: 2, 8: 10}) == Scheduled(replicas=[(0, 2), (8, 10)]) == expected
    for wrong in (3, "0=2", [(0,)], {}, [(0, 1), (0, 2)]):
        with pytest.raises(InputError, match="replicas of scheduled"):
            Scheduled(replicas=wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"autoscaler is 3; expected one of .*, or an Autoscaler"):
        parse_autoscaler(3)  # type: ignore[arg-type]
    assert parse_autoscaler(Static(replicas=8)) == parse_autoscaler("static:8")


def test_signatures_are_written_from_the_declarations() -> None:
    spec = importlib.util.spec_from_file_location("settings_stub", ROOT / "tools" / "settings_stub.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    for path, content in tool.stubs().items():
        assert path.read_text(encoding="utf-8") == content, "run `nox -s stubs`"
