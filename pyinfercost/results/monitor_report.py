"""Result type: what a monitor recorded, beside the prediction and the plan, and what a new plan would be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..report.render import render
from .bill import MONTH_S
from .live_figures import USES
from .result import Result

if TYPE_CHECKING:
    from .fleet_plan import FleetPlan

PEAK, OFF_PEAK = "peak", "off-peak"
"""Names of the times with more requests than the mean of the calendar, and of the others."""

_HOUR_S = 3600.0
_MILLION, _THOUSAND = 1e6, 1e3


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """What was recorded in some time: an hour, all hours of the peak, or all of the log.

    Attributes:
        name: The time in words; empty for a slot.
        start_s: Unix time of its begin.
        length_s: Its length.
        covered_s: Seconds of it in which something was recorded.
        requests: Requests that ended.
        failed: Of these, with an error or cancelled.
        output_tokens: Generated tokens.
        reserved_s: Use -> paid seconds of devices; empty if they are unknown.
        cost_usd: Use -> money for them; empty without a price.
        replica_s: Seconds of observed replicas.
        measured_s: Measured seconds of what has a prediction.
        predicted_s: Predicted seconds of the same.
        predicted_low_s: The same at the low end of the error band.
        predicted_high_s: The same at the high end.
        planned: Figure of the plan -> its mean over the recorded seconds; empty without a plan.
    """

    name: str = ""
    start_s: float
    length_s: float
    covered_s: float
    requests: float = 0.0
    failed: float = 0.0
    output_tokens: float = 0.0
    reserved_s: Mapping[str, float] = field(default_factory=dict)
    cost_usd: Mapping[str, float] = field(default_factory=dict)
    replica_s: float = 0.0
    measured_s: float = 0.0
    predicted_s: float = 0.0
    predicted_low_s: float = 0.0
    predicted_high_s: float = 0.0
    planned: Mapping[str, float] = field(default_factory=dict)

    @property
    def usd(self) -> float | None:
        """Money for the paid time; None without a price."""
        return sum(self.cost_usd.values()) if self.cost_usd else None

    @property
    def usd_per_h(self) -> float | None:
        """Money for an hour, over the recorded seconds; None without a price."""
        return self._rate(self.usd, _HOUR_S)

    @property
    def usd_per_month(self) -> float | None:
        """Money for a month in which the same happens again and again; None without a price."""
        return self._rate(self.usd, MONTH_S)

    @property
    def requests_per_s(self) -> float | None:
        """Requests that ended, over the recorded seconds; None if nothing was recorded."""
        return self._rate(self.requests, 1.0)

    @property
    def replicas(self) -> float | None:
        """Mean number of observed replicas; None if nothing was recorded."""
        return self._rate(self.replica_s, 1.0)

    @property
    def usd_per_million_tokens(self) -> float | None:
        """Money for 10^6 generated tokens, with all paid time; None without tokens or a price."""
        return None if self.usd is None or not self.output_tokens else _MILLION * self.usd / self.output_tokens

    @property
    def usd_per_thousand_requests(self) -> float | None:
        """Money for 1,000 answered requests, with all paid time; None without requests or a price."""
        answered = self.requests - self.failed
        return None if self.usd is None or answered <= 0 else _THOUSAND * self.usd / answered

    @property
    def to_predicted(self) -> float | None:
        """Measured time divided by the predicted one; None if nothing with a prediction happened."""
        return self.measured_s / self.predicted_s if self.predicted_s > 0 else None

    def share(self, use: str) -> float | None:
        """Return the share of a use in the paid time; None if it is unknown."""
        paid = sum(self.reserved_s.values())
        return self.reserved_s.get(use, 0.0) / paid if paid > 0 else None

    def measured(self, figure: str) -> float | None:
        """Return what was measured of a figure of the plan: `usd_per_h`, `requests_per_s`, `replicas`, ..."""
        found: float | None = getattr(self, figure)
        return found

    def against_plan(self, figure: str) -> float | None:
        """Return the measured value of a figure divided by the planned one, minus 1; None if one is unknown."""
        planned, measured = self.planned.get(figure), self.measured(figure)
        return None if not planned or measured is None else measured / planned - 1.0

    def _rate(self, amount: float | None, seconds: float) -> float | None:
        return None if amount is None or self.covered_s <= 0 else amount / self.covered_s * seconds


@dataclass(frozen=True, kw_only=True)
class Change:
    """A time at which a level changed.

    Attributes:
        at_s: Unix time.
        before: Level before it.
        after: Level after it.
    """

    at_s: float
    before: float
    after: float

    @property
    def factor(self) -> float:
        """Level after it, divided by that before."""
        return self.after / self.before


@dataclass(frozen=True, kw_only=True)
class PredictedPart:
    """Measured and predicted time of one part of a model: requests of a size, times to first tokens, ...

    Attributes:
        model: Name of the model.
        part: The part.
        measured_s: Measured seconds.
        predicted_s: Predicted seconds.
        predicted_low_s: The same at the low end of the error band.
        predicted_high_s: The same at the high end.
        changes: Changes of measured / predicted, in the order of time.
        outside_since_s: Unix time since which the ratio is outside of its band; None if it is inside at the end.
    """

    model: str
    part: str
    measured_s: float
    predicted_s: float
    predicted_low_s: float
    predicted_high_s: float
    changes: tuple[Change, ...] = ()
    outside_since_s: float | None = None

    @property
    def ratio(self) -> float:
        """Measured divided by predicted time."""
        return self.measured_s / self.predicted_s

    @property
    def low(self) -> float:
        """Low end of the band, divided by the prediction."""
        return self.predicted_low_s / self.predicted_s

    @property
    def high(self) -> float:
        """High end of the band, divided by the prediction."""
        return self.predicted_high_s / self.predicted_s

    @property
    def in_band(self) -> bool:
        """Whether the measured time lies in the error band."""
        return self.predicted_low_s <= self.measured_s <= self.predicted_high_s

    @property
    def last_ratio(self) -> float:
        """Measured / predicted after the last change."""
        return self.changes[-1].after if self.changes else self.ratio


@dataclass(frozen=True, kw_only=True)
class MeasuredTime:
    """Times that users felt.

    Attributes:
        model: Name of the model.
        figure: Figure of the catalog, such as `ttft_s`.
        count: Number of values.
        mean: Their mean in seconds.
        p50: Median.
        p90: 90th percentile.
        p99: 99th percentile.
        changes: Changes of the mean, in the order of time.
    """

    model: str
    figure: str
    count: int
    mean: float
    p50: float
    p90: float
    p99: float
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ReportedPlan:
    """The plan that a report compares with.

    Attributes:
        name: The plan in words.
        calendar: Its calendar in words.
        slo: Its objective; empty without one.
        usd_per_month: Its cost; None if it is unknown.
    """

    name: str
    calendar: str
    slo: str = ""
    usd_per_month: float | None = None


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """What a plan for the recorded traffic says.

    Attributes:
        plan: The plan.
        requests: Requests of the traffic.
        usd_per_month: What is paid now, for a month; None without a price.
        notes: What is assumed.
    """

    plan: FleetPlan
    requests: int
    usd_per_month: float | None
    notes: tuple[str, ...] = ()

    @property
    def saved_usd_per_month(self) -> float | None:
        """Money that the plan saves in a month; None if it is unknown, or no fleet holds the objective."""
        best = None if self.plan.best is None else self.plan.best.usd_per_month
        return None if best is None or self.usd_per_month is None else self.usd_per_month - best


@dataclass(frozen=True, repr=False, kw_only=True)
class MonitorReport(Result):
    """What a monitor recorded: predicted against measured, what drifted, what it cost, and what the plan said.

    Attributes:
        log: Path of the log.
        models: Names of the models.
        hardware: Ids of the machines.
        engines: Names of the engines.
        runs: Number of runs of observers.
        files: Number of files.
        damaged: Lines of the log that are no records.
        unknown: Figures of the log that this version does not know.
        dropped: Records that monitors did not keep.
        gaps: Times in which nothing was recorded: Unix times of their begin and end.
        whole: All of the log.
        stretches: The peak and the rest; empty if the calendar has no peak.
        slots: Equal parts of the time, in order: hours, or less in a short log.
        outcomes: Outcome -> requests.
        prompt_tokens: Tokens of prompts.
        cold_starts: Starts of replicas.
        restarts: Times that observed servers began again.
        energy_j: Energy; None if it was not measured.
        times: What users felt.
        parts: What has a prediction.
        plan: The plan; None without one.
        suggestion: What a plan for the recorded traffic says; None if it was not asked for.
        notes: What is missing or assumed.
    """

    log: str
    models: tuple[str, ...]
    hardware: tuple[str, ...]
    engines: tuple[str, ...]
    runs: int
    files: int
    damaged: int
    unknown: int
    dropped: float
    gaps: tuple[tuple[float, float], ...]
    whole: Stretch
    stretches: tuple[Stretch, ...]
    slots: tuple[Stretch, ...]
    outcomes: Mapping[str, float] = field(default_factory=dict)
    prompt_tokens: float = 0.0
    cold_starts: float = 0.0
    restarts: float = 0.0
    energy_j: float | None = None
    times: tuple[MeasuredTime, ...] = ()
    parts: tuple[PredictedPart, ...] = ()
    plan: ReportedPlan | None = None
    suggestion: Suggestion | None = None
    notes: tuple[str, ...] = ()

    @property
    def model(self) -> str:
        """Names of the models in one text."""
        return ", ".join(self.models)

    @property
    def start_s(self) -> float:
        """Unix time of the begin."""
        return self.whole.start_s

    @property
    def end_s(self) -> float:
        """Unix time of the end."""
        return self.whole.start_s + self.whole.length_s

    @property
    def slot_s(self) -> float:
        """Seconds of a slot; the first and the last one may be shorter."""
        return max(round(each.length_s, 3) for each in self.slots)

    @property
    def uses(self) -> tuple[str, ...]:
        """Uses of the paid time, if it is known."""
        return USES if self.whole.reserved_s else ()

    def __repr__(self) -> str:
        """One line."""
        line: str = render(self, "line")
        return line
