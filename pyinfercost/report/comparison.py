"""A comparison of two profiles: JSON, CSV and a table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .delimited import csv_text
from .rows import SHORT
from .summary import ITEMS_OF_A_PRICE
from .tabular import Column
from .text import quantity, scale_for, significant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from ..results.comparison import Change, Comparison, ModuleChange, Side
    from ..predict.diff_tree import Outline

SCHEMA_VERSION = 1

_TOTAL = "(total)"
_ITSELF = "(itself)"

# Totals as people read them: title, unit, how many of it are shown (prices are of a million items).
SHOWN = {
    "flops": ("FLOPs", "FLOP", 1),
    "traffic_bytes": ("traffic", "B", 1),
    "parameters": ("parameters", "", 1),
    "parameter_bytes": ("weights", "B", 1),
    "peak_memory_bytes": ("memory", "B", 1),
    "latency_s": ("latency", "s", 1),
    "throughput_per_s": ("throughput", "per s", 1),
    "energy_j": ("energy", "J", 1),
    "transfer_s": ("transfer", "s", 1),
    "cold_start_s": ("cold start", "s", 1),
    "cost_usd": ("cost of 1M", "USD", ITEMS_OF_A_PRICE),
    "usd_per_million_tokens": ("1M tokens", "USD", 1),
    "carbon_g": ("carbon of 1M", "g", ITEMS_OF_A_PRICE),
}
_NUMBERED = re.compile(r"(.*?)(0|[1-9][0-9]{0,8})", re.DOTALL)
_SHORTEST_RUN = 3
_MOST_RUNS = 12
_MONEY = ("USD", "per s")  # without prefixes: nobody pays kilodollars


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """The JSON object; units stand in the keys, and each figure has `before`, `after`, `difference` and `ratio`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "before": comparison.before.to_dict(),
        "after": comparison.after.to_dict(),
        "changed": comparison.changed,
        "failed": [broken.to_dict() for broken in comparison.failed],
        "added": list(comparison.added),
        "removed": list(comparison.removed),
        "warnings": list(comparison.warnings),
        "totals": {name: change.to_dict() for name, change in comparison.totals.items()},
        "modules": [row.to_dict() for row in comparison.modules],
    }


def comparison_csv(comparison: Comparison) -> str:
    """The total, then one line per module."""
    from ..results.comparison import FIGURES

    header = ["module", "status", *(f"{n}_{p}" for n in FIGURES for p in ("before", "after", "difference", "ratio"))]
    total = [_TOTAL, "changed" if comparison.changed else "same"]
    rows = [[*total, *_values([comparison.totals[name] for name in FIGURES])]]
    for row in comparison.modules:
        rows.append([row.module, row.status, *_values([getattr(row, name) for name in FIGURES])])
    return csv_text(header, rows)


def _values(changes: Sequence[Change]) -> list[Any]:
    return [value for change in changes for value in change.to_dict().values()]


def comparison_view(comparison: Comparison, *, depth: int | None = None) -> RenderableType:
    """The limits that are broken, what is compared, the totals, and the modules that changed."""
    from rich.console import Group
    from rich.text import Text

    from .table import grid_view, pairs_view, total_grid_view

    parts: list[RenderableType] = [Text(f"FAILED {broken}", "bold red") for broken in comparison.failed]
    parts.append(pairs_view(comparison_heading(comparison)))
    parts += [Text(f"Warning: {text}", "bold yellow") for text in comparison.warnings]
    parts += [Text(), grid_view(total_columns(comparison))]
    shown = outlined(comparison, depth)
    if shown.rows:
        parts += [Text(), total_grid_view(module_columns(comparison, shown.rows))]
    parts.append(Text(". ".join(notes(comparison, shown)) + ".", "dim"))
    return Group(*parts)


def outlined(comparison: Comparison, depth: int | None) -> Outline:
    """The modules that have a row."""
    from ..predict.diff_tree import outline

    return outline(comparison, depth=depth, most=SHORT)


def comparison_heading(comparison: Comparison, *, between: str = " ... ") -> list[tuple[str, str]]:
    """What is compared, and which modules are on one side alone."""
    sides = [("before", _side(comparison.before)), ("after", _side(comparison.after))]
    alone = [("added", comparison.added), ("removed", comparison.removed)]
    return [*sides, *((name, runs_text(paths, between)) for name, paths in alone if paths)]


def runs_text(paths: Sequence[str], between: str) -> str:
    """Paths in words: those that are numbered one after the other by their first and last, and no more than a few."""
    runs: list[list[str]] = []
    for path in paths:
        if runs and _follows(runs[-1][-1], path):
            runs[-1].append(path)
        else:
            runs.append([path])
    texts = []
    for run in runs:
        if len(run) >= _SHORTEST_RUN:
            texts.append(f"{shortened(run[0])}{between}{shortened(run[-1])} ({len(run)})")
        else:
            texts += map(shortened, run)
    left = len(texts) - _MOST_RUNS
    return ", ".join([*texts[:_MOST_RUNS], *([f"and {left} more"] if left > 0 else [])])


def shortened(text: str, most: int = 120) -> str:
    """Text of which the middle is left out where it is long."""
    half = (most - 3) // 2
    return text if len(text) <= most else f"{text[:half]}...{text[-half:]}"


def _follows(one: str, other: str) -> bool:
    first, second = _NUMBERED.fullmatch(one), _NUMBERED.fullmatch(other)
    return first is not None and second is not None and first[1] == second[1] and int(first[2]) + 1 == int(second[2])


