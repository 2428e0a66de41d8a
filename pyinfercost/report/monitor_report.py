"""Renderers of reports of monitors: JSON, rows, tables, and findings in words."""

from __future__ import annotations

from datetime import datetime, timezone
from math import isfinite
from typing import TYPE_CHECKING, Any

from ..results.bill import MONTH_S
from ..results.declared import titled
from ..results.latency import TITLES
from ..results.live_figures import PLANNED, USES
from ..results.monitor_report import Stretch
from ..results.units import percent, quantity, significant
from .derived import columns_of, headlines, row_of
from .fleet_plans import choice_columns
from .fleets import money, share_text
from .layout import ALARM, GAP, WARNING, Column, Note, Pairs, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..results.monitor_report import MonitorReport, Suggestion
    from .layout import Layout, Part

_COMPARED = titled(Stretch)  # with the plan

FELT = {**TITLES, "request_s": TITLES["e2e_s"], "queue_wait_s": TITLES["wait_s"]}
"""Distribution -> its title."""

_MAPPED = (("reserved_s", "{}_s", USES), ("cost_usd", "{}_usd", USES), ("planned", "planned_{}", PLANNED))
COLUMNS = (*columns_of(Stretch), *(column.format(key) for _, column, keys in _MAPPED for key in keys))
"""Columns of the rows of slots."""

_HOUR_S, _DAY_S = 3600.0, 86_400.0
_SHOWN = 24  # slots in a table of text
_CENT = 0.01  # USD
_FAR = 0.1  # of the plan: a slot is far from it
_FARTHEST = 8
_SAME = 3  # decimals of USD of a slot
_DAMAGE_SHARE = 0.01
_CHOICES = 5
_ALL = 100.0
_GAPS = 6
_HOURLY = ("usd_per_h", "requests_per_s", "replicas")  # figures that a plan has for each hour


# ---- rows ------------------------------------------------------------------------------------------------------------


def report_rows(report: MonitorReport) -> list[dict[str, Any]]:
    """Return one row for each slot."""
    return [
        row_of(each)
        | {column.format(key): getattr(each, name).get(key) for name, column, keys in _MAPPED for key in keys}
        for each in report.slots
    ]


def report_line(report: MonitorReport) -> str:
    """Return the report in one line."""
    found = report.findings
    return f"{report.model or report.log}, {span_text(report.whole.length_s)}: {found[0] if found else 'nothing'}"


# ---- findings --------------------------------------------------------------------------------------------------------


def findings(report: MonitorReport) -> list[str]:
    """Return the main findings as sentences: money, drift, prediction, plan, and the suggestion."""
    return [
        *_of_money(report),
        *_of_drift(report),
        *_of_prediction(report),
        *_of_plan(report),
        *_of_suggestion(report),
        *_of_missing(report),
    ]


def _paid(usd: float) -> str:
    """Return an amount with two decimals, and a smaller one than a cent with its first digits."""
    return money(usd) if usd >= _CENT or not usd else significant(usd)


def _of_money(report: MonitorReport) -> list[str]:
    whole = report.whole
    if whole.usd is None or whole.usd_per_month is None:
        return []
    per = "".join(f", {amount} per {title}" for amount, title in headlines(whole, "title"))
    found = [f"Paid {_paid(whole.usd)} USD, which is {money(whole.usd_per_month)} USD a month{per}."]
    for use, words in (("idle", "no request was in service"), ("cold", "replicas were starting")):
        usd, share = whole.cost_usd.get(use, 0.0), whole.share(use)
        if share is not None and share >= _FAR:
            found.append(f"{percent(share)} % of the paid time ({_paid(usd)} USD) was {use}: {words}.")
    return found


