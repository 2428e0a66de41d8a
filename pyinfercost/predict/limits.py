"""Limits on changes of figures: `latency_s:+5%`, `throughput_per_s:-5%`, `peak_memory_bytes:+1e6`, `flops:any`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isclose, isfinite
from typing import TYPE_CHECKING

from .._checks import shown
from ..errors import InputError
from ..results import figures
from ..results.profile_changes import TOTALS, BrokenLimit, Change

if TYPE_CHECKING:
    from ..results.profile_changes import ProfileChanges

UNMODELLED = "unmodelled_ops"
"""Number of calls without a rule, which are in no other figure; a figure of limits only."""

LIMITED = (*TOTALS, UNMODELLED)
"""Figures that may have a limit."""

_ANY = "any"
_STEP = re.compile(r"([+-])\s*(\d+(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?)\s*(%?)", re.IGNORECASE)
_LONGEST = 200  # characters
_ROUNDING = 1e-9
_WHOLE = 100  # percent
_FORMS = "FIGURE:+5% (fails above), FIGURE:-5% (fails below), FIGURE:+0.001 or :-0.001 in its own unit, or FIGURE:any"
_UNITS = {"s": "seconds", "J": "joules", "B": "bytes", "g": "grams", "per s": "items per second"}
_OPTIONS = {
    figures.HARDWARE: "--hardware",
    figures.PRICE: "--price",
    figures.PLACE: "--region or the --price of an instance in one",
    figures.TOKENS: "a model that reads tokens",
    figures.CACHE: "a model with a KV cache",
    figures.PREFILL: "the prefill of a language model, such as hf:config.json#prefill",
    figures.DECODE: "a decode step of a language model, such as hf:config.json#decode",
}
"""Need of a figure -> the option that meets it; a price or a place implies a machine."""


class LimitError(InputError):
    """An invalid limit."""


@dataclass(frozen=True)
class Limit:
    """A limit on the change of a figure.

    Attributes:
        text: The limit as it was written.
        figure: The figure, of the whole model.
        direction: 1 for a limit on growth, -1 for a limit on decrease, 0 for any change.
        amount: Allowed change: a share of the figure before if `relative`, else in the figure's own unit.
        relative: Whether the amount is a share.
    """

    text: str
    figure: str
    direction: int
    amount: float = 0.0
    relative: bool = False


def limit_of(text: str, figures_of: Sequence[str] = LIMITED) -> Limit:
    """Parse a limit.

    Args:
        text: The limit.
        figures_of: Figures that may have a limit.

    Raises:
        LimitError: The form or the figure is unknown.
    """
    if not isinstance(text, str):
        raise LimitError(f"a limit is {_FORMS}; got {shown(text)}")
    figure, colon, said = (part.strip() for part in text.partition(":"))
    if not colon or not figure or not said:
        raise LimitError(f"a limit is {_FORMS}; got {shown(text)}")
    if len(text) > _LONGEST:
        raise LimitError(f"limit {shown(text)} has {len(text)} characters; expected at most {_LONGEST}")
    if figure not in figures_of:
        near = difflib.get_close_matches(figure, figures_of, n=3, cutoff=0.5)
        known = f"did you mean {' or '.join(near)}?" if near else f"expected one of {', '.join(figures_of)}"
        raise LimitError(f"limit {text!r} is of {figure!r}, which is no figure of a comparison; {known}")
    if said == _ANY:
        return Limit(text, figure, 0)
    step = _STEP.fullmatch(said)
    if step is None:
        raise LimitError(f"limit {text!r} ends with {said!r}, which is not understood; {_hint(figure, said)}")
    sign, digits, percent = step.groups()
    amount = float(digits)
    if not isfinite(amount):
        raise LimitError(f"limit {text!r} allows anything; give a smaller number, or leave it out")
    direction = 1 if sign == "+" else -1
    if percent and direction < 0 and amount >= _WHOLE:
        raise LimitError(f"limit {text!r} allows anything: nothing falls by more than 100 %; give less than 100 %")
    return Limit(text, figure, direction, amount / _WHOLE if percent else amount, bool(percent))


def _hint(figure: str, said: str) -> str:
    unsigned = _STEP.fullmatch(f"+{said}")
    if unsigned is not None and float(unsigned[2]) == 0:
        return f"write {figure}:any for a figure that may not change, {figure}:+0 for one that may not grow"
    if unsigned is not None:
        return f"write a sign: +{said} fails where it grew by more, -{said} where it fell by more"
    row = figures.FIGURES.get(figure)
    unit = None if row is None else _UNITS.get(row.unit, row.unit)
    if unit and re.match(r"[+-]", said):
        return f"an absolute limit of {figure} is a number of {unit} without a unit, such as {figure}:+0.001"
    return f"expected {_FORMS}"


def broken_limits(changes: ProfileChanges, limits: Iterable[str]) -> tuple[BrokenLimit, ...]:
    """Return the limits that a comparison breaks, in their order.

    Raises:
        LimitError: A limit is invalid.
    """
    unmodelled = Change(sum(changes.before.unmodelled.values()), sum(changes.after.unmodelled.values()))
    return broken_of({**changes.totals, UNMODELLED: unmodelled}, limits)


def broken_of(changes: Mapping[str, Change], limits: Iterable[str]) -> tuple[BrokenLimit, ...]:
    """Return the limits that changes break, in their order.

    Args:
        changes: Figure -> its change, of all figures that may have a limit.
        limits: The limits.

    Raises:
        LimitError: A limit is invalid.
    """
    checked = [limit_of(text, tuple(changes)) for text in limits]
    reasons = [(limit, changes[limit.figure], _why(limit, changes[limit.figure])) for limit in checked]
    return tuple(
        BrokenLimit(limit=limit.text, figure=limit.figure, before=change.before, after=change.after, reason=why)
        for limit, change, why in reasons
        if why
    )


def _why(limit: Limit, change: Change) -> str:
    """Return why a limit is broken; empty if it is not. An unknown figure breaks all limits on it."""
    before, after = change.before, change.after
    if before is None or after is None:
        side = "on either side" if before is after else "before" if before is None else "after"
        made = _made_with(limit.figure)
        return f"{limit.figure} is not known {side}" + (f"; it takes a profile with {made}" if made else "")
    difference = after - before
    if limit.direction == 0:
        return f"{_did(limit.figure, before, after)}; it may not change" if change.changed else ""
    allowed = limit.amount * abs(before) if limit.relative else limit.amount
    edge = before + limit.direction * allowed
    if limit.direction * difference <= allowed or isclose(after, edge, rel_tol=_ROUNDING):
        return ""
    verb = "grow" if limit.direction > 0 else "fall"
    amount = f"{limit.amount * _WHOLE:.6g} %" if limit.relative else _number(limit.amount)
    return f"{_did(limit.figure, before, after)}; it may {verb} by {amount}"


def _made_with(figure: str) -> str:
    """Return the options that a figure needs, as text; empty for a figure of every profile."""
    row = figures.FIGURES.get(figure)
    needs = frozenset() if row is None else row.needs
    given = [words for need, words in _OPTIONS.items() if need in needs]
    if len(given) > 1 and needs & {figures.PRICE, figures.PLACE}:
        given = given[1:]
    return ", and of ".join(given)


def _did(figure: str, before: float, after: float) -> str:
    verb = "grew" if after > before else "fell"
    share = f" by {_WHOLE * abs(after / before - 1):.3g} %" if before else ""
    return f"{figure} {verb}{share} from {_number(before)} to {_number(after)}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.6g}"
