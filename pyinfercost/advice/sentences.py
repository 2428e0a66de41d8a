"""The answer in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10
from typing import TYPE_CHECKING

from ..results.units import quantity
from .facts import items_word

if TYPE_CHECKING:
    from .case import Case, Outcome
    from .combining import Choices

_MILLION = 1_000_000
_DIGITS = 2


def sentence_of(case: Case, choices: Choices, outcome: Outcome | None, most: float) -> str:
    """Return what the model costs, and what it costs with a plan.

    Args:
        case: What is advised.
        choices: The options of the plan, in order.
        outcome: The outcome of the plan; None if there is none.
        most: The greatest saving that was found.
    """
    start = f"{case.title} on {place_of(case)} {_verb(case)} {amount_of(case, case.outcome)}"
    if outcome is None:
        least = max(most, 0.0)
        tried = f"nothing that was tried saves more than {100 * least:.1f} %"
        if not case.is_within_limits(case.outcome):
            return f"{start}, which {_broken(case)}; nothing that was tried satisfies that"
        return f"{start}, and {tried}"
    saved = f"{100 * case.saving(outcome):.0f} % less"
    old_s, new_s = case.outcome.value("latency_s"), outcome.value("latency_s")
    phrases = joined([choice.option.phrase or f"with {choice.option.text}" for choice in choices])
    if case.objective == "latency_s":
        return f"{start}; {phrases} it {_verb(case)} {amount_of(case, outcome)}, {saved}"
    times = f", at {short(new_s, 's')} instead of {short(old_s, 's')}" if new_s != old_s else ", as fast as before"
    return f"{start}; {phrases} it {_verb(case)} {amount_of(case, outcome)}, {saved}{times}"


def joined(parts: Sequence[str]) -> str:
    """Return parts of a sentence with commas, and `and` before the last one."""
    if len(parts) < len(("one", "other")):
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def place_of(case: Case) -> str:
    """Return where the baseline runs."""
    on = case.baseline.placed
    return f"{on.devices} {on.machine.id}" if on.devices > 1 else on.machine.id


def _verb(case: Case) -> str:
    return {"latency_s": "takes", "energy_per_item_j": "takes", "carbon_g": "emits"}.get(case.objective, "costs")


def amount_of(case: Case, outcome: Outcome) -> str:
    """Return the objective of an outcome with its unit, per million items where it is of one."""
    value = outcome.value(case.objective)
    if case.objective == "latency_s":
        return f"{short(value, 's')} for a forward"
    if case.objective == "cost_usd":
        tokens = outcome.figures.get("usd_per_million_tokens")
        word = items_word(case.graph)
        if tokens is not None:
            return f"{_short(tokens)} USD per million tokens"
        return f"{_short(value * _MILLION)} USD per million {word}"
    if case.objective == "usd_per_million_tokens":
        return f"{_short(value)} USD per million tokens"
    if case.objective == "usd_per_month":
        return f"{_short(value)} USD a month"
    if case.objective == "energy_per_item_j":
        return f"{short(value, 'J')} an item"
    return f"{short(value * _MILLION, 'g')} of CO2 per million {items_word(case.graph)}"


def _broken(case: Case) -> str:
    if not case.outcome.fits:
        return "does not fit its memory"
    broken = [name for name, most in case.limits.items() if case.outcome.value(name) > most]
    return f"breaks the limit on {' and '.join(broken)}"


def short(value: float, unit: str) -> str:
    """Return a figure with two significant digits and its unit: `5.3 ms`."""
    return quantity(float(f"{value:.{_DIGITS}g}"), unit) if value else f"0 {unit}"


def _short(value: float) -> str:
    """Return a number with two significant digits and no exponent."""
    if value <= 0:
        return "0"
    digits = max(0, _DIGITS - 1 - floor(log10(value)))
    return f"{value:,.{digits}f}"
