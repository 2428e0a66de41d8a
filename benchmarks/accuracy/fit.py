"""Fits constants of families of machines to a folder of measurements, and writes calibration files.

    python -m benchmarks.accuracy.fit --measured DIR [--out FOLDER] [--without DEVICE] [--sample N]

What is fitted, and how far it may go from where it starts, is listed in `fitting/gpus.py`; families differ from their
kind as far as their rows ask for it. Without `--out` the package's own files are rewritten.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from pyinfercost.hardware.calibration import CALIBRATIONS

from . import judge as judging
from .captures import Capturing
from .cases import Case
from .fitting import gpus
from .fitting.machines import Machine
from .fitting.parameters import Parameter
from .fitting.solve import Problem, blocks_of
from .fitting.spreads import spreads
from .fitting.write import write
from .measured import Problems, Table
from .tables import KINDS

_MODELS = 250  # of the table of vision models that are fitted to: more of them tell little that is new


def fit(measured: Path, out: Path, without: str | None, *, cache: Path | None = None, sample: int = _MODELS) -> None:
    """Fits all constants and writes a folder of calibration files.

    Args:
        measured: the folder of measurements.
        out: where files are written; those of the package are copied there first.
        without: a device whose rows are left out.
        cache: where graphs of whole models are kept; by default where the judge keeps them.
        sample: how many models of a table of whole models are used.
    """
    if out.resolve() != CALIBRATIONS.resolve():
        shutil.copytree(CALIBRATIONS, out, dirs_exist_ok=True)
    cases = load_cases(measured, without, gpus.PARAMETERS, cache, sample)
    blocks = blocks_of(cases)
    machines = {block.hardware: Machine.find(block.hardware) for block in blocks}
    problem = Problem(gpus.PARAMETERS, blocks, machines)
    x = problem.solve()
    write(out, problem, x, spreads(problem, x), measured)


def load_cases(
    measured: Path, without: str | None, parameters: Iterable[Parameter], cache: Path | None, sample: int
) -> list[Case]:
    """The rows that constants are fitted to: of the parameters' tables, on machines of their kinds."""
    from .__main__ import default_cache

    parameters = list(parameters)
    wanted = [name for name in KINDS if any(name in parameter.tables for parameter in parameters)]
    kinds = {parameter.kind for parameter in parameters}
    problems = Problems()
    capturing = Capturing((cache or default_cache()) / "graphs")
    cases: list[Case] = []
    for table in judging.read_tables(measured, wanted, problems):
        used = _of_kinds(table, kinds, without)
        if KINDS[table.name].sample_by:
            used = judging.sampled_table(used, sample)
        if len(used):
            cases += KINDS[table.name].cases(used, capturing)
    return cases


def _of_kinds(table: Table, kinds: set[str], without: str | None) -> Table:
    devices = table.text("device")
    kind = {device: Machine.find(device).kind for device in set(devices) if device != without}
    return table.only([row for row, device in enumerate(devices) if kind.get(device) in kinds])


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=CALIBRATIONS)
    parser.add_argument("--without", metavar="DEVICE")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--sample", type=int, default=_MODELS)
    options = parser.parse_args()
    fit(options.measured, options.out, options.without, cache=options.cache, sample=options.sample)
    return 0


if __name__ == "__main__":
    sys.exit(main())
