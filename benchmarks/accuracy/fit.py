"""Fit of the constants of machine families to a folder of measurements, written as calibration files.

    python -m benchmarks.accuracy.fit --measured DIR [--out FOLDER] [--without DEVICE] [--sample N] [--rows N]
                                      [--kind gpu|cpu | --family FAMILY] [--table T ...]

The fitted constants with their start values and limits are listed in `fitting/gpus.py`, `fitting/cpus.py` and
`fitting/arrays.py`, by kind of machine; families deviate from their kind as far as their rows require. With `--family`,
the constants of one family are fitted to its rows and start from those of the file that it extends, which do not
change; arrays are fitted so only. Without `--out` the package's own files are rewritten.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from pyinfercost import hardware
from pyinfercost.hardware.files import CALIBRATIONS, DeviceFile, calibration, lineage

from . import judge as judging
from .captures import Capturing, default_cache
from .cases import Case
from .fitting import arrays, cpus, gpus
from .fitting.machines import Machine
from .fitting.parameters import Parameter
from .fitting.solve import Problem, blocks_of
from .fitting.spreads import spreads
from .fitting.write import write, write_family
from .measured import Problems, Table
from .tables import KINDS

PARAMETERS = (*gpus.PARAMETERS, *cpus.PARAMETERS, *arrays.PARAMETERS)

# Number of models of the table of vision models, by kind: on four tables of GPUs, more models add little information.
_MODELS = {"gpu": 250, "cpu": 2000}


def fit(
    measured: Path,
    out: Path,
    without: str | None,
    *,
    cache: Path | None = None,
    sample: int | None = None,
    only: str | None = None,
) -> None:
    """Fit all constants and write a folder of calibration files.

    Args:
        measured: The folder of measurements.
        out: Destination folder; the package's files are copied there first.
        without: A device whose rows are left out.
        cache: Folder for graphs of whole models; default: that of the accuracy benchmark.
        sample: Number of models to use from a table of whole models; default: enough for a stable fit.
        only: Kind of machine whose constants are fitted; default: all with fitted constants.
    """
    if out.resolve() != CALIBRATIONS.resolve():
        shutil.copytree(CALIBRATIONS, out, dirs_exist_ok=True)
    for kind in [only] if only else _MODELS:
        parameters = [parameter for parameter in PARAMETERS if parameter.kind == kind]
        cases = load_cases(measured, without, parameters, cache, sample or _MODELS[kind])
        blocks = blocks_of(cases)
        machines = {block.hardware: Machine.find(block.hardware) for block in blocks}
        problem = Problem(parameters, blocks, machines)
        x = problem.solve()
        # The error of one device in its own fit does not predict that of another.
        known = spreads(problem, x) if len(machines) > 1 else {key: {} for key in [None, *families_of(machines)]}
        write(out, problem, x, known, measured)


def fit_family(
    measured: Path,
    out: Path,
    family: str,
    *,
    without: str | None = None,
    cache: Path | None = None,
    sample: int | None = None,
    rows: int | None = None,
    tables: Iterable[str] = (),
) -> None:
    """Fit the constants of one family to its rows, starting from those that its file extends.

    Args:
        measured: The folder of measurements.
        out: Destination folder; the package's files are copied there first.
        family: The family, whose file exists.
        without: A device whose rows are left out.
        cache: Folder for graphs of whole models; default: that of the accuracy benchmark.
        sample: Number of models to use from a table of whole models; default: enough for a stable fit.
        rows: Number of rows to use of each group of other tables; default: all.
        tables: Tables whose constants are fitted; default: all that have rows of the family.
    """
    if out.resolve() != CALIBRATIONS.resolve():
        shutil.copytree(CALIBRATIONS, out, dirs_exist_ok=True)
    _, parent, *_, kind = (*lineage(family, out), lineage(family, out)[-1])
    extended = calibration(DeviceFile(out / family, {"id": family, "kind": kind, "family": parent}), out)
    wanted = frozenset(tables)
    parameters = [
        replace(
            parameter,
            start=min(max(extended.get(parameter.key) or parameter.start, parameter.low), parameter.high),
            family_sd=0.0,
        )
        for parameter in PARAMETERS
        if parameter.kind == kind and (not wanted or wanted & set(parameter.tables))
    ]
    cases = load_cases(measured, without, parameters, cache, sample or _MODELS.get(kind, 0), family=family, rows=rows)
    blocks = [block for block in blocks_of(cases) if not wanted or block.table in wanted]
    machines = {block.hardware: Machine.find(block.hardware, out) for block in blocks}
    used = {block.table for block in blocks}
    problem = Problem([parameter for parameter in parameters if used & set(parameter.tables)], blocks, machines)
    x = problem.solve()
    write_family(out, family, problem, x, spreads(problem, x)[None])


def load_cases(
    measured: Path,
    without: str | None,
    parameters: Iterable[Parameter],
    cache: Path | None,
    sample: int,
    *,
    family: str | None = None,
    rows: int | None = None,
) -> list[Case]:
    """Return the rows for the fit: those of the parameters' tables, on machines of their kinds or of one family."""
    parameters = list(parameters)
    wanted = [name for name in KINDS if any(name in parameter.tables for parameter in parameters)]
    kinds = {parameter.kind for parameter in parameters}
    problems = Problems()
    capturing = Capturing((cache or default_cache()) / "graphs")
    cases: list[Case] = []
    for table in judging.read_tables(measured, wanted, problems):
        used = _of_kinds(table, kinds, without, family)
        if KINDS[table.name].sample_by:
            used = judging.sampled_table(used, sample)
        elif rows is not None and len(used):
            used = judging.sampled_table(used, rows)
        if len(used):
            cases += KINDS[table.name].cases(used, capturing)
    return cases


def families_of(machines: Mapping[str, Machine]) -> set[str]:
    """Return the families of some machines."""
    return {machine.family for machine in machines.values()}


def _of_kinds(table: Table, kinds: set[str], without: str | None, family: str | None) -> Table:
    devices = table.text("device")
    known = set(hardware.names())
    machines = {device: Machine.find(device) for device in set(devices) & known if device != without}
    used = {
        device for device, machine in machines.items() if machine.kind in kinds and family in (None, machine.family)
    }
    return table.only([row for row, device in enumerate(devices) if device in used])


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=CALIBRATIONS)
    parser.add_argument("--without", metavar="DEVICE")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--sample", type=int, help="number of models of a table of whole models (default: by kind)")
    parser.add_argument("--rows", type=int, help="number of rows of a group of other tables, with --family")
    parser.add_argument("--table", action="append", default=[], help="a table to fit to, with --family; repeatable")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--kind", choices=list(_MODELS), help="fit the constants of this kind of machine only")
    chosen.add_argument("--family", help="fit the constants of this family only")
    options = parser.parse_args()
    if options.family:
        fit_family(
            options.measured,
            options.out,
            options.family,
            without=options.without,
            cache=options.cache,
            sample=options.sample,
            rows=options.rows,
            tables=options.table,
        )
        return 0
    fit(options.measured, options.out, options.without, cache=options.cache, sample=options.sample, only=options.kind)
    return 0


if __name__ == "__main__":
    sys.exit(main())
