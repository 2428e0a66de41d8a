"""Files of devices and of calibration constants: read, checked against the schema and merged, in their own units.

A family's calibration file `extends` the file of the nearest family, or of its kind, which has the keys that the family
leaves out. No calibration file belongs to a single device.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import field
from functools import lru_cache
from pathlib import Path
from typing import Any

from .. import _core
from .._checks import is_file, shown
from .._records import dataclass
from .._toml import read_toml
from ..errors import InputError, UnknownNameError
from .constants import REQUIRED, TABLES
from .errors import HardwareFileError
from .schema import KINDS, as_json, check

CALIBRATIONS = Path(__file__).parent / "calibration"


# ---- any file --------------------------------------------------------------------------------------------------------


def file_version(path: Path) -> tuple[int, int] | None:
    """Return the modification time of a file in ns and its size; None if the file does not exist.

    Cached readers take it as an argument, so that they read a changed file again. Their callers share the result and
    must not change it.
    """
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size


def lookup(data: Mapping[str, Any], dotted: str) -> Any:
    """Return the value at a dotted path such as `memory.dram.capacity_gib`; None if there is none."""
    value: Any = data
    for part in dotted.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


# ---- devices ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class DeviceFile:
    """A checked device file, in the units of the file.

    Attributes:
        path: The file.
        data: Its content.
    """

    path: Path
    data: Mapping[str, Any] = field(repr=False)

    @property
    def id(self) -> str:
        return str(self.data["id"])

    @property
    def kind(self) -> str:
        return str(self.data["kind"])

    @property
    def family(self) -> str:
        return str(self.data["family"])

    def get(self, dotted: str) -> Any:
        """Return the value at a dotted path such as `memory.dram.capacity_gib`; None if the file has none."""
        return lookup(self.data, dotted)

    @property
    def facts(self) -> _core.DeviceFile:
        """The facts as the core reads them.

        Raises:
            HardwareFileError: The file does not follow the schema, or its values contradict each other.
        """
        return _facts(self)

    def missing(self) -> list[str]:
        """Return the facts that an estimate of time needs and the file lacks; empty for a usable device."""
        return self.facts.missing


@lru_cache(maxsize=1024)
def _facts(device: DeviceFile) -> _core.DeviceFile:
    try:
        return _core.DeviceFile(as_json(device.data), name=str(device.path))
    except InputError as error:
        raise HardwareFileError(str(error)) from None


def read_device(path: Path, *, cataloged: bool) -> DeviceFile:
    """Read and check a device file.

    Args:
        path: The file.
        cataloged: Whether it belongs to the catalog, where the name of the file is the id and a device has no
            constants of its own.

    Raises:
        HardwareFileError: The file does not follow the schema, or its values contradict each other.
    """
    return _read_device(path, cataloged, file_version(path))


@lru_cache(maxsize=1024)
def _read_device(path: Path, cataloged: bool, _version: object) -> DeviceFile:
    device = DeviceFile(path, read_toml(path, HardwareFileError))
    _facts(device)
    if cataloged and path.stem != device.id:
        raise HardwareFileError(f"{path}: 'id' is {device.id!r}; expected {path.stem!r}, the name of the file")
    if cataloged and "calibration" in device.data:
        raise HardwareFileError(
            f"{path}: [calibration] is in a file of the catalog; expected it in the file of a family in "
            "hardware/calibration/, or in a device file outside the catalog"
        )
    return device


# ---- calibration constants -------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Calibration:
    """The calibration constants of a device, in the units of the files.

    Attributes:
        data: Table -> key -> value, for each table of `constants.TABLES`.
        origin: Dotted key -> its file, and the source that the file cites.
        lineage: The family, the families that it extends, and the kind.
        folder: The folder of the files.
        measured: Whether the device's own file has constants, which were measured on it.
    """

    data: Mapping[str, Mapping[str, float]]
    origin: Mapping[str, tuple[Path, str]]
    lineage: tuple[str, ...]
    folder: Path
    measured: bool

    def get(self, dotted: str) -> float | None:
        """Return the value of a dotted key such as `overheads.dispatch_us`; None if there is none."""
        table, _, key = dotted.rpartition(".")
        value = self.data.get(table, {}).get(key)
        return None if value is None else float(value)

    @property
    def values(self) -> dict[str, float]:
        """The constants by dotted key."""
        return {f"{table}.{key}": value for table, keys in self.data.items() for key, value in keys.items()}

    def __getitem__(self, dotted: str) -> float:
        value = self.get(dotted)
        if value is None:
            raise UnknownNameError(dotted)
        return value


@dataclass(frozen=True, eq=False)
class _Layer:
    """The constants of one file.

    Attributes:
        path: The file.
        tables: Its content, or `[calibration]` of a device file.
    """

    path: Path
    tables: Mapping[str, Any] = field(repr=False)


def families(folder: Path = CALIBRATIONS) -> list[str]:
    """Return the families with a file of their own, and the three kinds; no file is opened."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def calibration(device: DeviceFile, folder: Path = CALIBRATIONS) -> Calibration:
    """Return the constants of a device: from its own file, then from its family and the files that the family extends.

    Args:
        device: The device.
        folder: The folder of the files of families and kinds.

    Raises:
        HardwareFileError: The family is unknown or of another kind, or a file does not follow the schema.
    """
    layers: list[_Layer] = []
    if "calibration" in device.data:
        layers.append(_own_layer(device))
    path = folder / f"{device.family}.toml"
    if not is_file(path):
        raise _unknown_family(path, device)
    layers += _family_layers(device.family, folder)
    try:
        device.facts.check_family(layers[-1].tables["family"])
    except InputError as error:
        raise HardwareFileError(str(error)) from None
    return _merge(folder, *layers)


