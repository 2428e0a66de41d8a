"""Result types: tactics that make a model cheaper, each with its saving, and the plan that combines them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..report.render import render
from . import figures
from .declared import declared, fact, figure
from .figures import LESS, MORE
from .notices import WithNotices
from .result import Result

RISKS = ("none", "rounding", "small", "retrain")
"""How far results of the model may change, least first: not at all up to the order of sums; by the rounding of 16-bit
floats and TF32; by formats of 8 and 4 bits; so far that the model is to be trained again."""

EFFORTS = ("setting", "code", "build", "training")
"""Effort of a tactic, least first: an argument or a flag, a few lines of code, an engine or a format that is built and
checked, a training."""

OBJECTIVES = figures.keys(figures.OBJECTIVE)
"""Figures that can be minimized."""

MONEY = tuple(key for key in OBJECTIVES if figures.PRICE in figures.FIGURES[key].needs)
"""Objectives that are money."""

FIGURES = figures.keys(figures.ADVICE)
"""Figures of a setup without traffic; with traffic, figures of the workload or the fleet are added."""


@declared
class AdvisedSetup:
    """A setup of the model, with its figures."""

    text: str = fact('The setup in words: `"fp16, compiled, batch 32 on l4"`.', row=False)
    figures: Mapping[str, Any] = fact(
        "Figures by name: of `estimate` and the peak memory of a device, or with requests of `serve` or "
        "`fleet`; None where one is unknown."
    )
    evidence: str = fact("What the band of most of the latency rests on; empty if the machine states nothing.")
    command: str = fact(
        "The command that predicts the figures; empty for a model that has no name on the command line."
    )
    code: str = fact("Lines of Python that predict them; empty where only a command can.", row=False)
    settings: Mapping[str, Any] = fact("What differs from the setup that was given, by name, as JSON values.")


@declared
class AccuracyNote:
    """Known loss of accuracy by a tactic."""

    text: str = fact('In words: `"unmeasured; published: 0.1 to 0.5 points of top-1"`.')
    lost_low: float | None = fact(
        "Least loss, in the unit of `unit`; negative if the accuracy rose. None if nothing is known.", default=None
    )
    lost_high: float | None = fact("Greatest loss.", default=None)
    unit: str = fact('`"points"` of a hundred, or the unit of `evaluate`.', default="points")
    source: str = fact("Where the range was published; empty if it was measured here.", default="")
    measured: bool = fact("Whether `evaluate` measured it on this model.", default=False)


@declared
class TrainingNote:
    """What the training of a row costs, and how many inferences pay for it."""

    text: str = fact("In words, with its assumptions.")
    steps: int = fact("Steps of the training, an assumption.")
    batch: int = fact("Items of a step.")
    seconds: float = figure("Seconds of all steps on the machine of the baseline.", unit="s", better=LESS)
    cost_usd: float | None = figure("USD of all steps; None without a price.", better=LESS)
    inferences: float | None = figure(
        "Items whose saving pays for it, in USD or else in seconds; None if none do.", better=LESS
    )


@declared
class AdviceRow:
    """The best option of one tactic, applied to the baseline alone."""

    tactic: str = fact("Name of the tactic.")
    title: str = fact("Its name for people.")
    option: str = fact('What to do, in words: `"fp16"`, `"a batch of 32"`.')
    group: str = fact("Tactics of one group exclude each other; empty for a tactic that excludes none.")
    setup: AdvisedSetup = fact("The baseline with this option.", row=True)
    saving_share: float = figure("Share of the objective that it saves.", better=MORE)
    saving_low_share: float = figure("Least saving within the bands of both setups.", better=MORE)
    saving_high_share: float = figure("Greatest saving.", better=MORE)
    risk: str = fact("How far results may change: `none`, `rounding`, `small` or `retrain`.")
    effort: str = fact("What it takes: `setting`, `code`, `build` or `training`.")
    accuracy: AccuracyNote = fact("What is known about the accuracy.")
    within_limits: bool = fact("Whether the setup satisfies all limits.")
    in_plan: bool = fact(
        "Whether the plan may use it: its risk is allowed, and it is no change of the terms of a purchase."
    )
    apply: str = fact("Lines of code or settings that apply it.", row=False)
    note: str = fact("A condition, such as that the machine may be interrupted; empty if there is none.")
    training: TrainingNote | None = fact("What its training costs; None if it needs none, or if that is not known.")


@declared
class AdviceStep:
    """One step of a plan."""

    tactic: str = fact("Name of the tactic.")
    option: str = fact("What to do, in words.")
    setup: AdvisedSetup = fact("The setup after this step and all before it.")
    adds_share: float = figure(
        "Share of the baseline's objective that this step saves after those before it; negative if it pays only "
        "together with a later one.",
        better=MORE,
    )
    saving_share: float = figure("Share that this step and all before it save.", better=MORE)
    risk: str = fact("How far results may change: `none`, `rounding`, `small` or `retrain`.")
    effort: str = fact("What it takes: `setting`, `code`, `build` or `training`.")
    accuracy: AccuracyNote = fact("What is known about the accuracy of this step alone.")
    apply: str = fact("Lines of code or settings that apply it.")
    note: str = fact("A condition; empty if there is none.")


@declared
class AdvicePlan:
    """Tactics that are applied together."""

    steps: tuple[AdviceStep, ...] = fact("The steps in order, those on the given machine first.")
    setup: AdvisedSetup = fact("The setup after all of them.")
    saving_share: float = figure("Share of the objective that they save together.", better=MORE)
    saving_low_share: float = figure("Least saving within the bands of both setups.", better=MORE)
    saving_high_share: float = figure("Greatest saving.", better=MORE)
    risk: str = fact("The greatest risk of a step.")


@declared
class Unhelpful:
    """A tactic that saves nothing, with the reason."""

    tactic: str = fact("Name of the tactic.")
    title: str = fact("Its name for people.")
    why: str = fact(
        'The mechanism with its figures: `"80 % of the time is DRAM traffic, which int8 activations do not save"`.'
    )
    option: str = fact("The option that was tried; empty if none could run.", default="")
    saving_share: float | None = figure(
        "What that option saves, 0 or less for one that costs more; None if none could run.", default=None, better=MORE
    )


@declared
class TacticRange:
    """One line of the comparison of tactics: the figures relative to the same setup without the tactic."""

    tactic: str = fact("Name of the tactic.")
    title: str = fact("Its name for people.")
    option: str = fact("What was applied.")
    setups: int = fact("Number of setups over which the ranges extend.")
    speedup: tuple[float, float, float] = fact("Least, median and greatest ratio of throughputs.")
    memory_ratio: tuple[float, float, float] = fact("Least, median and greatest ratio of peak memories.")
    saving_share: tuple[float, float, float] = fact("Least, median and greatest saving of the objective.")
    accuracy: AccuracyNote = fact("What is known about the accuracy.")
    risk: str = fact("How far results may change: `none`, `rounding`, `small` or `retrain`.")


@declared(after="setups")
class Advice(WithNotices, Result):
    """What would make a model cheaper."""

    document_key = "advice"

    model: str = fact("Spec of the model, or its name.")
    sentence: str = fact("The answer in one sentence, with figures.")
    objective: str = fact("The figure that is minimized, one of `OBJECTIVES`.")
    risk: str = fact("The greatest risk that the plan may take: `none`, `rounding`, `small` or `retrain`.")
    enough: float | None = fact("Share whose saving is enough for a plan; None for as much as possible.")
    limits: Mapping[str, float] = fact("Figure -> its greatest value in a plan.")
    within_limits: bool = fact("Whether the baseline satisfies the limits.")
    baseline: AdvisedSetup = fact("The setup that was given.")
    rows: tuple[AdviceRow, ...] = fact("The best option of each tactic that helps, by saving, greatest first.")
    best: AdvicePlan | None = fact("The plan of least objective; None if nothing helps.")
    here: AdvicePlan | None = fact("The best plan that keeps the machine and its price; None if nothing helps there.")
    unhelpful: tuple[Unhelpful, ...] = fact("Tactics that do not help, with reasons.")
    comparison: tuple[TacticRange, ...] = fact(
        "Ranges of the tactics over sizes and machines; empty unless it was asked for."
    )
    setups: int = fact("Number of setups that were evaluated.")

    def row(self, tactic: str) -> AdviceRow | None:
        """Return the row of a tactic; None if it does not help."""
        return next((row for row in self.rows if row.tactic == tactic), None)

    def __repr__(self) -> str:
        line: Any = render(self, "line")
        return f"<Advice {line}>"