def _of_drift(report: MonitorReport) -> list[str]:
    found = []
    for part in report.parts:
        for change in part.changes:
            found.append(
                f"{_named(report, part.model)}{part.part}: measured / predicted went from {change.before:.2f} to "
                f"{change.after:.2f} ({_signed(change.factor - 1)}) at {time_text(change.at_s, report.start_s)}."
            )
    drifted = {part.model for part in report.parts if part.changes}
    for each in report.times:
        for change in each.changes:
            if each.model in drifted:
                continue
            found.append(
                f"{_named(report, each.model)}{FELT[each.figure]}: its mean went from {_time(change.before)} to "
                f"{_time(change.after)} ({_signed(change.factor - 1)}) at {time_text(change.at_s, report.start_s)}."
            )
    return found


def _of_prediction(report: MonitorReport) -> list[str]:
    outside = [part for part in report.parts if not part.in_band]
    found = [
        f"{_named(report, part.model)}{part.part}: measured time is {part.measured_to_predicted:.2f} times the "
        f"predicted one, outside of its band of {part.low:.2f} to {part.high:.2f}"
        + (f" since {time_text(part.outside_since_s, report.start_s)}." if part.outside_since_s is not None else ".")
        for part in outside
    ]
    late = [part for part in report.parts if part.in_band and part.outside_since_s is not None]
    found += [
        f"{_named(report, part.model)}{part.part}: outside of its band of {part.low:.2f} to {part.high:.2f} since "
        f"{time_text(part.outside_since_s or 0.0, report.start_s)}; inside on average."
        for part in late
    ]
    if report.parts and not outside and not late:
        ratios = [each.measured_to_predicted for each in report.parts]
        low, high = min(ratios), max(ratios)
        words = f"{low:.2f}" if len(report.parts) == 1 else f"{low:.2f} to {high:.2f}"
        found.append(f"Measured times are {words} times the predicted ones, inside of their bands.")
    return found


def _of_plan(report: MonitorReport) -> list[str]:
    whole = report.whole
    found = []
    for name, title, unit in ((each.name, each.title, each.unit) for each in _COMPARED):
        change, measured = whole.against_plan.get(name), whole.measured(name)
        if change is None or measured is None:
            continue
        if abs(change) >= _FAR:
            far = sum(1 for each in report.slots if abs(each.against_plan.get(name) or 0.0) >= _FAR)
            value, side = f"{significant(measured)} {unit}".strip(), "above" if change > 0 else "below"
            slots = f"; {far} of {len(report.slots)} {slots_text(report)} are 10 % or more away"
            found.append(
                f"{title.capitalize()}: {value} is {abs(_ALL * change):.0f} % {side} the plan "
                f"({significant(whole.planned[name])}){slots if name in _HOURLY else ''}."
            )
    if whole.planned and not found:
        found.append("Money, requests and replicas are within 10 % of the plan on average.")
    return found


def _of_suggestion(report: MonitorReport) -> list[str]:
    suggestion = report.suggestion
    if suggestion is None:
        return []
    plan = suggestion.plan
    if plan.best is None or plan.best.usd_per_month is None:
        return [f"No fleet that was tried holds {plan.slo} for the recorded traffic."]
    fleet = f"{plan.best.policy} on {plan.best.deployment}"
    words = f"{fleet} holds {plan.slo} for {money(plan.best.usd_per_month)} USD a month"
    saved = suggestion.saved_usd_per_month
    if saved is None:
        return [f"Suggested: {words}."]
    return [f"Suggested: {words}, {money(abs(saved))} USD {'less' if saved >= 0 else 'more'} than what is paid now."]


def _of_missing(report: MonitorReport) -> list[str]:
    found = []
    if report.damaged:
        found.append(f"{report.damaged:,} lines of the log are damaged; what they recorded is missing here.")
    if report.gaps:
        seconds = sum(each.end_s - each.start_s for each in report.gaps)
        several = "s" * (len(report.gaps) > 1)
        found.append(f"Nothing was recorded in {len(report.gaps)} gap{several}, {span_text(seconds)} in all.")
    if report.dropped:
        found.append(f"{report.dropped:,.0f} records were not kept by the monitor.")
    return found


# ---- words -----------------------------------------------------------------------------------------------------------


