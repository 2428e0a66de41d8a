"""Checks of the parameters of autoscalers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .._checks import Range, flag, number, shown, whole
from ..errors import InputError

_REPLICAS = Range(0, 2**20)
_TARGET = Range(1e-6, 1e9)
_SHARE = Range(1e-3, 1.0)
_SECONDS = Range(1e-2, 1e7, "s")
_DELAY = Range(0.0, 1e7, "s")
_WINDOW = Range(1, 3600)
_RATE = Range(1.0, 1e6)
_METRICS = ("in_flight", "running", "waiting", "utilization")


class AutoscalerError(InputError):
    """An autoscaler that is unknown, or a parameter of one that is out of range."""


def checked(name: str, value: Any, kind: str) -> Any:
    """Return the value of a parameter.

    Raises:
        AutoscalerError: It is out of range, or of a wrong type.
    """
    return _CHECKS[name](value, f"{name} of {kind}")


def _number(within: Range) -> Callable[[Any, str], Any]:
    return lambda value, name: number(value, name, within, AutoscalerError)


def _whole(within: Range) -> Callable[[Any, str], Any]:
    return lambda value, name: whole(value, name, within, AutoscalerError)


def _metric(value: Any, name: str) -> str:
    if value not in _METRICS:
        raise AutoscalerError(f"{name} is {shown(value)}; expected one of {', '.join(_METRICS)}")
    return str(value)


def _replicas(value: Any, name: str) -> Any:
    if not isinstance(value, (Mapping, Sequence)):
        return whole(value, name, _REPLICAS, AutoscalerError)
    pairs = value.items() if isinstance(value, Mapping) else value
    checked = []
    for pair in pairs:
        if not isinstance(pair, Sequence) or len(pair) != len(("hour", "replicas")):
            raise AutoscalerError(f"{name} has {shown(pair)}; expected an hour and a number of replicas")
        hour = number(pair[0], f"an hour of {name}", Range(0.0, 24 * 366.0), AutoscalerError)
        checked.append((hour, whole(pair[1], name, _REPLICAS, AutoscalerError)))
    if not checked or sorted({hour for hour, _ in checked}) != [hour for hour, _ in checked]:
        raise AutoscalerError(f"{name} is {shown(value)}; expected hours that ascend, at least one")
    return tuple(checked)


_CHECKS: Mapping[str, Callable[[Any, str], Any]] = {
    "replicas": _replicas,
    "keda": lambda value, name: flag(value, name, AutoscalerError),
    "metric": _metric,
    **dict.fromkeys(("min_replicas", "max_replicas", "start_replicas", "up_pods"), _whole(_REPLICAS)),
    **dict.fromkeys(("activation_scale", "burst"), _whole(Range(1, 2**20))),
    **dict.fromkeys(("stable_window_s", "panic_window_s", "look_back_s", "window_s"), _whole(_WINDOW)),
    "metric_window_s": _whole(Range(0, 3600)),
    **dict.fromkeys(("out_periods", "in_periods"), _whole(Range(1, 1000))),
    **dict.fromkeys(("target", "target_ongoing_requests", "concurrency"), _number(_TARGET)),
    **dict.fromkeys(("target_utilization", "in_share"), _number(_SHARE)),
    **dict.fromkeys(("panic_threshold", "max_scale_up_rate", "max_scale_down_rate"), _number(_RATE)),
    **dict.fromkeys(("upscaling_factor", "downscaling_factor"), _number(Range(1e-3, 1e3))),
    **dict.fromkeys(("up_percent", "down_percent"), _number(Range(0.0, 1e6))),
    "tolerance": _number(Range(0.0, 10.0)),
    "headroom": _number(Range(0.0, 1e3)),
    **dict.fromkeys(("tick_s", "sync_s", "loop_s", "polling_s", "burst_s"), _number(_SECONDS)),
    "period_s": _number(Range(1.0, 1e8, "s")),
    "bin_s": _number(Range(1.0, 1e6, "s")),
    **dict.fromkeys(("up_period_s", "down_period_s"), _number(Range(1.0, 1800.0, "s"))),
    **dict.fromkeys(("up_stabilization_s", "down_stabilization_s"), _number(Range(0.0, 3600.0, "s"))),
    **dict.fromkeys(
        (
            "scale_down_delay_s",
            "scale_to_zero_grace_s",
            "cooldown_s",
            "upscale_delay_s",
            "downscale_delay_s",
            "scale_out_cooldown_s",
            "scale_in_cooldown_s",
            "idle_timeout_s",
            "ahead_s",
            "hold_s",
        ),
        _number(_DELAY),
    ),
}
"""Parameter -> what checks it."""
