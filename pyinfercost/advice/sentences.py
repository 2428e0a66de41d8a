"""The answer in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..results.figures import OF_TOKENS
from .facts import items_word
from .reasons import joined, short, short_number
from .tactics import TACTICS

if TYPE_CHECKING:
    from .case import Case, Outcome
    from .plan_steps import Planned

_MILLION = 1_000_000
_NEARLY_ALL = 0.99


def sentence_of(case: Case, best: Planned | None, here: Planned | None, most: float) -> str:
    """Return the cost of the model, and its cost with a plan, without a full stop.

    Args:
        case: The model, its deployment and the objective.
        best: The best plan.
        here: The best plan that rents nothing else.
        most: The greatest saving that was found.
    """
    start = f"{case.title} on {place_of(case)} {_verb(case)} {amount_of(case, case.outcome)}"
    if not case.is_within_limits(case.outcome):
        start += f", which {_broken(case)}"
    first = here or best
    if first is None:
        if not case.is_within_limits(case.outcome):
            return f"{start}; nothing that was tried satisfies that"
        return f"{start}, and nothing that was tried saves more than {100 * max(most, 0.0):.1f} %"
    if case.enough is not None and most < case.enough:
        start += f", and nothing that was tried saves {100 * case.enough:.0f} %"
    sentence = f"{start}; {_plan_words(case, first)}"
    if best is None or best is first:
        return sentence
    return f"{sentence}; {_phrases(best)}: {amount_of(case, best.outcome, brief=True)}"


def _plan_words(case: Case, plan: Planned) -> str:
    outcome = plan.outcome
    saving = case.saving(outcome)
    decimals = 1 if saving > _NEARLY_ALL else 0
    saved = f"{100 * abs(saving):.{decimals}f} % {'less' if saving >= 0 else 'more'}"
    if plan.plan.saving_low_share <= 0 < saving:
        low, high = plan.plan.saving_low_share, plan.plan.saving_high_share
        saved += f" (the error bands allow {100 * low:.0f} to {100 * high:.0f} %)"
    words = f"{_phrases(plan)} it {_verb(case)} {amount_of(case, outcome, brief=True)}, {saved}"
    old_s, new_s = case.outcome.value("latency_s"), outcome.value("latency_s")
    if case.objective == "latency_s":
        return words
    return f"{words}, at {short(new_s, 's')} instead of {short(old_s, 's')}" if new_s != old_s else words


def _phrases(plan: Planned) -> str:
    order = {tactic.name: place for place, tactic in enumerate(TACTICS)}
    choices = sorted(plan.choices, key=lambda choice: (choice.tactic.buys, order.get(choice.tactic.name, 0)))
    return joined([choice.option.phrase or f"with {choice.option.text}" for choice in choices])


def place_of(case: Case) -> str:
    """Return where the baseline runs."""
    on = case.baseline.placed
    return f"{on.devices} {on.machine.id}" if on.devices > 1 else on.machine.id


def _verb(case: Case) -> str:
    return {"latency_s": "takes", "energy_per_item_j": "takes", "carbon_g": "emits"}.get(case.objective, "costs")


def amount_of(case: Case, outcome: Outcome, *, brief: bool = False) -> str:
    """Return the objective of an outcome with its unit.

    Args:
        case: The model, its deployment and the objective.
        outcome: The outcome.
        brief: Leave out the reference of the unit, which precedes.
    """
    value = outcome.value(case.objective)
    served = case.unit == "request"
    word = "requests" if served else items_word(case.graph)
    if case.objective == "latency_s":
        return short(value, "s") + ("" if brief else f" for a {case.unit}")
    if case.objective == "energy_per_item_j":
        return short(value, "J") + ("" if brief else " a request" if served else " an item")
    if case.objective == "carbon_g":
        return short(value * _MILLION, "g") + ("" if brief else f" of CO2 per million {word}")
    if case.objective == "usd_per_month":
        return f"{short_number(value)} USD a month"
    tokens = outcome.figures.get(OF_TOKENS["cost_usd"])
    of_million = value * _MILLION if case.objective == "cost_usd" else value
    word = word if tokens is None else "tokens"
    return f"{short_number(of_million if tokens is None else tokens)} USD" + ("" if brief else f" per million {word}")


def _broken(case: Case) -> str:
    if not case.outcome.fits:
        return "does not fit its memory"
    broken = [name for name, most in case.limits.items() if case.outcome.value(name) > most]
    if not broken:
        return f"misses its limits ({case.over_limits(case.baseline, case.outcome)})"
    return f"breaks the limit on {' and '.join(broken)}"