def _named(report: MonitorReport, model: str) -> str:
    return f"{model}, " if len(report.models) > 1 and model else ""


def _signed(share: float) -> str:
    return f"{_ALL * share:+.0f} %"


def _time(seconds: float) -> str:
    return quantity(seconds, "s")


def time_text(time_s: float, start_s: float | None = None) -> str:
    """Return a Unix time in UTC, with seconds if it is not a whole minute."""
    at = datetime.fromtimestamp(time_s, timezone.utc)
    return at.strftime("%a %Y-%m-%d %H:%M:%S UTC" if round(time_s) % 60 else "%a %Y-%m-%d %H:%M UTC")


def short_time(time_s: float) -> str:
    """Return a Unix time in UTC as day and hour."""
    return datetime.fromtimestamp(time_s, timezone.utc).strftime("%a %m-%d %H:%M")


def span_text(seconds: float) -> str:
    """Return a length of time."""
    for unit, length in (("days", _DAY_S), ("h", _HOUR_S), ("min", 60.0)):
        if seconds >= (2 * length if unit == "days" else length):
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"


def slots_text(report: MonitorReport) -> str:
    """Return the name of a slot."""
    return {_HOUR_S: "hours", _DAY_S: "days"}.get(report.slot_s, f"intervals of {span_text(report.slot_s)}")


def _number(value: float | None) -> str:
    return "" if value is None or not isfinite(value) else significant(value)


def _cash(value: float | None) -> str:
    return "" if value is None else money(value)


def heading_pairs(report: MonitorReport) -> list[tuple[str, str]]:
    """Return what was observed, and when."""
    files = f"{report.log}, {report.files} file{'s' * (report.files != 1)}, {report.runs} run{'s' * (report.runs != 1)}"
    answered = report.outcomes.get("ok", 0.0)
    others = "".join(f"; {count:,.0f} {name}" for name, count in report.outcomes.items() if count and name != "ok")
    pairs = [
        ("model", report.model),
        ("hardware", ", ".join(report.hardware)),
        ("engine", ", ".join(report.engines)),
        ("log", files),
        ("time", f"{time_text(report.start_s)} to {time_text(report.end_s)}, {span_text(report.whole.length_s)}"),
        ("requests", f"{answered:,.0f} answered{others}"),
        ("tokens", tokens_text(report)),
        ("plan", "" if report.plan is None else f"{report.plan.name}; {report.plan.calendar}"),
        ("objective", "" if report.plan is None else report.plan.slo),
    ]
    return [each for each in pairs if each[1]]


def tokens_text(report: MonitorReport) -> str:
    """Return the tokens of prompts and answers; empty without any."""
    if not report.whole.output_tokens and not report.prompt_tokens:
        return ""
    return f"{report.prompt_tokens:,.0f} of prompts, {report.whole.output_tokens:,.0f} generated"


# ---- tables ----------------------------------------------------------------------------------------------------------


def report_layout(report: MonitorReport) -> Layout:
    """Return findings, predicted against measured, money, and the time against the plan."""
    parts: list[Part] = [Pairs(heading_pairs(report)), GAP]
    parts += [Note(each, ALARM if "outside of its band" in each else "") for each in report.findings]
    if report.parts:
        parts += [GAP, Note("Predicted and measured time", ""), Table(part_columns(report))]
    if report.times:
        parts += [GAP, Note("What users felt", ""), Table(felt_columns(report))]
    if report.whole.reserved_s:
        parts += [GAP, Note("Paid time by use", ""), Table(use_columns(report), total=True)]
    if report.stretches or report.whole.planned:
        parts += [GAP, Note("Peak and the rest", "") if report.stretches else Note("In all", "")]
        parts.append(Table(stretch_columns(report)))
    if len(report.slots) > 1:
        parts += [GAP, *_slot_parts(report)]
    if report.suggestion is not None:
        parts += [GAP, *_suggestion_parts(report.suggestion)]
    parts += [
        Note(f"Nothing was recorded from {time_text(each.start_s)} to {time_text(each.end_s)}", WARNING)
        for each in report.gaps[:_GAPS]
    ]
    parts += [Note(each, WARNING) for each in report.notes]
    return parts


