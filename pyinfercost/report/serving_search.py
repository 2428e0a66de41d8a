"""Renderers of searches for a server: JSON, rows, and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..results.serving_search import ServingCandidate
from ..results.units import amount, significant
from .derived import columns_of, ranked_rows
from .layout import ALARM, GAP, WARNING, Column, Note, Pairs, Table
from .serving import serving_layout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..results.serving_search import ServingSearch
    from .derived import columns_of, ranked_rows
from .layout import Layout, Part

COLUMNS = ("rank", *columns_of(ServingCandidate))
_SHOWN, _OUT_SHOWN, _NAMED = 10, 12, 3
_TITLES = {
    "replicas": "fewest replicas",
    "rate": "highest rate",
    "layout": "fewest devices",
    "cheapest": "least cost",
}


def search_rows(search: ServingSearch) -> list[dict[str, Any]]:
    """Return one row for each deployment, those that hold first."""
    return ranked_rows(search.found, search.out)


def search_line(search: ServingSearch) -> str:
    """Return the search in one line."""
    name = search.model or "model"
    if search.best is None:
        return f"{name}, {_TITLES[search.goal]}: none of {len(search.out)} deployments meets {search.slo}"
    return f"{name}, {_TITLES[search.goal]}: {_text(search.best)}"


def search_layout(search: ServingSearch) -> Layout:
    """Return the best deployments, why others are out, and the simulation of the best one."""
    pairs = [
        ("model", search.model or "(graphs)"),
        ("searched", f"{_TITLES[search.goal]} within {search.slo}"),
        ("deployments", f"{len(search.found)} hold, {len(search.out)} out, {search.simulations} simulations"),
    ]
    parts: list[Part] = [Pairs([*pairs, *_common(search.found)])]
    if search.found:
        parts += [GAP, Table(_columns(search.found[:_SHOWN], search.goal))]
        more = len(search.found) - _SHOWN
        if more > 0:
            parts.append(Note(f"{more} more hold; --format csv lists them", ""))
    else:
        parts += [GAP, Note(f"No deployment meets {search.slo}", ALARM)]
    if search.interrupted:
        parts.append(Note("Stopped before all deployments were simulated: there may be better ones", WARNING))
    parts += _out(search.out)
    if search.result is not None:
        parts += [GAP, Note("The best one, simulated:", ""), *serving_layout(search.result)]
    return parts


_PLACE = ("hardware", "engine", "precision")


def _common(found: tuple[ServingCandidate, ...]) -> list[tuple[str, str]]:
    """Return the terms that all found deployments have in common."""
    if len(found) < len(("one", "other")):
        return []
    of_first = {name: getattr(found[0], name) for name in _PLACE}
    return [(name, value) for name, value in of_first.items() if all(getattr(e, name) == value for e in found)]


def _columns(found: tuple[ServingCandidate, ...], goal: str) -> list[Column]:
    common = dict(_common(found))
    columns = [
        Column(name, "", [str(getattr(each, name)) for each in found], numeric=name == "devices")
        for name in (*_PLACE, "layout", "devices")
        if name not in common
    ]
    if any(each.paid_devices != each.devices for each in found):
        columns.append(Column("paid", "", [str(each.paid_devices) for each in found]))
    if goal == "rate":
        columns.append(Column("rate", "1/s", [_number(each.rate_per_s) for each in found]))
    if any(each.usd_per_h is not None for each in found):
        columns.append(Column("cost", "USD/h", [_number(each.usd_per_h) for each in found]))
    for name in found[0].slo_values:
        columns.append(Column(name, "ms", [significant(each.slo_values[name] * 1e3) for each in found]))
    return columns


def _number(value: float | None) -> str:
    return "" if value is None else significant(value)


def _out(out: Sequence[ServingCandidate]) -> list[Part]:
    """Return the deployments that are out by reason."""
    groups: dict[str, list[str]] = {}
    ordered = sorted(out, key=lambda one: not one.slo_values)  # simulated ones first
    several = len({each.engine for each in ordered if each.engine}) > 1
    for each in ordered:
        place = (each.hardware, each.engine if several else "") if each.engine else ()
        name = " ".join(filter(None, (*place, each.precision, each.layout)))
        groups.setdefault(each.reason, []).append(name)
    if not groups:
        return []
    lines = [
        (names[0], reason + (f" (also {'; '.join(names[1:_NAMED])}{_more(len(names) - _NAMED)})" if names[1:] else ""))
        for reason, names in groups.items()
    ]
    parts: list[Part] = [GAP, Note("Out:", ""), Pairs(lines[:_OUT_SHOWN])]
    if (more := len(lines) - _OUT_SHOWN) > 0:
        parts.append(Note(f"{more} more reason{'s' * (more > 1)}; --format csv lists them", ""))
    return parts


def _more(count: int) -> str:
    return f"; {count} more" if count > 0 else ""


def _text(each: ServingCandidate) -> str:
    cost = "" if each.usd_per_h is None else f", {amount(each.usd_per_h, 'USD')} per hour"
    rate = "" if each.rate_per_s is None else f", {significant(each.rate_per_s)} requests/s"
    return f"{each.devices} x {each.hardware}, {each.engine}, {each.precision}, {each.layout}{rate}{cost}"
