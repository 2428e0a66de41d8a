"""The plan of an operator as figures by hour, from a plan of fleets or a few numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from math import isfinite
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from .._checks import Fields, Range, is_file, is_number, number, shown
from ..errors import Error, InputError
from ..results.documents import checked_fleets, document_from, is_fleets
from ..results.fleet_plan import FleetPlan
from ..results.fleet_result import FleetResult
from ..results.live import Series, series
from ..results.live_figures import PLANNED
from ..results.serving_result import ServingResult
from ..serving.recorded_traces import note_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

HOUR_S, DAY_S, WEEK_S = 3600.0, 86_400.0, 604_800.0
MONDAY_S = 345_600.0
"""Unix time of the beginning of a Monday: 1970-01-05, in UTC."""

_AMOUNT = Range(0.0, 1e15)
_TIME = Range(-1e12, 1e12, "s since 1970")
_SECONDS = Range(1e-6, 1e9, "s")
_HOURS = re.compile(r"(?P<of>.*), hours (?P<start>\S+) to (?P<end>\S+)")
_SLACK = 0.01  # of a day or a week: traffic ends with its last request, a little before

PlanLike: TypeAlias = "Plan | FleetPlan | FleetResult | ServingResult | Mapping[str, Any] | str | PathLike[str]"
"""A plan as `read_plan` accepts it."""


class PlanError(InputError):
    """A plan that cannot be read, or one without a fleet."""


@dataclass(frozen=True)
class Plan:
    """Planned figures for each hour of a calendar.

    Attributes:
        name: The plan in words.
        hours: Figure of `PLANNED` -> its value in each hour of the calendar; one value for all hours.
        calendar: `"week"`, `"day"`, or `"mean"` for the same in each hour.
        begins_s: Unix time of a begin of the calendar.
        slo: The objective; empty without one.
        usd_per_month: Its cost; None if it is unknown.
    """

    name: str
    hours: Mapping[str, tuple[float, ...]]
    calendar: str
    begins_s: float = MONDAY_S
    slo: str = ""
    usd_per_month: float | None = None

    def at(self, time_s: float) -> dict[str, float]:
        """Return the figures of the hour of a Unix time."""
        hour = int((time_s - self.begins_s) // HOUR_S)
        return {name: values[hour % len(values)] for name, values in self.hours.items()}

    @property
    def said(self) -> str:
        """Its calendar in words."""
        if self.calendar == "mean":
            return "the same in each hour"
        begin = datetime.fromtimestamp(self.begins_s, timezone.utc)
        if self.calendar == "day":
            return f"by hour of the day; its day begins at {begin:%H:%M} UTC"
        return f"by hour of the week; its week begins on {begin:%A} at {begin:%H:%M} UTC"


def read_plan(plan: PlanLike, *, begins_s: float | None = None) -> Plan:
    """Return a plan.

    Args:
        plan: The result of `plan_fleet` or of `serve`, or a `FleetResult`; its JSON document or the path of it, as
            `pyinfercost fleet --plan --format json` writes it (an HTML report has no hours, so that its means are
            used); or numbers by the names of `PLANNED` in `results.live_figures`, such as `usd_per_h`.
        begins_s: Unix time at which the traffic of the plan began. By default the begin of the recording, if the
            traffic is a file of `monitor export` that is still there, else a Monday at 0:00 UTC, which is time 0 of
            generated traffic.

    Returns:
        The plan: by hour of the week if it covers a week, by hour of the day if it covers a day, else its means.

    Raises:
        PlanError: It is none of these, or no fleet of the plan meets the objective.
        MissingFileError: There is no such file.
    """
    begin = None if begins_s is None else number(begins_s, "begins_s", _TIME, PlanError)
    if isinstance(plan, Plan):
        return plan
    if isinstance(plan, (FleetPlan, FleetResult, ServingResult)):
        return _of_document(plan.to_dict(), "the plan", begin)
    if isinstance(plan, (str, PathLike)):
        return _of_document(document_from(plan), fspath(plan), begin)
    if not isinstance(plan, Mapping):
        raise PlanError(f"plan is {shown(plan)}; expected a file, a FleetPlan, or numbers such as usd_per_h")
    return _of_document(plan, "the plan", begin)


def planned_figures(plan: Plan, time_s: float) -> dict[Series, float]:
    """Return the `planned_*` figures of the hour of a Unix time, for `Snapshot.values`."""
    return {series(f"planned_{name}"): value for name, value in plan.at(time_s).items()}


def _served(document: Mapping[str, Any]) -> Any:
    """Return the server of a document of `serve`, or the best one of a search; None of others."""
    search = document.get("search")
    return search.get("result") if isinstance(search, Mapping) else document.get("serve")


def _of_document(document: Any, which: str, begin: float | None) -> Plan:
    if not is_fleets(document):
        served = _served(document) if isinstance(document, Mapping) else None
        return _of_numbers(document, which) if served is None else _of_server(served, which)
    kind, found = checked_fleets(document, which)
    inner = found[kind]
    begin = _begin_of(inner.get("traffic")) if begin is None else begin
    if kind == "plan":
        slo = str(inner.get("slo") or "")
        if not isinstance(inner.get("best"), Mapping):
            raise PlanError(f"{which} has no fleet that meets {slo}; plan again with another objective or deployment")
        best, verified = inner["best"], inner.get("verified")
        return _of_fleet(best, which, begin, slo, verified if _follows(verified, best) else None)
    if kind == "comparison":
        best = inner.get("best")
        if not isinstance(best, Mapping):
            raise PlanError(f"{which} is a comparison in which no fleet meets its objective; pass one of its fleets")
        return _of_fleet(best, which, begin, str(inner.get("slo") or ""))
    return _of_fleet(inner, which, begin, str(inner.get("slo") or ""))


def _follows(verified: Any, best: Any) -> bool:
    """Return whether the verification of a plan is on the time after it, of the same traffic."""
    spans = [
        _HOURS.fullmatch(str(each.get("traffic"))) if isinstance(each, Mapping) else None for each in (best, verified)
    ]
    one, other = spans
    return one is not None and other is not None and (one["of"], one["end"]) == (other["of"], other["start"])


def _begin_of(traffic: object) -> float:
    """Return when traffic began, if it is a recording with that time; else a Monday."""
    path = Path(str(traffic).partition(",")[0])
    if is_file(path):
        with suppress(Error, OSError):
            begin = note_of(path).get("start_s")
            if is_number(begin):
                return number(begin, "start_s", _TIME)
    return MONDAY_S


def _of_numbers(document: Any, which: str) -> Plan:
    if not isinstance(document, Mapping) or not document or not set(document) <= set(PLANNED):
        raise PlanError(
            f"{which} is {shown(document)}; expected the output of `pyinfercost fleet --plan --format json`, or some "
            f"of {', '.join(PLANNED)}"
        )
    hours = {name: (number(value, name, _AMOUNT, PlanError),) for name, value in document.items()}
    return Plan(", ".join(f"{name} {value:g}" for name, value in document.items()), hours, "mean")


def _of_server(served: Any, which: str) -> Plan:
    """Return the plan of a simulated server: its replicas all the time, and the rate that was simulated."""
    fields = Fields(served, which, PlanError)
    constant = {name: fields.number(name, _AMOUNT) for name in PLANNED}
    hours = {name: (float(value),) for name, value in constant.items() if value is not None}
    if not hours:
        raise PlanError(f"{which} has a server without {', '.join(PLANNED)}; simulate it again")
    name = f"{fields.text('engine') or 'a server'} on {fields.text('hardware') or 'a machine'}"
    return Plan(name, hours, "mean", slo=fields.text("slo") or "")


def _of_fleet(fleet: Any, which: str, begin: float, slo: str, following: Any = None) -> Plan:
    """Return the plan of a fleet, and of the same fleet on the time that follows."""
    fields = Fields(fleet, which, PlanError).require("duration_s", "mean_replicas")
    duration = number(fleet["duration_s"], f"duration_s of {which}", _SECONDS, PlanError)
    bill = fields.inner("bill")
    constant = {name: bill.number(name, _AMOUNT) for name in PLANNED} | {
        "requests_per_s": (fields.number("requests", _AMOUNT) or 0.0) / duration,
        "replicas": fields.number("mean_replicas", _AMOUNT),
    }
    hours: dict[str, tuple[float, ...]] = {
        name: (float(value),) for name, value in constant.items() if value is not None
    }
    calendar = "mean"
    parts = [_Times.of(each, which) for each in (fleet, following) if isinstance(each, Mapping)]
    if parts[0] is not None:
        times = parts[0] if len(parts) == 1 or parts[1] is None else parts[0].then(parts[1])
        period = next((each for each in (WEEK_S, DAY_S) if times.edges_s[-1] >= each - _SLACK * each - HOUR_S), 0.0)
        if period:
            calendar = "week" if period == WEEK_S else "day"
            by_hour = times.by_hour(round(period / HOUR_S))
            hours |= {name: each for name, each in by_hour.items() if name != "usd_per_h" or name in hours}
    name = f"{fleet.get('policy', '')} on {fleet.get('deployment', '')}".strip()
    usd_per_month = bill.number("usd_per_month", _AMOUNT)
    return Plan(name, hours, calendar, begin, slo, None if usd_per_month is None else float(usd_per_month))


@dataclass(frozen=True)
class _Times:
    """Figures of a fleet over time: edges of bins, and figure -> its value times seconds in each."""

    edges_s: Numbers
    amounts: Mapping[str, Numbers]

    @classmethod
    def of(cls, fleet: Mapping[str, Any], which: str) -> _Times | None:
        """Return the timeline of a fleet; None without one, as in a page."""
        import numpy as np

        demand = fleet.get("demand")
        if not isinstance(demand, Mapping):
            return None
        duration = number(fleet.get("duration_s"), f"duration_s of {which}", _SECONDS, PlanError)
        bin_s = number(demand.get("bin_s"), f"bin_s of {which}", _SECONDS, PlanError)
        arrived = _column(demand.get("arrived"), which)
        edges = np.minimum(np.arange(arrived.size + 1) * bin_s, duration)
        lengths = np.maximum(1e-9, np.diff(edges))
        listed, bill = fleet.get("pools"), fleet.get("bill")
        hourly = bill.get("hourly_usd") if isinstance(bill, Mapping) else None
        pools = [
            _column(each.get("replicas"), which)
            for each in (listed if isinstance(listed, list) else [])
            if isinstance(each, Mapping)
        ]
        usd = [_column(each, which) for each in (hourly.values() if isinstance(hourly, Mapping) else [])]
        amounts = {"requests_per_s": arrived}
        if pools:
            amounts["replicas"] = _sum(pools, arrived.size, which) * lengths
        if usd:
            amounts["usd_per_h"] = _sum(usd, arrived.size, which) * HOUR_S
        return cls(edges, amounts)

    def then(self, other: _Times) -> _Times:
        """Return these times and those that follow."""
        import numpy as np

        return _Times(
            np.concatenate([self.edges_s, self.edges_s[-1] + other.edges_s[1:]]),
            {
                name: np.concatenate([values, other.amounts[name]])
                for name, values in self.amounts.items()
                if name in other.amounts
            },
        )

    def by_hour(self, hours: int) -> dict[str, tuple[float, ...]]:
        """Return figures by hour of a period: means over all periods, weighted by the seconds of bins in the hour."""
        import numpy as np

        end_s = float(self.edges_s[-1])
        whole = np.arange(0.0, end_s + HOUR_S, HOUR_S)
        whole[-1] = min(whole[-1], end_s)
        covered = np.diff(whole)
        slots = np.arange(covered.size) % hours
        seconds = np.bincount(slots, weights=covered, minlength=hours)
        found = {}
        for name, values in self.amounts.items():
            total = np.diff(np.interp(whole, self.edges_s, np.concatenate([[0.0], np.cumsum(values)])))
            sums = np.bincount(slots, weights=total, minlength=hours)
            mean = float(total.sum()) / max(1e-9, float(covered.sum()))
            found[name] = tuple(np.where(seconds > 0, sums / np.maximum(1e-9, seconds), mean).tolist())
        return found


def _sum(columns: list[Numbers], size: int, which: str) -> Numbers:
    import numpy as np

    if any(each.size != size for each in columns):
        raise PlanError(f"the timeline of {which} has lists of different lengths; expected one length")
    total: Numbers = np.sum(columns, axis=0)
    return total


def _column(values: Any, which: str) -> Numbers:
    import numpy as np

    if not isinstance(values, list) or not values or not all(is_number(each) and isfinite(each) for each in values):
        raise PlanError(f"the timeline of {which} has {shown(values)[:60]}; expected a list of finite numbers")
    return np.array(values, dtype=np.float64)
