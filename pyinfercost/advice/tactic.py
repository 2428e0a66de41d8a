"""The protocol of tactics, with options and refusals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ..results.advice import AccuracyNote
    from ..results.estimate import Estimate
    from .case import Case, Outcome
    from .setups import Setup


@dataclass(frozen=True, kw_only=True)
class Option:
    """A change of a setup that a tactic proposes.

    Attributes:
        text: The change, as a noun phrase: `"fp16"`, `"a batch of 32"`.
        phrase: The same in a sentence, after the name of the model: `"in fp16"`, `"at a batch of 32"`; by default
            `"with ..."`.
        change: The change of the setup, as in `Setup.changed`.
        risk: One of `results.advice.RISKS`; empty for the tactic's.
        effort: One of `results.advice.EFFORTS`; empty for the tactic's.
        published: Method in `published.toml` whose loss of accuracy applies; empty for the tactic's.
        accuracy: Its known loss of accuracy, which replaces `published`.
        in_plan: Whether a plan may use it: not, if it changes the terms of a purchase.
        apply: Lines of code or settings that apply it.
        note: A condition to state; empty if there is none.
    """

    text: str
    change: Mapping[str, Any]
    phrase: str = ""
    risk: str = ""
    effort: str = ""
    published: str = ""
    accuracy: AccuracyNote | None = None
    in_plan: bool = True
    apply: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An option that cannot run.

    Attributes:
        text: The option.
        why: The reason, with the feature that the machine or the model lacks.
    """

    text: str
    why: str


@dataclass(frozen=True)
class Options:
    """Options and refusals of a tactic for a setup.

    Attributes:
        found: Options that can run, as far as the tactic knows; the evaluator also leaves out those that exceed the
            memory, and products that a wider dtype emulates.
        refused: Others, with reasons.
    """

    found: Sequence[Option] = ()
    refused: Sequence[Refusal] = ()


@dataclass(frozen=True)
class Tried:
    """An option that was applied to the baseline alone.

    Attributes:
        option: The option.
        setup: The baseline with it.
        outcome: The figures.
        estimate: The estimate of the forward; None for another kind of setup.
    """

    option: Option
    setup: Setup
    outcome: Outcome
    estimate: Estimate | None = None


class Tactic(Protocol):
    """A kind of change that makes a model cheaper. A tactic is a subclass in a file of `advice/tactics/` and a line in
    its table.

    Attributes:
        name: Name in results and in `among=`.
        title: Name for people, a noun phrase.
        group: Tactics of one group exclude each other: they set the same things. Empty if there is no other.
        risk: The least risk of its options, one of `results.advice.RISKS`.
        effort: The usual effort, one of `results.advice.EFFORTS`.
        published: Method in `published.toml` whose loss of accuracy applies; empty if results do not change.
        needs: The setups that it changes: `"forward"`, or `"traffic"` for setups with a workload or traffic.
        buys: Whether it changes the rented machine: the plan that keeps the machine leaves it out.
    """

    name: str
    title: str
    group: str = ""
    risk: str = "none"
    effort: str = "setting"
    published: str = ""
    needs: str = "forward"
    buys: bool = False

    def options(self, setup: Setup, case: Case) -> Options:
        """Return the options of this tactic for a setup, without those that the setup has already."""
        return Options()

    def why_not(self, tried: Tried, case: Case) -> str:
        """Return why the tactic does not help the baseline: the mechanism, with figures.

        Args:
            tried: The best option that was evaluated.
            case: The model and its deployment, with the outcome of the baseline.

        Returns:
            The reason; empty for the usual one, from the terms of the times before and after.
        """
        return ""
