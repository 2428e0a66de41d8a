"""Renderers of comparisons: rows, tables, and Markdown for a pull request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..deployment.engines import TORCH
from ..predict.diff_tree import outline
from ..results import figures
from ..results.profile_changes import UNCHANGED, ModuleChange
from ..results.units import amount, scale_for, significant
from .comments import LONGEST_LINE, MOST_BYTES, bytes_of, fitting_table, limited, one_line, shortened
from .delimited import escaped, markdown_table
from .derived import columns_of, row_of
from .html.snippet import snippet_of
from .layout import ALARM, GAP, WARNING, Column, Note, Pairs, Table
from .rows import SHORT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..predict.diff_tree import Outline
    from ..results.figures import Figure
    from ..results.profile_changes import Change, ProfileChanges, Side
    from .layout import Layout, Part

_TOTAL = "(total)"
_ITSELF = "(itself)"

_SHOWN = figures.of_scope(figures.DIFF)
_NUMBERED = re.compile(r"(.*?)(0|[1-9][0-9]{0,8})", re.DOTALL)
_SHORTEST_RUN = 3
_MOST_RUNS = 12

_TIMED = ("latency_s", "energy_j", "cost_usd", "peak_memory_bytes")
_COUNTED = ("flops", "parameter_bytes", "peak_memory_bytes")
_TERMS = ("hardware", "precision", "engine", "execution")
_LONGEST_NAME = 120
_SMALLEST = 0.05  # percent, which is shown as 0.1


COLUMNS = columns_of(ModuleChange)


def changes_rows(changes: ProfileChanges) -> list[dict[str, Any]]:
    """Return the total, whose module is `(total)`, then one row per module."""
    status = "changed" if changes.changed else UNCHANGED
    total = ModuleChange(module=_TOTAL, status=status, figures=changes.totals)
    return [row_of(each) for each in (total, *changes.modules)]


def changes_layout(changes: ProfileChanges, *, depth: int | None = None) -> Layout:
    """Return the exceeded limits, the compared profiles, the totals, and the changed modules."""
    parts: list[Part] = [Note(f"FAILED {broken}", ALARM) for broken in changes.failed]
    parts.append(Pairs(changes_heading(changes)))
    parts += [Note(f"Warning: {text}", WARNING) for text in changes.warnings]
    parts += [GAP, Table(total_columns(changes))]
    shown = outlined(changes, depth)
    if shown.rows:
        parts += [GAP, Table(module_columns(changes, shown.rows), total=True)]
    parts.append(Note(". ".join(notes(changes, shown)) + "."))
    return parts


def changes_snippet(changes: ProfileChanges) -> str:
    """Return the compared profiles and the totals, as HTML for a notebook."""
    lines = Pairs(changes_heading(changes))
    return snippet_of([lines, Table(total_columns(changes)), *(Note(text) for text in changes.warnings)])


def outlined(changes: ProfileChanges, depth: int | None) -> Outline:
    """Return the modules that have a row."""
    return outline(changes, depth=depth, most=SHORT)


def changes_heading(changes: ProfileChanges, *, between: str = " ... ") -> list[tuple[str, str]]:
    """Return the compared profiles, and the modules that exist on one side only."""
    sides = [("before", _side(changes.before)), ("after", _side(changes.after))]
    alone = [("added", changes.added), ("removed", changes.removed)]
    return [*sides, *((name, runs_text(paths, between)) for name, paths in alone if paths)]


def runs_text(paths: Sequence[str], between: str) -> str:
    """Summarize paths: consecutively numbered ones by the first and the last, and only a few in all."""
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


def _follows(one: str, other: str) -> bool:
    first, second = _NUMBERED.fullmatch(one), _NUMBERED.fullmatch(other)
    return first is not None and second is not None and first[1] == second[1] and int(first[2]) + 1 == int(second[2])


def _side(side: Side) -> str:
    parts = [side.model or "(unnamed)", *(f"{name} {value}" for name, value in side.sizes.items())]
    if side.hardware is None:
        return ", ".join([*parts, *([side.precision] if side.precision else []), "without hardware"])
    threads = [] if side.threads is None else [f"{side.threads} threads"]
    instances = [f"{side.instances} instances"] if side.instances > 1 else []
    sustained = ["sustained"] if side.sustained else []
    shared = f"layout {side.layout}" if side.layout else "data parallel"
    devices = [f"{side.devices} devices, {shared}"] if side.devices > 1 else []
    engine = [] if side.engine == TORCH else [side.engine]
    way = [side.hardware, str(side.precision), *engine, str(side.execution), *threads, *instances, *sustained, *devices]
    return ", ".join([*parts, *way])


def total_columns(changes: ProfileChanges) -> list[Column]:
    """Return one row for each figure that is known on a side."""
    known = [
        (figure, changes.totals[figure.key])
        for figure in _SHOWN
        if changes.totals[figure.key].before is not None or changes.totals[figure.key].after is not None
    ]
    return [
        Column("total", "", [title_of(figure) for figure, _ in known], numeric=False),
        Column("before", "", [_amount(change.before, figure) for figure, change in known]),
        Column("after", "", [_amount(change.after, figure) for figure, change in known]),
        Column("difference", "", [_amount(change.difference, figure, signed=True) for figure, change in known]),
        Column("ratio", "", [_ratio(change) for _, change in known]),
    ]


def title_of(figure: Figure) -> str:
    """Return the title of a total: `cost of 1M` for a figure of a million items, `1M tokens` for one of tokens."""
    if figure.items > 1:
        return f"{figure.short} of 1M"
    return f"1M {figure.per}" if figure.per else figure.short


def _amount(value: float | None, figure: Figure, *, signed: bool = False) -> str:
    if value is None:
        return "not known"
    if value == 0:
        return "0"
    value *= figure.items
    sign = "-" if value < 0 else "+" if signed and value > 0 else ""
    return sign + amount(abs(value), figure.unit)


def _ratio(change: Change) -> str:
    return "" if change.ratio is None else f"{change.ratio:.3f}"


def notes(changes: ProfileChanges, shown: Outline) -> list[str]:
    """Return notes on the modules without a row of their own."""
    if not shown.rows and not shown.shifted:
        return ["No module differs" if not changes.changed else "The totals differ, but no module does"]
    said = []
    hidden = shown.units - len(shown.rows) - len(shown.shifted)
    if hidden:
        said.append(f"Unchanged: {hidden} of {shown.units} modules")
    if shown.shifted:
        moved_s = sum(row.latency_s.difference or 0 for row in shown.shifted)
        time = f", by {_amount(moved_s, figures.FIGURES['latency_s'], signed=True)} in all" if moved_s else ""
        said.append(
            f"The same work with slightly different time or energy{time}, as starts and caches are shared: "
            f"{len(shown.shifted)} of {shown.units} modules"
        )
    if shown.grouped and shown.whole:
        said.append("Subtrees that were added or removed are one row each; --depth or depth= shows more")
    elif shown.grouped:
        said.append(f"Modules below depth {shown.depth} of {shown.deepest} are summed up; --depth or depth= shows more")
    return said or ["All modules differ"]


def module_columns(changes: ProfileChanges, rows: Sequence[ModuleChange]) -> list[Column]:
    """Return differences of each module and, if times are known, its latency before and after."""
    totals = changes.totals
    status = [*(row.status for row in rows), ""]
    names = [*(row.module or _ITSELF for row in rows), "total"]
    columns = [
        Column("module", "", names, numeric=False, flexible=True),
        Column("status", "", status, numeric=False),
    ]
    for figure in figures.of_scope(figures.MODULE):
        each = [*(row.figures[figure.key] for row in rows), totals[figure.key]]
        columns += _times(each) if figure.key == "latency_s" else _differences(figure, each, len(columns))
    return columns


def _differences(figure: Figure, changes: Sequence[Change], spare: int) -> list[Column]:
    """Return one column of signed differences; none if nothing is known to differ."""
    sizes = [abs(change.difference) for change in changes if change.difference is not None]
    if figure.per:
        if not sizes:
            return []
        cells = [_signed(change.difference, lambda value: significant(figure.items * value)) for change in changes]
        return [Column(figure.short, figure.shown_unit, cells, spare=spare)]
    if not any(sizes):
        return []
    scale = scale_for(max(sizes), figure.unit, decimals=2)
    cells = [_signed(change.difference, scale.show) for change in changes]
    return [Column(figure.short, scale.unit, cells, spare=spare)]


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


def _signed(value: float | None, show: Any) -> str:
    if value is None:
        return "?"
    if value == 0:
        return "0"
    shown = str(show(abs(value)))
    if shown.startswith("<"):  # rounds to 0
        return shown if value > 0 else f">-{shown[1:]}"
    return ("-" if value < 0 else "+") + shown


def changes_markdown(changes: ProfileChanges, *, depth: int | None = None, most: int = MOST_BYTES) -> str:
    """Return the changes as GitHub Markdown; the last rows are dropped if it would exceed `most` bytes."""
    head = [_headline(changes)]
    if changes.failed:
        number = len(changes.failed)
        head += ["", f"❌ **{number} {'limit is' if number == 1 else 'limits are'} broken:**", ""]
        head += limited([f"- ❌ {one_line(str(broken))}" for broken in changes.failed])
    head += ["", *markdown_table(total_columns(changes)), ""]
    head += [f"- {name}: {escaped(shortened(value, 4 * LONGEST_LINE))}" for name, value in _sides(changes)]
    head += limited([f"- ⚠️ Warning: {one_line(text)}" for text in changes.warnings])
    shown = outlined(changes, depth)
    foot = ["", ". ".join(notes(changes, shown)) + "."]
    room = most - bytes_of([*head, *foot])
    return "\n".join([*head, *_table(changes, shown.rows, room), *foot]) + "\n"


def _sides(changes: ProfileChanges) -> list[tuple[str, str]]:
    return changes_heading(changes, between=" … ")


def _headline(changes: ProfileChanges) -> str:
    """Return the main figures and the compared models."""
    said = main_changes(changes)
    terms = _terms(changes)
    where = "on" if changes.before.hardware or changes.after.hardware else "at"
    return f"**{said}**" + (f" {where} {escaped(shortened(terms, LONGEST_LINE))}" if terms else "")


def main_changes(changes: ProfileChanges) -> str:
    """Return the changes of the main figures in words, escaped for Markdown."""
    totals = changes.totals
    timed = any(value is not None for value in (totals["latency_s"].before, totals["latency_s"].after))
    known = [
        name
        for name in (_TIMED if timed else _COUNTED)
        if totals[name].before is not None or totals[name].after is not None
    ]
    if not changes.changed:
        return "no difference"
    return ", ".join(_in_words(figures.FIGURES[name], totals[name]) for name in known) or "no figure is known"


def _in_words(figure: Figure, change: Change) -> str:
    title, unit, of = title_of(figure), figure.unit, figure.items
    if change.before is None or change.after is None:
        return f"{title} not known {'before' if change.before is None else 'after'}"
    if not change.changed:
        return f"{title} same"
    before, after = of * change.before, of * change.after
    if unit == "USD":
        values = f"{significant(before)} → {significant(after)} {unit}"
    else:
        scale = scale_for(max(before, after), unit, decimals=2)
        values = f"{scale.show(before)} → {scale.show(after)} {scale.unit}".rstrip()
    return f"{title} {_percent(change)}({escaped(values)})"


def _percent(change: Change) -> str:
    if change.ratio is None:
        return ""
    share = 100 * (change.ratio - 1)
    size = "\\<0.1" if abs(share) < _SMALLEST else f"{abs(share):.1f}"
    return f"{'-' if share < 0 else '+'}{size} % "


def _terms(changes: ProfileChanges) -> str:
    before, after = changes.before, changes.after
    pairs = [(getattr(before, name), getattr(after, name)) for name in _TERMS]
    parts = [_both(one, other) for one, other in pairs if {one, other} not in ({None}, {TORCH})]
    for name in dict.fromkeys((*before.sizes, *after.sizes)):
        parts.append(f"{name} {_both(before.sizes.get(name), after.sizes.get(name))}")
    return ", ".join(parts)


def _both(one: object, other: object) -> str:
    if one == other:
        return str(one)
    return " → ".join("not given" if value is None else str(value) for value in (one, other))


def _table(changes: ProfileChanges, rows: Sequence[ModuleChange], room: int) -> list[str]:
    """Return as many rows of modules as fit, collapsed if there are many."""
    if not rows:
        return []
    columns = module_columns(changes, rows)
    names = [shortened(name, _LONGEST_NAME) for name in columns[0].cells]
    title, rule, *lines, total = markdown_table([type(columns[0])("module", "", names, numeric=False), *columns[1:]])
    return fitting_table([title, rule], lines, [total], room, what="modules differ")
