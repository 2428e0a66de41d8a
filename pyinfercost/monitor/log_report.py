"""Reports of the log of a monitor: predicted against measured, drift, money, and the plan, hour by hour."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._checks import Range, is_file, number
from ..errors import Error
from ..results.live_figures import LIVE_FIGURES, OUTCOMES, PLANNED, USES
from ..results.monitor_report import (
    OFF_PEAK,
    PEAK,
    Gap,
    MeasuredTime,
    MonitorReport,
    PredictedPart,
    ReportedPlan,
    Stretch,
)
from .binned import Amount, Bins, slot_edges
from .level_changes import level_changes, outside_since
from .log_reader import LogError, LoggedInterval, MonitorRecording, read_log, summed
from .plan_suggestion import suggestion
from .planned import Plan, PlanLike, read_plan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

TIMES = ("ttft_s", "tpot_s", "request_s", "queue_wait_s")
"""Distributions of times that users feel."""

_TIME = Range(-1e12, 1e12, "s since 1970")
_SLOTS = 72  # at most so many parts of a short log
_BINS = 240  # for changes
_PREDICTED = ("measured_s", "predicted_s", "predicted_low_s", "predicted_high_s")
_HALF_DAY_S = 43_200.0
_SPREAD = 1.05  # of the busiest hour over the mean: less is no peak


def report_log(
    log: MonitorRecording | str | PathLike[str],
    *,
    plan: PlanLike | None = None,
    model: str | None = None,
    from_s: float | None = None,
    to_s: float | None = None,
    suggest: bool = False,
    slo: str | None = None,
    seed: int = 0,
) -> MonitorReport:
    """Report the log of a monitor.

    Args:
        log: The log, or its path.
        plan: The plan, as `read_plan` accepts it. By default the file that the log names, if it is still there, else
            the plan that the monitor recorded.
        model: Name of the model, of several in the log; None reports all of them together.
        from_s: Unix time from which on intervals begin; None for the begin of the log.
        to_s: Unix time before which they begin; None for its end.
        suggest: Whether to search the cheapest fleet for the recorded traffic.
        slo: Its objective, such as `"ttft_p95<2"`; by default the objective of the plan.
        seed: Seed of the requests that are drawn for it, where the log has counters alone.

    Returns:
        The report.

    Raises:
        LogError: The log has nothing in this time, or no such model.
        PlanError: The plan cannot be read.
        SuggestionError: A plan for the recorded traffic lacks its objective, its model or its price.
    """
    recording = log if isinstance(log, MonitorRecording) else read_log(log)
    if model is not None:
        recording = recording.of_model(model)
    if from_s is not None or to_s is not None:
        low = None if from_s is None else number(from_s, "from_s", _TIME)
        high = None if to_s is None else number(to_s, "to_s", _TIME)
        if low is not None and high is not None and not low < high:
            raise LogError(f"the time from {low:.0f} to {high:.0f} is empty; expected from before to")
        recording = recording.between(low, high)
    notes: list[str] = []
    found = read_plan(plan) if plan is not None else _plan_of(recording, notes)
    intervals = [each for run in recording.runs for each in run.intervals]
    bins = Bins(intervals, slot_edges(intervals, _SLOTS))
    slots = _slots(bins, found)
    whole = _joined(slots, "all", recording.start_s, recording.end_s - recording.start_s)
    totals = summed(intervals)
    return MonitorReport(
        log=fspath(recording.path),
        models=tuple(each for each in recording.models if each),
        hardware=_infos(recording, "hardware"),
        engines=_infos(recording, "engine"),
        runs=len(recording.runs),
        files=recording.files,
        damaged=recording.damaged,
        unknown=recording.unknown,
        dropped=totals.value("dropped_records") or 0.0,
        gaps=tuple(Gap(start_s=begin, end_s=end) for begin, end in recording.gaps()),
        whole=whole,
        stretches=_stretches(slots),
        slots=slots,
        outcomes={outcome: totals.value("requests", outcome=outcome) or 0.0 for outcome in OUTCOMES},
        prompt_tokens=totals.value("prompt_tokens") or 0.0,
        cold_starts=totals.value("cold_starts") or 0.0,
        restarts=totals.value("restarts") or 0.0,
        energy_j=totals.value("energy_j"),
        times=tuple(each for name in recording.models for each in _times(recording.of_model(name), name)),
        parts=tuple(each for name in recording.models for each in _parts(recording.of_model(name), name)),
        plan=_reported(found, whole),
        suggestion=suggestion(recording, whole, slo or (found.slo if found is not None else ""), seed)
        if suggest
        else None,
        notes=(*notes, *_notes(recording, whole)),
    )


# ---- the plan --------------------------------------------------------------------------------------------------------


def _plan_of(recording: MonitorRecording, notes: list[str]) -> Plan | None:
    """Return the plan whose file the log names; None without one, or if it cannot be read."""
    for run in reversed(recording.runs):
        if run.plan is None:
            continue
        if not is_file(Path(run.plan)):
            notes.append(f"the log names the plan {run.plan}, which is not there: pass it with plan")
            return None
        try:
            return read_plan(run.plan)
        except Error as error:
            notes.append(f"the plan that the log names cannot be read: {error}")
            return None
    return None


def _reported(plan: Plan | None, whole: Stretch) -> ReportedPlan | None:
    if plan is not None:
        return ReportedPlan(name=plan.name, calendar=plan.said, slo=plan.slo, usd_per_month=plan.usd_per_month)
    if whole.planned:
        return ReportedPlan(name="as the monitor recorded it", calendar="by the time of each record")
    return None


def _recorded_plan(figure: str) -> tuple[Amount, Amount]:
    """Return amounts of a planned figure times seconds, and of these seconds, as the monitor recorded them."""

    def value(each: LoggedInterval) -> float | None:
        found = each.change.value(f"planned_{figure}")
        return None if found is None else found * each.length_s

    def seconds(each: LoggedInterval) -> float | None:
        return None if each.change.value(f"planned_{figure}") is None else each.length_s

    return value, seconds


# ---- time ------------------------------------------------------------------------------------------------------------


def _slots(bins: Bins, plan: Plan | None) -> tuple[Stretch, ...]:
    """Return the recorded figures of each part of the time."""
    size = bins.edges_s.size - 1

    def column(amount: Amount) -> Numbers | None:
        total, is_known = bins.sums(amount)
        return total if is_known else None

    def counter(figure: str, **labels: str) -> Numbers | None:
        return column(lambda each: each.change.value(figure, **labels))

    uses = {
        figure: {use: found for use in USES if (found := counter(figure, use=use)) is not None}
        for figure in ("reserved_s", "cost_usd")
    }
    failed = [counter("requests", outcome=outcome) for outcome in OUTCOMES if outcome != "ok"]
    columns: dict[str, Numbers | None] = {
        **{name: counter(name) for name in ("requests", "output_tokens", *_PREDICTED)},
        "replica_s": column(_replica_s),
    }
    covered = bins.covered_s()
    planned = _planned(bins, plan)
    slots: list[Stretch] = []
    for place in range(size):
        start, end = float(bins.edges_s[place]), float(bins.edges_s[place + 1])
        sums: dict[str, Any] = {name: float(each[place]) for name, each in columns.items() if each is not None}
        slots.append(
            Stretch(
                start_s=start,
                length_s=end - start,
                covered_s=float(covered[place]),
                failed=sum(float(each[place]) for each in failed if each is not None),
                reserved_s={use: float(each[place]) for use, each in uses["reserved_s"].items()},
                cost_usd={use: float(each[place]) for use, each in uses["cost_usd"].items()},
                planned={name: float(each[place]) for name, each in planned.items()},
                **sums,
            )
        )
    return tuple(slots)


def _replica_s(each: LoggedInterval) -> float:
    replicas = each.change.value("replicas")
    return (1.0 if replicas is None else replicas) * each.length_s


def _planned(bins: Bins, plan: Plan | None) -> dict[str, Numbers]:
    """Return the figures of the plan in each bin."""
    import numpy as np

    edges = bins.edges_s
    if plan is not None:
        rows = [plan.at((start + end) / 2) for start, end in pairwise(edges.tolist())]
        return {name: np.array([row[name] for row in rows]) for name in PLANNED if name in plan.hours}
    found = {}
    for name in PLANNED:
        value, seconds = _recorded_plan(name)
        total, is_known = bins.sums(value)
        if is_known:
            # Each process of a fleet records the plan of all: the mean, not the sum.
            found[name] = total / np.maximum(1e-9, bins.sums(seconds)[0])
    return found


def _joined(parts: Sequence[Stretch], name: str, start_s: float, length_s: float) -> Stretch:
    """Return several parts of the time as one; planned figures are means over the recorded seconds."""
    covered = sum(each.covered_s for each in parts)

    def over(of: Callable[[Stretch], Mapping[str, float]], weight: Callable[[Stretch], float]) -> dict[str, float]:
        names = dict.fromkeys(each for part in parts for each in of(part))
        return {each: sum(weight(part) * of(part).get(each, 0.0) for part in parts) for each in names}

    names = ("requests", "failed", "output_tokens", "replica_s", *_PREDICTED)
    sums: dict[str, Any] = {each: sum(getattr(part, each) for part in parts) for each in names}
    return Stretch(
        name=name,
        start_s=start_s,
        length_s=length_s,
        covered_s=covered,
        reserved_s=over(lambda part: part.reserved_s, lambda _: 1.0),
        cost_usd=over(lambda part: part.cost_usd, lambda _: 1.0),
        planned=over(lambda part: part.planned, lambda part: part.covered_s / max(1e-9, covered)),
        **sums,
    )


def _stretches(slots: Sequence[Stretch]) -> tuple[Stretch, ...]:
    """Return the peak and the rest: slots with more requests than the mean in the plan, or as recorded without one."""
    known = [each for each in slots if each.covered_s > 0]
    if not known or ("requests_per_s" not in known[0].planned and slots[-1].start_s - slots[0].start_s < _HALF_DAY_S):
        return ()  # requests of minutes differ by chance
    rates = [each.planned.get("requests_per_s", each.requests_per_s or 0.0) for each in known]
    seconds = sum(each.covered_s for each in known)
    mean = sum(rate * each.covered_s for rate, each in zip(rates, known, strict=True)) / max(1e-9, seconds)
    if not rates or max(rates) <= _SPREAD * mean:
        return ()
    found = []
    for name, chosen in (
        (PEAK, [each for rate, each in zip(rates, known, strict=True) if rate > mean]),
        (OFF_PEAK, [each for rate, each in zip(rates, known, strict=True) if rate <= mean]),
    ):
        if chosen:
            found.append(_joined(chosen, name, chosen[0].start_s, sum(each.length_s for each in chosen)))
    return tuple(found)


# ---- predicted and measured ------------------------------------------------------------------------------------------


def _bins_of(recording: MonitorRecording) -> tuple[list[LoggedInterval], Bins]:
    intervals = [each for run in recording.runs for each in run.intervals]
    return intervals, Bins(intervals, slot_edges(intervals, _BINS))


def _parts(recording: MonitorRecording, model: str) -> list[PredictedPart]:
    """Return measured and predicted time of each part, with its changes."""
    intervals, bins = _bins_of(recording)
    names = sorted(
        {each.labels[0][1] for one in intervals for each in one.change.values if each.figure == "predicted_s"}
    )
    found = []
    for part in names:
        columns = {
            figure: bins.sums(lambda each, figure=figure, part=part: each.change.value(figure, part=part))[0]  # type: ignore[misc]
            for figure in _PREDICTED
        }
        totals = {figure: float(values.sum()) for figure, values in columns.items()}
        if totals["predicted_s"] <= 0:
            continue
        found.append(
            PredictedPart(
                model=model,
                part=part,
                **totals,
                changes=level_changes(bins.edges_s, columns["measured_s"], columns["predicted_s"]),
                outside_since_s=outside_since(
                    bins.edges_s, columns["measured_s"], columns["predicted_low_s"], columns["predicted_high_s"]
                ),
            )
        )
    return found


def _times(recording: MonitorRecording, model: str) -> list[MeasuredTime]:
    """Return the latencies of users, with the changes of the means."""
    intervals, bins = _bins_of(recording)
    totals = summed(intervals)
    found = []
    for figure in TIMES:
        values = totals.distribution(figure)
        if values is None or not values.count:
            continue
        sums, counts = (
            bins.sums(lambda each, name=name, figure=figure: _of(each, figure, name))[0]  # type: ignore[misc]
            for name in ("total", "count")
        )
        found.append(
            MeasuredTime(
                model=model,
                figure=figure,
                count=values.count,
                mean_s=values.mean,
                changes=level_changes(bins.edges_s, sums, counts),
                **{f"p{percent}_s": values.percentile(percent) for percent in (50, 90, 99)},
            )
        )
    return found


def _of(each: LoggedInterval, figure: str, name: str) -> float | None:
    found = each.change.distribution(figure)
    return None if found is None else float(getattr(found, name))


# ---- omissions -------------------------------------------------------------------------------------------------------


def _infos(recording: MonitorRecording, name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(run.info[name] for run in recording.runs if name in run.info))


def _notes(recording: MonitorRecording, whole: Stretch) -> list[str]:
    """Return the notes of the monitors, and why figures are missing."""
    found = []
    if not whole.cost_usd:
        found.append("money is unknown: the monitor was started without a price")
    if whole.predicted_s <= 0:
        why = "the monitor was started without a model or a machine" if whole.requests else "no request ended"
        found.append(f"nothing has a prediction: {why}")
    if not any(
        each.figure == "output_tokens" for run in recording.runs for one in run.intervals for each in one.change.values
    ):
        found.append(f"no tokens were counted ({LIVE_FIGURES['output_tokens'].help.lower().rstrip('.')})")
    said = dict.fromkeys(note for run in recording.runs for note in run.notes)
    return [*found, *said]
