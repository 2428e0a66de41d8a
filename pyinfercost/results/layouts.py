"""Result type: the layouts of a model on numbers of devices, and why others are out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .result import Result

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..inputs.layout import Layout

COLUMNS = ("layout", "devices", "nodes", "legal", "weight_bytes", "reason")
"""Facts of each layout, in report order."""


@dataclass(frozen=True)
class LayoutChoice:
    """One layout that was tried.

    Attributes:
        layout: Its text, such as `"tensor=4,data=2"`.
        devices: Its devices.
        nodes: Machines that they are in.
        weight_bytes: Weights and buffers of one device, or the least that they can be for a layout that is out for
            them; None if it is out for another reason.
        reason: Why it is out; empty if it is legal.
    """

    layout: str
    devices: int
    nodes: int
    weight_bytes: int | None
    reason: str = ""

    @property
    def legal(self) -> bool:
        """Whether the model can lie so."""
        return not self.reason


@dataclass(frozen=True, repr=False)
class Layouts(Result):
    """Layouts of a model on some numbers of devices: iterating yields those that are legal.

    Attributes:
        model: Name of the model.
        hardware: Ids of the machines, separated by commas; empty if none are given, and memory plays no part.
        choices: All layouts that were tried, in order.
        found: Those that are legal.
    """

    model: str
    hardware: str
    choices: tuple[LayoutChoice, ...]
    found: tuple[Layout, ...]

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
