"""Result type: models and deployments side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ..errors import UnknownNameError
from ..report.render import render
from . import figures
from .declared import declared, fact
from .figures import WithFigures
from .notices import WithNotices
from .result import Result

if TYPE_CHECKING:
    from .._core import Quantity
    from .profile import Profile

_BESIDE = ("latency_low_s", "latency_high_s", "tokens_per_s", "max_sequences", "fits_in_memory")

FIGURES = (*figures.keys(figures.CHANGE), *(name for name in _BESIDE if name not in figures.keys(figures.CHANGE)))
"""Figures of a row."""


@declared
class ComparedModel(WithFigures):
    """One model in one deployment at one point. Figures are also attributes: `row.latency_s`."""

    model: str = fact("Name of the model, with its phase if both phases of a language model are compared.")
    hardware: str | None = fact("Id of the machine; None for a model that is only counted, like the next five.")
    devices: int = fact("Number of machines.")
    precision: str = fact("Dtype of the run.")
    engine: str | None = fact("What runs it.")
    execution: str | None = fact("How it runs.")
    layout: str = fact("How it lies on the devices, as text; empty for copies.")
    price: str | None = fact("The price in words; None without one.")
    sizes: Mapping[str, int] = fact("Values of the named sizes.")
    bound: str | None = fact("Term that binds most of the latency; None without a machine.")
    bound_shares: Mapping[str, float] = fact("Term -> share of the latency that it binds.")
    figures: Mapping[str, Quantity | float | None] = fact(
        "Figures by key of `FIGURES`; None where unknown.",
        spread=FIGURES,
    )
    unmodelled: Mapping[str, int] = fact("Operators that no figure includes -> their number.")
    error: str = fact("Why it failed; empty for a row with figures.", default="")
    cause: Exception | None = fact(
        "The exception; None for a row with figures.",
        inner=True,
        compare=False,
        default=None,
    )
    profile: Profile | None = fact("The profile; None if it failed.", inner=True, compare=False, default=None)
    phase: str = fact(
        '`"prefill"` or `"decode"` if both phases of a language model are compared, else empty.',
        default="",
    )


@declared(after="rows")
class Comparison(WithNotices, Result):
    """Models and deployments side by side. `print(comparison)` shows a row for each, with ratios to the first one."""

    document_key = "compare"

    rows: tuple[ComparedModel, ...] = fact(
        "The compared models: all deployments of the first model, then of the next one."
    )

    @property
    def failed(self) -> tuple[ComparedModel, ...]:
        """The rows without figures; `error` has the reason."""
        return tuple(row for row in self.rows if row.error)

    @property
    def first(self) -> ComparedModel | None:
        """The first row that did not fail; None if all did."""
        return next((row for row in self.rows if not row.error), None)

    def first_of(self, row: ComparedModel) -> ComparedModel | None:
        """Return the row that the ratios of a row refer to: the first one of its phase that did not fail."""
        return next((each for each in self.rows if not each.error and each.phase == row.phase), None)

    def ratio(self, row: ComparedModel, figure: str) -> float | None:
        """Return a figure of a row divided by the figure of the first row of its phase.

        Args:
            row: A row of this comparison.
            figure: Key of the figure.

        Returns:
            The ratio; None if one of the two is unknown, depends on sizes without a value, or the first one is 0.

        Raises:
            UnknownNameError: There is no such figure.
        """
        if figure not in FIGURES:
            raise UnknownNameError(f"no figure {figure!r}; expected one of {', '.join(FIGURES)}")
        first = self.first_of(row)
        if first is None or row.error:
            return None
        one, other = first.figures[figure], row.figures[figure]
        if not isinstance(one, (int, float)) or not isinstance(other, (int, float)) or one == 0:
            return None
        return other / one

    def to_html(self, *, command: str = "") -> str:
        """Return one HTML page: figures with ratios, latencies as bars, and the modules of each model.

        Args:
            command: Command that made the comparison, which the page states.

        Returns:
            The HTML text; it needs no network and no other file.
        """
        page: str = render(self, "html", command=command)
        return page

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[ComparedModel]:
        return iter(self.rows)

    def __getitem__(self, model: str) -> ComparedModel:
        """Return the first row of a model.

        Raises:
            UnknownNameError: There is no such model.
        """
        for row in self.rows:
            if row.model == model:
                return row
        names = ", ".join(dict.fromkeys(row.model for row in self.rows))
        raise UnknownNameError(f"no model {model!r} in this comparison; expected one of {names}")

    def __repr__(self) -> str:
        failed = f", {len(self.failed)} failed" if self.failed else ""
        return f"<Comparison of {len(self.rows)} rows{failed}>"
