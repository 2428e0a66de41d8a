"""One hardware file, read and checked: what the schema cannot say key by key is said here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from .device_schema import DEVICE
from .schema import CACHE_LEVELS, HardwareError, HardwareFileError, check, file_version, read_toml

CATALOG = Path(__file__).parent / "catalog"

_ID = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_CHANNEL_BITS = 64
_TOLERANCE = 0.01  # data sheets round to three figures

# What the time model divides by for a forward pass in fp32 or below. Rates of fp64 and int4, links, power and the
# half-precision vector rates of a device with a matrix unit for them change no estimate of this kind.
_LOAD_BEARING = (
    "compute.cores",
    "compute.clock_ghz",
    "compute.matrix_clock_ghz",
    "compute.array",
    *(f"compute.matrix_tflop_per_s.{dtype}" for dtype in ("fp32", "tf32", "fp16", "bf16", "fp8", "fp4", "int8")),
    "compute.vector_tflop_per_s.fp32",
    "memory.dram.capacity_gb",
    "memory.dram.bandwidth_gb_per_s",
)
_LOAD_BEARING_WITHOUT_MATRIX = ("fp16", "bf16")


@dataclass(frozen=True, eq=False)
class DeviceFile:
    """A hardware file that has passed every check, still in the units of the file.

    Attributes:
        path: Where it was read from.
        data: The file's content, unchanged.
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
        """The value under a dotted path such as `memory.dram.capacity_gb`, or None where the file has none."""
        return lookup(self.data, dotted)

    def missing(self) -> list[str]:
        """The facts that an estimate of time needs and this file does not give; empty for a usable device."""
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


def is_id(text: str) -> bool:
    """Whether a text is spelled as ids of devices and families are."""
    return _ID.fullmatch(text) is not None


def lookup(data: Mapping[str, Any], dotted: str) -> Any:
    """The value under a dotted path, or None."""
    value: Any = data
    for part in dotted.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def load_bearing(data: Mapping[str, Any], unverified: Iterable[str]) -> list[str]:
    """The paths among `unverified` that an estimate of time depends on."""
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


def read_device(path: Path, *, catalogued: bool) -> DeviceFile:
    """Read and check one hardware file.

    Args:
        path: The file.
        catalogued: Whether it belongs to the catalogue, where the file's name is the id and nothing is fitted to the
            device itself.

    Raises:
        HardwareFileError: The file breaks the schema, or contradicts itself.
    """
    return _read_version(path, catalogued, file_version(path))


@lru_cache(maxsize=1024)
def _read_version(path: Path, catalogued: bool, _version: object) -> DeviceFile:
    data = read_toml(path)
    check(data, DEVICE, path)
    try:
        _check_identity(data, path, catalogued=catalogued)
        _check_memory(data)
        _check_source(data)
    except HardwareError as error:
        raise HardwareFileError(f"{path}: {error}") from None
    return DeviceFile(path, data)


def _check_identity(data: Mapping[str, Any], path: Path, *, catalogued: bool) -> None:
    for key in ("id", "family"):
        if not is_id(data[key]):
            raise HardwareError(f"{key!r} is {data[key]!r}; expected lower-case letters, digits, '-', '+' and '.'")
    if catalogued and path.stem != data["id"]:
        raise HardwareError(f"'id' is {data['id']!r}; expected {path.stem!r}, the name of the file")
    if catalogued and "calibration" in data:
        raise HardwareError(
            "[calibration] stands in a catalogue file; constants belong to a family, in hardware/calibration/, "
            "or to a machine's own file outside the catalogue"
        )
    if lookup(data, "compute.array") is not None and data["kind"] != "systolic":
        raise HardwareError(f"[compute.array] stands in a file of kind {data['kind']!r}; expected only in 'systolic'")


def _check_memory(data: Mapping[str, Any]) -> None:
    memory = data.get("memory", {})
    for level in CACHE_LEVELS:
        sizes = [key for key in ("capacity_kib_per_core", "capacity_mib") if key in memory.get(level, {})]
        if level in memory and len(sizes) != 1:
            raise HardwareError(
                f"[memory.{level}] gives {' and '.join(sizes) or 'no capacity'}; expected capacity_kib_per_core "
                "(private to a core) or capacity_mib (shared), and not both"
            )
    dram = memory.get("dram", {})
    if "usable_gib" in dram and dram["usable_gib"] > dram.get("capacity_gb", 0):
        raise HardwareError(
            f"memory.dram.usable_gib is {dram['usable_gib']:g}; expected at most memory.dram.capacity_gb, "
            f"{dram.get('capacity_gb', 'which is missing')}"
        )
    if "channels" in dram and "transfer_mt_per_s" in dram and "bandwidth_gb_per_s" in dram:
        channel_byte = dram.get("channel_bits", _CHANNEL_BITS) / 8
        product = dram["channels"] * channel_byte * dram["transfer_mt_per_s"] / 1000  # MT/s x byte -> GB/s
        if abs(product / dram["bandwidth_gb_per_s"] - 1) > _TOLERANCE:
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
        raise HardwareError("verified is false although nothing an estimate depends on is listed in source.unverified")
