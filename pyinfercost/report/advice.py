"""Renderers of advice: JSON, rows, and tables."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

from ..results.advice import FIGURES, AdviceRow
from ..results.figures import FIGURES as CATALOG
from ..results.units import percent, quantity, scale_for, significant
from .derived import columns_of, row_of
from .layout import GAP, Column, Command, Note, Pairs, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..results.advice import AccuracyNote, Advice, AdvicePlan, AdviceStep, AdvisedSetup, Unhelpful
    from .layout import Layout, Part

COLUMNS = ("rank", *columns_of(AdviceRow), "accuracy", *FIGURES)
"""Columns of CSV: the baseline, which has no rank, and one row for each tactic that helps."""

_LITTLE = 0.01
_TOGETHER = "A step that adds next to nothing pays, or holds the limits, together with those after it."
_NAMES = 20  # characters of a column of options, before less important columns are left out
_UNITS = {
    "USD/1M": ("USD", "per million"),
    "USD/1M tokens": ("USD", "per million tokens"),
    "USD/month": ("USD", "a month"),
    "J": ("J", "an item"),
    "g/1M": ("g", "per million"),
}

_RISKS = {
    "none": "results stay the same, up to the order of sums",
    "rounding": "results change by the rounding of 16-bit floats",
    "small": "weights or activations may have 8 or 4 bits",
    "retrain": "the model may be trained again",
}


def advice_rows(advice: Advice) -> list[dict[str, Any]]:
    """Return the baseline and one row for each tactic that helps."""
    base = {"tactic": "baseline", "option": advice.baseline.text, "saving_share": 0.0}
    base |= {"within_limits": advice.within_limits, **row_of(advice.baseline), **_figures(advice.baseline)}
    return [
        dict.fromkeys(COLUMNS) | base,
        *(
            {"rank": rank, **row_of(row), "accuracy": row.accuracy.text, **_figures(row.setup)}
            for rank, row in enumerate(advice.rows, 1)
        ),
    ]


def _figures(setup: AdvisedSetup) -> dict[str, Any]:
    return {name: setup.figures.get(name) for name in FIGURES}


def advice_line(advice: Advice) -> str:
    """Return the answer."""
    return advice.sentence


def advice_layout(advice: Advice) -> Layout:
    """Return the sentence, the table of tactics, the plans, why other tactics do not help, and the commands."""
    parts: list[Part] = [Note(f"{advice.sentence}.", ""), GAP, Pairs(question_pairs(advice))]
    if advice.rows:
        parts += [GAP, Table(advice_columns(advice))]
        parts.append(Note("saves: less than now, with its error band as range; risk: to results; takes: work to do."))
        parts.append(Note("Each row is applied alone. Savings do not add up: the plan has figures of its own."))
        if conditions := condition_pairs(advice):
            parts.append(Pairs(conditions))
    for title, plan in plans_of(advice):
        parts += [GAP, Note(f"{title}: {saved_text(plan)}", ""), Table(step_columns(advice, plan))]
        if any(step.adds_share < _LITTLE for step in plan.steps[:-1]):
            parts.append(Note(_TOGETHER))
        if applied := apply_pairs(plan):
            parts += [Note("How to apply it:", ""), Pairs(applied)]
        parts += [Note(PREDICTS, ""), _command(plan.setup)]
    if notes := accuracy_pairs(advice):
        parts += [GAP, Note("Accuracy:", ""), Pairs(notes)]
    if advice.unhelpful:
        parts += [GAP, Note("What does not help:", "")]
        parts.append(Pairs(unhelpful_pairs(advice)))
    if advice.comparison:
        count = max(row.setups for row in advice.comparison)
        parts += [
            GAP,
            Note(f"Tactics over up to {count} setups of batches and machines, least to greatest (median):", ""),
        ]
        parts.append(Table(comparison_columns(advice)))
    if advice.rows:
        parts += [GAP, Note("How to apply each row, and what predicts it:", "")]
        parts += [Note("0 as it is now", ""), _command(advice.baseline)]
        for rank, row in enumerate(advice.rows, 1):
            parts.append(
                Note("\n".join([f"{rank} {row.option}", *(f"  {line}" for line in row.apply.splitlines())]), "")
            )
            parts.append(_command(row.setup))
    return parts


PREDICTS = "What predicts it:"


def apply_pairs(plan: AdvicePlan) -> list[tuple[str, str]]:
    """Return how the steps of a plan are applied."""
    told = [(number, step, step.apply or step.note) for number, step in enumerate(plan.steps, 1)]
    return [(f"  {number} {step.option}", text) for number, step, text in told if text]


def question_pairs(advice: Advice) -> list[tuple[str, str]]:
    """Return what was asked, and of what."""
    limits = ", ".join(f"{name} at most {most:.4g}" for name, most in advice.limits.items())
    searched = CATALOG[advice.objective].goal
    if advice.enough is not None:
        searched = f"a saving of {share_text(advice.enough)} % with the least effort, else the {searched}"
    pairs = [("model", advice.model), ("now", advice.baseline.text), ("searched", searched)]
    if limits:
        pairs.append(("limits", limits + ("" if advice.within_limits else " (not satisfied now)")))
    pairs.append(("plan", f"risk {advice.risk}: {_RISKS[advice.risk]}"))
    pairs.append(("evaluated", f"{advice.setups:,} setups"))
    if evidence := _evidence(advice):
        pairs.append(("evidence", evidence))
    return [*pairs, *(("note", note) for note in advice.notes)]


def _evidence(advice: Advice) -> str:
    """Return what the bands rest on: of the baseline, and of rows where it is another one."""
    usual = advice.baseline.evidence
    others: dict[str, list[str]] = {}
    for row in advice.rows:
        if row.setup.evidence and row.setup.evidence != usual:
            others.setdefault(row.setup.evidence, []).append(row.option)
    return "; ".join(filter(None, [usual, *(f"{word} for {', '.join(rows)}" for word, rows in others.items())]))


def _setups(advice: Advice) -> list[AdvisedSetup]:
    return [advice.baseline, *(row.setup for row in advice.rows)]


def advice_columns(advice: Advice, *, wide: bool = False) -> list[Column]:
    """Return the table of tactics; its first line is the baseline.

    Args:
        advice: The advice.
        wide: Whether there is room for percentiles of latencies.
    """
    rows = advice.rows
    columns = [
        Column("", "", [str(rank) for rank in range(len(rows) + 1)]),
        Column("use", "", ["as it is now", *(row.option for row in rows)], numeric=False, flexible=True, least=_NAMES),
        Column("saves", "%", ["", *(share_text(row.saving_share) for row in rows)]),
        Column("range", "%", ["", *(range_text(row.saving_low_share, row.saving_high_share) for row in rows)], spare=2),
        *_figure_columns(advice.objective, _setups(advice), wide=wide),
        Column("risk", "", ["", *(row.risk for row in rows)], numeric=False),
        Column("takes", "", ["", *(row.effort for row in rows)], numeric=False, spare=1),
    ]
    if not all(row.in_plan for row in rows):
        words = ["", *("" if row.in_plan else "no" for row in rows)]
        columns.append(Column("in plan", "", words, numeric=False, spare=1))
    if not all(row.within_limits for row in rows):
        words = ["" if advice.within_limits else "no", *("" if row.within_limits else "no" for row in rows)]
        columns.append(Column("in limits", "", words, numeric=False))
    return columns


def _figure_columns(objective: str, setups: Sequence[AdvisedSetup], *, wide: bool) -> list[Column]:
    """Return the objective, then times, memory and replicas, as far as they are known."""
    columns = []
    if objective not in (name for name, *_ in _FIGURE_COLUMNS):
        title, unit, factor = _shown(objective)
        values = [setup.figures.get(objective) for setup in setups]
        cells = ["" if value is None else significant(value * factor) for value in values]
        columns.append(Column(title, unit, cells))
    served = any(setup.figures.get("replicas") is not None for setup in setups)
    for name, title, unit, spare in _FIGURE_COLUMNS:
        values = [setup.figures.get(name) for setup in setups]
        known = [value for value in values if value is not None and isfinite(value)]
        hidden = (served and name in _OF_FORWARD) or (name in _WIDE and not wide)
        if not known or hidden or (name == "late_share" and not any(known)):
            continue
        if unit in _SHOWN:
            show = _SHOWN[unit]
            columns.append(Column(title, unit, ["" if value is None else show(value) for value in values], spare=spare))
            continue
        scale = scale_for(max(known), unit)
        shown = [None if value is None or not isfinite(value) else value for value in values]
        words = "request" if served and name == "latency_s" else title
        columns.append(Column(words, scale.unit, [scale.show(value) for value in shown], spare=spare))
    return columns


def _shown(objective: str) -> tuple[str, str, float]:
    """Return the title of an objective's column, its unit, and the factor from the stored number."""
    figure = CATALOG[objective]
    of_tokens = " tokens" if figure.replaces else ""
    return CATALOG[figure.replaces or objective].short, f"{figure.shown_unit}{of_tokens}", figure.items


