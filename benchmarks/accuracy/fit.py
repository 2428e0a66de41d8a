"""Fit of the constants of machine families to a folder of measurements, written as calibration files.

    python -m benchmarks.accuracy.fit --measured DIR [--out FOLDER] [--without DEVICE ...] [--sample N] [--rows N]
                                      [--kind gpu|cpu | --family FAMILY] [--table T ...] [--keep KEY ...]

The fitted constants with their start values and limits are listed in `fitting/gpus.py`, `fitting/cpus.py` and
`fitting/arrays.py`, by kind of machine; families deviate from their kind as far as their rows require. With `--family`,
the constants of one family are fitted to its rows and start from those of the file that it extends, which do not
change; arrays are fitted so only. Without `--out` the package's own files are rewritten.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

from pyinfercost import hardware
from pyinfercost.hardware.files import CALIBRATIONS, family_calibration, lineage

from . import judge as judging
from .captures import Capturing, default_cache
from .cases import Case, halved
from .fitting import arrays, cpus, gpus
from .fitting.machines import Machine
from .fitting.parameters import Parameter
from .fitting.solve import Problem, blocks_of
from .fitting.write import forget_device, forget_family, published_keys, write, write_family
from .measured import Problems, Table
from .tables import KINDS

PARAMETERS = (*gpus.PARAMETERS, *cpus.PARAMETERS, *arrays.PARAMETERS)
SHARED = {"gpu": gpus.SHARED, "cpu": cpus.SHARED}
"""Families whose rows determine the constants of their kind; others start from these."""

WHOLE = frozenset(name for name, kind in KINDS.items() if kind.sample_by)
"""Tables of whole models, whose rows are not split."""

# Number of models of the table of vision models, by kind: on four tables of GPUs, more models add little information.
_MODELS = {"gpu": 250, "cpu": 2000}


def fit(
    measured: Path,
    out: Path,
    *,
    without: Collection[str] = (),
    cache: Path | None = None,
    sample: int | None = None,
    rows: int | None = None,
    only: str | None = None,
) -> None:
    """Fit the constants of kinds to the families that share them, and write a folder of calibration files.

    Files of families that do not share in the fit do not change.

    Args:
        measured: The folder of measurements.
        out: Destination folder; the package's files are copied there if it has none.
        without: Devices whose rows are left out.
        cache: Folder for graphs of whole models; default: that of the accuracy benchmark.
        sample: Number of models to use from a table of whole models; default: enough for a stable fit.
        rows: Number of rows to use of each group of other tables; default: all.
        only: Kind of machine whose constants are fitted; default: all with fitted constants.
    """
    _copy_files(out)
    for kind in [only] if only else SHARED:
        parameters = [parameter for parameter in PARAMETERS if parameter.kind == kind]
        cases = load_cases(measured, without, parameters, SHARED[kind], cache, sample or _MODELS[kind], rows)
        blocks = blocks_of(cases)
        machines = {block.hardware: Machine.find(block.hardware) for block in blocks}
        problem = Problem(parameters, blocks, machines)
        write(out, problem, problem.solve(), SHARED[kind])


def fit_family(
    measured: Path,
    out: Path,
    family: str,
    *,
    without: Collection[str] = (),
    cache: Path | None = None,
    sample: int | None = None,
    rows: int | None = None,
    tables: Iterable[str] = (),
    half: int | None = None,
    keep: Iterable[str] = (),
) -> None:
    """Fit the constants of one family to its rows, starting from those that its file extends.

    Args:
        measured: The folder of measurements.
        out: Destination folder; the package's files are copied there if it has none.
        family: The family, whose file exists.
        without: Devices whose rows are left out.
        cache: Folder for graphs of whole models; default: that of the accuracy benchmark.
        sample: Number of models to use from a table of whole models; default: enough for a stable fit.
        rows: Number of rows to use of each group of other tables; default: all.
        tables: Tables whose constants are fitted; default: all that have rows of the family.
        half: The half of the rows to fit to, as in `cases.halved`; default: all rows.
        keep: Dotted keys of constants that stay as they are, beside published ones in the family's file.
    """
    _copy_files(out)
    line = lineage(family, out)
    if len(line) == 1:
        return  # a device whose family is its kind: constants of a kind are shared
    parent, kind = line[1], line[-1]
    extended = family_calibration(parent, out)
    wanted, kept = frozenset(tables), {*keep, *published_keys(out, family)}
    parameters = [
        replace(
            parameter,
            start=min(max(extended.get(parameter.key) or parameter.start, parameter.low), parameter.high),
            family_sd=0.0,
        )
        for parameter in PARAMETERS
        if parameter.kind == kind and parameter.key not in kept and (not wanted or wanted & set(parameter.tables))
    ]
    cases = load_cases(measured, without, parameters, (family,), cache, sample or _MODELS.get(kind, 0), rows)
    blocks = [
        block
        for block in blocks_of(cases if half is None else halved(cases, half, whole=WHOLE))
        if not wanted or block.table in wanted
    ]
    machines = {block.hardware: Machine.find(block.hardware, out) for block in blocks}
    used = {block.table for block in blocks}
    problem = Problem([parameter for parameter in parameters if used & set(parameter.tables)], blocks, machines)
    if problem.unknowns:
        write_family(out, family, problem, problem.solve())


def fit_without(
    measured: Path,
    out: Path,
    device: str,
    *,
    cache: Path | None = None,
    sample: int | None = None,
    rows: int | None = None,
) -> None:
    """Write calibration files that would be there without the rows of one device.

    Args:
        measured: The folder of measurements.
        out: Destination folder; the package's files are copied there if it has none.
        device: The device.
        cache: Folder for graphs of whole models; default: that of the accuracy benchmark.
        sample: Number of models to use from a table of whole models; default: enough for a stable fit.
        rows: Number of rows to use of each group of other tables; default: all.
    """
    _copy_files(out)
    machine = Machine.find(device)
    family, kind = machine.family, machine.kind
    alone = forget_device(out, lineage(family, out), device)
    if family in SHARED.get(kind, ()):
        fit(measured, out, without={device}, cache=cache, sample=sample, rows=rows, only=kind)
    elif alone:
        if family != kind:
            forget_family(out, family)
    else:
        fit_family(measured, out, family, without={device}, cache=cache, sample=sample, rows=rows)


def _copy_files(out: Path) -> None:
    """Copy the package's files to a folder that has none."""
    if not any(out.glob("*.toml")):
        shutil.copytree(CALIBRATIONS, out, dirs_exist_ok=True)


