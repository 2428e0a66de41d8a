"""Plans: a combination of options as steps in order, each with its addition to the steps before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import Error
from ..results.advice import RISKS, AdvicePlan, AdviceStep
from .accuracy import accuracy_note
from .setup_words import advised
from .tactic_rows import savings

if TYPE_CHECKING:
    from .case import Case, Outcome
    from .combinations import Choice, Choices, Combination
    from .setups import Setup


@dataclass(frozen=True)
class Planned:
    """A plan, with its choices and its outcome.

    Attributes:
        plan: The plan.
        choices: Its options, in the order of its steps.
        outcome: Its outcome.
    """

    plan: AdvicePlan
    choices: Choices
    outcome: Outcome


def planned(case: Case, combination: Combination) -> Planned:
    """Return a combination as a plan.

    Steps on the given machine come first; of those that can run, the next is the one after which the objective is
    least. Every step is evaluated together with those before it, on the path of its command.

    Args:
        case: The model, its deployment and the objective.
        combination: Options that are used together, at least one.
    """
    ordered = _ordered(case, combination.choices)
    steps: list[AdviceStep] = []
    done: Choices = ()
    saved = 0.0
    for choice in ordered:
        done = (*done, choice)
        at = combination.setup if len(done) == len(ordered) else _applied(case, done)
        outcome, _ = case.evaluator.exact(at)
        share = case.saving(outcome)
        steps.append(
            AdviceStep(
                tactic=choice.tactic.name,
                option=choice.option.text,
                setup=advised(case, at, outcome, done),
                adds_share=share - saved,
                saving_share=share,
                risk=choice.risk,
                effort=choice.effort,
                accuracy=accuracy_note(choice, case),
                apply=choice.option.apply,
                note=choice.option.note,
            )
        )
        saved = share
    saving, low, high = savings(case, combination.setup, outcome)
    plan = AdvicePlan(
        steps=tuple(steps),
        setup=steps[-1].setup,
        saving_share=saving,
        saving_low_share=low,
        saving_high_share=high,
        risk=max((step.risk for step in steps), key=RISKS.index),
    )
    return Planned(plan, ordered, outcome)


def _applied(case: Case, choices: Choices) -> Setup:
    return case.baseline.changed({name: value for each in choices for name, value in each.option.change.items()})


def _ordered(case: Case, choices: Choices) -> Choices:
    """Return options in the order of a plan."""
    done: Choices = ()
    left = list(choices)
    while left:
        trials: list[tuple[bool, float, int, Choice]] = []
        for choice in left:
            try:
                setup = _applied(case, (*done, choice))
            except Error:
                continue
            outcome = case.evaluator.outcomes([setup])[0]
            if case.cannot_run(setup, outcome) is None:
                trials.append((choice.tactic.buys, outcome.value(case.objective), len(trials), choice))
        chosen = min(trials)[3] if trials else left[0]
        done = (*done, chosen)
        left.remove(chosen)
    return done
