"""A column of bars beside the shares of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .tabular import Column
from .text import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .rows import Shown

_EIGHTHS = " ▏▎▍▌▋▊▉"
_WHOLE = "█"
_PLAIN = "#"
_SHARES = ("share", "FLOPs")  # the column that bars stand beside
_WIDEST = 20
_SPARE = 9  # the first to go: a bar says again what a number says


@dataclass(frozen=True)
class Bars(Column):
    """Bars as long as shares; that of the largest fills the column.

    Attributes:
        shares: of each line; None draws nothing.
        bounds: what sets the time of each line, which colours its bar.
        largest: the share that fills the column.
    """

    shares: Sequence[float | None] = ()
    bounds: Sequence[str] = ()
    largest: float = 1.0

    @property
    def scale(self) -> str:
        """What a full bar stands for."""
        return percent(self.largest)

    def heading(self, width: int) -> str:
        """The line of the unit: the ends of the scale."""
        return "0" + self.scale.rjust(width - 1)

    def drawn(self, width: int, *, blocks: bool) -> list[str]:
        """The cells at a width.

        Args:
            width: how many characters a full bar takes.
            blocks: whether parts of a character can be shown; otherwise bars are whole `#`.
        """
        return [self._bar(share, width, blocks=blocks) for share in self.shares]

    def _bar(self, share: float | None, width: int, *, blocks: bool) -> str:
        if not share or share < 0 or not self.largest:
            return ""
        filled = width * min(share / self.largest, 1.0)
        if not blocks:
            return _PLAIN * int(filled + 0.5)
        # What is there is seen: at least an eighth.
        eighths = max(int(len(_EIGHTHS) * filled + 0.5), 1)
        whole, rest = divmod(eighths, len(_EIGHTHS))
        return _WHOLE * whole + (_EIGHTHS[rest] if rest else "")


def with_bars(columns: Sequence[Column], shown: Shown) -> list[Column]:
    """The columns of a profile with bars after their shares; without, where no share is known."""
    shares = [*(row.share for row in shown.rows), None]  # the total has none
    known = [share for share in shares if share]
    if not known:
        return list(columns)
    bars = Bars(
        name="",
        unit="",
        cells=["#" * _WIDEST] * len(shares),  # what it would take; what is drawn depends on the page
        numeric=False,
        flexible=True,
        spare=_SPARE,
        shares=shares,
        bounds=[*(row.bound for row in shown.rows), ""],
        largest=max(known),
    )
    place = next(place for place, column in enumerate(columns) if column.name in _SHARES)
    return [*columns[: place + 1], bars, *columns[place + 1 :]]
