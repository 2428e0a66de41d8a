"""The best hint for a profile: a single setting or line of code, and its saving."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..predict.profile import ProfileRequest
from ..results.units import percent
from .case import Case
from .graphs import ModelGraphs
from .setup_figures import ForwardEvaluator, outcome_of
from .setups import Setup
from .tactic_rows import NOTABLE
from .tactics import TACTICS

if TYPE_CHECKING:
    from ..results.profile import Profile
    from .tactic import Option

_TACTICS = ("engine", "half_precision", "autocast", "tf32", "execution")
"""Tactics that change neither the graph nor the machine, of a risk of rounding at most."""


def hint_for(profile: Profile) -> str:
    """Return the change that shortens a profiled forward most, in one sentence; empty without one, or without a
    machine.

    Only settings of precision, execution and engine are tried, each alone, by one sweep over the captured graph.

    Args:
        profile: A profile that `profile` returned.
    """
    request, estimate = profile.request, profile.estimate
    if estimate is None or not isinstance(request, ProfileRequest) or request.rules or request.training is not None:
        return ""
    graphs = ModelGraphs(request.captured.graph, request.captured.sizes, request.captured.name)
    evaluator = ForwardEvaluator(graphs)
    baseline = Setup(request.on, sizes=dict(request.captured.sizes), continuous=False)
    case = Case(
        model="",
        title=profile.model,
        graphs=graphs,
        baseline=baseline,
        outcome=outcome_of(estimate, int(profile.counts.total.peak_memory_bytes), 1),
        estimate=estimate,
        objective="latency_s",
        limits={},
        risk="rounding",
        machines=(),
        terms="",
        evaluator=evaluator,
    )
    options: list[Option] = []
    for tactic in TACTICS:
        if tactic.name in _TACTICS:
            options += tactic.options(baseline, case).found
    setups = [baseline.changed(option.change) for option in options]
    runs = [
        (case.saving(outcome), -number)
        for number, (setup, outcome) in enumerate(zip(setups, evaluator.outcomes(setups), strict=True))
        if case.cannot_run(setup, outcome) is None
    ]
    saving, place = max(runs, default=(0.0, 0))
    if saving < NOTABLE:
        return ""
    option = options[-place]
    words = option.phrase or f"with {option.text}"
    changes = " ".join(f"--{name} {value}" for name, value in option.change.items() if value)
    return f"{words} ({changes}) it would take {percent(saving)} % less time"
