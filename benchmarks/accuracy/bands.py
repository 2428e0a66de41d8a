"""Spreads of measurements around predictions of machines that were left out of the fit, written as files of bands.

    python -m benchmarks.accuracy.bands --measured DIR [--out FOLDER] [--rows N] [--models N] [--cache DIR]

For each device with rows, calibration files are made without its rows: with the constants of the other devices of its
family if there are any, else with those that its family extends, fitted without that family. The device is predicted
with these, and its rows count for the step of evidence that it then has (`pyinfercost.hardware.bands`). Families with
one device are also fitted to one half of their rows, and the other half counts for the step `family`, as do rows of
devices whose constants were set by hand, since these cannot be left out. A spread is the quantile that holds 80 % of
the rows of a class, where each device has the same weight. Steps without rows are assumed: the spread of the step
before it, as a logarithm, times the factor that is enough in four of five classes that have both.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import tomlkit
from numpy.typing import NDArray

from pyinfercost import hardware
from pyinfercost.hardware.bands import FOLDER, step_of
from pyinfercost.hardware.evidence import EVIDENCE, OTHER
from pyinfercost.hardware.files import CALIBRATIONS, lineage
from pyinfercost.hardware.schema import BAND_CLASSES

from . import judge as judging
from .captures import Capturing, default_cache
from .cases import Case, halved
from .classes import classes_of
from .fit import WHOLE, fit_family, fit_without, of_families
from .fitting.machines import Machine
from .machines import load
from .measured import Problems
from .predict import predict
from .tables import KINDS

_SHARE = 0.8
"""Share of rows within a band."""
_LEAST = 0.05
"""Variation of the same device and software from day to day, and the least spread."""
_LEAST_FACTOR = 1.25
"""Least factor from one step of evidence to the next, of logarithms."""
_UNKNOWN_FACTOR = 1.5
"""The same if no class has rows for both steps."""
_MOST_ASSUMED = 2.0
"""Greatest assumed spread, a factor of three."""
_FLOORS = 2.0
"""Rows of Apple's operators that take less than so many times the shortest measure the dispatch of an operator."""


OWN_FILES = ("apple-gpu", "google-tpu")
"""Families with spreads of their own: their rows, of single operators of other software, count for no other family."""


WHOLE_MODELS = ("cpu", "systolic")
"""Kinds whose rows are of whole models, which give one band for all kernels."""


@dataclass(frozen=True)
class LeftOut:
    """Logarithms of predicted / measured of one device's rows of a class, predicted without them."""

    name: str
    step: str
    device: str
    logs: NDArray[np.float64]


class _Measurer:
    """Predictions of devices without their rows."""

    def __init__(self, measured: Path, cache: Path, rows: int, models: int) -> None:
        self.measured, self.cache, self.rows, self.models = measured, cache, rows, models
        self.cases: dict[str, list[Case]] = defaultdict(list)
        problems, capturing = Problems(), Capturing(cache / "graphs")
        wanted = [name for name, kind in KINDS.items() if kind.calls is None]
        every = {Machine.find(device).family for device in hardware.names()}
        for table in judging.read_tables(measured, wanted, problems):
            used = of_families(table, every)
            used = judging.sampled_table(used, models if KINDS[table.name].sample_by else rows)
            for case in KINDS[table.name].cases(used, capturing) if len(used) else []:
                machine = Machine.find(case.group.device)
                # One published figure makes no family of GPUs a measured one: tables have thousands of rows of others.
                if (table.name, machine.kind) != ("published_models", "gpu") or machine.family in OWN_FILES:
                    self.cases[case.group.device].append(case)
        self.floors: dict[tuple[str, str], float] = {}
        for case in [case for cases in self.cases.values() for case in cases if case.group.table == "apple_ops"]:
            key = (case.group.device, case.group.software)
            self.floors[key] = min(self.floors.get(key, np.inf), float(case.measured_s.min()))
        self.family = {device: Machine.find(device).family for device in self.cases}
        self.devices: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for device, cases in self.cases.items():
            for name in dict.fromkeys(name for case in cases for name in classes_of(case.group)):
                self.devices[name][self.family[device]].append(device)

    def left_out(self, device: str) -> list[LeftOut]:
        """Return the rows of a device with constants of all others."""
        family = self.family[device]
        line = lineage(family)
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder)
            fit_without(self.measured, out, device, cache=self.cache, sample=self.models, rows=self.rows)
            logs = self._logs(device, out)
            changed = Machine.find(device, out).constants.data != Machine.find(device).constants.data
        found = []
        for name, of_class in logs.items():
            families = {other for other, devices in self.devices[name].items() if set(devices) - {device}}
            found.append(LeftOut(name, step_of(families, line) if changed else "family", device, of_class))
        return found

    def halves(self, device: str) -> list[LeftOut]:
        """Return each half of a device's rows with constants that its family was fitted to with the other half."""
        found: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
        for half in (0, 1):
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder)
                fit_family(
                    self.measured,
                    out,
                    self.family[device],
                    cache=self.cache,
                    sample=self.models,
                    rows=self.rows,
                    half=half,
                )
                for name, logs in self._logs(device, out, half=1 - half).items():
                    found[name].append(logs)
        return [LeftOut(name, "family", device, np.concatenate(logs)) for name, logs in found.items()]

    def _logs(self, device: str, folder: Path, half: int | None = None) -> dict[str, NDArray[np.float64]]:
        cases = self.cases[device] if half is None else halved(self.cases[device], half, whole=WHOLE)
        machines = {
            case.hardware: load(device, folder, sustained=case.sustained, threads=case.threads, host=case.host)
            for case in cases
        }
        found: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
        for case in cases:
            with np.errstate(divide="ignore", invalid="ignore"):
                logs = np.log(predict([case], machines).latency_s / case.measured_s)
            logs = logs[case.measured_s >= _FLOORS * self.floors.get((case.group.device, case.group.software), 0.0)]
            for name in classes_of(case.group):
                found[name].append(logs[np.isfinite(logs)])
        return {name: np.concatenate(parts) for name, parts in found.items()}