def _slot_parts(report: MonitorReport) -> list[Part]:
    """Return all slots, or, of many, those farthest from the plan, else the busiest."""
    name = slots_text(report)
    if len(report.slots) <= _SHOWN:
        return [Note(f"{name.capitalize()}", ""), Table(slot_columns(report.slots))]
    shown = farthest(report)
    by = "farthest from the plan" if report.whole.planned else "with most requests"
    return [
        Note(f"The {len(shown)} {name} {by}, of {len(report.slots)}; CSV, JSON and HTML have all", ""),
        Table(slot_columns(shown)),
    ]


def farthest(report: MonitorReport) -> list[Stretch]:
    """Return the slots that are farthest from the plan in money, else in requests, in the order of time."""
    figure = next((name for name in PLANNED if report.whole.against_plan.get(name) is not None), None)

    def distance(each: Stretch) -> tuple[float, float]:
        if figure is None:
            return each.requests, 0.0
        far = [
            abs((each.measured(name) or 0.0) - each.planned.get(name, 0.0)) * each.covered_s
            for name in (figure, "requests_per_s")
        ]
        return round(far[0], _SAME), far[1]

    chosen = sorted(report.slots, key=distance, reverse=True)[:_FARTHEST]
    return sorted(chosen, key=lambda each: each.start_s)


def part_columns(report: MonitorReport) -> list[Column]:
    """Return one row for each part that has a prediction."""
    parts = report.parts
    columns = []
    if len(report.models) > 1:
        columns.append(Column("model", "", [each.model for each in parts], numeric=False, flexible=True))
    return [
        *columns,
        Column("part", "", [each.part for each in parts], numeric=False, flexible=True),
        Column("measured", "s", [significant(each.measured_s) for each in parts], spare=2),
        Column("predicted", "s", [significant(each.predicted_s) for each in parts], spare=2),
        Column("ratio", "", [f"{each.measured_to_predicted:.2f}" for each in parts]),
        Column("band", "", [f"{each.low:.2f} - {each.high:.2f}" for each in parts]),
        Column("", "", ["inside" if each.in_band else "outside" for each in parts], numeric=False),
        Column("now", "", [f"{each.last_ratio:.2f}" for each in parts], spare=1),
        Column(
            "changed", "UTC", [short_time(each.changes[-1].at_s) if each.changes else "" for each in parts], spare=1
        ),
    ]


def felt_columns(report: MonitorReport) -> list[Column]:
    """Return one row for each time that users felt."""
    times = report.times
    columns = []
    if len(report.models) > 1:
        columns.append(Column("model", "", [each.model for each in times], numeric=False, flexible=True))
    columns.append(Column("", "", [FELT[each.figure] for each in times], numeric=False))
    columns.append(Column("values", "", [f"{each.count:,}" for each in times], spare=1))
    for name in ("mean", "p50", "p90", "p99"):
        columns.append(Column(name, "ms", [_number(1e3 * getattr(each, f"{name}_s")) for each in times]))
    columns.append(
        Column("mean now", "ms", [_number(1e3 * e.changes[-1].after) if e.changes else "" for e in times], spare=2)
    )
    columns.append(
        Column("changed", "UTC", [short_time(e.changes[-1].at_s) if e.changes else "" for e in times], spare=2)
    )
    return columns


