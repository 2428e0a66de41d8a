"""Renderers of a review: Markdown for a comment on a pull request, and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..predict.review import ADDED, CHANGED, REMOVED, SAME, UNKNOWN
from ..results import figures
from ..results.declared import document_of
from ..results.units import amount, significant
from .comments import MOST_BYTES, bytes_of, limited, one_line
from .delimited import escaped, markdown_table
from .derived import SCHEMA_VERSION
from .layout import Column
from .profile_changes import changes_heading, changes_markdown, main_changes, title_of
from .render import render

if TYPE_CHECKING:
    from ..predict.review import ModelReview, Review
    from ..results.profile_changes import Change

_FIGURES = ("latency_s", "peak_memory_bytes", "energy_j", "cost_usd")
_UNTIMED = ("flops", "parameter_bytes", "peak_memory_bytes")
_SMALLEST = 0.05  # percent


def review_document(review: Review) -> dict[str, Any]:
    """Return the JSON object: each model with its comparison, the cost of a month, and the exceeded limits."""
    return {"schema_version": SCHEMA_VERSION, "review": _review(review)}


def _review(review: Review) -> dict[str, Any]:
    return {
        "usd_per_month": document_of(review.usd_per_month),
        "failed": [
            {"model": model, "limit": broken.limit, "figure": broken.figure, "reason": broken.reason}
            for model, broken in review.failed
        ],
        "models": [
            {
                "model": each.name,
                "status": each.status,
                "error": each.error,
                "requests_per_month": each.requests_per_month,
                "usd_per_month": document_of(each.usd_per_month),
                "comparison": None if each.comparison is None else render(each.comparison, "dict"),
            }
            for each in review.models
        ],
    }


def review_line(review: Review) -> str:
    """Return the cost of a month, or else what differs, as one line of Markdown."""
    monthly = review.usd_per_month
    if monthly.before is not None and monthly.after is not None:
        if not monthly.changed:
            return f"no difference: {monthly.after:,.2f} USD a month"
        difference = monthly.after - monthly.before
        more = "more" if difference > 0 else "less"
        share = "" if monthly.ratio is None else f", {_percent(monthly.ratio)}"
        return f"{abs(difference):,.2f} USD a month {more} ({monthly.before:,.2f} → {monthly.after:,.2f}{share})"
    differing = [each for each in review.models if each.status != SAME]
    if not differing:
        return "no difference"
    (first, *others) = review.models
    if first.comparison is not None and first.status == CHANGED and not others:
        return main_changes(first.comparison)
    return f"{len(differing)} of {len(review.models)} models {'differs' if len(differing) == 1 else 'differ'}"


def review_markdown(review: Review, *, title: str = "Cost of this change") -> str:
    """Return the review as GitHub Markdown: a line, exceeded limits, a table of the models, and each in detail."""
    lines = [f"### {escaped(title)}", "", f"**{review_line(review)}**"]
    if review.failed:
        number = len(review.failed)
        lines += ["", f"❌ **{number} {'limit is' if number == 1 else 'limits are'} broken:**", ""]
        lines += limited(
            [f"- ❌ {one_line(f'{name}: {broken}' if name else str(broken))}" for name, broken in review.failed]
        )
    lines += ["", *markdown_table(_columns(review))]
    lines += limited([f"- ⚠️ {one_line(f'{each.name}: {each.error}')}" for each in review.models if each.error])
    detailed = [each for each in review.models if each.comparison is not None and each.status not in (SAME, UNKNOWN)]
    room = MOST_BYTES - bytes_of(lines)
    for number, each in enumerate(detailed):
        part = _detail(each, room // (len(detailed) - number))
        if bytes_of(part) > room:
            lines += ["", "Other models are left out: a comment has no room for them; --format json has all."]
            break
        room -= bytes_of(part)
        lines += part
    return "\n".join(lines) + "\n"


def _detail(each: ModelReview, most: int) -> list[str]:
    """Return the comparison of a model, collapsed."""
    if each.comparison is None:
        return []
    head = ["", f"<details><summary>{one_line(each.name)}</summary>", ""]
    foot = ["", "</details>"]
    text = changes_markdown(each.comparison, most=most - bytes_of([*head, *foot]) - 1)
    return [*head, *text.rstrip("\n").split("\n"), *foot]


def _columns(review: Review) -> list[Column]:
    models = review.models
    timed = any(each.comparison and _known(each.comparison.totals["latency_s"]) for each in models)
    shown = [
        name
        for name in (_FIGURES if timed else _UNTIMED)
        if any(each.comparison and _known(each.comparison.totals[name]) for each in models)
    ]
    columns = [
        Column("model", "", [each.name for each in models], numeric=False),
        Column("status", "", [each.status for each in models], numeric=False),
        Column("on", "", [_place(each) for each in models], numeric=False),
        *(Column(title_of(figures.FIGURES[name]), "", [_cell(each, name) for each in models]) for name in shown),
    ]
    if any(_known(each.usd_per_month) for each in models):
        columns.append(Column("USD a month", "", [_monthly(each) for each in models]))
    return columns


def _place(each: ModelReview) -> str:
    if each.comparison is None:
        return ""
    return dict(changes_heading(each.comparison))["after"].partition(", ")[2]


def _cell(each: ModelReview, name: str) -> str:
    if each.comparison is None:
        return "?"
    change = each.comparison.totals[name]
    return _change(each.status, change, lambda value: _shown(name, value))


def _monthly(each: ModelReview) -> str:
    return _change(each.status, each.usd_per_month, lambda value: f"{value:,.2f}")


def _change(status: str, change: Change, show: Any) -> str:
    if status == REMOVED:
        return "" if change.before is None else f"{show(change.before)} → 0"
    if change.after is None or change.before is None:
        return "?" if change.after is None else show(change.after)
    if status == ADDED or not change.changed:
        return str(show(change.after))
    share = "" if change.ratio is None else f" ({_percent(change.ratio)})"
    return f"{show(change.before)} → {show(change.after)}{share}"


def _shown(name: str, value: float) -> str:
    figure = figures.FIGURES[name]
    if figure.unit == "USD":
        return f"{significant(figure.items * value)} USD"
    return amount(value, figure.unit)


def _percent(ratio: float) -> str:
    share = 100 * (ratio - 1)
    sign = "-" if share < 0 else "+"
    return f"{sign}<0.1 %" if abs(share) < _SMALLEST else f"{sign}{abs(share):.1f} %"


def _known(change: Change) -> bool:
    return change.before is not None or change.after is not None
