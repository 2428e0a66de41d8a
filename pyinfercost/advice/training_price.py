"""Cost of the training that a tactic needs, and the inferences that pay for it.

A backward takes twice the time of its forward (Kaplan et al., Scaling Laws for Neural Language Models,
arXiv:2001.08361, section 2.1), so that a step is three forwards of the model that is trained, and one of its teacher.
The number of steps is an assumption that the text states; costs are proportional to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..deployment.engines import TORCH
from ..errors import Error
from ..results.advice import TrainingNote
from ..sources.sizes import batch_name
from ..tradeoffs.break_even import break_even
from .facts import generates, items_word
from .reasons import short_number
from .setups import SIZES

if TYPE_CHECKING:
    from .case import Case
    from .combinations import Choice
    from .setups import Setup
    from .tactic import Tried

STEPS = 10_000
"""Steps of a training."""

BATCH = 32
"""Items of a step."""

_FORWARDS = 3  # of the trained model in a step: the forward, and a backward of twice its time
_DIGITS = 2
_HOUR = 3600.0
_MINUTE = 60.0


def training_note(choice: Choice, tried: Tried, case: Case) -> TrainingNote | None:
    """Return the cost of the training of an option; None if it needs none, or if it cannot be predicted.

    Args:
        choice: The option.
        tried: The option on the baseline.
        case: The model and its deployment: a forward that computes whole items, no step of a generation.
    """
    objectives = ("cost_usd", "latency_s")
    if choice.effort != "training" or case.estimate is None or case.objective not in objectives:
        return None
    if generates(case.graph):
        return None
    pruned = "prune" in choice.option.change  # zeros are multiplied in a training
    given = _in_training(case.baseline, case)
    student = given if pruned else _in_training(tried.setup, case)
    taught = "model" not in choice.option.change and not pruned
    if given is None or student is None:
        return None
    of_given, of_student = case.evaluator.outcomes([given, student])
    if of_given.error or of_student.error:
        return None
    name = batch_name(case.graph)
    items = given.sizes.get(name, 1)
    forwards = [(of_student, _FORWARDS), *([(of_given, 1)] if taught else [])]
    seconds = STEPS * sum(times * outcome.value("latency_s") for outcome, times in forwards)
    priced = all(outcome.figures.get("cost_usd") is not None for outcome, _ in forwards)
    cost_usd = STEPS * items * sum(t * outcome.value("cost_usd") for outcome, t in forwards) if priced else None
    spent, figure, unit = (seconds, "latency_s", "s") if cost_usd is None else (cost_usd, "cost_usd", "USD")
    saved_of = break_even(spent, case.outcome.value(figure), tried.outcome.value(figure), unit)
    teacher = " and 1 of its teacher" if taught else ""
    cost = "" if cost_usd is None else f" and {short_number(cost_usd)} USD"
    word = items_word(case.graph)
    paid = "" if saved_of.inferences is None else f", paid back by {_count(saved_of.inferences)} {word}"
    return TrainingNote(
        text=f"a training of {STEPS:,} steps of {items} {word} ({_FORWARDS} forwards of it{teacher} each) takes "
        f"{_time(seconds)}{cost} on {given.placed.machine.id}{paid}",
        steps=STEPS,
        batch=items,
        seconds=seconds,
        cost_usd=cost_usd,
        inferences=saved_of.inferences,
    )


def _in_training(setup: Setup, case: Case) -> Setup | None:
    """Return a setup as its training runs: in torch, at the batch of a step if the graph has one."""
    on = setup.on
    changes: dict[str, object] = {}
    if on.engine != TORCH:
        changes |= {"engine": TORCH, "execution": "eager"}
    if on.precision in ("int8", "fp8"):
        changes["precision"] = "native"
    graph = case.graphs.open(setup.variant)
    name = batch_name(graph)
    if name in graph.sizes:
        most = graph.sizes[name]["maximum"]
        changes[f"{SIZES}{name}"] = min(BATCH, most) if most else BATCH
    try:
        return setup.changed(changes)
    except Error:
        return None


def _time(seconds: float) -> str:
    if seconds >= _HOUR:
        return f"{short_number(seconds / _HOUR)} h"
    return f"{short_number(seconds / _MINUTE)} min"


def _count(number: float) -> str:
    for size, word in ((1e9, "billion"), (1e6, "million")):
        if number >= size:
            return f"{short_number(number / size)} {word}"
    return f"{round(number, -max(0, len(f'{number:.0f}') - _DIGITS)):,.0f}"
