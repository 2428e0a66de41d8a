"""Interruptions of spot instances, and failures of machines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from .._checks import Range, shown
from ..errors import InputError
from ..inputs.facts import facts
from ..inputs.settings import Settings, label, number

InterruptionsLike: TypeAlias = "Interruptions | str | Mapping[str, str | float]"
"""Interruptions as `Interruptions.parse` accepts them."""

_PER_H = Range(1e-9, 1e3, "an hour", zero=True)


class InterruptionsError(InputError):
    """Invalid rates of interruptions."""


class Interruptions(Settings):
    """How often a machine is taken away or fails, and how long before it is known.

    Both are independent of the age of the machine: times between them are exponentially distributed.
    """

    kind = "interruptions"
    unnamed = "cloud"
    error = InterruptionsError
    cloud: str = label("Cloud whose notice of spot instances is known, such as `aws`.", default="")
    notice_s: float = number(
        Range(1e-3, 1e6, "seconds", zero=True),
        "Seconds between the notice of an interruption and the end of the machine; 0 for the notice of `cloud`. "
        "Failures have none.",
        default=0.0,
    )
    interruptions_per_h: float = number(
        _PER_H,
        "Interruptions of a machine per hour; 0 for machines on demand. The default, one in 50 hours, is assumed: "
        "clouds publish no rates of single types as numbers.",
        default=0.02,
    )
    failures_per_h: float = number(
        _PER_H,
        "Failures of a machine per hour. The default, one in 10,000 hours (14 months), is assumed.",
        default=1e-4,
    )

    def _check(self) -> None:
        known: Mapping[str, Any] = facts()["interruptions"] if self.cloud else {}
        if self.cloud and self.cloud not in known:
            raise InterruptionsError(
                f"cloud of interruptions is {shown(self.cloud)}; expected {', '.join(known)}, or notice_s"
            )
        if self.cloud and not self.notice_s:
            self.__dict__["notice_s"] = float(known[self.cloud]["notice_s"])

    @property
    def source(self) -> str:
        """Where the notice comes from."""
        return str(facts()["interruptions"][self.cloud]["source"]) if self.cloud else "given"

    @property
    def assumed(self) -> tuple[str, ...]:
        """Names of the values that are assumed."""
        return tuple(
            each.name for each in self.fields if each.name != "cloud" and vars(self)[each.name] == each.default
        )

    @property
    def mean_time_to_end_s(self) -> float:
        """Mean seconds until a machine is interrupted or fails; infinite if neither happens."""
        rate = self.interruptions_per_h + self.failures_per_h
        return float("inf") if rate == 0 else 3600 / rate