_OF_FORWARD = ("peak_memory_bytes",)
_WIDE = ("ttft_p99_s", "tpot_p99_s")
_FIGURE_COLUMNS = (
    ("latency_s", "latency", "s", 0),
    ("ttft_p99_s", "ttft p99", "s", 2),
    ("tpot_p99_s", "tpot p99", "s", 2),
    ("late_share", "late", "%", 1),
    ("replicas", "replicas", "", 1),
    ("peak_memory_bytes", "memory", "B", 3),
)
"""Figure, title, unit, and how spare its column is; those that no setup knows are left out."""


_SHOWN: Mapping[str, Callable[[float], str]] = {"%": lambda share: f"{100 * share:.2f}", "": lambda many: f"{many:.3g}"}
"""Unit -> how its numbers are written, where they have no prefix."""


def step_columns(advice: Advice, plan: AdvicePlan, *, wide: bool = False) -> list[Column]:
    """Return the steps of a plan, each with its additional saving."""
    steps = plan.steps
    return [
        Column("step", "", [str(number) for number in range(1, len(steps) + 1)]),
        Column("use", "", [step.option for step in steps], numeric=False, flexible=True, least=_NAMES),
        Column("adds", "%", [share_text(step.adds_share) for step in steps]),
        Column("saves", "%", [share_text(step.saving_share) for step in steps]),
        *_figure_columns(advice.objective, [step.setup for step in steps], wide=wide),
        Column("risk", "", [step.risk for step in steps], numeric=False),
        Column("takes", "", [step.effort for step in steps], numeric=False, spare=1),
    ]


