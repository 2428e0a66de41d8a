"""Cases of the benchmark: a graph with sizes, its deployment, and its measured time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pyinfercost import Graph


SUSTAINED = ", sustained"
"""Suffix of a device's id for rows under continuous load."""


@dataclass(frozen=True)
class Group:
    """Subject of one line of the report, in the words of the table."""

    table: str
    device: str
    software: str = ""
    precision: str = ""
    execution: str = ""
    part: str = ""


@dataclass(frozen=True, eq=False)
class Case:
    """Rows of one group with the same graph.

    Attributes:
        group: Group of the rows.
        graph: The graph with symbolic sizes, shared by the cases of all devices.
        precision: Precision of the prediction, by pyinfercost's name.
        execution: Execution of the prediction.
        sizes: Values of every symbolic size, one column each.
        measured_s: Measured seconds.
        rows: Row numbers in the table.
        host_s: Seconds that the measurement added to every row.
        sustained: Whether the device was under continuous load, limited by its board's power.
        measured_w: Watts of the board during the run; None if unknown.
        subject: Name of the model or operator; rows of one subject stay together when data is split.
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
        """Key of machines: the id of the device, and whether it was under continuous load."""
        return self.group.device + (SUSTAINED if self.sustained else "")


def measured_s(cases: Sequence[Case]) -> NDArray[np.float64]:
    """Return the measured seconds of all rows, case by case, in the order of `predict`."""
    return np.concatenate([case.measured_s for case in cases]) if cases else np.empty(0)


def group_of_row(cases: Sequence[Case]) -> list[Group]:
    """Return the group of every row, in the same order."""
    return [case.group for case in cases for _ in range(len(case))]
