"""Renderers of changes of fleets: rows, tables, and Markdown for a pull request, monthly dollars first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..results.bill import Bill
from ..results.declared import titled
from ..results.fleet_changes import FLEET_FIGURES, FleetChange
from ..results.fleet_result import FleetResult
from ..results.profile_changes import UNCHANGED
from ..results.units import quantity, significant
from .comments import MOST_BYTES, bytes_of, fitting_table, limited, one_line, shortened
from .delimited import escaped, markdown_table
from .derived import columns_of, row_of
from .fleets import money, share_text
from .layout import ALARM, GAP, WARNING, Column, Note, Pairs, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..results.fleet_changes import FleetChanges, FleetSide
    from ..results.profile_changes import Change
    from .layout import Layout, Part

_BEST = "(best)"
COLUMNS = columns_of(FleetChange)
_TITLES = {
    **{name: name.removesuffix("_s").replace("_", " ") for name in FLEET_FIGURES},
    **{each.name: each.title for kind in (FleetResult, Bill) for each in titled(kind)},
}
_ALL = 100.0
_LONGEST_NAME = 80
_NAMED = 6
_ROWS = 24


def changes_rows(changes: FleetChanges) -> list[dict[str, Any]]:
    """Return the best fleets, whose deployment is `(best)`, then one row per fleet."""
    status = "changed" if any(change.changed for change in changes.best.values()) else UNCHANGED
    policy = " -> ".join(dict.fromkeys(side.policy or "none" for side in (changes.before, changes.after)))
    best = FleetChange(deployment=_BEST, policy=policy, committed=0, status=status, figures=changes.best)
    return [row_of(each) for each in (best, *changes.fleets)]


def changes_line(changes: FleetChanges) -> str:
    """Return the change of the best fleet in one line, monthly dollars first."""
    if not changes.changed:
        return "no difference"
    return ", ".join(_in_words(name, changes.best[name]) for name in ("usd_per_month", "late_share"))


def changes_layout(changes: FleetChanges) -> Layout:
    """Return exceeded limits, the two sides, the change of the best fleet, and the fleets that differ."""
    parts: list[Part] = [Note(f"FAILED {broken}", ALARM) for broken in changes.failed]
    parts.append(Pairs(_sides(changes)))
    parts += [Note(f"Warning: {text}", WARNING) for text in changes.warnings]
    if any(_known(change) for change in changes.best.values()):
        parts += [GAP, Table(_best_columns(changes))]
    shown = _shown(changes)
    if shown:
        parts += [GAP, Table(_fleet_columns(shown[:_ROWS]))]
        if len(shown) > _ROWS:
            parts.append(Note(f"{len(shown) - _ROWS} more differ; --format csv lists all", ""))
    parts.append(Note(_rest(changes, shown)))
    return parts


def changes_markdown(changes: FleetChanges) -> str:
    """Return the changes as GitHub Markdown; the last rows are dropped if a comment would be too long."""
    head = [f"**{escaped(changes_line(changes))}**{_where(changes)}"]
    if changes.failed:
        number = len(changes.failed)
        head += ["", f"❌ **{number} {'limit is' if number == 1 else 'limits are'} broken:**", ""]
        head += limited([f"- ❌ {one_line(str(broken))}" for broken in changes.failed])
    if any(_known(change) for change in changes.best.values()):
        head += ["", *markdown_table(_best_columns(changes))]
    head += ["", *(f"- {name}: {one_line(text)}" for name, text in _sides(changes))]
    head += limited([f"- ⚠️ Warning: {one_line(text)}" for text in changes.warnings])
    shown = _shown(changes)
    foot = ["", _rest(changes, shown)]
    table: list[str] = []
    if shown:
        title, rule, *lines = markdown_table(_fleet_columns(shown))
        room = MOST_BYTES - bytes_of([*head, *foot])
        table = fitting_table([title, rule], lines, [], room, what="fleets differ")
    return "\n".join([*head, *table, *foot]) + "\n"


def _where(changes: FleetChanges) -> str:
    names = dict.fromkeys(_name_of(side) for side in (changes.before, changes.after))
    slo = dict.fromkeys(side.slo for side in (changes.before, changes.after) if side.slo)
    within = f", within {' → '.join(slo)}" if slo else ""
    return f": {one_line(' → '.join(names) + within)}"


def _name_of(side: FleetSide) -> str:
    return "no fleet" if side.deployment is None else f"{side.policy} on {side.deployment}"


def _sides(changes: FleetChanges) -> list[tuple[str, str]]:
    found = []
    for name, side in (("before", changes.before), ("after", changes.after)):
        of = f", best of {side.fleets} fleets" if side.kind != "fleet" else ""
        parts = (side.model or "requests", f"{_name_of(side)}{of}", side.traffic)
        found.append((name, ", ".join(shortened(part) for part in parts if part)))
    for status in ("added", "removed"):
        names = [f"{each.policy} on {each.deployment}" for each in changes.fleets if each.status == status]
        if names:
            more = f", and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            found.append((status, ", ".join(names[:_NAMED]) + more))
    return found


def _known(change: Change) -> bool:
    return change.before is not None or change.after is not None


def _best_columns(changes: FleetChanges) -> list[Column]:
    """Return one row for each figure that is known on a side."""
    known = [(name, changes.best[name]) for name in FLEET_FIGURES if _known(changes.best[name])]
    return [
        Column("best fleet", "", [_TITLES[name] for name, _ in known], numeric=False),
        Column("before", "", [_text(name, change.before) for name, change in known]),
        Column("after", "", [_text(name, change.after) for name, change in known]),
        Column("difference", "", [_text(name, change.difference, signed=True) for name, change in known]),
        Column("ratio", "", ["" if change.ratio is None else f"{change.ratio:.3f}" for _, change in known]),
    ]


def _shown(changes: FleetChanges) -> list[FleetChange]:
    """Return the fleets that differ, those with the largest change of money first; added and removed ones last.

    Of two single fleets, the change of the best one says all.
    """
    if changes.before.kind == changes.after.kind == "fleet":
        return []
    differing = [each for each in changes.fleets if each.status != UNCHANGED]
    alone = ("added", "removed")

    def order(each: FleetChange) -> tuple[int, float]:
        difference = each.figures["usd_per_month"].difference
        return alone.index(each.status) + 1 if each.status in alone else 0, -abs(difference or 0.0)

    return sorted(differing, key=order)


def _fleet_columns(shown: Sequence[FleetChange]) -> list[Column]:
    """Return money before and after, then what users feel, and how the replicas changed."""
    columns = []
    if len({each.deployment for each in shown}) > 1 or len(shown) == 1:
        names = [shortened(each.deployment, _LONGEST_NAME) for each in shown]
        columns.append(Column("deployment", "", names, numeric=False, flexible=True))
    policies = [shortened(each.policy, _LONGEST_NAME) for each in shown]
    columns.append(Column("policy", "", policies, numeric=False, flexible=True))
    if any(each.committed for each in shown):
        columns.append(Column("committed", "", [str(each.committed) for each in shown]))
    columns.append(Column("status", "", [each.status for each in shown], numeric=False))
    usd = [each.figures["usd_per_month"] for each in shown]
    if any(map(_known, usd)):
        columns += [
            Column("before", "USD/month", ["" if each.before is None else money(each.before) for each in usd]),
            Column("after", "USD/month", ["" if each.after is None else money(each.after) for each in usd]),
            Column("cost", "USD/month", [_signed(each.difference, money) for each in usd]),
            Column("change", "%", [_relative(each) for each in usd]),
        ]
    for name, title, unit, show, spare in _SHORT:
        figures = [each.figures[name] for each in shown]
        if any(each.changed and each.difference is not None for each in figures):
            columns.append(Column(title, unit, [_signed(each.difference, show) for each in figures], spare=spare))
    return columns


_SHORT: tuple[tuple[str, str, str, Any, int], ...] = (
    ("late_share", "late", "points", share_text, 0),
    ("wait_p99_s", "wait p99", "s", significant, 2),
    ("ttft_p99_s", "ttft p99", "s", significant, 1),
    ("tpot_p99_s", "tpot p99", "s", significant, 2),
    ("e2e_p99_s", "e2e p99", "s", significant, 2),
    ("peak_replicas", "peak", "", lambda value: f"{value:.0f}", 1),
    ("starts", "cold starts", "", lambda value: f"{value:.0f}", 3),
    ("idle_share", "idle", "points", share_text, 1),
    ("carbon_g_per_month", "CO2", "kg/month", lambda value: money(value / 1e3), 2),
)
"""Figure -> title, unit and text of its differences in the table of fleets, and how spare the column is."""


def _rest(changes: FleetChanges, shown: Sequence[FleetChange]) -> str:
    same = sum(each.status == UNCHANGED for each in changes.fleets)
    if changes.before.kind == changes.after.kind == "fleet":
        return "The fleets differ." if changes.changed else "No figure differs."
    if not shown:
        return (
            "No fleet differs." if not changes.changed else "The best fleets differ, but no fleet of both sides does."
        )
    return f"Unchanged: {same} of {len(changes.fleets)} fleets." if same else "All fleets differ."


def _in_words(name: str, change: Change) -> str:
    title = _TITLES[name]
    if not _known(change):
        return f"{title} not known"
    if change.before is None or change.after is None:
        return f"{title} not known {'before' if change.before is None else 'after'}"
    if not change.changed:
        return f"{title} same"
    if name == "usd_per_month":
        more = "more" if (change.difference or 0) > 0 else "less"
        share = f", {_relative(change)} %" if change.ratio is not None else ""
        amounts = f"{money(change.before)} → {money(change.after)}"
        return f"{money(abs(change.difference or 0))} USD a month {more} ({amounts}{share})"
    points = _signed(change.difference, share_text)
    return f"{title} {share_text(change.before)} → {share_text(change.after)} % ({points} points)"


def _relative(change: Change) -> str:
    """Return a change in percent; empty if it has none."""
    if change.ratio is None:
        return ""
    return _signed(change.ratio - 1, lambda share: f"{_ALL * share:.1f}")


def _signed(value: float | None, show: Any) -> str:
    if value is None:
        return ""
    shown = str(show(abs(value)))
    if not shown.strip("0."):  # rounds to 0
        return shown
    return f"{'-' if value < 0 else '+'}{shown}"


def _text(name: str, value: float | None, *, signed: bool = False) -> str:
    if value is None:
        return "not known"
    sign = "-" if value < 0 else "+" if signed and value > 0 else ""
    value = abs(value)
    if name.startswith("usd_"):
        return f"{sign}{money(value) if name == 'usd_per_month' else significant(value)} USD"
    if name.endswith("_share"):
        return f"{sign}{share_text(value)} {'points' if signed else '%'}"
    if name.endswith("_s"):
        return f"{sign}{significant(value)} s"
    if name == "energy_j_per_month":
        return f"{sign}{significant(value / 3.6e6)} kWh"
    if name == "carbon_g_per_month":
        return f"{sign}{quantity(value, 'g')}"
    return f"{sign}{significant(value) if name == 'mean_replicas' else f'{value:.0f}'}"