def comparison_columns(advice: Advice) -> list[Column]:
    """Return the tactics with their ranges over sizes and machines."""
    rows = advice.comparison
    return [
        Column("tactic", "", [row.title for row in rows], numeric=False, flexible=True),
        Column("speed", "times", [_span(row.speedup, 1.0, 2) for row in rows]),
        Column("saves", "%", [_span(row.saving_share, 100.0, 0) for row in rows]),
        Column("memory", "times", [_span(row.memory_ratio, 1.0, 2) for row in rows], spare=1),
        Column("risk", "", [row.risk for row in rows], numeric=False),
        Column("setups", "", [str(row.setups) for row in rows], spare=2),
    ]


def _span(values: tuple[float, float, float], factor: float, decimals: int) -> str:
    low, middle, high = (f"{value * factor:.{decimals}f}" for value in values)
    return f"{low} to {high} ({middle})" if low != high else middle


def plans_of(advice: Advice) -> list[tuple[str, AdvicePlan]]:
    """Return the plans with their titles."""
    found = []
    if advice.here is not None:
        found.append(("The plan on the same machine", advice.here))
    if advice.best is not None and advice.best != advice.here:
        found.append(("With what can be rented instead" if found else "The plan", advice.best))
    return found


def saved_text(plan: AdvicePlan) -> str:
    """Return the saving of a plan, with its band."""
    span = range_text(plan.saving_low_share, plan.saving_high_share)
    return f"saves {share_text(plan.saving_share)} % ({span} % within the bands)"


def condition_pairs(advice: Advice) -> list[tuple[str, str]]:
    """Return which rows exclude each other, and what rows need."""
    groups: dict[str, list[str]] = {}
    for row in advice.rows:
        if row.group:
            groups.setdefault(row.group, []).append(row.option)
    pairs = [("choose one of", ", ".join(options)) for options in groups.values() if len(options) > 1]
    for row in advice.rows:
        told = [row.note, "" if row.training is None else row.training.text]
        if any(told):
            pairs.append((row.option, "; ".join(filter(None, told))))
    return pairs


def accuracy_pairs(advice: Advice) -> list[tuple[str, str]]:
    """Return known accuracies of options that change results, of rows and of plans."""
    steps = [step for plan in (advice.here, advice.best) if plan is not None for step in plan.steps]
    known: list[AdviceRow | AdviceStep] = [*advice.rows, *steps]
    found = {each.option: each.accuracy for each in known if each.risk != "none"}
    alike: dict[str, list[str]] = {}
    for option, note in found.items():
        alike.setdefault(_accuracy_text(note), []).append(option)
    return [(", ".join(options), text) for text, options in alike.items()]


def _accuracy_text(note: AccuracyNote) -> str:
    return f"{note.text} ({note.source})" if note.source else note.text


def unhelpful_pairs(advice: Advice) -> list[tuple[str, str]]:
    """Return the tactics that do not help, with reasons."""
    return [(each.title, _why(each)) for each in advice.unhelpful]


def amount_text(advice: Advice, setup: AdvisedSetup) -> tuple[str, str]:
    """Return the objective of a setup with its unit, and its reference."""
    value = setup.figures.get(advice.objective)
    if value is None:
        return "unknown", ""
    if advice.objective == "latency_s":
        return quantity(value, "s"), ""
    _, unit, factor = _shown(advice.objective)
    short, of = _UNITS.get(unit, (unit, ""))
    return f"{significant(value * factor)} {short}", of


def _why(each: Unhelpful) -> str:
    return f"{each.option}: {each.why}" if each.option and each.option != each.title else each.why


def _command(setup: AdvisedSetup) -> Part:
    """Return the command of a setup, or the code of one without a command."""
    if setup.command:
        return Command(setup.command)
    return Note("\n".join(f"  {line}" for line in setup.code.splitlines()), "")


def share_text(share: float) -> str:
    """Return a share in percent, also a negative one."""
    return percent(share) if share >= 0 else f"-{percent(-share)}"


def range_text(low: float, high: float) -> str:
    """Return a range of shares in percent."""
    return share_text(low) if share_text(low) == share_text(high) else f"{share_text(low)} to {share_text(high)}"
