"""Output of fitted constants into calibration files, in place; other constants are unchanged."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, MutableSequence, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tomlkit
from numpy.typing import NDArray

from pyinfercost.hardware.bands import FOLDER as BANDS
from pyinfercost.hardware.constants import TABLES

from .machines import GROUPS

if TYPE_CHECKING:
    from .solve import Problem

_DIGITS = 4
_MARK = "fitted: "
_MARKS = (_MARK, "set to ")  # by a fit, or by a search for the least error
_UNMOVED = 0.01  # of a logarithm: a family has no constant of its own that is nearer to what it extends


def write(
    folder: Path,
    problem: Problem,
    x: NDArray[np.float64],
    shared: Collection[str],
) -> None:
    """Write a kind's constants to its file, and those of families to theirs if these differ and have rows.

    Args:
        folder: Folder of calibration files.
        problem: The solved problem.
        x: Its solution.
        shared: Families that share in the fit; files of others do not change.
    """
    kinds = {unknown.parameter.kind for unknown in problem.unknowns}
    families = {machine.family: machine for machine in problem.machines.values()}
    fitted = {unknown.parameter.key for unknown in problem.unknowns}
    differing = {(u.parameter.key, u.family) for u in problem.unknowns if u.family}
    for path in folder.glob("*.toml"):
        document = tomlkit.parse(path.read_text(encoding="utf-8"))
        if path.stem not in {*kinds, *shared}:
            continue
        if path.stem in kinds:
            values = {
                u.parameter.key: float(np.exp(v))
                for u, v in zip(problem.unknowns, x, strict=True)
                if u.parameter.kind == path.stem and u.family is None
            }
            rows = problem.total_rows
        elif path.stem in families:
            machine = families[path.stem]
            values = {
                key: value for key, value in problem.constants(x, machine).items() if (key, path.stem) in differing
            }
            rows = sum(
                len(block.measured_s)
                for block in problem.blocks
                if problem.machines[block.hardware].family == path.stem
            )
        elif path.stem in GROUPS and GROUPS[path.stem] in {unknown.family for unknown in problem.unknowns}:
            values, rows = _of_group(problem, x, GROUPS[path.stem]), problem.total_rows
        else:
            # Values of an earlier fit are removed; published values are kept.
            if _forget(document, fitted):
                path.write_text(tomlkit.dumps(document), encoding="utf-8")
            continue
        _forget(document, fitted)
        source = (
            f"{_MARK}{rows} rows, python -m benchmarks.accuracy.fit; tables and their sources in benchmarks/README.md"
        )
        for dotted, value in values.items():
            _set(document, dotted, value, source)
        path.write_text(tomlkit.dumps(document), encoding="utf-8")


def write_family(
    folder: Path,
    family: str,
    problem: Problem,
    x: NDArray[np.float64],
) -> None:
    """Write the constants of one family to its file; those that equal what the family extends are left out.

    Args:
        folder: Folder of calibration files.
        family: The family.
        problem: The solved problem, whose start values are those that the family extends.
        x: Its solution.
    """
    path = folder / f"{family}.toml"
    document = tomlkit.parse(path.read_text(encoding="utf-8"))
    _forget(document, {unknown.parameter.key for unknown in problem.unknowns})
    source = (
        f"{_MARK}{problem.total_rows} rows, python -m benchmarks.accuracy.fit --family {family}; tables and their "
        "sources in benchmarks/README.md"
    )
    moved = np.abs(x - problem.start()) > _UNMOVED
    values = {
        unknown.parameter.key: float(np.exp(value))
        for unknown, value, differs in zip(problem.unknowns, x, moved, strict=True)
        if differs
    }
    for dotted, value in values.items():
        _set(document, dotted, value, source)
    path.write_text(tomlkit.dumps(document), encoding="utf-8")


def forget_family(folder: Path, family: str) -> None:
    """Remove all fitted constants from the file of a family; published ones are kept."""
    path = folder / f"{family}.toml"
    document = tomlkit.parse(path.read_text(encoding="utf-8"))
    every = {f"{table}.{key}" for table, keys in TABLES.items() for key in keys}
    if _forget(document, every):
        path.write_text(tomlkit.dumps(document), encoding="utf-8")


def published_keys(folder: Path, family: str) -> set[str]:
    """Return the dotted keys of constants in a family's file that no fit wrote."""
    document = tomlkit.parse((folder / f"{family}.toml").read_text(encoding="utf-8"))
    found = set()
    for name, keys in TABLES.items():
        table = _table(document, name, make=False)
        if table is not None and not any(mark in str(table.get("source", "")) for mark in _MARKS):
            found |= {f"{name}.{key}" for key in table if key in keys}
    return found


def forget_device(folder: Path, line: Sequence[str], device: str) -> bool:
    """Remove a device from the evidence of bands; return whether no other device of its family is left there."""
    mine, others = f"{line[0]}/{device}", False
    for name in line:
        path = folder / BANDS / f"{name}.toml"
        if not path.is_file():
            continue
        document = tomlkit.parse(path.read_text(encoding="utf-8"))
        for measured_on in _measured_on(document):
            if mine in measured_on:
                measured_on.remove(mine)
            others |= any(str(one).startswith(f"{line[0]}/") for one in measured_on)
        path.write_text(tomlkit.dumps(document), encoding="utf-8")
    return not others


def _measured_on(table: Mapping[str, object]) -> Iterator[MutableSequence[object]]:
    for key, value in table.items():
        if key == "measured_on" and isinstance(value, MutableSequence):
            yield value
        elif isinstance(value, Mapping):
            yield from _measured_on(value)


def _of_group(problem: Problem, x: NDArray[np.float64], group: str) -> dict[str, float]:
    """Return constants of a family without rows, from those of similar families."""
    alike = next(machine for machine in problem.machines.values() if machine.group == group)
    shared = np.where([unknown.family == alike.family for unknown in problem.unknowns], 0.0, x)
    keys = {unknown.parameter.key for unknown in problem.unknowns if unknown.family == group}
    return {key: value for key, value in problem.constants(shared, alike).items() if key in keys}


def _table(document: tomlkit.TOMLDocument, dotted: str, *, make: bool) -> tomlkit.items.Table | None:
    parent: tomlkit.TOMLDocument | tomlkit.items.Table = document
    parts = dotted.split(".")
    for place, part in enumerate(parts):
        if part not in parent:
            if not make:
                return None
            parent[part] = tomlkit.table(is_super_table=place + 1 < len(parts))
        parent = parent[part]
    return parent


def _set(document: tomlkit.TOMLDocument, dotted: str, value: float, source: str) -> None:
    name, _, key = dotted.rpartition(".")
    table = _table(document, name, make=True)
    assert table is not None
    before = str(table.get("source", ""))
    kept = before.partition(_MARK)[0].rstrip("; ")
    table["source"] = f"{kept}; {source}" if kept else source
    table[key] = float(f"{value:.{_DIGITS}g}")


def _forget(document: tomlkit.TOMLDocument, fitted: set[str]) -> bool:
    """Remove fitted keys from tables that an earlier fit wrote; return whether there were any."""
    found = False
    for dotted in fitted:
        name, _, key = dotted.rpartition(".")
        table = _table(document, name, make=False)
        source = str(table.get("source", "")) if table is not None else ""
        if table is not None and key in table and any(mark in source for mark in _MARKS):
            del table[key]
            found = True
    return found
