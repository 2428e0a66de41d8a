"""Tactics compared: the range of the saving of each, over sizes and machines."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from ..errors import Error
from ..results.advice import TacticRange
from ..sources.sizes import batch_name
from .accuracy import accuracy_note
from .combinations import Choice
from .setups import SIZES

if TYPE_CHECKING:
    from .case import Case, Outcome
    from .setups import Setup
    from .tactic import Option, Tactic

_BATCHES = (1, 8, 64)


def compared(case: Case, tactics: Sequence[Tactic]) -> tuple[TacticRange, ...]:
    """Return for each tactic the range of its best option over batches of 1, 8 and 64 and the machines of the case.

    Ranges extend over machines and batches, which have no rows. A figure is relative to the same
    setup without the tactic; setups without the tactic that do not fit their machine are left out.

    Args:
        case: The model, its deployment and the objective.
        tactics: The tactics.
    """
    bases = _bases(case)
    outcomes = case.evaluator.outcomes(bases)
    kept = [
        (setup, outcome)
        for setup, outcome in zip(bases, outcomes, strict=True)
        if not outcome.error and outcome.fits and not outcome.emulated_by
    ]
    found = []
    for tactic in tactics:
        if tactic.buys or tactic.group == "batch":
            continue
        row = _range(case, tactic, kept)
        if row is not None:
            found.append(row)
    return tuple(sorted(found, key=lambda row: -row.saving_share[1]))


def _bases(case: Case) -> list[Setup]:
    """Return the baseline on all machines at all batches."""
    graph = case.graph
    batch = batch_name(graph)
    sizes = [{f"{SIZES}{batch}": size} for size in _BATCHES] if batch in graph.sizes else [{}]
    priced = case.baseline.on.price is not None
    found = []
    for machine in dict.fromkeys((case.machine.id, *case.machines)):
        change = (
            {} if machine == case.machine.id else {"hardware": machine, **({"price": case.terms} if priced else {})}
        )
        for size in sizes:
            try:
                found.append(case.baseline.changed({**change, **size}))
            except Error:
                continue
    return found


def _range(case: Case, tactic: Tactic, bases: Sequence[tuple[Setup, Outcome]]) -> TacticRange | None:
    tried: list[tuple[int, Option, Setup]] = []
    for number, (base, _) in enumerate(bases):
        for option in tactic.options(base, case).found:
            try:
                tried.append((number, option, base.changed(option.change)))
            except Error:
                continue
    outcomes = case.evaluator.outcomes([setup for _, _, setup in tried])
    best: dict[int, tuple[Option, Outcome]] = {}
    for (number, option, _), outcome in zip(tried, outcomes, strict=True):
        if outcome.error or not outcome.fits or outcome.emulated_by:
            continue
        if number not in best or outcome.value(case.objective) < best[number][1].value(case.objective):
            best[number] = (option, outcome)
    if not best:
        return None
    pairs = [(bases[number][1], outcome) for number, (_, outcome) in best.items()]
    options = [option for option, _ in best.values()]
    usual = max(
        {each.text: each for each in options}.values(), key=lambda each: sum(o.text == each.text for o in options)
    )
    choice = Choice(tactic, usual)
    return TacticRange(
        tactic=tactic.name,
        title=tactic.title,
        option=", ".join(dict.fromkeys(each.text for each in options)),
        setups=len(pairs),
        speedup=_span([new.value("throughput_per_s") / old.value("throughput_per_s") for old, new in pairs]),
        memory_ratio=_span([new.value("peak_memory_bytes") / old.value("peak_memory_bytes") for old, new in pairs]),
        saving_share=_span([1 - new.value(case.objective) / old.value(case.objective) for old, new in pairs]),
        accuracy=accuracy_note(choice, case),
        risk=choice.risk,
    )


def _span(values: Sequence[float]) -> tuple[float, float, float]:
    return min(values), median(values), max(values)