def load_cases(
    measured: Path,
    without: Collection[str],
    parameters: Iterable[Parameter],
    families: Collection[str],
    cache: Path | None,
    sample: int,
    rows: int | None = None,
) -> list[Case]:
    """Return the rows for the fit: those of the parameters' tables, on machines of some families."""
    parameters = list(parameters)
    wanted = [name for name in KINDS if any(name in parameter.tables for parameter in parameters)]
    problems = Problems()
    capturing = Capturing((cache or default_cache()) / "graphs")
    cases: list[Case] = []
    for table in judging.read_tables(measured, wanted, problems):
        used = of_families(table, families, without)
        if KINDS[table.name].sample_by:
            used = judging.sampled_table(used, sample)
        elif rows is not None and len(used):
            used = judging.sampled_table(used, rows)
        if len(used):
            cases += KINDS[table.name].cases(used, capturing)
    return cases


def of_families(table: Table, families: Collection[str], without: Collection[str] = ()) -> Table:
    """Return the rows of a table on devices of some families, except some devices."""
    devices = table.text("device")
    known = set(devices) & set(hardware.names()) - set(without)
    used = {device for device in known if Machine.find(device).family in families}
    return table.only([row for row, device in enumerate(devices) if device in used])


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=CALIBRATIONS)
    parser.add_argument("--without", metavar="DEVICE", action="append", default=[], help="repeatable")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--sample", type=int, help="number of models of a table of whole models (default: by kind)")
    parser.add_argument("--rows", type=int, help="number of rows of a group of other tables")
    parser.add_argument("--table", action="append", default=[], help="a table to fit to, with --family; repeatable")
    parser.add_argument("--keep", action="append", default=[], help="a constant that is not fitted, with --family")
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
            keep=options.keep,
        )
        return 0
    fit(
        options.measured,
        options.out,
        without=options.without,
        cache=options.cache,
        sample=options.sample,
        rows=options.rows,
        only=options.kind,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
