"""Autoscalers as texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeAlias

from .._checks import shown
from .autoscalers import (
    Autoscaler,
    CloudRun,
    Knative,
    Kubernetes,
    Lambda,
    Oracle,
    RayServe,
    ScaleToZero,
    Scheduled,
    Seasonal,
    Static,
    TargetTracking,
)
from .parameters import AutoscalerError

AutoscalerLike: TypeAlias = "Autoscaler | str"
"""An autoscaler, or its text: `"kpa"`, `"hpa:target=45"`, `"static:8"`, `"scheduled:0=2,8=10"`."""

KINDS: Mapping[str, type[Autoscaler]] = {
    each.kind: each
    for each in (
        Static,
        Scheduled,
        Knative,
        Kubernetes,
        RayServe,
        TargetTracking,
        Lambda,
        CloudRun,
        ScaleToZero,
        Seasonal,
        Oracle,
    )
}
"""Name in texts -> autoscaler."""


def parse_autoscaler(value: AutoscalerLike) -> Autoscaler:
    """Parse an autoscaler.

    Args:
        value: An `Autoscaler`, or text: the kind, then its parameters, as in `"kpa:target=45,stable_window_s=30"`.
            `"static:8"` has 8 replicas, and `"scheduled:0=2,8=10,20=4"` replicas by the hour of the day.

    Raises:
        AutoscalerError: The kind or a parameter is unknown, or a value is out of range.
    """
    if isinstance(value, Autoscaler):
        return value
    if not isinstance(value, str):
        raise AutoscalerError(f"autoscaler is {shown(value)}; expected one of {', '.join(KINDS)}, or an Autoscaler")
    name, _, rest = value.strip().partition(":")
    if name not in KINDS:
        hint = " (KEDA is hpa:keda=true)" if name.lower() == "keda" else ""
        raise AutoscalerError(f"autoscaler is {shown(value)}; expected one of {', '.join(KINDS)}{hint}")
    kind = KINDS[name]
    given: dict[str, Any] = {}
    hours: list[tuple[float, int]] = []
    for part in filter(None, (word.strip() for word in rest.split(","))):
        key, equals, text = part.partition("=")
        if kind is Static and not equals:
            key, text = "replicas", part
        elif kind is Scheduled and _is_number(key):
            hours.append((float(key), _whole_of(text, "replicas of scheduled")))
            continue
        elif not equals:
            raise AutoscalerError(f"autoscaler {value!r} has {shown(part)}; expected NAME=VALUE")
        names = [field.name for field in fields(kind)]
        if key not in names:
            raise AutoscalerError(f"{name} has no parameter {shown(key)}; expected some of {', '.join(names)}")
        given[key] = text if key == "metric" else _value_of(text, f"{key} of {name}")
    if hours:
        given["replicas"] = tuple(hours)
    return kind(**given)


def split_autoscalers(text: str) -> list[str]:
    """Return the texts of several autoscalers that commas separate: `"kpa:target=45,tick_s=1,hpa"` has two.

    A part that does not begin with a kind belongs to the autoscaler before it.
    """
    found: list[str] = []
    for part in filter(None, (word.strip() for word in text.split(","))):
        if found and part.partition(":")[0] not in KINDS:
            found[-1] += ("," if ":" in found[-1] else ":") + part
        else:
            found.append(part)
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _whole_of(text: str, name: str) -> int:
    if not text.isdecimal():
        raise AutoscalerError(f"{name} is {shown(text)}; expected a whole number")
    return int(text)


def _value_of(text: str, name: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if not _is_number(text):
        raise AutoscalerError(f"{name} is {shown(text)}; expected a number")
    return int(text) if text.isdecimal() else float(text)
