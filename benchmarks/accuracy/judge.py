"""Computation of error lines from tables and machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import tables as kinds
from .cases import group_of_row, measured_s
from .energy import energy_lines
from .figures import Line, lines
from .machines import without_missing
from .measured import Problems, Table, read_table, sampled
from .predict import Plans, Predicted, predict
from .roofline import roofline_s
from .tables import collectives

if TYPE_CHECKING:
    from pyinfercost import Hardware

    from .captures import Capturing
    from .cases import Case

_GRAPHS_AT_ONCE = 128
OUT_OF_SCOPE = {"serving": "a server under load is not a forward pass; queues and scheduling are not modeled"}


def read_tables(folder: Path, wanted: Sequence[str], problems: Problems) -> list[Table]:
    """Return the tables of a folder in the order of `ORDER`; missing and out-of-scope ones are reported.

    Args:
        folder: Folder of CSV files.
        wanted: Stems of files; empty for all.
        problems: Receives skipped tables.

    Returns:
        The tables.
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
    """Yield the lines of each table, table by table.

    Args:
        tables: The tables.
        machines: Machine of each device; rows of others are left out.
        capturing: Settings of captures.
        sample: Number of models, or of rows of a group; None for all.
    """
    for table in tables:
        judged = sampled_table(without_missing(table, machines), sample)
        if table.name == "collectives":
            yield _collectives(judged, machines)
        else:
            yield _cases(judged, machines, capturing)


def sampled_table(table: Table, sample: int | None) -> Table:
    """Return the table, or the given number of its models or of rows of each group."""
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

    ordered: list[Case] = []
    columns: list[list[NDArray[np.float64]]] = [[], [], [], [], []]
    for some in _parts(cases):
        plans = Plans()
        found = predict(some, machines, failed, plans=plans, threads=capturing.workers)
        ordered += some
        plain = roofline_s(some, machines, plans=plans)
        joules = np.full(len(plain), np.nan) if found.energy_j is None else found.energy_j
        parts = (found.latency_s, found.low_s, found.high_s, joules, plain)
        for column, part in zip(columns, parts, strict=True):
            column.append(part)
    *predicted, roofline = (np.concatenate([*column, np.empty(0)]) for column in columns)
    all_predicted = Predicted(*predicted)
    found_lines = lines(group_of_row(ordered), measured_s(ordered), all_predicted, roofline)
    return found_lines + energy_lines(ordered, machines, all_predicted, roofline)


def _parts(cases: Sequence[Case]) -> Iterator[list[Case]]:
    """Yield the cases in parts with few graphs, since the plans of all models at once would fill gigabytes."""
    of_graph: dict[int, list[Case]] = {}
    for case in cases:
        of_graph.setdefault(id(case.graph), []).append(case)
    graphs = list(of_graph.values())
    for first in range(0, len(graphs), _GRAPHS_AT_ONCE):
        yield [case for some in graphs[first : first + _GRAPHS_AT_ONCE] for case in some]


def _collectives(table: Table, machines: Mapping[str, Hardware]) -> list[Line]:
    if collectives.predictor() is None:
        table.problems.skip(table.name, "this version of pyinfercost has no function `collective`")
        return []
    groups, measured, predicted, roofline = collectives.predicted(table, machines)
    return lines(groups, measured, predicted, np.asarray(roofline))


ORDER = (*kinds.KINDS, "collectives")
"""Tables in the order of the report."""
