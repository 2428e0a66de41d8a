"""Rows of advice: each tactic alone on the baseline, with its best option, or why it does not help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import Error
from ..results.advice import RISKS, AdviceRow, Unhelpful
from .accuracy import accuracy_note
from .combinations import TOLERANCE, Choice
from .reasons import reason
from .setup_words import advised, first_clause, reasons_in_words
from .tactic import Refusal, Tried
from .training_price import training_note

if TYPE_CHECKING:
    from .case import Case, Outcome
    from .setups import Setup
    from .tactic import Option, Tactic

NOTABLE = 0.01
"""Least share of the objective that a tactic or a plan must save to be advised."""


@dataclass
class _Attempts:
    """The options of one tactic on the baseline.

    Attributes:
        tactic: The tactic.
        ran: Options that can run, with their setups and outcomes.
        refused: The others, with reasons.
    """

    tactic: Tactic
    ran: list[Tried] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


def ranked(case: Case, tactics: Sequence[Tactic]) -> tuple[tuple[AdviceRow, ...], tuple[Unhelpful, ...]]:
    """Return the tactics that help the baseline alone, best first, and the others with reasons.

    Tactics that have nothing to do with the model or the machine, such as a KV cache of a network for images, are in
    neither.
    """
    rows, unhelpful = [], []
    for attempts in _attempts(case, tactics):
        found = _answer(case, attempts)
        if isinstance(found, AdviceRow):
            rows.append(found)
        elif found is not None:
            unhelpful.append(found)
    return tuple(sorted(rows, key=lambda row: -row.saving_share)), tuple(unhelpful)


def _attempts(case: Case, tactics: Sequence[Tactic]) -> list[_Attempts]:
    """Evaluate all options of all tactics at once."""
    offered: list[tuple[_Attempts, Option, Setup]] = []
    found = []
    for tactic in tactics:
        options = tactic.options(case.baseline, case)
        attempts = _Attempts(tactic, refused=list(options.refused))
        found.append(attempts)
        for option in options.found:
            try:
                offered.append((attempts, option, case.baseline.changed(option.change)))
            except Error as error:
                attempts.refused.append(Refusal(text=option.text, why=first_clause(str(error))))
    outcomes = case.evaluator.outcomes([setup for _, _, setup in offered])
    for (attempts, option, setup), outcome in zip(offered, outcomes, strict=True):
        obstacle = case.cannot_run(setup, outcome)
        if obstacle is not None:
            attempts.refused.append(Refusal(text=option.text, why=first_clause(obstacle.why)))
        else:
            attempts.ran.append(Tried(option, setup, outcome))
    return found


def _answer(case: Case, attempts: _Attempts) -> AdviceRow | Unhelpful | None:
    tactic = attempts.tactic
    if not attempts.ran:
        why = reasons_in_words(attempts.refused)
        return Unhelpful(tactic=tactic.name, title=tactic.title, why=why) if why else None
    within = [each for each in attempts.ran if case.is_within_limits(each.outcome)]
    # A baseline that breaks a limit may be helped by steps that do not satisfy it alone.
    candidates = within if within or case.is_within_limits(case.outcome) else attempts.ran
    if not candidates:
        best = _least(case, attempts.ran)
        return Unhelpful(
            tactic=tactic.name,
            title=tactic.title,
            why=case.over_limits(best.setup, best.outcome),
            option=best.option.text,
            saving_share=case.saving(best.outcome),
        )
    best = _least(case, candidates)
    outcome, estimate = case.evaluator.exact(best.setup)
    tried = Tried(best.option, best.setup, outcome, estimate)
    saving = case.saving(outcome)
    if saving < NOTABLE:
        return Unhelpful(
            tactic=tactic.name,
            title=tactic.title,
            why=tactic.why_not(tried, case)
            or reason(tried, case)
            or case.why_not(tried.setup)
            or "the figures do not change",
            option=tried.option.text,
            saving_share=saving,
        )
    return _row(case, Choice(tactic, tried.option), tried)


def _least(case: Case, candidates: Sequence[Tried]) -> Tried:
    """Return the option of least objective; of nearly equal ones the one of least latency."""
    least = min(each.outcome.value(case.objective) for each in candidates)
    near = [each for each in candidates if each.outcome.value(case.objective) <= least * (1 + TOLERANCE)]
    return min(near or candidates, key=lambda each: each.outcome.value("latency_s"))


def _row(case: Case, choice: Choice, tried: Tried) -> AdviceRow:
    tactic, option = choice
    saving, low, high = savings(case, tried.setup, tried.outcome)
    return AdviceRow(
        tactic=tactic.name,
        title=tactic.title,
        option=option.text,
        group=tactic.group,
        setup=advised(case, tried.setup, tried.outcome, (choice,)),
        saving_share=saving,
        saving_low_share=low,
        saving_high_share=high,
        risk=choice.risk,
        effort=choice.effort,
        accuracy=accuracy_note(choice, case),
        within_limits=case.is_within_limits(tried.outcome),
        in_plan=option.in_plan and RISKS.index(choice.risk) <= RISKS.index(case.risk),
        apply=option.apply,
        note=option.note,
        training=training_note(choice, tried, case),
    )


def savings(case: Case, setup: Setup, outcome: Outcome) -> tuple[float, float, float]:
    """Return the saving of an outcome, and its least and greatest value within the bands.

    The relative errors of both setups are taken as independent and added in squares; they usually have the same sign,
    so that the range is a wide one. A setup with the same forward, such as one at another price, has the same error.
    """
    ratio = 1 - case.saving(outcome)
    if (known := case.savings(setup, outcome)) is not None:
        return known
    spread = 0.0 if _same_forward(case.baseline, setup) else (case.outcome.spread**2 + outcome.spread**2) ** 0.5
    return 1 - ratio, 1 - ratio * (1 + spread), 1 - ratio / (1 + spread)


def _same_forward(one: Setup, other: Setup) -> bool:
    fields = ("precision", "engine", "serving", "execution", "threads", "instances", "devices", "layout")
    same = all(getattr(one.placed, name) == getattr(other.placed, name) for name in fields)
    machines = one.placed.machine.id == other.placed.machine.id
    return same and machines and (one.variant, dict(one.sizes)) == (other.variant, dict(other.sizes))
