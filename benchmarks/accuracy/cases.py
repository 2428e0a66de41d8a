"""Cases of the benchmark: a graph with sizes, its deployment, and its measured time."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pyinfercost import Graph


SUSTAINED = ", sustained"
"""Suffix of a device's id for rows under continuous load."""


HOST = ", host "
"""Between a device's id and the name of a host."""


def machine_key(
    device: str, *, sustained: bool = False, threads: int | None = None, instances: int = 1, host: str = ""
) -> str:
    """Return the key of a machine: the id of its device, and what is special about its use."""
    used = (f", {threads} threads" if threads else "") + (f", {instances} instances" if instances > 1 else "")
    used += HOST + host if host else ""
    return device + used + (SUSTAINED if sustained else "")


@dataclass(frozen=True)
class Group:
    """Subject of one line of the report, in the words of the table.

    Attributes:
        table: Name of the table.
        device: Id of the device in the catalog.
        software: What ran, with its version.
        precision: Dtype or precision, as the table names it.
        execution: Execution of the prediction.
        part: Further division of the table, such as the operator or the phase.
        kind: Vendor and kind of the device, such as `NVIDIA gpu`; filled in by the judge.
        evidence: The machines whose measurements gave the device its constants; filled in by the judge.
    """

    table: str
    device: str
    software: str = ""
    precision: str = ""
    execution: str = ""
    part: str = ""
    kind: str = ""
    evidence: str = ""


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
        threads: Number of CPU threads; None for all.
        instances: Copies of the model side by side on a CPU.
        host: Name of the host of a GPU; empty for the default one.
        runs: Number of forwards that a row is the sum of.
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
    threads: int | None = None
    instances: int = 1
    host: str = ""
    runs: int = 1
    host_s: float = 0.0
    measured_w: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.measured_s)

    def only(self, chosen: NDArray[np.bool_]) -> Case:
        """Return the case with some of its rows."""
        return replace(
            self,
            sizes={name: column[chosen] for name, column in self.sizes.items()},
            measured_s=self.measured_s[chosen],
            rows=self.rows[chosen],
            measured_w=None if self.measured_w is None else self.measured_w[chosen],
        )

    @property
    def hardware(self) -> str:
        """Key of its machine."""
        return machine_key(
            self.group.device,
            sustained=self.sustained,
            threads=self.threads,
            instances=self.instances,
            host=self.host,
        )


def measured_s(cases: Sequence[Case]) -> NDArray[np.float64]:
    """Return the measured seconds of all rows, case by case, in the order of `predict`."""
    return np.concatenate([case.measured_s for case in cases]) if cases else np.empty(0)


def table_rows(cases: Sequence[Case]) -> NDArray[np.int64]:
    """Return the row numbers of all rows in their table, in the same order."""
    return np.concatenate([*[case.rows for case in cases], np.empty(0, dtype=np.int64)])


def group_of_row(cases: Sequence[Case]) -> list[Group]:
    """Return the group of every row, in the same order."""
    return [case.group for case in cases for _ in range(len(case))]


def halved(cases: Sequence[Case], half: int, *, whole: Collection[str]) -> list[Case]:
    """Return one half of the rows: whole models are kept together, and rows of operators are split one by one.

    Args:
        cases: The cases.
        half: 0 or 1.
        whole: Tables of whole models.
    """
    found = []
    for case in cases:
        if case.group.table in whole:
            chosen = np.full(len(case), _digit(case.subject) == half)
        else:
            chosen = np.array([_digit(str(row)) == half for row in case.rows.tolist()], dtype=bool)
        if chosen.any():
            found.append(case.only(chosen))
    return found


def _digit(text: str) -> int:
    return hashlib.sha256(text.encode()).digest()[0] % 2
