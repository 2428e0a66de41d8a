"""Predictions of the rows of tables on machines, beside their measurements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import tables as kinds
from .calls import predict_calls
from .cases import Case, group_of_row, measured_s, table_rows
from .energy import energy_rows
from .figures import Judged
from .machines import evidence_of, kind_of, without_missing
from .measured import Problems, Table, read_table, sampled
from .predict import Plans, Predicted, predict
from .roofline import roofline_s

if TYPE_CHECKING:
    from pyinfercost import Hardware

    from .captures import Capturing

_GRAPHS_AT_ONCE = 128
UNCATALOGED = "uncatalogued"
"""Subfolder for tables of devices that the catalog did not have when their rows were collected."""


def read_tables(folder: Path, wanted: Sequence[str], problems: Problems) -> list[Table]:
    """Return the tables of a folder in the order of `KINDS`; missing ones are reported.

    Rows of the subfolder for uncataloged devices are added to those of the same table.

    Args:
        folder: Folder of CSV files.
        wanted: Stems of files; empty for all.
        problems: Receives skipped tables.

    Returns:
        The tables.
    """
    found = []
    for name in wanted or kinds.KINDS:
        if name not in kinds.KINDS:
            problems.skip(name, f"no such table; known are {', '.join(kinds.KINDS)}")
            continue
        kind = kinds.KINDS[name]
        places = folder / kind.folder / f"{name}.csv", folder / UNCATALOGED / f"{name}.csv"
        paths = [path for path in places if path.is_file()]
        if not paths:
            problems.skip(name, f"{folder / kind.folder / name}.csv is not there")
        else:
            table = read_table(paths[0], problems, kind.renamed)
            for path in paths[1:]:
                table = table.joined(read_table(path, problems, kind.renamed))
            if len(table):
                table = kind.named(table)
                table.columns |= kind.columns(table)
                found.append(table)
            else:
                problems.skip(name, "it has no rows")
    if not wanted:
        for path in sorted([*folder.glob("*.csv"), *folder.glob(f"{UNCATALOGED}/*.csv")]):
            if path.stem not in kinds.KINDS:
                problems.skip(path.stem, f"no such table is known; known are {', '.join(kinds.KINDS)}")
    return found


def judge(
    tables: Sequence[Table],
    machines: Mapping[str, Hardware],
    capturing: Capturing,
    sample: int | None = None,
    models: int | None = None,
) -> Iterator[tuple[Table, Judged]]:
    """Yield each table, as far as it is judged, and its rows with their predictions.

    Args:
        tables: The tables.
        machines: Machine of each device; rows of others are left out.
        capturing: Settings of captures.
        sample: Number of models, or of rows of a group; None for all.
        models: Number of models of tables of whole models; None for `sample`.
    """
    for table in tables:
        kind = kinds.KINDS[table.name]
        judged = sampled_table(without_missing(table, machines), (models or sample) if kind.sample_by else sample)
        if not len(judged):
            continue
        if kind.servers is not None:
            found = kind.servers(judged, machines, capturing)
        elif kind.calls is not None:
            found = predict_calls(kind.calls(judged), machines, judged.problems)
        else:
            found = _cases(judged, kind.cases(judged, capturing), machines, capturing)
        yield judged, described(found, machines)


def sampled_table(table: Table, sample: int | None) -> Table:
    """Return the table, or the given number of its models or of rows of each group."""
    if sample is None:
        return table
    kind = kinds.KINDS[table.name]
    return sampled(table, sample, kind.sample_by, kind.groups)


def described(judged: Judged, machines: Mapping[str, Hardware]) -> Judged:
    """Return the rows with the kind of device and the evidence of its constants in their groups."""
    found = {
        group: replace(group, kind=kind_of(group.device), evidence=evidence_of(machines[group.device], group))
        for group in set(judged.groups)
    }
    return replace(judged, groups=[found[group] for group in judged.groups])


def _cases(table: Table, cases: Sequence[Case], machines: Mapping[str, Hardware], capturing: Capturing) -> Judged:
    def failed(case: Case, place: int, reason: str) -> None:
        del place
        table.problems.add(table.name, reason, case.subject)

    for case in cases:
        if case.hardware not in machines:
            table.problems.add(table.name, "the device cannot run so", case.hardware, len(case))
    cases = [case for case in cases if case.hardware in machines]
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
    rows = Judged(group_of_row(ordered), measured_s(ordered), all_predicted, roofline, table_rows(ordered))
    return Judged.joined([rows, *energy_rows(ordered, machines, all_predicted, roofline)])


def _parts(cases: Sequence[Case]) -> Iterator[list[Case]]:
    """Yield the cases in parts with few graphs, since the plans of all models at once would fill gigabytes."""
    of_graph: dict[int, list[Case]] = {}
    for case in cases:
        of_graph.setdefault(id(case.graph), []).append(case)
    graphs = list(of_graph.values())
    for first in range(0, len(graphs), _GRAPHS_AT_ONCE):
        yield [case for some in graphs[first : first + _GRAPHS_AT_ONCE] for case in some]
