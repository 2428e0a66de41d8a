"""Autoscalers: rules of products that say how many replicas a service has.

The core declares their settings, with the names of the products where these have one, and the unit added. A target that
is not given is `target_utilization` of the requests that a replica serves at once, which a result states as a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias

from .. import _core
from .._checks import Range, shown
from ..errors import InputError
from .settings import Setting, Settings, written

AutoscalerLike: TypeAlias = "Autoscaler | str"
"""An autoscaler, or its text: `"kpa"`, `"hpa:target=45"`, `"static:8"`, `"scheduled:0=2,8=10"`."""

DAY_S = 86_400.0
HOUR_S = 3600.0


class Autoscaler(Settings):
    """What all autoscalers have.

    Attributes:
        min_replicas: Fewest replicas.
        max_replicas: Most replicas; None for no limit.
        start_replicas: Replicas that are ready at the start; None for those that the mean load needs.
    """

    min_replicas: int
    max_replicas: int | None
    start_replicas: int | None
    measures: ClassVar[str] = ""
    """The metric, where it is no setting."""
    level: ClassVar[str] = ""
    """Name of its target, per replica."""
    simulated: ClassVar[bool] = True
    routing: ClassVar[str] = "least_loaded"
    """How requests are shared by replicas."""

    def _check(self) -> None:
        self._made()

    def __str__(self) -> str:
        """The text that `parse_autoscaler` accepts: `"kpa:target=45,stable_window_s=30"`."""
        return ":".join(filter(None, (self.kind, super().__str__())))

    def _made(self) -> _core.Autoscaler:
        return _core.Autoscaler(self.kind, vars(self))

    def loaded(self, load: _core.ReplicaLoad) -> _core.LoadedAutoscaler:
        """Return the autoscaler of the simulator for replicas with a load."""
        return self._made().loaded(load)

    def starts_with(self, load: _core.ReplicaLoad) -> int:
        """Return the replicas at the start."""
        return self._made().starts_with(load)

    def limit_of(self, load: _core.ReplicaLoad, limit: int) -> int:
        """Return the requests that a replica is handed at most, where its own limit is given; 0 for any number."""
        return self._made().limit_of(load, limit)

    def stated(self, load: _core.ReplicaLoad) -> dict[str, str]:
        """Return the settings that decide, as texts by name, for results."""
        values = vars(self)
        names = [
            "min_replicas",
            "max_replicas",
            *(name for name in values if name not in ("min_replicas", "max_replicas")),
        ]
        found = {name: _shown(values[name]) for name in names if values[name] is not None}
        if self.measures:
            found["metric"] = self.measures
        found["start_replicas"] = str(self.starts_with(load))
        if self.level in values:
            found.pop("target_utilization")
        return {**found, **({self.level: _shown(self._made().level_of(load))} if self.level else {})}


def _class_of(kind: Mapping[str, Any]) -> type[Autoscaler]:
    fields = tuple(
        Setting(
            each["name"], each["type"], _default(each["default"]), Range(each["low"], each["high"], each["unit"]),
            tuple(each["words"]), each["optional"], each["text"],
        )
        for each in kind["settings"]
    )  # fmt: skip
    own = {"fields": fields, "kind": kind["name"], "level": kind["target"], "__doc__": kind["text"]}
    own |= {name: kind[name] for name in ("unnamed", "measures", "simulated", "routing")}
    return type(kind["type"], (Autoscaler,), {"__module__": f"{__package__}.autoscaler_kinds", **own})


def _default(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


KINDS: Mapping[str, type[Autoscaler]] = {kind["name"]: _class_of(kind) for kind in _core.autoscaler_kinds()}
"""Name in texts -> autoscaler."""


def parse_autoscaler(value: AutoscalerLike) -> Autoscaler:
    """Parse an autoscaler.

    Args:
        value: An `Autoscaler`, or text: the kind, then its settings, as in `"kpa:target=45,stable_window_s=30"`.
            `"static:8"` has 8 replicas, and `"scheduled:0=2,8=10,20=4"` replicas by the hour of the day.

    Raises:
        InputError: The kind or a setting is unknown, or a value is out of range.
    """
    if isinstance(value, Autoscaler):
        return value
    if not isinstance(value, str):
        raise InputError(f"autoscaler is {shown(value)}; expected one of {', '.join(KINDS)}, or an Autoscaler")
    name, _, rest = value.strip().partition(":")
    if name not in KINDS:
        hint = " (KEDA is hpa:keda=true)" if name.lower() == "keda" else ""
        raise InputError(f"autoscaler is {shown(value)}; expected one of {', '.join(KINDS)}{hint}")
    return KINDS[name].parse(rest)


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


def with_limits(autoscaler: Autoscaler, *, least: int) -> Autoscaler:
    """Return an autoscaler that keeps at least so many replicas."""
    return autoscaler if autoscaler.min_replicas >= least else autoscaler.replace(min_replicas=least)


def _shown(value: Any) -> str:
    """Return a value for people."""
    return f"{value:.6g}" if isinstance(value, float) else written(value)
