"""What is judged: a graph with sizes, how it ran, where, and how long it took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pyinfercost import Graph


SUSTAINED = ", sustained"
"""What follows a device's id where it was at work all the time."""


@dataclass(frozen=True)
class Group:
    """What one line of the report is about, in the words of the table."""

    table: str
    device: str
    software: str = ""
    precision: str = ""
    execution: str = ""
    part: str = ""


@dataclass(frozen=True, eq=False)
class Case:
    """Rows of one group that one graph describes.

    Attributes:
        group: where the rows are counted.
        graph: what ran, with its sizes open; shared by the cases of all devices.
        precision: the precision to predict, as pyinfercost names it.
        execution: the execution to predict.
        sizes: values of every open size, a column for each.
        measured_s: what was measured, in seconds.
        rows: the rows' numbers in the table.
        host_s: what measuring added to every row, in seconds, beyond what a forward takes.
        sustained: the device was at work all the time, so that its board's power was a limit.
        measured_w: what the board drew meanwhile, in watts; None where that is not known.
        subject: what ran, such as the name of a model; rows of one subject belong together when data is split.
    """

    group: Group
    graph: Graph = field(repr=False)
    precision: str
    execution: str
    sizes: Mapping[str, NDArray[np.int64]]
    measured_s: NDArray[np.float64]
    rows: NDArray[np.int64]
    subject: str = ""
    sustained: bool = False
    host_s: float = 0.0
    measured_w: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.measured_s)

    @property
    def hardware(self) -> str:
        """What machines are found by: the id of the device, and whether it sustained."""
        return self.group.device + (SUSTAINED if self.sustained else "")


def measured_s(cases: Sequence[Case]) -> NDArray[np.float64]:
    """The measured seconds of all rows, case after case: the order of what `predict` returns."""
    return np.concatenate([case.measured_s for case in cases]) if cases else np.empty(0)


def group_of_row(cases: Sequence[Case]) -> list[Group]:
    """The group of every row, in the same order."""
    return [case.group for case in cases for _ in range(len(case))]
