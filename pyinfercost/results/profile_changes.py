"""Comparisons of two profiles: figures before and after, by module and in total."""

from __future__ import annotations

from collections.abc import Mapping
from math import isclose

from ..errors import UnknownNameError
from ..report.render import render
from . import figures
from .declared import declared, derived, fact
from .figures import WithFigures
from .notices import WithWarnings
from .result import Result

FIGURES = figures.keys(figures.MODULE)
"""Figures of a module, in report order."""

TOTALS = figures.keys(figures.CHANGE)
"""Figures of a whole model, in report order."""

UNCHANGED = "same"

_ROUNDING = 1e-9
"""Relative difference up to which figures are equal: sums of equal numbers may differ in their last digits."""


@declared(kw_only=False)
class Change:
    """One figure before and after."""

    before: float | None = fact("Before; None if it is unknown.")
    after: float | None = fact("After; None if it is unknown.")

    @property
    @derived()
    def difference(self) -> float | None:
        """After minus before; None if one of them is unknown."""
        return None if self.before is None or self.after is None else self.after - self.before

    @property
    @derived()
    def ratio(self) -> float | None:
        """After divided by before; None if one of them is unknown or the figure was 0 before."""
        return None if self.before is None or self.after is None or self.before == 0 else self.after / self.before

    @property
    def changed(self) -> bool:
        """Whether the two differ by more than rounding, or only one of them is known."""
        if self.before is None or self.after is None:
            return self.before is not self.after
        return not isclose(self.before, self.after, rel_tol=_ROUNDING)


@declared
class ModuleChange(WithFigures):
    """One module without its submodules, so that modules add up to the total."""

    module: str = fact("Path of the module; empty for the model itself.")
    status: str = fact('`"added"`, `"removed"`, `"changed"`, or `"same"` if no figure differs.')
    figures: Mapping[str, Change] = fact(
        "Change of each figure in `FIGURES`, also available as attributes. `cost_usd` is the model's cost times the "
        "module's share of the latency.",
        spread=FIGURES,
    )
    same_work: bool = fact(
        "Whether both sides run the same operators in this module, with the same counts, in the same deployment. "
        "The remaining difference is its share of the model's start, of cache residency, or of fusion with other "
        "modules.",
        inner=True,
        default=False,
    )


@declared
class Side:
    """Model and deployment of one of the two profiles."""

    model: str = fact("Name of the model.")
    hardware: str | None = fact("Id of the machine; None for a profile without times.")
    precision: str | None = fact("Dtype of the run; None if the document does not state it.")
    engine: str = fact("What runs it.")
    execution: str | None = fact("How it runs; None for a profile without times.")
    sizes: Mapping[str, int] = fact("Values of the named sizes.")
    threads: int | None = fact("Threads of a CPU; None for all cores.", default=None)
    instances: int = fact("Copies of the model side by side on a CPU.", default=1)
    sustained: bool | None = fact(
        "Whether the machine runs without pause; None for a profile without times.",
        default=None,
    )
    devices: int = fact("Number of devices.", default=1)
    layout: str = fact("The layout as text; empty if each device has the whole model.", default="")
    price: str | None = fact("What an hour costs, in words; None without a price.", default=None)
    utilization: float | None = fact("Share of the paid time in use; None without a price.", default=None)
    host: str | None = fact(
        "Time in which the host of a GPU issues an operator of torch, in words; None for other machines and "
        "engines, and for older documents.",
        default=None,
    )
    serving: str = fact("How the engine forms its steps, as text.", default="")
    unmodelled: Mapping[str, int] = fact("Operators that no figure includes -> their number.")


@declared
class BrokenLimit:
    """An exceeded limit."""

    limit: str = fact("The limit as given.")
    figure: str = fact("Key of the figure.")
    before: float | None = fact("Its value before; None if unknown.")
    after: float | None = fact("Its value after; None if unknown.")
    reason: str = fact("Description of the change and the limit.")

    def __str__(self) -> str:
        return f"{self.limit}: {self.reason}"


@declared(after="after")
class ProfileChanges(WithWarnings, Result):
    """Differences between two profiles.

    `print(changes)` shows the totals and the modules that changed. Every figure is a `Change`.
    """

    before: Side = fact("Model and deployment of the first profile.")
    after: Side = fact("Model and deployment of the second profile.")
    totals: Mapping[str, Change] = fact("Key -> change of the figure of the whole model.")
    modules: tuple[ModuleChange, ...] = fact("Modules of both profiles, in graph order.")
    added: tuple[str, ...] = fact(
        "Paths of new modules: `layer3.6` if everything below it is new, instead of each submodule.",
        default=(),
    )
    removed: tuple[str, ...] = fact("Paths of removed modules, likewise.", default=())
    failed: tuple[BrokenLimit, ...] = fact("Exceeded limits, of those passed to `diff`.", default=())

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
    @derived(is_figure=False)
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
