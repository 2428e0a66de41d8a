"""A comparison of two profiles as Markdown for a pull request: in a line, then what broke, the totals, the modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .comparison import SHOWN, comparison_heading, module_columns, notes, outlined, shortened, total_columns
from .delimited import escaped, markdown_table
from .text import scale_for, significant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..results.comparison import Change, Comparison, ModuleChange

MOST_BYTES = 60_000
"""GitHub takes comments of up to 65,536 characters; a workflow may put some words of its own around this text."""

_TIMED = ("latency_s", "energy_j", "cost_usd", "peak_memory_bytes")
_COUNTED = ("flops", "parameter_bytes", "peak_memory_bytes")
_TERMS = ("hardware", "precision", "execution")
_OPEN_ROWS = 12
_MOST_LINES = 12
_LONGEST_LINE = 300
_LONGEST_NAME = 120
_SMALLEST = 0.05  # percent, which shows as 0.1


def comparison_markdown(comparison: Comparison, *, depth: int | None = None) -> str:
    """What changed, as GitHub renders it: never longer than a comment may be; the last rows give way."""
    head = [_headline(comparison)]
    if comparison.failed:
        number = len(comparison.failed)
        head += ["", f"❌ **{number} {'limit is' if number == 1 else 'limits are'} broken:**", ""]
        head += _limited([f"- ❌ {_line(str(broken))}" for broken in comparison.failed])
    head += ["", *markdown_table(total_columns(comparison)), ""]
    head += [f"- {name}: {escaped(shortened(value, 4 * _LONGEST_LINE))}" for name, value in _sides(comparison)]
    head += _limited([f"- ⚠️ Warning: {_line(text)}" for text in comparison.warnings])
    shown = outlined(comparison, depth)
    foot = ["", ". ".join(notes(comparison, shown)) + "."]
    room = MOST_BYTES - _bytes_of([*head, *foot])
    return "\n".join([*head, *_table(comparison, shown.rows, room), *foot]) + "\n"


def _sides(comparison: Comparison) -> list[tuple[str, str]]:
    return comparison_heading(comparison, between=" … ")


def _headline(comparison: Comparison) -> str:
    """The figures that are asked for first, and what they are of."""
    totals = comparison.totals
    timed = any(value is not None for value in (totals["latency_s"].before, totals["latency_s"].after))
    known = [
        name
        for name in (_TIMED if timed else _COUNTED)
        if totals[name].before is not None or totals[name].after is not None
    ]
    if not comparison.changed:
        said = "no difference"
    else:
        said = ", ".join(_in_words(name, totals[name]) for name in known) or "no figure is known"
    terms = _terms(comparison)
    where = "on" if comparison.before.hardware or comparison.after.hardware else "at"
    return f"**{said}**" + (f" {where} {escaped(shortened(terms, _LONGEST_LINE))}" if terms else "")


def _in_words(name: str, change: Change) -> str:
    title, unit, of = SHOWN[name]
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


def _terms(comparison: Comparison) -> str:
    before, after = comparison.before, comparison.after
    pairs = [(getattr(before, name), getattr(after, name)) for name in _TERMS]
    parts = [_both(one, other) for one, other in pairs if one is not None or other is not None]
    for name in dict.fromkeys((*before.sizes, *after.sizes)):
        parts.append(f"{name} {_both(before.sizes.get(name), after.sizes.get(name))}")
    return ", ".join(parts)


def _both(one: object, other: object) -> str:
    if one == other:
        return str(one)
    return " → ".join("not given" if value is None else str(value) for value in (one, other))


def _table(comparison: Comparison, rows: Sequence[ModuleChange], room: int) -> list[str]:
    """The rows of modules, as many as fit, folded up where they are many."""
    if not rows:
        return []
    columns = module_columns(comparison, rows)
    names = [shortened(name, _LONGEST_NAME) for name in columns[0].cells]
    title, rule, *lines, total = markdown_table([type(columns[0])("module", "", names, numeric=False), *columns[1:]])
    many = len(lines) > _OPEN_ROWS
    before = ["", *([f"<details><summary>{len(lines)} modules differ</summary>", ""] if many else []), title, rule]
    after = [total, *(["", "</details>"] if many else [])]
    cut = "The last {left} of {all} rows are left out: a comment has no room for them; --format json has all."
    room -= _bytes_of([*before, *after, "", cut]) + 2 * len(str(len(lines)))
    fitting = 0
    for line in lines:
        room -= _bytes_of([line])
        if room < 0:
            break
        fitting += 1
    left = len(lines) - fitting
    return [*before, *lines[:fitting], *after, *(["", cut.format(left=left, all=len(lines))] if left else [])]


def _line(text: str) -> str:
    return escaped(shortened(text, _LONGEST_LINE))


def _limited(lines: Sequence[str]) -> list[str]:
    left = len(lines) - _MOST_LINES
    return [*lines[:_MOST_LINES], *([f"- and {left} more"] if left > 0 else [])]


def _bytes_of(lines: Sequence[str]) -> int:
    return sum(len(line.encode()) + 1 for line in lines)
