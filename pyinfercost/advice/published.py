"""Losses of accuracy that others published, by method and family of models: `published.toml`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from .._checks import shown
from .._toml import read_toml
from ..errors import InputError

_FILE = Path(__file__).parent / "published.toml"

NOT_MEASURED = "published, not measured"
"""Note on each of these figures."""

ANY = "any"
FAMILIES = (
    "convolutional",
    "vision transformer",
    "encoder",
    "language model",
    "diffusion",
    "recommender",
    ANY,
)
"""Families of models in the file."""

UNITS = ("points", "% of the score", "% of perplexity", "% of FID", "FID")
"""Units of losses: points of a score in percent, or relative to the score."""


class PublishedError(InputError):
    """A family that is unknown, or a row of `published.toml` that cannot be read."""


@dataclass(frozen=True, kw_only=True)
class PublishedLoss:
    """One published loss of accuracy.

    Attributes:
        methods: Formats, precisions or other changes that it is of.
        family: The family of models.
        low: Least loss in `unit`; negative for a gain, None where the source has words alone.
        high: Largest loss.
        unit: One of `UNITS`; empty without numbers.
        finding: The finding of the source, or its models.
        measure: The evaluation.
        source: Where it was published.
        read: Whether the source was read for the file; otherwise it is recalled.
    """

    methods: tuple[str, ...]
    family: str
    low: float | None = None
    high: float | None = None
    unit: str = ""
    finding: str
    measure: str
    source: str
    read: bool

    @property
    def range_text(self) -> str:
        """The loss in words, such as `1 to 3 % of the score lost`."""
        if self.low is None or self.high is None:
            return self.finding
        if self.low == self.high == 0:
            return "no loss"
        share = f"{self.low:g}" if self.low == self.high else f"{self.low:g} to {self.high:g}"
        if self.unit == "% of perplexity":
            return f"{share} % more perplexity"
        return f"{share} {self.unit} worse" if self.unit.endswith("FID") else f"{share} {self.unit} lost"

    def __str__(self) -> str:
        """The loss with its source, and that it was not measured."""
        said = "" if self.low is None else f" ({self.finding})"
        return f"{self.range_text}{said}: {self.measure}, {self.source}; {NOT_MEASURED}"


@cache
def published() -> tuple[PublishedLoss, ...]:
    """Return all rows of the file.

    Raises:
        PublishedError: A row has an unknown key, family or unit, or half a range.
    """
    return tuple(_row(row) for row in read_toml(_FILE)["published"])


def losses(method: str, family: str) -> tuple[PublishedLoss, ...]:
    """Return the published losses of a method: of the family if there are any, else of any model.

    Args:
        method: A format without its group, a precision, `"kv:fp8"`, `"2:4"`, `"channels"`, `"sibling"` ...
        family: One of `FAMILIES`; `"any"` for a model of an unknown kind.

    Raises:
        PublishedError: The family is unknown.
    """
    if family not in FAMILIES:
        raise PublishedError(f"family is {shown(family)}; expected one of {', '.join(FAMILIES)}")
    name = method if method.startswith("kv:") or method == "2:4" else method.partition(":")[0]
    rows = [row for row in published() if name in row.methods]
    return tuple([row for row in rows if row.family == family] or [row for row in rows if row.family == ANY])


def _row(row: dict[str, Any]) -> PublishedLoss:
    known = {field.name for field in fields(PublishedLoss)}
    name = f"{_FILE.name}, row {shown(row.get('methods'))}"
    if unknown := sorted(row.keys() - known):
        raise PublishedError(f"{name} has {', '.join(unknown)}; expected some of {', '.join(sorted(known))}")
    loss = PublishedLoss(**{**row, "methods": tuple(row["methods"])})
    if loss.family not in FAMILIES:
        raise PublishedError(f"{name} has family {shown(loss.family)}; expected one of {', '.join(FAMILIES)}")
    numbers = (loss.low is not None, loss.high is not None, bool(loss.unit))
    if any(numbers) and not all(numbers):
        raise PublishedError(f"{name} has part of a range; expected low, high and unit, or none of them")
    if loss.unit and loss.unit not in UNITS:
        raise PublishedError(f"{name} has unit {shown(loss.unit)}; expected one of {', '.join(UNITS)}")
    return loss
