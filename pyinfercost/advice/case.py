"""`Case`: a model with its deployment and objective, and the outcome of a setup."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf, isnan
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from ..results.units import quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._core import Graph, Hardware
    from ..results.advice import AccuracyNote
    from ..results.estimate import Estimate
    from .setups import Setup, Variant


@dataclass(frozen=True)
class Outcome:
    """The figures of one setup.

    Attributes:
        figures: Figures by name, as in `results.advice.FIGURES`; None where one is unknown.
        evidence: Evidence of the band of most of the latency.
        fits: Whether it fits the memory; True where the owner chooses its size.
        emulated_by: The dtype that computes products for which the machine has no engine; empty if there are none.
        spread: Relative spread of the band of the latency.
        error: Why the setup cannot be evaluated; its figures are empty then.
    """

    figures: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    evidence: str = ""
    fits: bool = True
    emulated_by: str = ""
    spread: float = 0.0
    error: str = ""

    def value(self, name: str) -> float:
        """Return a figure; infinite if it is unknown, so that no search takes it."""
        found = self.figures.get(name)
        return inf if found is None or isnan(found) else float(found)


@dataclass(frozen=True)
class Obstacle:
    """Why a setup cannot run.

    Attributes:
        why: The reason.
        of_engine: Whether the machine lacks an engine, at all sizes.
    """

    why: str
    of_engine: bool = False


class Evaluator(Protocol):
    """Predicts the figures of setups: of a forward, of a server, or of a fleet.

    Attributes:
        evaluated: Number of setups that were evaluated.
    """

    evaluated: int

    def outcomes(self, setups: Sequence[Setup]) -> list[Outcome]:
        """Return the outcome of each setup; one that cannot run has an `error`."""
        ...

    def exact(self, setup: Setup) -> tuple[Outcome, Estimate | None]:
        """Return the outcome of a setup as the command that it prints predicts it, to the last digit.

        The estimate of a forward; None where the setup is no forward.
        """
        ...


class Measures(Protocol):
    """Measures the accuracy of options."""

    def note(self, option: Any) -> AccuracyNote | None:
        """Return the accuracy of an `Option`; None for one that cannot be applied here."""
        ...


class Graphs(Protocol):
    """The graphs of a model in its variants."""

    def open(self, variant: Variant) -> Graph:
        """Return the graph of a variant with its sizes open."""
        ...


@dataclass(frozen=True, kw_only=True)
class Case:
    """A model with its deployment, objective and limits: the input of all tactics.

    Attributes:
        model: Spec or path of the model; empty for a graph or a module.
        title: Name of the model for sentences.
        graphs: Its graphs.
        baseline: The setup that was given.
        outcome: The outcome of the baseline.
        estimate: The estimate of one forward of the baseline, with its layers; None for another kind of setup.
        objective: The figure to minimize.
        limits: Figure -> greatest value.
        risk: The greatest risk that a plan may take.
        machines: Ids of machines that may be rented instead.
        terms: Terms at which they are rented.
        evaluator: Predicts outcomes.
        accuracy: Measures the accuracy of options; None without an evaluation of the caller.
        has_module: Whether the model can be captured again, in another memory format.
        enough: Share of the objective whose saving is enough: plans that save it take as little effort as possible;
            None to save as much as possible.
    """

    model: str
    title: str
    graphs: Graphs
    baseline: Setup
    outcome: Outcome
    estimate: Estimate | None
    objective: str
    limits: Mapping[str, float]
    risk: str
    machines: tuple[str, ...]
    terms: str
    evaluator: Evaluator
    accuracy: Measures | None = None
    has_module: bool = False
    enough: float | None = None

    unit: ClassVar[str] = "forward"
    """Unit of work of a latency."""

    @property
    def machine(self) -> Hardware:
        """The machine of the baseline."""
        return self.baseline.placed.machine

    @property
    def graph(self) -> Graph:
        """The graph of the baseline, with its sizes open."""
        return self.graphs.open(self.baseline.variant)

    def cannot_run(self, setup: Setup, outcome: Outcome) -> Obstacle | None:
        """Return why a setup cannot run; None if it can. Violations of the baseline do not count."""
        if outcome.error:
            return Obstacle(outcome.error)
        if not outcome.fits:
            memory = outcome.figures.get("peak_memory_bytes") or 0
            of_machine = setup.placed.machine
            return Obstacle(
                f"needs {quantity(memory, 'B')}, and {of_machine.id} has {quantity(of_machine.memory_bytes, 'B')}"
            )
        same_machine = setup.placed.machine.id == self.machine.id
        if outcome.emulated_by and not (same_machine and outcome.emulated_by == self.outcome.emulated_by):
            return Obstacle(
                f"{setup.placed.machine.id} has no engine for its products, which {outcome.emulated_by} would compute",
                of_engine=True,
            )
        return None

    def is_within_limits(self, outcome: Outcome) -> bool:
        """Return whether an outcome fits the memory and satisfies all limits."""
        within = all(outcome.value(name) <= most for name, most in self.limits.items())
        return not outcome.error and outcome.fits and within

    def over_limits(self, setup: Setup, outcome: Outcome) -> str:
        """Return which limits a setup breaks, in words."""
        return "; ".join(
            f"{name} would be {outcome.value(name):.4g}, and at most {most:.4g} is allowed"
            for name, most in self.limits.items()
            if outcome.value(name) > most
        )

    def savings(self, setup: Setup, outcome: Outcome) -> tuple[float, float, float] | None:
        """Return the saving of an outcome with its least and greatest value; None where bands of times decide them."""
        return None

    def why_not(self, setup: Setup) -> str:
        """Return why an option saves nothing, where times of a forward do not show it."""
        return ""

    def described(self, setup: Setup) -> str:
        """Return a setup in words; empty for a forward."""
        return ""

    def saving(self, outcome: Outcome) -> float:
        """Return the share of the baseline's objective that an outcome saves; negative if it costs more."""
        return 1.0 - outcome.value(self.objective) / self.outcome.value(self.objective)
