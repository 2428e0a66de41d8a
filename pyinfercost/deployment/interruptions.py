"""Interruptions of spot instances, and failures of machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeAlias

from .._checks import Range, number, number_in, shown
from .._checks import text as checked_text
from .._records import dataclass
from ..errors import InputError
from .facts import facts
from .settings import settings_of

InterruptionsLike: TypeAlias = "Interruptions | str | Mapping[str, str | float]"
"""Interruptions as `parse_interruptions` accepts them."""

ASSUMED_INTERRUPTIONS_PER_H = 0.02
"""Assumed: one interruption of a spot instance in 50 hours. Clouds publish no rates of single types as numbers."""

ASSUMED_FAILURES_PER_H = 1e-4
"""Assumed: one failure of a machine in 10,000 hours, 14 months."""

_PER_H = Range(1e-9, 1e3, "an hour", zero=True)
_RANGES = {
    "notice_s": Range(1e-3, 1e6, "seconds", zero=True),
    "interruptions_per_h": _PER_H,
    "failures_per_h": _PER_H,
}
_CLOUD = "cloud"


class InterruptionsError(InputError):
    """Invalid rates of interruptions."""


@dataclass(frozen=True)
class Interruptions:
    """How often a machine is taken away or fails, and how long before it is known.

    Both are independent of the age of the machine: times between them are exponentially distributed.

    Attributes:
        notice_s: Seconds between the notice of an interruption and the end of the machine; failures have none.
        interruptions_per_h: Interruptions of a machine per hour; 0 for machines on demand. The default is assumed.
        failures_per_h: Failures of a machine per hour; the default is assumed.
        source: Where the notice comes from.
        assumed: Fields whose values are assumed.
    """

    notice_s: float = 0.0
    interruptions_per_h: float = ASSUMED_INTERRUPTIONS_PER_H
    failures_per_h: float = ASSUMED_FAILURES_PER_H
    source: str = "given"
    assumed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, within in _RANGES.items():
            object.__setattr__(self, name, number(getattr(self, name), name, within, InterruptionsError))
        checked_text(self.source, "source of the interruptions", InterruptionsError)
        unknown = [name for name in self.assumed if name not in _RANGES]
        if unknown:
            raise InterruptionsError(f"assumed has {shown(unknown)}; expected some of {', '.join(_RANGES)}")

    @property
    def mean_time_to_end_s(self) -> float:
        """Mean seconds until a machine is interrupted or fails; infinite if neither happens."""
        rate = self.interruptions_per_h + self.failures_per_h
        return float("inf") if rate == 0 else 3600 / rate


def parse_interruptions(value: InterruptionsLike) -> Interruptions:
    """Parse rates of interruptions and failures.

    Args:
        value: An `Interruptions`; a cloud, whose notice of spot instances is known: `"aws"`, `"azure"`, `"gcp"`; text
            such as `"cloud=aws,interruptions_per_h=0.05,failures_per_h=0"`; or a mapping of the same names.

    Returns:
        The rates; those that are not given are assumed, and named in `assumed`.

    Raises:
        InterruptionsError: The value is none of these, or a number is out of range.
    """
    if isinstance(value, Interruptions):
        return value
    known: Mapping[str, Any] = facts()["interruptions"]
    if isinstance(value, str) and value in known:
        value = f"{_CLOUD}={value}"
    settings = settings_of(value, "interruptions", [_CLOUD, *_RANGES], InterruptionsError)
    cloud = settings.pop(_CLOUD, None)
    if cloud is not None and cloud not in known:
        raise InterruptionsError(f"cloud of interruptions is {shown(cloud)}; expected {', '.join(known)}, or notice_s")
    given = {name: number_in(each, name, _RANGES[name], InterruptionsError) for name, each in settings.items()}
    source = "given"
    if cloud is not None and "notice_s" not in given:
        given["notice_s"], source = float(known[cloud]["notice_s"]), known[cloud]["source"]
    names = [field.name for field in fields(Interruptions) if field.name in _RANGES]
    return Interruptions(**given, source=source, assumed=tuple(name for name in names if name not in given))
