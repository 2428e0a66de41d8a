"""Rows and tables of fleets under traffic, and of their comparisons."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

from ..results.bill import MONTH_S, USES, Bill
from ..results.fleet_result import FLEET_LATENCIES, FleetResult
from ..results.latency import STATISTICS, TITLES
from ..results.units import percent, quantity, significant
from .derived import columns_of, default_columns, headlines, ranked_rows
from .layout import ALARM, GAP, WARNING, Column, Note, Pairs, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..results.fleet_result import FleetComparison
    from .layout import Layout, Part

COLUMNS = ("rank", *columns_of(FleetResult), "on_front")
_HOUR_S = 3600.0
_DAY_H = 24
_KILO = 1e3
_BIG_USD = 1000
_JOULES_PER_KWH = 3.6e6
_ALL = 100.0
_SHOWN, _OUT_SHOWN = 24, 12
_PERCENTILES = (
    ("wait_s", "p99", 1),
    ("ttft_s", "p50", 2),
    ("ttft_s", "p99", 1),
    ("e2e_s", "p50", 3),
    ("e2e_s", "p99", 2),
)
"""Time, percentile -> the columns of comparisons; the last number is their `spare`."""


def comparison_rows(comparison: FleetComparison) -> list[dict[str, Any]]:
    """Return one row for each fleet by rank, then one for each bound, whose `detail` says so."""
    rows = ranked_rows(comparison.fleets, comparison.bounds)
    front = [*comparison.on_front, *(None for _ in comparison.bounds)]
    return [{**row, "on_front": on_front} for row, on_front in zip(rows, front, strict=True)]


def fleet_line(result: FleetResult) -> str:
    """Return a fleet in one line."""
    met = {True: f", {result.slo} holds", False: f", {result.slo} is missed", None: ""}[result.slo_met]
    return (
        f"{result.model or 'requests'} on {result.deployment}, {result.policy}: {cost_text(result)}, "
        f"{share_text(result.late_share)} % late{met}"
    )


def comparison_line(comparison: FleetComparison) -> str:
    """Return a comparison in one line."""
    start = f"{comparison.model or 'requests'}, {len(comparison)} fleet{'s' * (len(comparison) != 1)}"
    if comparison.best is None:
        return f"{start}: none holds {comparison.slo}" if comparison.fleets else f"{start}"
    best = comparison.best
    found = f"{best.policy} on {best.deployment}, {cost_text(best)}, {share_text(best.late_share)} % late"
    return f"{start}: cheapest {f'within {comparison.slo} ' if comparison.slo else ''}is {found}"


def cost_text(result: FleetResult) -> str:
    """Return the cost of a month with its unit; paid hours of replicas without a price."""
    if result.usd_per_month is None:
        return f"{significant(hours_per_month(result))} replica hours/month"
    return f"{money(result.usd_per_month)} USD/month"


def hours_per_month(result: FleetResult) -> float:
    """Return the paid hours of replicas in a month in which the same happens again and again."""
    return result.reserved_s / _HOUR_S * MONTH_S / result.duration_s if result.duration_s else 0.0


def monthly(result: FleetResult) -> float:
    """Return the cost of a month: USD, or paid hours of replicas without a price."""
    return hours_per_month(result) if result.usd_per_month is None else result.usd_per_month


def monthly_unit(result: FleetResult) -> str:
    """Return the unit of `monthly`."""
    return "h" if result.usd_per_month is None else "USD"


def money(usd: float) -> str:
    """Return USD with two decimals, large amounts without; the sign of savings first."""
    return f"{usd:,.0f}" if abs(usd) >= _BIG_USD else f"{usd:.2f}"


def share_text(share: float) -> str:
    """Return a share in percent with two decimals."""
    return f"{_ALL * share:.2f}"


def fleet_layout(result: FleetResult) -> Layout:
    """Return the fleet, times of requests, its pools with settings, and the bill."""
    pairs = [
        ("model", result.model),
        ("traffic", result.traffic),
        ("deployment", result.deployment),
        ("policy", result.policy),
        ("requests", requests_text(result)),
        ("objective", objective_text(result)),
        ("simulated", f"{result.detail}, routing {result.routing}" if result.routing else result.detail),
        ("cost", per_text(result)),
    ]
    parts: list[Part] = [Pairs([each for each in pairs if each[1]]), GAP]
    parts += [Table(latency_columns(result)), GAP, Table(pool_columns(result)), GAP]
    parts.append(Pairs(settings_pairs(result)))
    parts += bill_parts(result)
    parts += [Note(each, WARNING) for each in result.notes]
    if result.interrupted:
        parts.append(Note("Stopped before all requests arrived", WARNING))
    return parts


def comparison_layout(comparison: FleetComparison) -> Layout:
    """Return all fleets, the bounds, and the bill and settings of the best one."""
    first = next(iter(comparison.fleets), None)
    best = comparison.best
    pairs = [
        ("model", comparison.model),
        ("traffic", comparison.traffic),
        ("objective", comparison.slo),
        *(() if first is None else (("requests", f"{first.requests:,}"),)),
        *(("deployment", name) for name in _deployments(comparison) if len(_deployments(comparison)) == 1),
    ]
    parts: list[Part] = [Pairs([each for each in pairs if each[1]])]
    if comparison.fleets or comparison.bounds:
        parts += [GAP, Table(fleet_columns(comparison, most=_SHOWN))]
    more = len(comparison.fleets) - _SHOWN
    if more > 0:
        parts.append(Note(f"{more} more fleets; CSV and JSON have all", ""))
    parts.append(Note("* Pareto-optimal in cost and late requests"))
    parts.append(Note("bound: replicas exist while requests need them, and no request waits; not a policy"))
    if comparison.interrupted:
        parts.append(Note("Stopped before all fleets were simulated: there may be better ones", WARNING))
    if comparison.fleets and best is None:
        parts += [GAP, Note(f"No fleet holds {comparison.slo}; the first one has the fewest late requests", ALARM)]
    shown = first if best is None else best
    if shown is not None:
        title = "The cheapest one" + (f" that holds {comparison.slo}" if comparison.slo else "")
        title = title if best is not None else "The first one"
        parts += [GAP, Note(f"{title}: {shown.policy} on {shown.deployment}, {cost_text(shown)}", "")]
        parts += [*bill_parts(shown), GAP, Pairs(settings_pairs(shown))]
        parts += [Note(each, WARNING) for each in shown.notes]
    if comparison.out:
        lines = list(comparison.out.items())
        parts += [GAP, Note("Out:", ""), Pairs(lines[:_OUT_SHOWN])]
        if len(lines) > _OUT_SHOWN:
            parts.append(Note(f"{len(lines) - _OUT_SHOWN} more deployments are out; JSON has all", ""))
    return parts


def _deployments(comparison: FleetComparison) -> list[str]:
    return list(dict.fromkeys(each.deployment for each in (*comparison.fleets, *comparison.bounds)))


def fleet_columns(comparison: FleetComparison, *, most: int) -> list[Column]:
    """Return the columns of the table of fleets: at most so many of these, and the bounds of their deployments."""
    fleets = comparison.fleets[:most]
    shown = (*fleets, *comparison.bounds)
    marks = [*("*" * on_front for on_front in comparison.on_front[:most]), *("bound" for _ in comparison.bounds)]
    columns = []
    if len(_deployments(comparison)) > 1:
        columns.append(Column("deployment", "", [e.deployment for e in shown], numeric=False, flexible=True))
    columns += [
        Column("policy", "", [each.policy for each in shown], numeric=False, flexible=True),
        Column("front", "", marks, numeric=False),
        _cost_column(shown),
    ]
    columns += default_columns(Bill, [each.bill for each in shown])
    if comparison.slo:
        words = {True: "held", False: "missed", None: ""}
        columns.append(Column("SLO", "", [words[each.slo_met] for each in shown], numeric=False))
    columns.append(Column("late", "%", [share_text(each.late_share) for each in shown]))
    for name in dict.fromkeys(name for each in shown for name in each.slo_values):
        columns.append(Column(name, "s", [_number(each.slo_values.get(name)) for each in shown]))
    for name, statistic, spare in _PERCENTILES:
        if any(isfinite(each[name].p99) for each in fleets):
            cells = [_number(getattr(each[name], statistic)) for each in shown]
            columns.append(Column(f"{name.removesuffix('_s')} {statistic}", "s", cells, spare=spare))
    columns += [
        Column("peak", "", [str(each.peak_replicas) for each in shown]),
        Column("idle", "%", [percent(each.idle_share) for each in shown]),
        Column("cold starts", "", [str(each.starts) for each in shown]),
    ]
    if any(each.interruptions for each in shown):
        columns.append(Column("lost", "", [str(each.interruptions) for each in shown]))
    if any(each.carbon_g is not None for each in shown):
        cells = ["" if e.carbon_g_per_month is None else money(e.carbon_g_per_month / _KILO) for e in shown]
        columns.append(Column("CO2", "kg/month", cells))
    return columns


def _cost_column(shown: Sequence[FleetResult]) -> Column:
    if any(each.bill is not None for each in shown):
        return Column("cost", "USD/month", [_money(each.usd_per_month) for each in shown])
    return Column("paid", "h/month", [significant(hours_per_month(each)) for each in shown])


def latency_columns(result: FleetResult) -> list[Column]:
    """Return the times of answered requests."""
    known = [name for name in FLEET_LATENCIES if isfinite(result[name].mean)]
    columns = [Column("", "", [TITLES[name] for name in known], numeric=False)]
    for each in STATISTICS:
        columns.append(Column(each, "s", [_number(getattr(result[name], each)) for name in known]))
    return columns


def pool_columns(result: FleetResult) -> list[Column]:
    """Return one row for each pool: its replicas, and the shares of their paid time."""
    pools = result.pools
    shares = {
        "busy": [pool.used_s for pool in pools],
        "idle": [pool.idle_s for pool in pools],
        "cold": [pool.cold_s for pool in pools],
    }
    columns = [
        Column("replicas", "", [pool.name for pool in pools], numeric=False, flexible=True),
        Column("mean", "", [significant(pool.mean_replicas) for pool in pools]),
        Column("peak", "", [str(pool.peak_replicas) for pool in pools]),
        Column("cold starts", "", [str(pool.starts) for pool in pools]),
        Column("of each", "s", [significant(pool.cold_start_s) for pool in pools]),
    ]
    for name in ("cancelled", "interrupted", "failed"):
        if any(getattr(pool, name) for pool in pools):
            columns.append(Column(name, "", [str(getattr(pool, name)) for pool in pools]))
    for name, seconds in shares.items():
        cells = [percent(each / (pool.reserved_s or 1)) for each, pool in zip(seconds, pools, strict=True)]
        columns.append(Column(name, "%", cells))
    columns.append(Column("requests", "", [f"{pool.requests:,}" for pool in pools]))
    if any(pool.energy_j is not None for pool in pools):
        columns.append(
            Column(
                "energy", "kWh", [_number(None if p.energy_j is None else p.energy_j / _JOULES_PER_KWH) for p in pools]
            )
        )
    return columns


def settings_pairs(result: FleetResult) -> list[tuple[str, str]]:
    """Return what decides the replicas of each pool: the autoscaler's parameters, its metric and its start."""
    found = []
    for place, pool in enumerate(result.pools):
        number = f" {place + 1}" if len(result.pools) > 1 else ""
        settings = ", ".join(f"{name} {value}" for name, value in pool.settings.items())
        found.append((f"autoscaler{number}", f"{pool.autoscaler}: {settings}"))
        known = [(name, seconds) for name, seconds in pool.cold_start_parts_s.items() if seconds]
        parts = ", ".join(f"{name} {significant(seconds)} s" for name, seconds in known)
        ready = f"ready after {significant(pool.cold_start_s)} s" + (f" ({parts})" if parts else "")
        terms = f"{pool.concurrency:.4g} requests at once, {ready}"
        price = f", {pool.price}" if pool.price else ""
        found.append((f"replica{number}", terms + price))
    return found


