"""HTML report of advice: what would make a model cheaper, one file without scripts that loads nothing."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from ... import _core
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
from .fleet_parts import head, panel, table
from .parts import asset
from .snippet import standalone

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
    """Return the report."""
    title = f"{advice.model}: what would make this cheaper"
    main = [_cards(advice), _savings(advice), _rows(advice)]
    main += [_plan(name, plan, advice) for name, plan in plans_of(advice)]
    main += [_accuracy(advice), _comparison(advice), _unhelpful(advice), _commands(advice)]
    foot = (
        f"<footer><p>Written by pyinfercost {escape(_core.__version__)}. All figures are predictions; each command "
        "prints those of its row again. --format json has all figures. Nothing is loaded from a network.</p></footer>"
    )
    pairs = [pair for pair in question_pairs(advice) if pair[0] != "model"]
    top = head("What would make this cheaper", advice.model, pairs)
    top = top.replace("<dl>", f'<p class="answer">{escape(advice.sentence)}.</p><dl>', 1)
    style = color_variables(RISK) + asset("base.css") + asset("fleet.css") + asset("advice.css")
    return standalone(title, f"{top}<main>{''.join(main)}</main>{foot}", style, headed=False)


def _cards(advice: Advice) -> str:
    """Return what it costs now, and with each plan."""
    value, of = amount_text(advice, advice.baseline)
    found = [(value, f"{of}, as it is now".removeprefix(", "))]
    for name, plan in plans_of(advice):
        value, of = amount_text(advice, plan.setup)
        words = f"{of}, {name[0].lower()}{name[1:]}: {share_text(plan.saving_share)} % less"
        found.append((value, words.removeprefix(", ")))
    if not plans_of(advice):
        most = max((row.saving_share for row in advice.rows), default=0.0)
        found.append((f"{share_text(max(0.0, most))} %", "is the most that anything saves"))
    items = "".join(
        f'<div class="card"><output>{escape(value)}</output><span class="title">{escape(words)}</span></div>'
        for value, words in found
    )
    return f'<section class="cards" aria-label="Headline figures">{items}</section>'


def _savings(advice: Advice) -> str:
    """Return a bar for each tactic: its saving, and the range within the bands."""
    if not advice.rows:
        return panel("What each change saves", f"<p>{escape(advice.sentence)}.</p>")
    most = max(1e-9, *(row.saving_share for row in advice.rows), *(row.saving_high_share for row in advice.rows))
    lines = "".join(_bar(row, most) for row in advice.rows)
    used = [risk for risk in RISKS if any(row.risk == risk for row in advice.rows)]
    legend = "".join(f'<li><span class="swatch {risk}"></span>{_RISK_WORDS[risk]}</li>' for risk in used)
    note = "Each alone, on what there is now; they do not add up. Lines are ranges within the bands of predictions."
    if not all(row.in_plan for row in advice.rows):
        note += " *: not in a plan, because of its risk or its terms."
    return panel("What each change saves", f'<div class="bars">{lines}</div><ul class="legend">{legend}</ul>', note)


def _bar(row: AdviceRow, most: float) -> str:
    low, high = (min(1.0, max(0.0, share / most)) for share in (row.saving_low_share, row.saving_high_share))
    wide = min(1.0, max(0.0, row.saving_share / most))
    whisker = ""
    if high > low:
        whisker = f'<b style="left:{_ALL * low:.2f}%;width:{_ALL * (high - low):.2f}%"></b>'
    kind = "" if row.in_plan else " out-of-plan"
    span = range_text(row.saving_low_share, row.saving_high_share)
    shown = share_text(row.saving_share)
    band = f" <small>({escape(span)})</small>" if span != shown else ""
    return (
        f'<div class="bar"><div class="name{kind}">{escape(row.option)}</div>'
        f'<div class="track {row.risk}"><i style="width:{_ALL * wide:.2f}%"></i>{whisker}</div>'
        f'<div class="value">{escape(shown)} %{band}</div></div>'
    )


def _rows(advice: Advice) -> str:
    if not advice.rows:
        return ""
    kinds = ["total", *("" if row.in_plan else "later" for row in advice.rows)]
    conditions = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in condition_pairs(advice))
    body = table(advice_columns(advice, wide=True), kinds=kinds, name="fleets")
    return panel("The same in figures", body + (f'<dl class="out">{conditions}</dl>' if conditions else ""))


def _plan(name: str, plan: AdvicePlan, advice: Advice) -> str:
    """Return a plan: its steps with what each adds, how to apply them, and the command of all."""
    steps = "".join(
        f"<li>{escape(step.option)}{f'<pre>{escape(step.apply)}</pre>' if step.apply else ''}</li>"
        for step in plan.steps
    )
    text = plan.setup.command or plan.setup.code
    told = f"<p>The command that predicts all of it:</p><pre>{escape(text)}</pre>" if text else ""
    body = table(step_columns(advice, plan, wide=True), name="fleets") + f'<ol class="steps">{steps}</ol>{told}'
    note = f"It {saved_text(plan)}. Each step is evaluated together with those before it."
    return panel(name, body, note)


def _accuracy(advice: Advice) -> str:
    pairs = accuracy_pairs(advice)
    if not pairs:
        return ""
    lines = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in pairs)
    note = "Published ranges are of other models: measure your own before you rely on them."
    return panel("What it may cost in accuracy", f'<dl class="out">{lines}</dl>', note)


def _comparison(advice: Advice) -> str:
    if not advice.comparison:
        return ""
    note = "Median, and range over sizes and machines, against the same setup without the tactic."
    return panel("Tactics compared", table(comparison_columns(advice), name="fleets"), note)


def _unhelpful(advice: Advice) -> str:
    pairs = unhelpful_pairs(advice)
    if not pairs:
        return ""
    lines = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in pairs)
    return panel("What does not help, and why", f'<dl class="out">{lines}</dl>')


def _commands(advice: Advice) -> str:
    """Return the command of each row, and how it is applied."""
    setups = [("as it is now", advice.baseline, ""), *((row.option, row.setup, row.apply) for row in advice.rows)]
    found = []
    for name, setup, apply in setups:
        text = setup.command or setup.code
        if not text:
            continue
        applied = f"<p>To apply it:</p><pre>{escape(apply)}</pre>" if apply else ""
        found.append(f"<details><summary>{escape(name)}</summary>{applied}<pre>{escape(text)}</pre></details>")
    if not found:
        return ""
    return panel("How to reproduce each figure", "".join(found), "The command prints the figures of the row again.")