def _side(side: Side) -> str:
    parts = [side.model or "(unnamed)", *(f"{name} {value}" for name, value in side.sizes.items())]
    if side.hardware is None:
        return ", ".join([*parts, *([side.precision] if side.precision else []), "without hardware"])
    threads = [] if side.threads is None else [f"{side.threads} threads"]
    sustained = ["sustained"] if side.sustained else []
    devices = [f"{side.devices} devices"] if side.devices > 1 else []
    return ", ".join([*parts, side.hardware, str(side.precision), str(side.execution), *threads, *sustained, *devices])


def total_columns(comparison: Comparison) -> list[Column]:
    """One row for each figure that is known on a side."""
    known = [
        (*shown, comparison.totals[name])
        for name, shown in SHOWN.items()
        if comparison.totals[name].before is not None or comparison.totals[name].after is not None
    ]
    return [
        Column("total", "", [title for title, *_ in known], numeric=False),
        Column("before", "", [_amount(change.before, unit, of) for _, unit, of, change in known]),
        Column("after", "", [_amount(change.after, unit, of) for _, unit, of, change in known]),
        Column("difference", "", [_amount(c.difference, unit, of, signed=True) for _, unit, of, c in known]),
        Column("ratio", "", [_ratio(change) for *_, change in known]),
    ]


def _amount(value: float | None, unit: str, of: int, *, signed: bool = False) -> str:
    if value is None:
        return "not known"
    if value == 0:
        return "0"
    value *= of
    sign = "-" if value < 0 else "+" if signed and value > 0 else ""
    size = abs(value)
    return sign + (f"{significant(size)} {unit}" if unit in _MONEY else quantity(size, unit))


def _ratio(change: Change) -> str:
    return "" if change.ratio is None else f"{change.ratio:.3f}"


def notes(comparison: Comparison, shown: Outline) -> list[str]:
    """What is to be said of the modules that have no row of their own."""
    if not shown.rows and not shown.shifted:
        return ["No module differs" if not comparison.changed else "No difference is in a module"]
    said = []
    hidden = shown.units - len(shown.rows) - len(shown.shifted)
    if hidden:
        said.append(f"Unchanged: {hidden} of {shown.units} modules")
    if shown.shifted:
        moved_s = sum(row.latency_s.difference or 0 for row in shown.shifted)
        time = f", by {_amount(moved_s, 's', 1, signed=True)} in all" if moved_s else ""
        said.append(
            f"The same work in a little other time or energy{time}, as starts and caches are shared: "
            f"{len(shown.shifted)} of {shown.units} modules"
        )
    if shown.grouped and shown.whole:
        said.append("What was added or removed as a whole is one row; --depth or depth= shows more")
    elif shown.grouped:
        said.append(f"Modules below depth {shown.depth} of {shown.deepest} are added up; --depth or depth= shows more")
    return said or ["All modules differ"]


def module_columns(comparison: Comparison, rows: Sequence[ModuleChange]) -> list[Column]:
    """Differences of each module, and its latency before and after where times are known."""
    totals = comparison.totals
    status = [*(row.status for row in rows), ""]
    names = [*(row.module or _ITSELF for row in rows), "total"]
    columns = [
        Column("module", "", names, numeric=False, flexible=True),
        Column("status", "", status, numeric=False),
    ]
    for name, title, spare in (
        ("flops", "FLOPs", 0),
        ("traffic_bytes", "traffic", 1),
        ("parameter_bytes", "weights", 2),
    ):
        unit = "FLOP" if name == "flops" else "B"
        columns += _differences([*(getattr(row, name) for row in rows), totals[name]], title, unit, spare)
    columns += _times([*(row.latency_s for row in rows), totals["latency_s"]])
    columns += _differences([*(row.energy_j for row in rows), totals["energy_j"]], "energy", "J", 3)
    columns += _costs([*(row.cost_usd for row in rows), totals["cost_usd"]])
    return columns


def _differences(changes: Sequence[Change], title: str, unit: str, spare: int) -> list[Column]:
    """One column of signed differences; none where nothing is known to differ."""
    sizes = [abs(change.difference) for change in changes if change.difference is not None]
    if not any(sizes):
        return []
    scale = scale_for(max(sizes), unit, decimals=2)
    return [Column(title, scale.unit, [_signed(change.difference, scale.show) for change in changes], spare=spare)]


def _times(changes: Sequence[Change]) -> list[Column]:
    known = [value for change in changes for value in (change.before, change.after) if value is not None]
    if not known:
        return []
    scale = scale_for(max(known), "s", decimals=2)
    return [
        Column(
            "before", scale.unit, ["?" if change.before is None else scale.show(change.before) for change in changes]
        ),
        Column("after", scale.unit, ["?" if change.after is None else scale.show(change.after) for change in changes]),
        Column("latency", scale.unit, [_signed(change.difference, scale.show) for change in changes]),
        Column("ratio", "", [_ratio(change) for change in changes]),
    ]


def _costs(changes: Sequence[Change]) -> list[Column]:
    if all(change.difference is None for change in changes):
        return []
    cells = [_signed(change.difference, lambda usd: significant(ITEMS_OF_A_PRICE * usd)) for change in changes]
    return [Column("cost", "USD/1M", cells, spare=4)]


def _signed(value: float | None, show: Any) -> str:
    if value is None:
        return "?"
    if value == 0:
        return "0"
    shown = str(show(abs(value)))
    if shown.startswith("<"):  # what rounds to 0
        return shown if value > 0 else f">-{shown[1:]}"
    return ("-" if value < 0 else "+") + shown