def requests_text(result: FleetResult) -> str:
    """Return the requests of a fleet in words."""
    others = [
        (result.failed, "refused or gave up"),
        (result.unfinished, "without a replica"),
        (result.restarted, "restarted"),
    ]
    text = f"{result.finished:,} of {result.requests:,} answered in {duration_text(result)}"
    return text + "".join(f"; {count:,} {words}" for count, words in others if count)


def duration_text(result: FleetResult) -> str:
    """Return the simulated time with its unit."""
    hours = result.duration_s / _HOUR_S
    return f"{significant(hours / _DAY_H)} days" if hours >= 2 * _DAY_H else f"{significant(hours)} h"


def objective_text(result: FleetResult) -> str:
    """Return the objective, whether it is met, and the share of late requests; empty without one."""
    if not result.slo:
        return ""
    values = ", ".join(f"{name} {_number(value)} s" for name, value in result.slo_values.items())
    words = "holds" if result.slo_met else "is missed"
    return f"{result.slo} {words} ({values}); {share_text(result.late_share)} % late"


def per_text(result: FleetResult) -> str:
    """Return the cost of a month, an hour, 1,000 requests and 10^6 tokens."""
    bill = result.bill
    if bill is None:
        return cost_text(result)
    found = [cost_text(result), f"{significant(bill.usd_per_h)} USD/h"]
    if bill.usd_per_thousand_requests is not None:
        found.append(f"{significant(bill.usd_per_thousand_requests)} USD per 1,000 requests")
    return ", ".join([*found, *(" per ".join(each) for each in headlines(bill, "title"))])


