"""Constants of families: what launches cost and which share of a peak is reached.

A family's file `extends` the file of its kind; a key it does not set comes from there. So at most two files are read,
and no file belongs to a single device.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from .. import _core
from .calibration_schema import CALIBRATION
from .constants import REQUIRED, TABLES
from .device import DeviceFile, lookup
from .schema import KINDS, HardwareFileError, check, file_version, read_toml

CALIBRATIONS = Path(__file__).parent / "calibration"


@dataclass(frozen=True, eq=False)
class Calibration:
    """The constants that apply to one device, in the units of the files.

    Attributes:
        data: Table -> key -> value, for every table of `constants.TABLES`.
        origin: Dotted key -> the file it came from, and the source that file cites.
        fitted: Whether all of it was fitted to measurements, rather than taken over from publications.
    """

    data: Mapping[str, Mapping[str, float]]
    origin: Mapping[str, tuple[Path, str]]
    fitted: bool

    def get(self, dotted: str) -> float | None:
        """The value under a dotted key such as `overheads.dispatch_us`, or None."""
        table, _, key = dotted.rpartition(".")
        value = self.data.get(table, {}).get(key)
        return None if value is None else float(value)

    def in_base_units(self, clock_hz: float) -> dict[str, float]:
        """Return all constants in FLOP, byte, second, joule, by the names that a machine has for them.

        Args:
            clock_hz: The clock of the machine's cores, for what is in clocks.
        """
        written = {f"{table}.{key}": value for table, keys in self.data.items() for key, value in keys.items()}
        return _core.base_constants(written, clock_hz=clock_hz)

    def __getitem__(self, dotted: str) -> float:
        value = self.get(dotted)
        if value is None:
            raise KeyError(dotted)
        return value


@dataclass(frozen=True, eq=False)
class _Layer:
    """The constants of one file.

    Attributes:
        path: The file.
        tables: Its content; of a device's own file, `[calibration]`.
    """

    path: Path
    tables: Mapping[str, Any] = field(repr=False)


def families(folder: Path = CALIBRATIONS) -> list[str]:
    """The families that have a file of their own, and the three kinds; no file is opened."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def calibration(device: DeviceFile, folder: Path = CALIBRATIONS) -> Calibration:
    """Gather the constants for a device: its own file's (outside the catalogue), its family's, its kind's.

    Args:
        device: The device.
        folder: Where the files of families and kinds are.

    Raises:
        HardwareFileError: The family is unknown or belongs to another kind, or a file breaks the schema.
    """
    layers: list[_Layer] = []
    if "calibration" in device.data:
        layers.append(_own_layer(device))
    stem: str | None = device.family
    while stem is not None and len(layers) <= len(KINDS):
        path = folder / f"{stem}.toml"
        if not path.is_file():
            raise _unknown_family(path, device)
        layers.append(_read_version(path, file_version(path)))
        stem = layers[-1].tables.get("extends")
    kind = layers[-1].tables["family"]
    if kind != device.kind:
        raise HardwareFileError(
            f"{device.path}: 'family' is {device.family!r}, a family of kind {kind!r}; expected one of kind "
            f"{device.kind!r}"
        )
    return _merge(*layers)


@lru_cache(maxsize=1024)
def _own_layer(device: DeviceFile) -> _Layer:
    return _Layer(device.path, device.data["calibration"])


@lru_cache(maxsize=1024)
def _read_version(path: Path, _version: object) -> _Layer:
    content = read_toml(path)
    check(content, CALIBRATION, path)
    if content["family"] != path.stem:
        raise HardwareFileError(f"{path}: 'family' is {content['family']!r}; expected {path.stem!r}, the file's name")
    if ("extends" in content) == (path.stem in KINDS):
        raise HardwareFileError(f"{path}: 'extends' must name a kind in a family's file, and be absent in a kind's")
    return _Layer(path, content)


def _unknown_family(path: Path, device: DeviceFile) -> HardwareFileError:
    known = families(path.parent)
    near = difflib.get_close_matches(path.stem, known, n=3, cutoff=0.3)
    return HardwareFileError(
        f"{device.path}: 'family' is {device.family!r}; expected one of {', '.join(known)}"
        + (f"; nearest: {', '.join(near)}" if near else "")
        + f". {device.kind!r} alone stands for any other {device.kind}."
    )


@lru_cache(maxsize=1024)
def _merge(*layers: _Layer) -> Calibration:
    data: dict[str, dict[str, float]] = {name: {} for name in TABLES}
    origin: dict[str, tuple[Path, str]] = {}
    for layer in reversed(layers):  # the kind first, so that what is more particular overwrites it
        for name in TABLES:
            table = lookup(layer.tables, name) or {}
            for key, value in table.items():
                if key == "source":
                    continue
                data[name][key] = float(value)
                origin[f"{name}.{key}"] = (layer.path, table["source"])
    for dotted in REQUIRED:
        if dotted not in origin:
            raise HardwareFileError(f"{layers[-1].path}: {dotted!r} is missing; a kind's file must set it")
    fitted = all(layer.tables["fitted"] for layer in layers if "fitted" in layer.tables)
    return Calibration(data, origin, fitted)
