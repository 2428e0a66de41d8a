"""Loss of accuracy of a change: measured by the caller, or published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..results.advice import AccuracyNote
from .facts import family_of
from .published import NOT_MEASURED, losses

if TYPE_CHECKING:
    from .case import Case
    from .combinations import Choice
    from .published import PublishedLoss

_UNCHANGED = {
    "none": "unchanged, up to the order of sums",
    "rounding": "unmeasured; results change by the rounding of products",
}
_UNKNOWN = "unmeasured, and nothing published is known here"


def accuracy_note(choice: Choice, case: Case) -> AccuracyNote:
    """Return the known loss of accuracy of an option."""
    if case.accuracy is not None and choice.risk != "none":
        measured = case.accuracy.note(choice.option)
        if measured is not None:
            return measured
    if choice.option.accuracy is not None:
        return choice.option.accuracy
    method = choice.option.published or choice.tactic.published
    if not method and choice.risk in _UNCHANGED:
        return AccuracyNote(text=_UNCHANGED[choice.risk])
    return published_note(method, family_of(case.graph, case.model))


def published_note(method: str, family: str) -> AccuracyNote:
    """Return the published losses of a method.

    Args:
        method: As in `losses`.
        family: Family of the model.
    """
    known = losses(method, family) if method else ()
    ranged = [loss for loss in known if loss.low is not None and loss.high is not None]
    if not ranged:
        return AccuracyNote(text=_words(known[0]), source=known[0].source) if known else AccuracyNote(text=_UNKNOWN)
    unit = ranged[0].unit
    alike = [loss for loss in ranged if loss.unit == unit]
    low = min(loss.low for loss in alike if loss.low is not None)
    high = max(loss.high for loss in alike if loss.high is not None)
    sources = "; ".join(dict.fromkeys(loss.source for loss in alike))
    share = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    text = f"{share} {unit} lost, {NOT_MEASURED}"
    return AccuracyNote(text=text, lost_low=low, lost_high=high, unit=unit, source=sources)


def _words(loss: PublishedLoss) -> str:
    return f"{loss.range_text}; {NOT_MEASURED}"
