"""Objectives of a service: limits of percentiles of latencies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from .._checks import shown
from ..errors import InputError

if TYPE_CHECKING:
    from ..results.latency import Latency

SLOLike: TypeAlias = "str | Mapping[str, Any] | tuple[Condition, ...]"
"""An objective: text such as `"ttft_p99<0.5,tpot_p50<0.03"`, limits by name, such as `{"ttft_p99": 0.5}`, or
parsed conditions."""

_CONDITION = re.compile(r"\s*([a-z0-9_.]+)\s*<=?\s*([0-9.eE+-]+)\s*(ms|s)?\s*")
_METRIC = re.compile(r"(ttft|tpot|e2e|queue)(?:_s)?_(mean|p(\d{1,2}(?:\.\d{1,6})?))")
_MOST_S = 1e9
_EXPECTED = (
    "expected conditions such as ttft_p99<0.5,tpot_p50<30ms: ttft, tpot, e2e or queue, then mean or a percentile "
    "from p0 to p99.999, then seconds"
)


class SLOError(InputError):
    """An objective that cannot be read."""


@dataclass(frozen=True)
class Condition:
    """One condition of an objective.

    Attributes:
        latency: The latency, a key of `LATENCIES`.
        percent: Percentile; None for the mean.
        limit_s: Its upper limit, in seconds.
    """

    latency: str
    percent: float | None
    limit_s: float

    def __str__(self) -> str:
        return f"{self.name}<{self.limit_s:g}"

    @property
    def name(self) -> str:
        """Its name, such as `ttft_p99`."""
        return f"{self.latency.removesuffix('_s')}_{'mean' if self.percent is None else f'p{self.percent:g}'}"

    def value_of(self, latency: Latency) -> float:
        """Return the statistic that is limited."""
        return latency.mean if self.percent is None else latency.percentile(self.percent)


def parse_slo(value: SLOLike | None) -> tuple[Condition, ...]:
    """Parse an objective.

    Raises:
        SLOError: A metric is unknown, or a limit is no time above 0.
    """
    if value is None or value == "":
        return ()
    if isinstance(value, tuple):
        return value
    if isinstance(value, Mapping):
        pairs = [(str(name), limit, "s") for name, limit in value.items()]
    elif isinstance(value, str):
        pairs = []
        for part in value.split(","):
            match = _CONDITION.fullmatch(part)
            if match is None:
                raise SLOError(f"slo has {shown(part)}; {_EXPECTED}")
            pairs.append((match[1], match[2], match[3] or "s"))
    else:
        raise SLOError(f"slo is {shown(value)}; {_EXPECTED}")
    found = tuple(_condition(*pair) for pair in pairs)
    names = [each.name for each in found]
    for name in names:
        if names.count(name) > 1:
            raise SLOError(f"slo has {name} twice; pass one limit of it")
    return found


def _condition(name: str, limit: Any, unit: str) -> Condition:
    match = _METRIC.fullmatch(name)
    if match is None:
        raise SLOError(f"slo has the unknown metric {shown(name)}; {_EXPECTED}")
    try:
        seconds = float(limit) * (1e-3 if unit == "ms" else 1.0)
    except (TypeError, ValueError):
        seconds = float("nan")
    if not 0 < seconds <= _MOST_S:
        raise SLOError(f"slo limits {name} to {shown(limit)}; expected seconds above 0")
    return Condition(f"{match[1]}_s", None if match[3] is None else float(match[3]), seconds)