def use_columns(report: MonitorReport) -> list[Column]:
    """Return what the paid time was used for, and its sum."""
    whole = report.whole
    total = sum(whole.reserved_s.values())
    rows = [
        (use, whole.reserved_s.get(use, 0.0), whole.cost_usd.get(use, 0.0) if whole.cost_usd else None) for use in USES
    ]
    rows.append(("total", total, whole.usd))
    month = MONTH_S / whole.covered_s if whole.covered_s else 0.0
    columns = [
        Column("use", "", [use for use, _, _ in rows], numeric=False),
        Column("device hours", "h", [significant(seconds / _HOUR_S) for _, seconds, _ in rows]),
        Column("share", "%", [percent(seconds / total) if total else "" for _, seconds, _ in rows]),
    ]
    if whole.cost_usd:
        columns.append(Column("money", "USD", [_cash(usd) for _, _, usd in rows]))
        columns.append(Column("a month", "USD", [_cash(None if usd is None else usd * month) for _, _, usd in rows]))
        if whole.output_tokens:
            cells = [_number(None if usd is None else 1e6 * usd / whole.output_tokens) for _, _, usd in rows]
            columns.append(Column("10^6 tokens", "USD", cells))
    return columns


def stretch_columns(report: MonitorReport) -> list[Column]:
    """Return the peak, the rest and all of the log, next to the plan."""
    rows = [*report.stretches, report.whole]
    return [Column("", "", [each.name for each in rows], numeric=False), *_against(rows)]


def slot_columns(slots: Sequence[Stretch]) -> list[Column]:
    """Return one row for each slot, next to the plan."""
    return [Column("begin", "UTC", [short_time(each.start_s) for each in slots], numeric=False), *_against(slots)]


def _against(rows: Sequence[Stretch]) -> list[Column]:
    """Return measured and planned figures, and how far they are apart."""
    columns = [Column("recorded", "h", [significant(each.covered_s / _HOUR_S) for each in rows], spare=4)]
    for name, title, unit, spare in ((each.name, each.title, each.unit, each.spare or 0) for each in _COMPARED):
        measured = [each.measured(name) for each in rows]
        if all(value is None for value in measured):
            continue
        planned = [each.planned.get(name) for each in rows]
        show = _cash if name == "usd_per_h" else _number
        columns.append(Column(title, unit, [show(value) for value in measured], spare=spare))
        if name in _HOURLY and any(value is not None for value in planned):
            far = ["" if c is None else f"{_ALL * c:+.0f}" for c in (each.against_plan.get(name) for each in rows)]
            columns.append(Column("plan", unit, [show(value) for value in planned], spare=max(1, spare)))
            columns.append(Column("+/-", "%", far, spare=spare))
    idle = [each.share("idle") for each in rows]
    if any(share is not None for share in idle):
        columns.append(Column("idle", "%", ["" if share is None else percent(share) for share in idle]))
    ratios = [each.measured_to_predicted for each in rows]
    if any(ratio is not None for ratio in ratios):
        columns.append(
            Column("to predicted", "", ["" if ratio is None else f"{ratio:.2f}" for ratio in ratios], spare=1)
        )
    return columns


def _suggestion_parts(suggestion: Suggestion) -> list[Part]:
    """Return the plan for the recorded traffic in a few lines."""
    plan = suggestion.plan
    parts: list[Part] = [
        Note(f"Suggested for the recorded traffic ({suggestion.requests:,} requests), within {plan.slo}", "")
    ]
    shown = [each for each in plan.choices if each.stage == "all"][:_CHOICES]
    if shown:
        parts.append(Table(choice_columns(shown)))
    parts += verified_notes(suggestion)
    parts += [Note(each, WARNING) for each in suggestion.notes]
    return parts


def verified_notes(suggestion: Suggestion) -> list[Note]:
    """Return whether the suggested fleet meets the objective on the last day, which is not part of the planning."""
    best, verified = suggestion.plan.best, suggestion.plan.verified
    if best is None:
        return [Note(f"No fleet that was tried holds {suggestion.plan.slo}", ALARM)]
    if verified is None:
        return [Note("Not verified on another day: the log covers less than two", WARNING)]
    held = "holds" if verified.slo_met else "does not hold"
    told = (
        f"On the last day of the log, which it was not planned on, it {held}: {share_text(verified.late_share)} % late "
        f"against {share_text(best.late_share)} % on the days before"
    )
    return [Note(told, "" if verified.slo_met else ALARM)]
