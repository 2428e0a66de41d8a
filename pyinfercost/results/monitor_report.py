"""Result type: the recording of a monitor, against the prediction and the plan, and a new plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..report.render import render
from .bill import MONTH_S, PaidTokens
from .declared import declared, derived, fact, figure
from .figures import LESS, MORE
from .live_figures import PLANNED
from .result import Result

if TYPE_CHECKING:
    from .fleet_plan import FleetPlan

PEAK, OFF_PEAK = "peak", "off-peak"
"""Names of the times with more requests than the mean of the calendar, and of the others."""

_HOUR_S = 3600.0
_THOUSAND = 1e3


@declared(after="replicas")
class Stretch(PaidTokens):
    """What was recorded in some time: an hour, all hours of the peak, or all of the log."""

    name: str = fact("The time in words; empty for a slot.", default="", row=False)
    start_s: float = fact("Unix time of its begin.")
    length_s: float = fact("Its length.")
    covered_s: float = fact("Seconds of it in which something was recorded.")
    requests: float = figure("Requests that ended.", default=0.0, better=MORE)
    failed: float = figure("Of these, with an error or cancelled.", default=0.0, better=LESS)
    output_tokens: float = figure("Generated tokens.", default=0.0, better=MORE)
    reserved_s: Mapping[str, float] = fact(
        "Use, `busy`, `idle` or `cold` -> paid seconds of devices; empty if they are unknown."
    )
    cost_usd: Mapping[str, float] = fact("Use -> USD for them; empty without a price.")
    replica_s: float = fact("Seconds of observed replicas.", default=0.0)
    measured_s: float = fact("Measured seconds of what has a prediction.", default=0.0)
    predicted_s: float = fact("Predicted seconds of the same.", default=0.0)
    predicted_low_s: float = fact("The same at the low end of the error band.", default=0.0)
    predicted_high_s: float = fact("The same at the high end.", default=0.0)
    planned: Mapping[str, float] = fact(
        f"{', '.join(f'`{name}`' for name in PLANNED)} of the plan: means over the recorded seconds; empty without a "
        "plan."
    )

    @property
    @derived(better=LESS)
    def usd(self) -> float | None:
        """USD for the paid time; None without a price."""
        return sum(self.cost_usd.values()) if self.cost_usd else None

    @property
    @derived(unit="USD/h", better=LESS, title="money", spare=0)
    def usd_per_h(self) -> float | None:
        """USD for an hour, over the recorded seconds; None without a price."""
        return self._rate(self.usd, _HOUR_S)

    @property
    @derived(unit="USD", better=LESS)
    def usd_per_month(self) -> float | None:
        """USD for a month in which the same happens again and again; None without a price."""
        return self._rate(self.usd, MONTH_S)

    @property
    @derived(better=MORE, title="requests", spare=0)
    def requests_per_s(self) -> float | None:
        """Requests that ended, over the recorded seconds; None if nothing was recorded."""
        return self._rate(self.requests, 1.0)

    @property
    @derived(title="replicas", spare=3)
    def replicas(self) -> float | None:
        """Mean number of observed replicas; None if nothing was recorded."""
        return self._rate(self.replica_s, 1.0)

    @property
    @derived(better=LESS)
    def usd_per_thousand_requests(self) -> float | None:
        """USD for 1,000 answered requests, with all paid time; None without requests or a price."""
        answered = self.requests - self.failed
        return None if self.usd is None or answered <= 0 else _THOUSAND * self.usd / answered

    @property
    @derived()
    def measured_to_predicted(self) -> float | None:
        """Measured time divided by the predicted one; None if nothing with a prediction happened."""
        return self.measured_s / self.predicted_s if self.predicted_s > 0 else None

    @property
    @derived(is_figure=False)
    def against_plan(self) -> Mapping[str, float | None]:
        """Figure of the plan -> the measured value divided by the planned one, minus 1; None if one is unknown."""
        both = {name: (self.measured(name), planned) for name, planned in self.planned.items()}
        return {name: value / of - 1.0 if of and value is not None else None for name, (value, of) in both.items()}

    def share(self, use: str) -> float | None:
        """Return the share of a use in the paid time; None if it is unknown."""
        paid = sum(self.reserved_s.values())
        return self.reserved_s.get(use, 0.0) / paid if paid > 0 else None

    def measured(self, name: str) -> float | None:
        """Return what was measured of a figure of the plan: `usd_per_h`, `requests_per_s`, `replicas`, ..."""
        found: float | None = getattr(self, name)
        return found

    def _rate(self, amount: float | None, seconds: float) -> float | None:
        return None if amount is None or self.covered_s <= 0 else amount / self.covered_s * seconds


@declared
class LevelChange:
    """A time at which a level changed."""

    at_s: float = fact("Unix time.")
    before: float = fact("Level before it.")
    after: float = fact("Level after it.")

    @property
    def factor(self) -> float:
        """Level after it, divided by that before."""
        return self.after / self.before


@declared
class Gap:
    """A time in which nothing was recorded."""

    start_s: float = fact("Unix time of its begin.")
    end_s: float = fact("Unix time of its end.")


@declared
class PredictedPart:
    """Measured and predicted time of one part of a model: requests of a size, times to first tokens, ..."""

    model: str = fact("Name of the model.")
    part: str = fact("The part, such as `tpot` or `batch<=8`.")
    measured_s: float = fact("Measured seconds.")
    predicted_s: float = fact("Predicted seconds.")
    predicted_low_s: float = fact("The same at the low end of the error band.")
    predicted_high_s: float = fact("The same at the high end.")
    changes: tuple[LevelChange, ...] = fact("Changes of measured / predicted, in the order of time.")
    outside_since_s: float | None = fact(
        "Unix time since which the ratio is outside of its band; None if it is inside at the end."
    )

    @property
    @derived()
    def measured_to_predicted(self) -> float:
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
    @derived(is_figure=False)
    def in_band(self) -> bool:
        """Whether the measured time lies in the error band."""
        return self.predicted_low_s <= self.measured_s <= self.predicted_high_s

    @property
    def last_ratio(self) -> float:
        """Measured / predicted after the last change."""
        return self.changes[-1].after if self.changes else self.measured_to_predicted


@declared
class MeasuredTime:
    """Times that users felt."""

    model: str = fact("Name of the model.")
    figure: str = fact("`ttft_s`, `tpot_s`, `request_s` or `queue_wait_s`.")
    count: int = fact("Number of values.")
    mean_s: float = fact("Their mean.")
    p50_s: float = fact("Median.")
    p90_s: float = fact("90th percentile.")
    p99_s: float = fact("99th percentile.")
    changes: tuple[LevelChange, ...] = fact("Changes of the mean, in the order of time.")


@declared
class ReportedPlan:
    """The plan that a report compares with."""

    name: str = fact("The plan in words.")
    calendar: str = fact("Its calendar in words.")
    slo: str = fact("Its objective; empty without one.", default="")
    usd_per_month: float | None = fact("Its cost; None if it is unknown.", default=None)


@declared
class Suggestion:
    """A plan for the recorded traffic."""

    plan: FleetPlan = fact("The plan.")
    requests: int = fact("Requests of the traffic.")
    usd_per_month: float | None = fact("USD of a month as paid now; None without a price.")
    notes: tuple[str, ...] = fact("Assumptions.")

    @property
    @derived(unit="USD", better=MORE)
    def saved_usd_per_month(self) -> float | None:
        """USD that the plan saves in a month; None if they are unknown, or no fleet meets the objective."""
        best = None if self.plan.best is None else self.plan.best.usd_per_month
        return None if best is None or self.usd_per_month is None else self.usd_per_month - best


@declared
class MonitorReport(Result):
    """The recording of a monitor: predicted against measured times, drift, cost, and the plan."""

    document_key = "monitor_report"

    log: str = fact("Path of the log.")
    models: tuple[str, ...] = fact("Names of the models.")
    hardware: tuple[str, ...] = fact("Ids of the machines.")
    engines: tuple[str, ...] = fact("Names of the engines.")
    runs: int = fact("Number of runs of observers.")
    files: int = fact("Number of files.")
    damaged: int = fact("Lines of the log that are no records.")
    unknown: int = fact("Figures of the log that this version does not know.")
    dropped: float = fact("Records that monitors did not keep.")
    gaps: tuple[Gap, ...] = fact("Times in which nothing was recorded.")
    whole: Stretch = fact("All of the log.")
    stretches: tuple[Stretch, ...] = fact("The peak and the rest; empty if the calendar has no peak.")
    slots: tuple[Stretch, ...] = fact("Equal parts of the time, in order: hours, or less in a short log.")
    outcomes: Mapping[str, float] = fact("Outcome, `ok`, `error` or `cancelled` -> requests.")
    prompt_tokens: float = fact("Tokens of prompts.")
    cold_starts: float = figure("Starts of replicas.", better=LESS)
    restarts: float = figure("Times that observed servers began again.", better=LESS)
    energy_j: float | None = figure("Energy in joules; None if it was not measured.", better=LESS)
    times: tuple[MeasuredTime, ...] = fact("What users felt.")
    parts: tuple[PredictedPart, ...] = fact("What has a prediction.")
    plan: ReportedPlan | None = fact("The plan; None without one.")
    suggestion: Suggestion | None = fact("A plan for the recorded traffic; None if it was not asked for.")
    notes: tuple[str, ...] = fact("Missing data and assumptions.")

    @property
    def model(self) -> str:
        """Names of the models in one text."""
        return ", ".join(self.models)

    @property
    @derived(is_figure=False)
    def start_s(self) -> float:
        """Unix time of the begin."""
        return self.whole.start_s

    @property
    @derived(is_figure=False)
    def end_s(self) -> float:
        """Unix time of the end."""
        return self.whole.start_s + self.whole.length_s

    @property
    @derived(is_figure=False)
    def slot_s(self) -> float:
        """Seconds of a slot; the first and the last one may be shorter."""
        return max(round(each.length_s, 3) for each in self.slots)

    @property
    @derived(is_figure=False)
    def findings(self) -> list[str]:
        """What to know first, as sentences: money, drift, prediction, plan, and the suggestion."""
        found: list[str] = render(self, "findings")
        return found

    def __repr__(self) -> str:
        """One line."""
        line: str = render(self, "line")
        return line
