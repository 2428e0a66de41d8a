"""Comparisons of two profiles: figures before and after, by module and in total."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isclose

from ..report.render import render
from . import figures
from .figures import WithFigures
from .result import Result

FIGURES = figures.keys(figures.MODULE)
"""Figures of a module, in the order in which reports show them."""

TOTALS = figures.keys(figures.CHANGE)
"""Figures of a whole model, in the order in which reports show them."""

UNCHANGED = "same"

_ROUNDING = 1e-9
"""Relative difference up to which figures are equal: sums of equal numbers may differ in their last digits."""


@dataclass(frozen=True)
class Change:
    """One figure before and after; None on a side where it is unknown."""

    before: float | None
    after: float | None

    @property
    def difference(self) -> float | None:
        """After less before; None if one of them is unknown."""
        return None if self.before is None or self.after is None else self.after - self.before

    @property
    def ratio(self) -> float | None:
        """After over before; None if one of them is unknown or the figure was 0 before."""
        return None if self.before is None or self.after is None or self.before == 0 else self.after / self.before

    @property
    def changed(self) -> bool:
        """Whether the two differ by more than rounding, or only one of them is known."""
        if self.before is None or self.after is None:
            return self.before is not self.after
        return not isclose(self.before, self.after, rel_tol=_ROUNDING)


@dataclass(frozen=True)
class ModuleChange(WithFigures):
    """One module without the modules that it calls, so that modules add up to the total.

    Attributes:
        module: its path; empty for the model itself.
        status: `"added"`, `"removed"`, `"changed"`, or `"same"` if no figure differs.
        figures: the change of each figure in `FIGURES`, which are attributes as well. `cost_usd` is the model's cost by
            the module's share of the latency.
        same_work: whether both sides run the same operators there, with the same counts, on the same terms. The rest of
            the difference is its share of the start of the model, of what lies in a cache, or of what it is fused with.
    """

    module: str
    status: str
    figures: Mapping[str, Change]
    same_work: bool = False


@dataclass(frozen=True)
class Side:
    """Model and deployment of one of the two profiles.

    `hardware` and the fields that belong to it are None for a profile without times. `precision` is None if the
    document does not have it. `price` is the price of an hour in words; `utilization` the share of the paid time in
    use.
    """

    model: str
    hardware: str | None
    precision: str | None
    execution: str | None
    sizes: Mapping[str, int]
    threads: int | None = None
    sustained: bool | None = None
    devices: int = 1
    price: str | None = None
    utilization: float | None = None
    unmodelled: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class BrokenLimit:
    """A broken limit.

    Attributes:
        limit: the limit as it was written.
        figure: key of the figure.
        before: its value before; None if it is unknown.
        after: its value after; None if it is unknown.
        reason: the change and the limit, in words.
    """

    limit: str
    figure: str
    before: float | None
    after: float | None
    reason: str

    def __str__(self) -> str:
        return f"{self.limit}: {self.reason}"


@dataclass(frozen=True)
class Comparison(Result):
    """Differences between two profiles.

    `print(comparison)` shows the totals and the modules that changed. Every figure is a `Change`.

    Attributes:
        before: model and deployment of the first profile.
        after: model and deployment of the second profile.
        warnings: differences besides the model, and operators that no figure includes, in words.
        totals: key -> change of the figure of the whole model.
        modules: the modules of both, in the order of the graph.
        added: the paths that are new: `layer3.6` if everything below it is new, and not each module of it.
        removed: the paths that are gone, likewise.
        failed: the broken limits, of those that `compare` was given.
    """

    before: Side
    after: Side
    warnings: tuple[str, ...]
    totals: Mapping[str, Change] = field(repr=False)
    modules: tuple[ModuleChange, ...] = field(repr=False)
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    failed: tuple[BrokenLimit, ...] = ()

    def __getitem__(self, module: str) -> ModuleChange:
        """Return a module by its path.

        Raises:
            KeyError: neither side has the module.
        """
        for row in self.modules:
            if row.module == module:
                return row
        raise KeyError(f"no module {module!r} on either side; there are {[row.module for row in self.modules][:5]} ...")

    @property
    def changed(self) -> bool:
        """Whether any total or any module differs."""
        return any(total.changed for total in self.totals.values()) or any(
            row.status != UNCHANGED for row in self.modules
        )

    def to_text(self, *, depth: int | None = None, width: int = 100) -> str:
        """Return the table as plain text.

        Args:
            depth: modules below it are added up; None shows modules that were added or removed as a whole as one row,
                and goes down to the modules that differ as far as the table stays short.
            width: of a line, in characters.
        """
        text: str = render(self, "text", depth=depth, width=width)
        return text

    def to_markdown(self, *, depth: int | None = None) -> str:
        """Return the changes as Markdown for a pull request: one line, the totals, and the modules that differ.

        Args:
            depth: as in `to_text`.
        """
        text: str = render(self, "markdown", depth=depth)
        return text
