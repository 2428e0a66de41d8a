"""Result types: tactics that make a model cheaper, each with what it saves, and the plan that combines them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ..report.render import render
from .result import Result

RISKS = ("none", "rounding", "small", "retrain")
"""How far results of the model may change, least first: not at all up to the order of sums; by the rounding of 16-bit
floats and TF32; by formats of 8 and 4 bits; so far that the model is to be trained again."""

EFFORTS = ("setting", "code", "build", "training")
"""What a tactic takes, least first: an argument or a flag, a few lines of code, an engine or a format that is built and
checked, a training."""

OBJECTIVES = ("cost_usd", "usd_per_million_tokens", "usd_per_month", "latency_s", "energy_per_item_j", "carbon_g")
"""Figures that can be minimized."""

FIGURES = (
    "latency_s",
    "latency_low_s",
    "latency_high_s",
    "throughput_per_s",
    "peak_memory_bytes",
    "energy_per_item_j",
    "cost_usd",
    "usd_per_million_tokens",
    "carbon_g",
)
"""Figures of a setup without traffic; with traffic, those of the workload or the fleet come on top."""


@dataclass(frozen=True, kw_only=True)
class AdvisedSetup:
    """One way to run the model, with its figures.

    Attributes:
        text: What it is, in words: `"fp16, compiled, batch 32 on l4"`.
        figures: Figures by name, `FIGURES` and, with a workload or traffic, others; None where one is unknown.
        evidence: What the band of most of the latency rests on; empty if the machine states nothing.
        command: The command that reproduces the figures; empty for a model that has no name on the command line.
        code: Lines of Python that reproduce them.
        settings: What differs from the setup that was given, by name, as JSON values.
    """

    text: str
    figures: Mapping[str, Any]
    evidence: str = ""
    command: str = ""
    code: str = ""
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, kw_only=True)
class AccuracyNote:
    """What is known about the accuracy that a tactic costs.

    Attributes:
        text: In words: `"unmeasured; published: 0.1 to 0.5 points of top-1"`.
        lost_low: Least loss, in the unit of `unit`; negative if the accuracy rose. None if nothing is known.
        lost_high: Greatest loss.
        unit: `"points"` of a hundred, or the unit of `evaluate`.
        source: Where the range was read; empty if it was measured here.
        measured: Whether `evaluate` measured it on this model.
    """

    text: str
    lost_low: float | None = None
    lost_high: float | None = None
    unit: str = "points"
    source: str = ""
    measured: bool = False


@dataclass(frozen=True, kw_only=True)
class TrainingNote:
    """What the training of a row costs, and how many inferences pay for it.

    Attributes:
        text: In words, with what is assumed.
        steps: Steps of the training, an assumption.
        batch: Items of a step.
        seconds: Seconds of all steps on the machine of the baseline.
        cost_usd: USD of all steps; None without a price.
        inferences: Items whose saving pays for it, in USD or else in seconds.
    """

    text: str
    steps: int
    batch: int
    seconds: float
    cost_usd: float | None
    inferences: float | None


@dataclass(frozen=True, kw_only=True)
class AdviceRow:
    """The best option of one tactic, applied to the baseline alone.

    Attributes:
        tactic: Name of the tactic.
        title: Its name for people.
        option: What to do, in words: `"fp16"`, `"a batch of 32"`.
        group: Tactics of one group exclude each other; empty for a tactic that excludes none.
        setup: The baseline with this option.
        saving_share: Share of the objective that it saves.
        saving_low_share: Least saving within the bands of both setups.
        saving_high_share: Greatest saving.
        risk: One of `RISKS`.
        effort: One of `EFFORTS`.
        accuracy: What is known about the accuracy.
        within_limits: Whether the setup satisfies all limits.
        in_plan: Whether the plan may use it: its risk is allowed, and it is no change of the terms of a purchase.
        apply: Lines of code or settings that apply it.
        note: A condition, such as that the machine may be interrupted; empty if there is none.
        training: What its training costs; None if it needs none, or if that is not known.
    """

    tactic: str
    title: str
    option: str
    group: str
    setup: AdvisedSetup
    saving_share: float
    saving_low_share: float
    saving_high_share: float
    risk: str
    effort: str
    accuracy: AccuracyNote
    within_limits: bool = True
    in_plan: bool = True
    apply: str = ""
    note: str = ""
    training: TrainingNote | None = None


@dataclass(frozen=True, kw_only=True)
class AdviceStep:
    """One step of a plan.

    Attributes:
        tactic: Name of the tactic.
        option: What to do, in words.
        setup: The setup after this step and all before it.
        adds_share: Share of the baseline's objective that this step saves after those before it; negative if it pays
            only together with a later one.
        saving_share: Share that this step and all before it save.
        risk: One of `RISKS`.
        effort: One of `EFFORTS`.
        accuracy: What is known about the accuracy of this step alone.
        apply: Lines of code or settings that apply it.
        note: A condition; empty if there is none.
    """

    tactic: str
    option: str
    setup: AdvisedSetup
    adds_share: float
    saving_share: float
    risk: str
    effort: str
    accuracy: AccuracyNote
    apply: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class AdvicePlan:
    """Tactics that are applied together.

    Attributes:
        steps: The steps in order, those on the given machine first.
        setup: The setup after all of them.
        saving_share: Share of the objective that they save together.
        saving_low_share: Least saving within the bands of both setups.
        saving_high_share: Greatest saving.
        risk: The greatest risk of a step.
    """

    steps: tuple[AdviceStep, ...]
    setup: AdvisedSetup
    saving_share: float
    saving_low_share: float
    saving_high_share: float
    risk: str


@dataclass(frozen=True, kw_only=True)
class Unhelpful:
    """A tactic that saves nothing, with the reason.

    Attributes:
        tactic: Name of the tactic.
        title: Its name for people.
        why: The mechanism with its figures: `"80 % of the time is DRAM traffic, which int8 activations do not save"`.
        option: The option that was tried; empty if none could run.
        saving_share: What that option saves, 0 or less for one that costs more; None if none could run.
    """

    tactic: str
    title: str
    why: str
    option: str = ""
    saving_share: float | None = None


@dataclass(frozen=True, kw_only=True)
class TacticRange:
    """One line of the comparison of tactics: the figures relative to the same setup without the tactic.

    Attributes:
        tactic: Name of the tactic.
        title: Its name for people.
        option: What was applied.
        setups: Number of setups over which the ranges extend.
        speedup: Least, median and greatest ratio of throughputs.
        memory_ratio: Least, median and greatest ratio of peak memories.
        saving_share: Least, median and greatest saving of the objective.
        accuracy: What is known about the accuracy.
        risk: One of `RISKS`.
    """

    tactic: str
    title: str
    option: str
    setups: int
    speedup: tuple[float, float, float]
    memory_ratio: tuple[float, float, float]
    saving_share: tuple[float, float, float]
    accuracy: AccuracyNote
    risk: str


@dataclass(frozen=True, repr=False, kw_only=True)
class Advice(Result):
    """What would make a model cheaper.

    Attributes:
        model: Name of the model.
        sentence: The answer in one sentence, with figures.
        objective: The figure that is minimized, one of `OBJECTIVES`.
        risk: The greatest risk that the plan may take.
        enough: Share whose saving is enough for a plan; None for as much as possible.
        limits: Figure -> its greatest value in a plan.
        baseline: The setup that was given.
        within_limits: Whether the baseline satisfies the limits.
        rows: The best option of each tactic that helps, by saving, greatest first.
        best: The plan of least objective; None if nothing helps.
        here: The best plan that keeps the machine and its price; None if nothing helps there.
        unhelpful: Tactics that do not help, with reasons.
        comparison: Ranges of the tactics over sizes and machines; empty unless it was asked for.
        setups: Number of setups that were evaluated.
        notes: Facts about the question that a reader needs: an assumed price, sizes that are fixed.
    """

    model: str
    sentence: str
    objective: str
    risk: str
    limits: Mapping[str, float]
    baseline: AdvisedSetup
    within_limits: bool
    rows: tuple[AdviceRow, ...]
    best: AdvicePlan | None
    here: AdvicePlan | None
    unhelpful: tuple[Unhelpful, ...]
    comparison: tuple[TacticRange, ...]
    setups: int
    notes: tuple[str, ...] = ()
    enough: float | None = None

    def row(self, tactic: str) -> AdviceRow | None:
        """Return the row of a tactic; None if it does not help."""
        return next((row for row in self.rows if row.tactic == tactic), None)

    def __repr__(self) -> str:
        line: Any = render(self, "line")
        return f"<Advice {line}>"
