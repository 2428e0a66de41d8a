"""From tables and machines to lines of errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import tables as kinds
from .cases import group_of_row, measured_s
from .figures import Line, lines
from .machines import without_missing
from .measured import Problems, Table, read_table, sampled
from .predict import predict
from .roofline import roofline_s
from .tables import collectives

if TYPE_CHECKING:
    from pyinfercost import Hardware

    from .captures import Capturing
    from .cases import Case

OUT_OF_SCOPE = {"serving": "a server under load is no forward pass; queues and scheduling are not modelled"}


def read_tables(folder: Path, wanted: Sequence[str], problems: Problems) -> list[Table]:
    """The tables of a folder in the order of `ORDER`; what is missing or out of scope is noted.

    Args:
        folder: where the CSV files are.
        wanted: stems of files; empty for all.
        problems: told of tables that are skipped.
    """
    found = []
    for name in wanted or [*ORDER, *OUT_OF_SCOPE]:
        path = folder / f"{name}.csv"
        if name in OUT_OF_SCOPE:
            if wanted or path.is_file():
                problems.skip(name, OUT_OF_SCOPE[name])
        elif name not in ORDER:
            problems.skip(name, f"no such table; known are {', '.join(ORDER)}")
        elif not path.is_file():
            problems.skip(name, f"{path} is not there")
        else:
            table = read_table(path, problems)
            if len(table):
                found.append(table)
            else:
                problems.skip(name, "it has no rows")
    if not wanted:
        for path in sorted(folder.glob("*.csv")):
            if path.stem not in (*ORDER, *OUT_OF_SCOPE):
                problems.skip(path.stem, f"no such table is known; known are {', '.join(ORDER)}")
    return found


def judge(
    tables: Sequence[Table], machines: Mapping[str, Hardware], capturing: Capturing, sample: int | None = None
) -> Iterator[list[Line]]:
    """The lines of each table, table by table.

    Args:
        tables: what is judged.
        machines: the machine of each device; rows of others are left out.
        capturing: how graphs of whole models are had.
        sample: how many models, or rows of a group, are judged; None for all.
    """
    for table in tables:
        judged = sampled_table(without_missing(table, machines), sample)
        if table.name == "collectives":
            yield _collectives(judged, machines)
        else:
            yield _cases(judged, machines, capturing)


def sampled_table(table: Table, sample: int | None) -> Table:
    """The table, or so many of its models or of each group of its rows."""
    if sample is None:
        return table
    kind = kinds.KINDS.get(table.name)
    by, groups = (kind.sample_by, kind.groups) if kind else ((), ("device", "software", "op", "dtype"))
    return sampled(table, sample, by, groups)


def _cases(table: Table, machines: Mapping[str, Hardware], capturing: Capturing) -> list[Line]:
    cases = kinds.KINDS[table.name].cases(table, capturing)

    def failed(case: Case, place: int, reason: str) -> None:
        del place
        table.problems.add(table.name, reason, case.subject)

    predicted = predict(cases, machines, failed)
    return lines(group_of_row(cases), measured_s(cases), predicted, roofline_s(cases, machines))


def _collectives(table: Table, machines: Mapping[str, Hardware]) -> list[Line]:
    if collectives.predictor() is None:
        table.problems.skip(table.name, "this version of pyinfercost has no function `collective`")
        return []
    groups, measured, predicted, roofline = collectives.predicted(table, machines)
    return lines(groups, measured, predicted, np.asarray(roofline))


ORDER = (*kinds.KINDS, "collectives")
"""Tables that are judged, in this order."""
