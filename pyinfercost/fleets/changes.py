"""Comparison of two fleets, comparisons or plans, which are read from their JSON documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any, TypeAlias

from .._checks import Fields, Range
from ..errors import InputTypeError
from ..predict.limits import broken_of
from ..results.documents import DocumentError, checked_fleets, document_from
from ..results.fleet_changes import FLEET_FIGURES, OF_BILL, FleetChange, FleetChanges, FleetSide
from ..results.fleet_plan import FleetPlan
from ..results.fleet_result import FLEET_LATENCIES, FleetComparison, FleetResult
from ..results.notices import Notice, notice
from ..results.profile_changes import UNCHANGED, Change

FleetComparable: TypeAlias = "FleetResult | FleetComparison | FleetPlan | Mapping[str, Any] | str | PathLike[str]"
"""Fleets to compare with others: a result, the document of one, or the path of a file with it."""

_COUNT = Range(0, 2**63 - 1)
_OF_LATENCY = {
    f"{name.removesuffix('_s')}_{each}_s": (name, each) for name in FLEET_LATENCIES for each in ("p50", "p99")
}


def fleet_changes(before: FleetComparable, after: FleetComparable, *, limits: Iterable[str] = ()) -> FleetChanges:
    """Return the changes from one fleet, comparison or plan to another: of the best fleets, and of each one.

    The best fleet is the cheapest that meets the objective, or a single fleet itself. Fleets are joined by
    deployment and autoscaler, and in plans also by committed replicas.

    Args:
        before: The first result: a `FleetResult`, a `FleetComparison`, a `FleetPlan`, the JSON object of its
            `to_dict`, or the path of a file with it or of an HTML report.
        after: The second result, in the same forms.
        limits: Limits on changes of figures of the best fleet, such as `usd_per_month:+5%` (grows by at most 5 %) and
            `late_share:+0.01` (grows by at most 0.01). Figures are in `FLEET_FIGURES`. An unknown figure breaks
            all limits on it, and without a fleet that meets the objective all are unknown.

    Returns:
        The changes, whose `failed` has the broken limits.

    Raises:
        LimitError: A limit is invalid.
        DocumentError: A document is no fleet, comparison or plan, or of an unknown version.
        InputTypeError: A value is none of these.
        FileAccessError: A file cannot be read.
    """
    first, second = _read(before, "before"), _read(after, "after")
    names = [*second.fleets, *(name for name in first.fleets if name not in second.fleets)]
    nothing: dict[str, float | None] = dict.fromkeys(FLEET_FIGURES)
    rows = []
    for name in names:
        one, other = first.fleets.get(name), second.fleets.get(name)
        changes = {key: Change((one or nothing)[key], (other or nothing)[key]) for key in FLEET_FIGURES}
        changed = "changed" if any(each.changed for each in changes.values()) else UNCHANGED
        status = "added" if one is None else "removed" if other is None else changed
        rows.append(
            FleetChange(
                deployment=name.deployment, policy=name.policy, committed=name.committed, status=status, figures=changes
            )
        )
    found = FleetChanges(
        before=first.side,
        after=second.side,
        notices=tuple(_notices(first.side, second.side)),
        best={key: Change(first.best[key], second.best[key]) for key in FLEET_FIGURES},
        fleets=tuple(rows),
    )
    return replace(found, failed=broken_of(found.best, limits))


@dataclass(frozen=True)
class _Name:
    """Key by which fleets are joined; `number` tells those apart that have the rest in common."""

    deployment: str
    policy: str
    committed: int
    number: int


@dataclass(frozen=True)
class _Read:
    """One side: its description, figures of its best fleet, and of each fleet."""

    side: FleetSide
    best: Mapping[str, float | None]
    fleets: Mapping[_Name, Mapping[str, float | None]]


def _read(given: FleetComparable, which: str) -> _Read:
    if isinstance(given, (FleetResult, FleetComparison, FleetPlan)):
        return _side(given.to_dict(), which)
    if isinstance(given, (str, PathLike)):
        return _side(document_from(given), str(given))
    if isinstance(given, Mapping):
        return _side(given, which)
    raise InputTypeError(
        f"{which} is of type {type(given).__name__}; expected a FleetResult, a FleetComparison, a FleetPlan, a dict or "
        "a path"
    )


def _side(document: Any, which: str) -> _Read:
    kind, checked = checked_fleets(document, which)
    fields = Fields(checked, which, DocumentError).inner(kind)
    best: Fields | None
    if kind == "fleet":
        rows, best = [fields], fields
    else:
        rows = fields.each("choices" if kind == "plan" else "fleets") or []
        best = fields.inner("best") if fields.has("best") else None
    fleets: dict[_Name, Mapping[str, float | None]] = {}
    for row in rows:
        first = _Name(row.text("deployment") or "", row.text("policy") or "", row.whole("committed", _COUNT) or 0, 0)
        name_of = next(one for one in (replace(first, number=n) for n in range(len(rows))) if one not in fleets)
        fleets[name_of] = _figures(row)
    side = FleetSide(
        kind=kind,
        model=fields.text("model") or "",
        traffic=fields.text("traffic") or "",
        slo=fields.text("slo") or "",
        deployment=None if best is None else best.text("deployment") or "",
        policy=None if best is None else best.text("policy") or "",
        slo_met=None if best is None else best.flag("slo_met"),
        fleets=len(rows),
    )
    return _Read(side, dict.fromkeys(FLEET_FIGURES) if best is None else _figures(best), fleets)


def _figures(row: Fields) -> dict[str, float | None]:
    """Return the figures of a fleet; None for those that its document does not have."""
    bill = row.inner("bill")
    found: dict[str, float | None] = {}
    for key in FLEET_FIGURES:
        if key in _OF_LATENCY:
            latency, statistic = _OF_LATENCY[key]
            found[key] = row.inner(latency).number(statistic)
        elif key in OF_BILL and row.has("bill"):
            found[key] = bill.number(key)
        else:
            found[key] = row.number(key)
    return found


def _notices(before: FleetSide, after: FleetSide) -> Iterator[Notice]:
    for name in ("model", "traffic", "slo"):
        one, other = getattr(before, name), getattr(after, name)
        if one != other:
            yield notice("differs", name=name, before=one, after=other)
    for side, when in ((before, "before"), (after, "after")):
        if side.deployment is None:
            yield notice("no_fleet", slo=side.slo, when=when)
        elif side.slo_met is False:
            yield notice("misses", slo=side.slo, when=when)
