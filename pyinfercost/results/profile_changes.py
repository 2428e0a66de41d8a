"""Comparisons of two profiles: figures before and after, by module and in total."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isclose

from ..errors import UnknownNameError
from ..report.render import render
from . import figures
from .figures import WithFigures
from .result import Result

FIGURES = figures.keys(figures.MODULE)
"""Figures of a module, in report order."""

TOTALS = figures.keys(figures.CHANGE)
"""Figures of a whole model, in report order."""

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
        """After minus before; None if one of them is unknown."""
        return None if self.before is None or self.after is None else self.after - self.before

    @property
    def ratio(self) -> float | None:
        """After divided by before; None if one of them is unknown or the figure was 0 before."""
        return None if self.before is None or self.after is None or self.before == 0 else self.after / self.before

    @property
    def changed(self) -> bool:
        """Whether the two differ by more than rounding, or only one of them is known."""
        if self.before is None or self.after is None:
            return self.before is not self.after
        return not isclose(self.before, self.after, rel_tol=_ROUNDING)


@dataclass(frozen=True)
class ModuleChange(WithFigures):
    """One module without its submodules, so that modules add up to the total.

    Attributes:
        module: Path of the module; empty for the model itself.
        status: `"added"`, `"removed"`, `"changed"`, or `"same"` if no figure differs.
        figures: Change of each figure in `FIGURES`, also available as attributes. `cost_usd` is the model's cost times
            the module's share of the latency.
        same_work: Whether both sides run the same operators in this module, with the same counts, in the same
            deployment. The remaining difference is its share of the model's start, of cache residency, or of fusion
            with other modules.
    """

    module: str
    status: str
    figures: Mapping[str, Change]
    same_work: bool = False


@dataclass(frozen=True)
class Side:
    """Model and deployment of one of the two profiles.

    `hardware` and related fields are None for a profile without times. `precision` is None if the document does not
    state it. `layout` is the text of the layout, empty if each device has the whole model. `price` is a description of
    the price of an hour; `utilization` the fraction of the paid time in use. `host` is the time in which the host of a
    GPU issues an operator of torch, None for other machines, engines, and older documents.
    """

    model: str
    hardware: str | None
    precision: str | None
    engine: str
    execution: str | None
    sizes: Mapping[str, int]
    threads: int | None = None
    instances: int = 1
    sustained: bool | None = None
    devices: int = 1
    layout: str = ""
    price: str | None = None
    utilization: float | None = None
    host: str | None = None
    serving: str = ""
    unmodelled: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class BrokenLimit:
    """An exceeded limit.

    Attributes:
        limit: The limit as given.
        figure: Key of the figure.
        before: Its value before; None if unknown.
        after: Its value after; None if unknown.
        reason: Description of the change and the limit.
    """

    limit: str
    figure: str
    before: float | None
    after: float | None
    reason: str

    def __str__(self) -> str:
        return f"{self.limit}: {self.reason}"


@dataclass(frozen=True)
class ProfileChanges(Result):
    """Differences between two profiles.

    `print(changes)` shows the totals and the modules that changed. Every figure is a `Change`.

    Attributes:
        before: Model and deployment of the first profile.
        after: Model and deployment of the second profile.
        warnings: Differences other than the model, operators that no figure includes, and why fused kernels are slower.
        totals: Key -> change of the figure of the whole model.
        modules: Modules of both profiles, in graph order.
        added: Paths of new modules: `layer3.6` if everything below it is new, instead of each submodule.
        removed: Paths of removed modules, likewise.
        failed: Exceeded limits, of those passed to `diff`.
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
            UnknownNameError: Neither side has the module.
        """
        for row in self.modules:
            if row.module == module:
                return row
        raise UnknownNameError(
            f"no module {module!r} on either side; expected one of {[row.module for row in self.modules][:5]} ..."
        )

    @property
    def changed(self) -> bool:
        """Whether any total or any module differs."""
        return any(total.changed for total in self.totals.values()) or any(
            row.status != UNCHANGED for row in self.modules
        )

    def to_text(self, *, depth: int | None = None, width: int = 100) -> str:
        """Return the table as plain text.

        Args:
            depth: Modules below this depth are summed up; None shows added or removed subtrees as one row, and other
                modules that differ down to a depth at which the table is still short.
            width: Width of a line in characters.

        Returns:
            The text.
        """
        text: str = render(self, "text", depth=depth, width=width)
        return text

    def to_markdown(self, *, depth: int | None = None) -> str:
        """Return the changes as Markdown for a pull request: one line, the totals, and the modules that differ.

        Args:
            depth: As in `to_text`.

        Returns:
            The Markdown text.
        """
        text: str = render(self, "markdown", depth=depth)
        return text