def spreads(rows: Iterable[LeftOut]) -> dict[str, dict[str, float]]:
    """Return spreads by class and step.

    Args:
        rows: Rows of devices that were left out.

    Returns:
        Class -> step -> spread; steps after the last one with rows are assumed.
    """
    pooled: dict[str, dict[str, list[NDArray[np.float64]]]] = defaultdict(lambda: defaultdict(list))
    for some in rows:
        if len(some.logs):
            pooled[some.name][some.step].append(np.abs(some.logs))
    known = {
        name: {step: max(_LEAST, float(np.expm1(_quantile(parts)))) for step, parts in by_step.items()}
        for name, by_step in pooled.items()
    }
    steps = [step for step in EVIDENCE if step != "measured"]
    for before, after in pairwise(steps):
        both = [np.log1p(of[after]) / np.log1p(of[before]) for of in known.values() if before in of and after in of]
        factor = max(_LEAST_FACTOR, float(np.quantile(both, _SHARE))) if both else _UNKNOWN_FACTOR
        for of in known.values():
            if before in of:
                assumed = min(float(np.expm1(np.log1p(of[before]) * factor)), _MOST_ASSUMED)
                of[after] = max(of[before], of.get(after, assumed))
    return {name: {step: of[step] for step in steps if step in of} for name, of in known.items()}


def _quantile(parts: Sequence[NDArray[np.float64]]) -> float:
    """Return the value that the given share of all rows is below, where each part has the same weight."""
    values = np.concatenate(list(parts))
    weights = np.concatenate([np.full(len(part), 1 / len(part)) for part in parts])
    order = np.argsort(values)
    shares = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][np.searchsorted(shares, _SHARE)])


def write_bands(
    path: Path, of_classes: Mapping[str, Mapping[str, float]], devices: Mapping[str, Sequence[str]], source: str
) -> None:
    """Write a file of bands; the spread of machines that were measured themselves is kept.

    Args:
        path: The file.
        of_classes: Spreads by class and step.
        devices: The devices whose rows a class was fitted to, as FAMILY/DEVICE.
        source: The sentence that says what the spreads are from.
    """
    before = tomlkit.parse(path.read_text(encoding="utf-8")) if path.is_file() else tomlkit.document()
    document = tomlkit.document()
    document.add(tomlkit.comment("Written by python -m benchmarks.accuracy.bands; see pyinfercost/hardware/bands.py."))
    document["schema_version"] = 1
    document["source"] = source
    for name in BAND_CLASSES:
        if name not in of_classes:
            continue
        table = tomlkit.table()
        table["measured_on"] = sorted(devices.get(name, ()))
        kept = _at(before, name).get("measured")
        if kept is not None:
            table["measured"] = float(kept)
        for step, spread in of_classes[name].items():
            table[step] = float(f"{spread:.3g}")
        outer, _, inner = name.partition(".")
        if inner:
            if outer not in document:
                document[outer] = tomlkit.table(is_super_table=True)
            document[outer][inner] = table
        else:
            document[outer] = table
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tomlkit.dumps(document), encoding="utf-8")


def _at(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found: object = document
    for part in name.split("."):
        found = found.get(part, {}) if isinstance(found, Mapping) else {}
    return found if isinstance(found, Mapping) else {}


def write_all(measurer: _Measurer, rows: Sequence[LeftOut], out: Path) -> None:
    """Write the files of bands of all kinds and of the families in `OWN_FILES`."""
    owners: dict[str, set[str]] = defaultdict(set)
    for device, family in measurer.family.items():
        owners[family if family in OWN_FILES else Machine.find(device).kind].add(device)
    for owner, devices in owners.items():
        some = [row for row in rows if row.device in devices]
        of_classes = spreads(some)
        if owner in WHOLE_MODELS:
            of_classes = {name: steps for name, steps in of_classes.items() if name == OTHER}
        if owner in OWN_FILES:  # its machines have no weaker evidence
            of_classes = {name: {"family": steps["family"]} for name, steps in of_classes.items() if "family" in steps}
        if not of_classes:
            continue
        named = {
            name: [
                f"{measurer.family[device]}/{device}" for of in by_family.values() for device in of if device in devices
            ]
            for name, by_family in measurer.devices.items()
        }
        counted = sum(len(row.logs) for row in some)
        source = (
            f"{counted} predictions of rows of {len(devices)} devices with constants that were fitted without them; "
            "tables and their sources in benchmarks/README.md"
        )
        write_bands(out / FOLDER / f"{owner}.toml", of_classes, named, source)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=CALIBRATIONS)
    parser.add_argument("--rows", type=int, default=400, help="rows of each group (default: %(default)s)")
    parser.add_argument("--models", type=int, default=80, help="models of each table (default: %(default)s)")
    parser.add_argument("--cache", type=Path, default=default_cache())
    options = parser.parse_args()
    measurer = _Measurer(options.measured, options.cache, options.rows, options.models)
    rows: list[LeftOut] = []
    for device in sorted(measurer.cases):
        print(f"predicting {device} without its rows", file=sys.stderr, flush=True)
        rows += measurer.left_out(device)
        rows += measurer.halves(device)
    write_all(measurer, rows, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
