"""The answer to a case: rows, plans, reasons and the sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..results.advice import Advice
from .plan_steps import planned
from .sentences import sentence_of
from .setup_words import advised
from .tactic_comparison import compared
from .tactic_rows import NOTABLE, ranked

if TYPE_CHECKING:
    from ..results.notices import Notice
    from .case import Case
    from .combinations import Combination
    from .plan_steps import Planned
    from .tactic import Tactic

Search = Callable[["Case", "Sequence[Tactic]"], "tuple[Combination | None, Combination | None]"]
"""Finds the best combination of all tactics, and the best one that rents nothing else."""


def answer(
    case: Case, tactics: Sequence[Tactic], notices: Sequence[Notice], search: Search, *, compare: bool = False
) -> Advice:
    """Return the advice on a case.

    Args:
        case: The model, its deployment and the objective.
        tactics: The tactics to try.
        notices: Notices about the question.
        search: How combinations are searched.
        compare: Whether to compare the tactics over sizes and machines.
    """
    rows, unhelpful = ranked(case, tactics)
    combinations = search(case, tactics)
    plans: dict[object, Planned] = {}
    found: list[Planned | None] = []
    for combination in combinations:
        if combination is None or not combination.choices:
            found.append(None)
            continue
        if combination.setup.key not in plans:
            plans[combination.setup.key] = planned(case, combination)
        found.append(plans[combination.setup.key])
    most = max([each.plan.saving_share for each in found if each is not None], default=0.0)
    best, here = (_worth(case, each) for each in found)
    if best is not None and here is not None and best.plan.saving_share - here.plan.saving_share < NOTABLE:
        best = here  # another machine saves too little for a move
    return Advice(
        model=case.model or case.title,
        sentence=sentence_of(case, best, here, most),
        objective=case.objective,
        risk=case.risk,
        enough=case.enough,
        limits=dict(case.limits),
        baseline=advised(case, case.baseline, case.outcome),
        within_limits=case.is_within_limits(case.outcome),
        rows=rows,
        best=None if best is None else best.plan,
        here=None if here is None else here.plan,
        unhelpful=unhelpful,
        comparison=compared(case, tactics) if compare else (),
        setups=case.evaluator.evaluated,
        notices=tuple(notices),
    )


def _worth(case: Case, found: Planned | None) -> Planned | None:
    """Return a plan if it saves enough, or satisfies limits that are not satisfied now."""
    if found is None:
        return None
    saves = found.plan.saving_share >= NOTABLE or not case.is_within_limits(case.outcome)
    return found if saves else None