def family_calibration(family: str, folder: Path = CALIBRATIONS) -> Calibration:
    """Return the constants of a family, or of a kind.

    Args:
        family: The family, or a kind.
        folder: The folder of the files of families and kinds.

    Raises:
        HardwareFileError: As in `lineage`, or a file does not follow the schema.
    """
    return _merge(folder, *_family_layers(family, folder))


def lineage(family: str, folder: Path = CALIBRATIONS) -> list[str]:
    """Return a family, the families that it extends, nearest first, and its kind.

    Args:
        family: The family, or a kind, which has no others.
        folder: The folder of the files of families and kinds.

    Raises:
        HardwareFileError: A file is missing or does not follow the schema, or families extend each other in a circle.
    """
    return [layer.path.stem for layer in _family_layers(family, folder)]


def _family_layers(family: str, folder: Path) -> list[_Layer]:
    layers: list[_Layer] = []
    stem: str | None = family
    while stem is not None:
        path = folder / f"{stem}.toml"
        if any(layer.path == path for layer in layers):
            raise HardwareFileError(f"{layers[-1].path}: 'extends' is {stem!r}, which extends it; expected no circle")
        if layers and not is_file(path):
            raise HardwareFileError(
                f"{layers[-1].path}: 'extends' is {shown(stem)}; expected one of {', '.join(families(folder))}"
            )
        layers.append(_read_layer(path, file_version(path)))
        stem = layers[-1].tables.get("extends")
    return layers


@lru_cache(maxsize=1024)
def _own_layer(device: DeviceFile) -> _Layer:
    return _Layer(device.path, device.data["calibration"])


@lru_cache(maxsize=1024)
def _read_layer(path: Path, _version: object) -> _Layer:
    content = read_toml(path, HardwareFileError)
    check(content, "calibration", path)
    if content["family"] != path.stem:
        raise HardwareFileError(f"{path}: 'family' is {content['family']!r}; expected {path.stem!r}, the file's name")
    if path.stem in KINDS and "extends" in content:
        raise HardwareFileError(f"{path}: 'extends' is {content['extends']!r}; expected none in the file of a kind")
    if path.stem not in KINDS and "extends" not in content:
        raise HardwareFileError(f"{path}: 'extends' is missing; expected the nearest family, or the kind")
    return _Layer(path, content)


def _unknown_family(path: Path, device: DeviceFile) -> HardwareFileError:
    known = families(path.parent)
    near = difflib.get_close_matches(path.stem, known, n=3, cutoff=0.3)
    return HardwareFileError(
        f"{device.path}: 'family' is {device.family!r}; expected one of {', '.join(known)}"
        + (f"; nearest: {', '.join(near)}" if near else "")
        + f". {device.kind!r} has the constants of any other {device.kind}."
    )


@lru_cache(maxsize=1024)
def _merge(folder: Path, *layers: _Layer) -> Calibration:
    data: dict[str, dict[str, float]] = {name: {} for name in TABLES}
    origin: dict[str, tuple[Path, str]] = {}
    for layer in reversed(layers):  # the kind first; more specific files override it
        for name in TABLES:
            table = lookup(layer.tables, name) or {}
            for key, value in table.items():
                if key == "source":
                    continue
                data[name][key] = float(value)
                origin[f"{name}.{key}"] = (layer.path, table["source"])
    for dotted in REQUIRED:
        if dotted not in origin:
            raise HardwareFileError(f"{layers[-1].path}: {dotted!r} is missing; expected it in the file of a kind")
    line = tuple(layer.path.stem for layer in layers if "family" in layer.tables)
    return Calibration(data, origin, line, folder, measured=len(line) < len(layers))