def bill_parts(result: FleetResult) -> list[Part]:
    """Return the bill and what machines are paid for, or that there is no price."""
    bill = result.bill
    if bill is None:
        return [GAP, Note("No bill: the deployment has no price; give one by price=", "")]
    return [GAP, Table(bill_columns(bill), total=True), GAP, Table(use_columns(bill))]


def bill_columns(bill: Bill) -> list[Column]:
    """Return the lines of a bill for a month in which the same happens again and again, and their total."""
    months = MONTH_S / bill.duration_s
    lines = bill.lines
    total = bill.usd or 1.0
    return [
        Column("bill", "", [*(line.kind for line in lines), "total"], numeric=False),
        Column("of", "", [*(line.item for line in lines), ""], numeric=False, flexible=True),
        Column("quantity", "/month", [*(significant(line.quantity * months) for line in lines), ""]),
        Column("unit", "", [*(line.unit for line in lines), ""], numeric=False),
        Column("USD", "/month", [money(usd * months) for usd in (*(line.usd for line in lines), bill.usd)]),
        Column("share", "%", [percent(usd / total) for usd in (*(line.usd for line in lines), bill.usd)]),
    ]


def use_columns(bill: Bill) -> list[Column]:
    """Return what the paid time of machines is used for."""
    months = MONTH_S / bill.duration_s
    machines = sum(bill.use_usd.values()) or 1.0
    used = [(use, bill.use_usd.get(use, 0.0)) for use in USES]
    return [
        Column("time of machines", "", [use for use, _ in used], numeric=False),
        Column("USD", "/month", [money(usd * months) for _, usd in used]),
        Column("share", "%", [percent(usd / machines) for _, usd in used]),
    ]


def energy_text(result: FleetResult) -> str:
    """Return energy and carbon of a month; empty if they are unknown."""
    found = []
    if result.energy_j_per_month is not None:
        found.append(f"{significant(result.energy_j_per_month / _JOULES_PER_KWH)} kWh/month")
    if result.carbon_g_per_month is not None:
        found.append(f"{quantity(result.carbon_g_per_month, 'g')} CO2e/month")
    return ", ".join(found)


def _number(value: float | None) -> str:
    return "" if value is None or not isfinite(value) else significant(value)


def _money(usd: float | None) -> str:
    return "" if usd is None else money(usd)
