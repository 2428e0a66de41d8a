"""Result type: the layouts of a model on numbers of devices, and why others are out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .declared import declared, derived, fact, figure
from .figures import LESS
from .result import Result

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..inputs.layout import Layout


@declared
class LayoutChoice:
    """One layout that was tried."""

    layout: str = fact('Its text, such as `"tensor=4,data=2"`.')
    devices: int = fact("Its devices.")
    nodes: int = fact("Machines that they are in.", default=1)

    @property
    @derived(is_figure=False)
    def legal(self) -> bool:
        """Whether the model can lie so."""
        return not self.reason

    weight_bytes: int | None = figure(
        "Weights and buffers of one device, or the least that they can be for a layout that is out for them; None if "
        "it is out for another reason.",
        default=None,
        better=LESS,
    )
    reason: str = fact("Why it is out; empty if it is legal.", default="")


@declared
class Layouts(Result):
    """Layouts of a model on some numbers of devices: iterating yields those that are legal."""

    document_key = "layouts"
    rows_of = "choices"

    model: str = fact("Name of the model.")
    hardware: str = fact("Ids of the machines, separated by commas; empty if none are given, and memory plays no part.")
    choices: tuple[LayoutChoice, ...] = fact("All layouts that were tried, in order.")
    found: tuple[Layout, ...] = fact("Those that are legal.", inner=True)

    @property
    def out(self) -> tuple[LayoutChoice, ...]:
        """Layouts that are out, with their reasons."""
        return tuple(each for each in self.choices if not each.legal)

    def __iter__(self) -> Iterator[Layout]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)

    def __repr__(self) -> str:
        return f"<Layouts {self.model or 'graph'}: {', '.join(map(str, self.found)) or 'none'}; {len(self.out)} out>"
