"""Files of devices and of calibration constants: read, checked against the schema and merged, in their own units.

A family's calibration file `extends` the file of the nearest family, or of its kind, which has the keys that the family
leaves out. No calibration file belongs to a single device.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from functools import lru_cache
from pathlib import Path
from typing import Any

from .. import _core
from .._checks import is_file, shown
from .._records import dataclass
from .._toml import read_toml
from ..errors import UnknownNameError
from .catalog_names import is_id
from .constants import REQUIRED, TABLES
from .errors import HardwareError, HardwareFileError
from .schema import CACHE_LEVELS, CALIBRATION, DEVICE, KINDS, PLAUSIBLE, Field, Table

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


def check(data: Mapping[str, Any], table: Table, path: Path, prefix: str = "") -> None:
    """Check the content of a file against its schema.

    Args:
        data: The content, or a table of it.
        table: The schema of this table.
        path: The file, for messages.
        prefix: Dotted path of this table, with a dot at its end; empty for the whole file.

    Raises:
        HardwareFileError: A key is unknown or missing, or a value has the wrong type or is out of range.
    """
    for key, value in data.items():
        if key not in table.keys:
            raise HardwareFileError(f"{path}: unknown key {prefix + key!r}; {_nearest(key, table.keys)}")
        rule = table.keys[key]
        if isinstance(rule, Field):
            _check_value(value, rule, path, prefix + key)
        elif isinstance(value, Mapping):
            check(value, rule, path, f"{prefix}{key}.")
        else:
            raise HardwareFileError(f"{path}: {prefix + key!r} is {shown(value)}; expected a table [{prefix}{key}]")
    for key, rule in table.keys.items():
        if rule.required and key not in data:
            raise HardwareFileError(f"{path}: required key {prefix + key!r} is missing; expected {_expected(rule)}")


def _nearest(key: str, known: Iterable[str]) -> str:
    matches = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
    return f"the nearest valid key is {matches[0]!r}; valid here: {', '.join(known)}"


def _check_value(value: Any, rule: Field, path: Path, key: str) -> None:
    items: Sequence[Any] = [value]
    if rule.type in ("texts", "integers"):
        items = value if isinstance(value, list) else [None]
    for item in items:
        if not _fits(item, rule):
            raise HardwareFileError(f"{path}: {key!r} is {shown(value)}; expected {_expected(rule)}")
        if isinstance(item, (int, float)) and not PLAUSIBLE.has(abs(item)):
            raise HardwareFileError(f"{path}: {key!r} is {shown(value)}; expected {PLAUSIBLE}")


def _fits(item: Any, rule: Field) -> bool:
    if rule.type == "boolean":
        return isinstance(item, bool)
    if rule.type in ("text", "texts"):
        return isinstance(item, str) and item.strip() != "" and (not rule.choices or item in rule.choices)
    number = isinstance(item, int) if rule.type in ("integer", "integers") else isinstance(item, (int, float))
    return (
        number
        and not isinstance(item, bool)
        and (rule.low is None or item >= rule.low)
        and (rule.high is None or item <= rule.high)
        and (rule.above is None or item > rule.above)
    )


def _expected(rule: Field | Table) -> str:
    if isinstance(rule, Table):
        return "a table"
    if rule.choices:
        return "one of " + ", ".join(map(repr, rule.choices))
    names = {"text": "a text", "texts": "a list of texts", "integers": "a list of integers", "boolean": "true or false"}
    words = names.get(rule.type, f"a{'n' if rule.type == 'integer' else ''} {rule.type}")
    if rule.low is not None and rule.low == rule.high:
        return f"{rule.low:g}"
    bounds = [
        f"{sign} {bound:g}"
        for sign, bound in ((">", rule.above), (">=", rule.low), ("<=", rule.high))
        if bound is not None
    ]
    return words + (" " + " and ".join(bounds) if bounds else "")


# ---- devices ---------------------------------------------------------------------------------------------------------

CHANNEL_BITS = 64
BANDWIDTH_TOLERANCE = 0.01  # data sheets round to three digits

# Facts that the time of a forward in fp32 or below depends on. Rates of fp64 and int4, links, power, and half-precision
# vector rates of a device with a matrix unit for the same dtype have no influence.
_LOAD_BEARING = (
    "compute.cores",
    "compute.clock_ghz",
    "compute.matrix_clock_ghz",
    "compute.array",
    *(f"compute.matrix_tflop_per_s.{dtype}" for dtype in ("fp32", "tf32", "fp16", "bf16", "fp8", "fp4", "int8")),
    "compute.vector_tflop_per_s.fp32",
    "memory.dram.capacity_gib",
    "memory.dram.bandwidth_gb_per_s",
    "calibration",
)
_LOAD_BEARING_WITHOUT_MATRIX = ("fp16", "bf16")


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

    def missing(self) -> list[str]:
        """Return the facts that an estimate of time needs and the file lacks; empty for a usable device."""
        gaps = []
        if self.get("compute.cores") is None:
            gaps.append("compute.cores")
        if not self.get("compute.matrix_tflop_per_s") and not self.get("compute.vector_tflop_per_s"):
            gaps.append("a peak rate (compute.matrix_tflop_per_s or compute.vector_tflop_per_s)")
        streams = self.get("memory.scratchpad") is not None and self.get("link.host.bandwidth_gb_per_s") is not None
        if self.get("memory.dram.bandwidth_gb_per_s") is None and not streams:
            gaps.append(
                "a memory bandwidth (memory.dram.bandwidth_gb_per_s, or memory.scratchpad together with "
                "link.host.bandwidth_gb_per_s)"
            )
        return gaps


def load_bearing(data: Mapping[str, Any], unverified: Iterable[str]) -> list[str]:
    """Return the paths among `unverified` that an estimate of time depends on."""
    bearing = list(_LOAD_BEARING)
    bearing += [
        f"compute.vector_tflop_per_s.{dtype}"
        for dtype in _LOAD_BEARING_WITHOUT_MATRIX
        if lookup(data, f"compute.matrix_tflop_per_s.{dtype}") is None
    ]
    present = [path for path in bearing if lookup(data, path) is not None]
    return [path for path in unverified if any(_covers(path, fact) or _covers(fact, path) for fact in present)]


def _covers(outer: str, inner: str) -> bool:
    return inner == outer or inner.startswith(outer + ".")


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
    data = read_toml(path, HardwareFileError)
    check(data, DEVICE, path)
    try:
        _check_identity(data, path, cataloged=cataloged)
        _check_memory(data)
        _check_source(data)
    except HardwareError as error:
        raise HardwareFileError(f"{path}: {error}") from None
    return DeviceFile(path, data)


def _check_identity(data: Mapping[str, Any], path: Path, *, cataloged: bool) -> None:
    for key in ("id", "family"):
        if not is_id(data[key]):
            raise HardwareError(
                f"{key!r} is {shown(data[key])}; expected lower-case letters, digits, '-', '+' and '.', at most 100"
            )
    if cataloged and path.stem != data["id"]:
        raise HardwareError(f"'id' is {data['id']!r}; expected {path.stem!r}, the name of the file")
    if cataloged and "calibration" in data:
        raise HardwareError(
            "[calibration] is in a file of the catalog; expected it in the file of a family in hardware/calibration/, "
            "or in a device file outside the catalog"
        )
    if lookup(data, "compute.array") is not None and data["kind"] != "systolic":
        raise HardwareError(f"[compute.array] is in a file of kind {data['kind']!r}; expected it only in 'systolic'")


def _check_memory(data: Mapping[str, Any]) -> None:
    memory = data.get("memory", {})
    for level in CACHE_LEVELS:
        sizes = [key for key in ("capacity_kib_per_core", "capacity_mib") if key in memory.get(level, {})]
        if level in memory and len(sizes) != 1:
            raise HardwareError(
                f"[memory.{level}] has {' and '.join(sizes) or 'no capacity'}; expected either capacity_kib_per_core "
                "(private to a core) or capacity_mib (shared)"
            )
    dram = memory.get("dram", {})
    if "usable_gib" in dram and dram["usable_gib"] > dram.get("capacity_gib", 0):
        raise HardwareError(
            f"memory.dram.usable_gib is {dram['usable_gib']:g}; expected at most memory.dram.capacity_gib, "
            f"{dram.get('capacity_gib', 'which is missing')}"
        )
    if "usable_share" in dram and ("capacity_gib" not in dram or "usable_gib" in dram):
        raise HardwareError(
            "[memory.dram] has usable_share "
            + ("and usable_gib" if "usable_gib" in dram else "without capacity_gib")
            + "; expected usable_share with capacity_gib, or usable_gib"
        )
    if "channels" in dram and "transfer_mt_per_s" in dram and "bandwidth_gb_per_s" in dram:
        channel_byte = dram.get("channel_bits", CHANNEL_BITS) / 8
        product = dram["channels"] * channel_byte * dram["transfer_mt_per_s"] / 1000  # MT/s x byte -> GB/s
        if abs(product / dram["bandwidth_gb_per_s"] - 1) > BANDWIDTH_TOLERANCE:
            raise HardwareError(
                f"memory.dram.bandwidth_gb_per_s is {dram['bandwidth_gb_per_s']:g}; expected {product:g} = "
                f"{dram['channels']} channels x {channel_byte:g} byte x {dram['transfer_mt_per_s']:g} MT/s"
            )


def _check_source(data: Mapping[str, Any]) -> None:
    unverified = data["source"].get("unverified", [])
    for path in unverified:
        if lookup(data, path) is None:
            raise HardwareError(f"source.unverified lists {path!r}; expected the dotted path of a key in this file")
    bearing = load_bearing(data, unverified)
    if data["verified"] and bearing:
        raise HardwareError(f"verified is true although source.unverified lists {bearing[0]!r}; expected false")
    if not data["verified"] and not bearing and unverified:
        raise HardwareError(
            "verified is false although source.unverified lists no fact that an estimate depends on; expected true"
        )


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

    def in_base_units(self, clock_hz: float) -> dict[str, float]:
        """Return all constants in FLOP, byte, second and joule, by the names that a machine has for them.

        Args:
            clock_hz: The clock of the machine's cores, for constants in clocks.
        """
        written = {f"{table}.{key}": value for table, keys in self.data.items() for key, value in keys.items()}
        return _core.base_constants(written, clock_hz=clock_hz)

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
    kind = layers[-1].tables["family"]
    if kind != device.kind:
        raise HardwareFileError(
            f"{device.path}: 'family' is {device.family!r}, a family of kind {kind!r}; expected one of kind "
            f"{device.kind!r}"
        )
    return _merge(folder, *layers)


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
    check(content, CALIBRATION, path)
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
