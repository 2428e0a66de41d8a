"""The last hours of a live model: what was counted in intervals of time, and the figures of each interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from .bill import PaidTokens
from .declared import declared, derived, fact
from .live import Distribution, Series, Snapshot
from .live_figures import LIVE_FIGURES, OUTCOMES, USES
from .result import Result

PLAN_TOLERANCE = 0.1
"""Share by which money may exceed the plan."""

_HOUR_S = 3600.0
_SERIES = {
    **{name: tuple(Series(name, (("use", use),)) for use in USES) for name in ("reserved_s", "cost_usd")},
    "requests": tuple(Series("requests", (("outcome", outcome),)) for outcome in OUTCOMES),
}


@declared(after="power_w")
class Interval(PaidTokens):
    """Counts of an observer between two moments."""

    number: int = fact("Place in the order of time; a joined interval has the place of its last part.")

    @property
    @derived(is_figure=False)
    def start_s(self) -> float:
        """Unix time of its start."""
        return self.end_s - self.duration_s

    end_s: float = fact("Unix time of its end.")
    duration_s: float = fact("Its length.", row=False)
    known: bool = fact(
        "Whether rates of requests are known. They are not where samples are missing, the observed server did not "
        "answer, or the observer was started again: what was counted may be of another time."
    )
    reason: str = fact("Why it is not known; of a joined interval, why one of its parts is not.")
    unknown_s: float = fact("Time of the parts that are not known.", row=False)
    counts: Mapping[Series, float] = fact("Series of a counter -> its difference.", inner=True)
    gauges: Mapping[Series, float] = fact(
        "Series of a gauge -> its value at the end; of a joined interval, the mean over time.", inner=True
    )
    distributions: Mapping[Series, Distribution] = fact(
        "Series of a histogram -> the values that were added.", inner=True
    )

    def count(self, figure: str, label: str | None = None) -> float | None:
        """Return the difference of a counter, of one value of its label or the sum; None if it is unknown."""
        return _sum(self.counts, figure, label)

    def gauge(self, figure: str) -> float | None:
        """Return a gauge; None if it is unknown."""
        return self.gauges.get(Series(figure))

    def per_s(self, figure: str, label: str | None = None) -> float | None:
        """Return the rate of a counter; None if it is unknown."""
        counted = self.count(figure, label)
        return None if counted is None or not self.known or self.duration_s <= 0 else counted / self.duration_s

    def percentile(self, figure: str, percent: float) -> float | None:
        """Return a percentile of a histogram; None without values, or where requests may be of another time."""
        found = self.distributions.get(Series(figure))
        return None if found is None or not found.count or not self.known else found.percentile(percent)

    @property
    def usd(self) -> float | None:
        """Money for the paid time; None if it is unknown."""
        return self.count("cost_usd") if self.known else None

    @property
    def output_tokens(self) -> float | None:
        """Generated tokens; None if they are unknown."""
        return self.count("output_tokens") if self.known else None

    def usd_per_h(self, use: str | None = None) -> float | None:
        """Return the money per hour, of one use or of all; None if it is unknown."""
        rate = self.per_s("cost_usd", use)
        return None if rate is None else _HOUR_S * rate

    @property
    @derived()
    def failed_per_s(self) -> float | None:
        """Requests per second that ended with an error or were cancelled."""
        rates = [self.per_s("requests", outcome) for outcome in ("error", "cancelled")]
        known = [rate for rate in rates if rate is not None]
        return sum(known) if known else None

    @property
    @derived()
    def busy_share(self) -> float | None:
        """Share of the paid time in which requests were in service; the observer's own gauge without paid time."""
        return self._use_share("busy", self.gauge("busy_share"))

    @property
    def idle_share(self) -> float | None:
        """Share of the paid time without requests in service."""
        return self._use_share("idle", None)

    def _use_share(self, use: str, otherwise: float | None) -> float | None:
        if not self.known:
            return None
        paid = self.count("reserved_s")
        return (self.count("reserved_s", use) or 0.0) / paid if paid else otherwise

    @property
    @derived()
    def power_w(self) -> float | None:
        """Power: energy divided by time, else the observer's own gauge."""
        measured = self.per_s("energy_j")
        return measured if measured is not None else self.gauge("power_w") if self.known else None

    @property
    @derived()
    def usd_per_request(self) -> float | None:
        """Money for a request that succeeded, with all paid time; None without requests."""
        answered = self.count("requests", "ok")
        return None if self.usd is None or not answered else self.usd / answered

    @property
    @derived()
    def joules_per_token(self) -> float | None:
        """Energy of a generated token, with idle time; None without tokens."""
        energy_j = self.count("energy_j")
        return None if energy_j is None or not self.output_tokens else energy_j / self.output_tokens

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts that have a prediction, in order."""
        found = {each.labels[0][1] for each in self.counts if each.figure == "predicted_s" and each.labels}
        return tuple(sorted(found))

    def to_predicted(self, figure: str = "measured_s", part: str | None = None) -> float | None:
        """Return a time divided by the predicted one, of one part or of all.

        Args:
            figure: `"measured_s"`, or an end of the band: `"predicted_low_s"`, `"predicted_high_s"`.
            part: The part; None for the sum over all parts.

        Returns:
            The ratio; None if nothing with a prediction happened.
        """
        time_s, predicted_s = self.count(figure, part), self.count("predicted_s", part)
        return time_s / predicted_s if self.known and time_s is not None and predicted_s else None

    def in_band(self, part: str | None = None) -> bool | None:
        """Return whether the measured time lies in the error band of the predicted one; None if that is unknown."""
        figures = ("predicted_low_s", "measured_s", "predicted_high_s")
        low, ratio, high = (self.to_predicted(figure, part) for figure in figures)
        return None if low is None or ratio is None or high is None else low <= ratio <= high

    @property
    @derived()
    def measured_to_first(self) -> float | None:
        """Ratio of measured to predicted, divided by the ratio at the start: of all parts the farthest from 1."""
        found = [value for each, value in self.gauges.items() if each.figure == "measured_to_first" and value > 0]
        return max(found, key=lambda value: max(value, 1 / value)) if found and self.known else None


def joined(intervals: Sequence[Interval]) -> Interval:
    """Return one interval for several that follow each other.

    Counts and distributions add up; gauges are means over time. It is known if one of them is, since what was counted
    late in one part is then of another part of the same interval.
    """
    counts: dict[Series, float] = {}
    weighted: dict[Series, float] = {}
    weights: dict[Series, float] = {}
    distributions: dict[Series, list[Distribution]] = {}
    for each in intervals:
        for name, value in each.counts.items():
            counts[name] = counts.get(name, 0.0) + value
        weight = max(each.duration_s, 1e-9)
        for name, value in each.gauges.items():
            weighted[name] = weighted.get(name, 0.0) + weight * value
            weights[name] = weights.get(name, 0.0) + weight
        for name, found in each.distributions.items():
            distributions.setdefault(name, []).append(found)
    last = intervals[-1]
    return Interval(
        number=last.number,
        end_s=last.end_s,
        duration_s=last.end_s - intervals[0].start_s,
        known=any(each.known for each in intervals),
        counts=counts,
        gauges={name: value / weights[name] for name, value in weighted.items()},
        distributions={name: Distribution.merged(found) for name, found in distributions.items()},
        reason=next((each.reason for each in intervals if each.reason), ""),
        unknown_s=sum(each.unknown_s for each in intervals),
    )


@declared
class LiveHistory(Result):
    """The last hours of a live model."""

    document_key = "live_history"

    intervals: tuple[Interval, ...] = fact("In the order of time, coarser the older they are.", inner=True)
    whole: Interval | None = fact("All of the last `hours` as one interval; None before the second sample.")
    lately: Interval | None = fact("The last minutes as one interval; None before the second sample.")
    latest: Snapshot | None = fact("The newest snapshot; None before the first sample.", inner=True)
    hours: float = fact("Hours that `whole` covers at most.")
    interval_s: float = fact("Time between samples.")
    now_s: float = fact("Unix time of this reading.")
    age_s: float | None = fact("Time since the newest snapshot; None before the first one.")
    failure: str = fact("Why the observer gave no snapshot when it was last asked; empty if it did.")
    identity: str = fact("Differs between histories: numbers of intervals are comparable if it is the same.")
    last: int = fact("Number of the newest interval, 0 before it.")

    @property
    @derived(is_figure=False)
    def info(self) -> Mapping[str, str]:
        """What does not change: model, hardware, engine, precision, layout."""
        return MappingProxyType({}) if self.latest is None else self.latest.info

    @property
    def title(self) -> str:
        """Name of the model."""
        return self.info.get("model") or "a model"

    @property
    @derived(is_figure=False)
    def state(self) -> str:
        """`"live"`, `"waiting"` for the first sample, `"stale"` without new ones, or `"down"`: the server is.

        Data is stale once it is older than three intervals.
        """
        if self.latest is None or self.age_s is None:
            return "waiting"
        if self.age_s > STALE_INTERVALS * self.interval_s:
            return "stale"
        return "down" if self.latest.value("up") == 0 else "live"

    @property
    def spent_usd(self) -> Mapping[str, float]:
        """Money of the last `hours` by use, gaps included."""
        return {} if self.whole is None else of_uses(self.whole, "cost_usd")

    def __str__(self) -> str:
        return self.to_text()


STALE_INTERVALS = 3
"""Data older than so many intervals is stale, and a longer interval has no rates."""


def of_uses(interval: Interval, figure: str) -> dict[str, float]:
    """Return the differences of a counter by use, those that are known."""
    found = {use: interval.count(figure, use) for use in USES}
    return {use: value for use, value in found.items() if value is not None}


def _sum(values: Mapping[Series, float], figure: str, label: str | None) -> float | None:
    """Return a value, or the sum over the label, without a search where the values of the label are known."""
    names = LIVE_FIGURES[figure].labels
    if not names:
        return values.get(Series(figure))
    if label is not None:
        return values.get(Series(figure, ((names[0], label),)))
    known = _SERIES.get(figure)
    if known is None:
        found = [value for each, value in values.items() if each.figure == figure]
    else:
        found = [values[each] for each in known if each in values]
    return sum(found) if found else None
