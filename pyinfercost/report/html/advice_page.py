"""HTML report of advice: what would make a model cheaper."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...results.advice import RISKS
from ..advice import (
    accuracy_pairs,
    advice_columns,
    amount_text,
    comparison_columns,
    condition_pairs,
    plans_of,
    question_pairs,
    range_text,
    saved_text,
    share_text,
    step_columns,
    unhelpful_pairs,
)
from ..colors import RISK, color_variables
from .parts import asset
from .static_page import Bar, Bars, Cards, Code, Details, Legend, Pairs, Panel, Part, Steps, Text, static_page, table

if TYPE_CHECKING:
    from ...results.advice import Advice, AdvicePlan, AdviceRow

_RISK_WORDS = {
    "none": "results stay the same",
    "rounding": "rounding to 16 bits",
    "small": "formats of 8 and 4 bits",
    "retrain": "the model is trained again",
}
_ALL = 100.0


def advice_page(advice: Advice) -> str:
    """Return the report: one file without scripts, which loads nothing."""
    main = [_cards(advice), _savings(advice), *_rows(advice)]
    main += [_plan(name, plan, advice) for name, plan in plans_of(advice)]
    main += [*_accuracy(advice), *_comparison(advice), *_unhelpful(advice), *_commands(advice)]
    return static_page(
        f"{advice.model}: what would make this cheaper",
        main,
        kicker="What would make this cheaper",
        heading=advice.model,
        lead=f"{advice.sentence}.",
        about=[pair for pair in question_pairs(advice) if pair[0] != "model"],
        style=color_variables(RISK) + asset("advice.css"),
        has_charts=False,
        foot=(
            ". All figures are predictions; each command prints those of its row again. --format json has all figures."
        ),
    )


def _cards(advice: Advice) -> Cards:
    """Return the present cost, and the cost with each plan."""
    value, of = amount_text(advice, advice.baseline)
    found = [(value, f"{of}, as it is now".removeprefix(", "))]
    for name, plan in plans_of(advice):
        value, of = amount_text(advice, plan.setup)
        words = f"{of}, {name[0].lower()}{name[1:]}: {share_text(plan.saving_share)} % less"
        found.append((value, words.removeprefix(", ")))
    if not plans_of(advice):
        most = max((row.saving_share for row in advice.rows), default=0.0)
        found.append((f"{share_text(max(0.0, most))} %", "is the most that anything saves"))
    return Cards(found)


def _savings(advice: Advice) -> Panel:
    """Return a bar for each tactic: its saving, and the range within the bands."""
    if not advice.rows:
        return Panel("What each change saves", [Text(f"{advice.sentence}.")])
    most = max(1e-9, *(row.saving_share for row in advice.rows), *(row.saving_high_share for row in advice.rows))
    bars = Bars([_bar(row, most) for row in advice.rows])
    used = [risk for risk in RISKS if any(row.risk == risk for row in advice.rows)]
    legend = Legend([(risk, "", _RISK_WORDS[risk]) for risk in used])
    note = "Each alone, on what there is now; they do not add up. Lines are ranges within the bands of predictions."
    if not all(row.in_plan for row in advice.rows):
        note += " *: not in a plan, because of its risk or its terms."
    return Panel("What each change saves", [bars, legend], note)


def _bar(row: AdviceRow, most: float) -> Bar:
    shares = (row.saving_share, row.saving_low_share, row.saving_high_share)
    wide, low, high = (round(_ALL * min(1.0, max(0.0, share / most)), 2) for share in shares)
    span = range_text(row.saving_low_share, row.saving_high_share)
    shown = share_text(row.saving_share)
    return Bar(
        name=row.option,
        name_css="" if row.in_plan else "out-of-plan",
        css=row.risk,
        percent=wide,
        low=low,
        high=high,
        value=f"{shown} %",
        band=f"({span})" if span != shown else "",
    )


def _rows(advice: Advice) -> list[Part]:
    if not advice.rows:
        return []
    kinds = ["total", *("" if row.in_plan else "later" for row in advice.rows)]
    conditions = condition_pairs(advice)
    body: list[Part] = [table(advice_columns(advice, wide=True), kinds=kinds, name="fleets")]
    return [Panel("The same in figures", [*body, *([Pairs(conditions, "out")] if conditions else [])])]


def _plan(name: str, plan: AdvicePlan, advice: Advice) -> Panel:
    """Return a plan: its steps with what each adds, how to apply them, and the command of all."""
    text = plan.setup.command or plan.setup.code
    told: list[Part] = [Text("The command that predicts all of it:"), Code(text)] if text else []
    steps = Steps([(step.option, step.apply) for step in plan.steps])
    note = f"It {saved_text(plan)}. Each step is evaluated together with those before it."
    return Panel(name, [table(step_columns(advice, plan, wide=True), name="fleets"), steps, *told], note)


def _accuracy(advice: Advice) -> list[Part]:
    pairs = accuracy_pairs(advice)
    note = "Published ranges are of other models: measure your own before you rely on them."
    return [Panel("What it may cost in accuracy", [Pairs(pairs, "out")], note)] if pairs else []


def _comparison(advice: Advice) -> list[Part]:
    if not advice.comparison:
        return []
    note = "Median, and range over sizes and machines, against the same setup without the tactic."
    return [Panel("Tactics compared", [table(comparison_columns(advice), name="fleets")], note)]


def _unhelpful(advice: Advice) -> list[Part]:
    pairs = unhelpful_pairs(advice)
    return [Panel("What does not help, and why", [Pairs(pairs, "out")])] if pairs else []


def _commands(advice: Advice) -> list[Part]:
    """Return the command of each row, and how it is applied."""
    setups = [("as it is now", advice.baseline, ""), *((row.option, row.setup, row.apply) for row in advice.rows)]
    found = []
    for name, setup, apply in setups:
        text = setup.command or setup.code
        if not text:
            continue
        applied: list[Part] = [Text("To apply it:"), Code(apply)] if apply else []
        found.append(Details(name, [*applied, Code(text)]))
    note = "The command prints the figures of the row again."
    return [Panel("How to reproduce each figure", found, note)] if found else []
