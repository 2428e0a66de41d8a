"""Error bands by evidence: how far measurements are from predictions of machines that nobody fitted.

The accuracy of a class of kernels on a machine depends on measurements of similar machines. There are four
steps (`evidence.EVIDENCE`): the machine itself (by `pyinfercost calibrate`), other devices of its family, devices of
another family of the same vendor or instruction set, and none of these. Each step has a spread, which
`python -m benchmarks.accuracy.bands` finds by predicting devices, families or vendors that were left out of the fit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from .._checks import is_file
from .._records import dataclass
from .._toml import read_toml
from .errors import HardwareFileError
from .evidence import EVIDENCE, OTHER
from .files import file_version, lookup
from .schema import BAND_CLASSES, KINDS, check

FOLDER = "bands"
"""Folder of the files of bands in a folder of calibration files."""


@dataclass(frozen=True)
class Band:
    """Error band of a class of kernels on one machine.

    Attributes:
        spread: Four of five measurements are expected between latency / (1 + spread) and latency x (1 + spread).
        evidence: Evidence of the spread, one of the values of `evidence.EVIDENCE`.
    """

    spread: float
    evidence: str


@dataclass(frozen=True)
class _Spreads:
    """Spreads of a class by evidence, and the families whose rows its constants were fitted to."""

    families: frozenset[str]
    by_step: Mapping[str, float]


def bands(lineage: Sequence[str], folder: Path, *, measured: bool) -> dict[str, Band]:
    """Return the bands of a machine, by class of kernels.

    Args:
        lineage: Its family, the families that this one extends, and its kind, as `files.lineage` returns them. The
            kind has a file of bands; a family may have one, whose classes take precedence.
        folder: Folder of calibration files, with a subfolder of bands.
        measured: Whether constants were measured on this machine.

    Returns:
        Class -> band; `evidence.OTHER` is for all classes without a band.

    Raises:
        HardwareFileError: A file of bands cannot be read, or does not follow the schema.
    """
    found: dict[str, _Spreads] = {}
    for name in reversed(lineage):
        path = folder / FOLDER / f"{name}.toml"
        if name == lineage[-1] or is_file(path):
            found |= _read(path, file_version(path))
    return {name: _band(spreads, lineage, measured=measured) for name, spreads in found.items()}


def _band(spreads: _Spreads, lineage: Sequence[str], *, measured: bool) -> Band:
    step = "measured" if measured else step_of(spreads.families, lineage)
    at = list(EVIDENCE).index(step)
    # A class that was measured on few devices has no spread for some steps: the next weaker one is wide enough.
    nearest = [*list(EVIDENCE)[at:], *reversed(list(EVIDENCE)[:at])]
    return Band(next(spreads.by_step[near] for near in nearest if near in spreads.by_step), EVIDENCE[step])


def step_of(families: Collection[str], lineage: Sequence[str]) -> str:
    """Return the evidence of a machine's band, if rows of some families were fitted.

    Args:
        families: The families with rows of a class of kernels.
        lineage: The machine's family, the families that this one extends, and its kind.

    Returns:
        A key of `evidence.EVIDENCE`, from `family` on.
    """
    if lineage[0] in families:
        return "family"
    vendors = {_vendor(family) for family in families}
    return "sibling" if _vendor(lineage[0]) in vendors or set(lineage[1:-1]) & set(families) else "datasheet"


def _vendor(family: str) -> str:
    """Return the first word of a family's name: its vendor, or the instruction set of CPUs."""
    return family.partition("-")[0]


@lru_cache(maxsize=64)
def _read(path: Path, _version: object) -> Mapping[str, _Spreads]:
    content = read_toml(path, HardwareFileError)
    check(content, "bands", path)
    found = {}
    for name in BAND_CLASSES:
        table = lookup(content, name)
        if table is None:
            continue
        by_step = {step: float(table[step]) for step in EVIDENCE if step in table}
        if not by_step:
            raise HardwareFileError(f"{path}: [{name}] has no spread; expected at least one of {', '.join(EVIDENCE)}")
        found[name] = _Spreads(frozenset(one.partition("/")[0] for one in table["measured_on"]), by_step)
    if path.stem in KINDS and OTHER not in found:
        raise HardwareFileError(f"{path}: [{OTHER}] is missing; expected the spreads of all other kernels")
    return found
