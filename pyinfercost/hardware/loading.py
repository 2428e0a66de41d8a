"""From a name or a file to the core's `Hardware`, in FLOP, byte and second.

Facts of device files are converted here; constants of calibration files by the core's table of them.
"""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Mapping
from functools import lru_cache
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from .calibration import CALIBRATIONS, Calibration
from .calibration import calibration as constants_of
from .constants import HELD
from .device import CATALOG, DeviceFile, is_id, read_device
from .dtypes import CORE_DTYPES
from .power import energy_joules, power_shares, power_w, sustained_times
from .provenance import provenance
from .schema import CACHE_LEVELS, HardwareError

if TYPE_CHECKING:
    from pyinfercost import _core

Source: TypeAlias = "str | os.PathLike[str]"

_KIBI, _MEBI, _GIBI = 2.0**10, 2.0**20, 2.0**30
_GIGA, _TERA = 1e9, 1e12
# Those of [achieved] have an argument of their own.
_HELD = frozenset(name for name in HELD if not name.startswith("achieved."))
_OVERHEADS = ("dispatch", "launch_gap", "replay_gap", "kernel_minimum")


class UnknownHardwareError(HardwareError, KeyError):
    """No device of that id is in the catalogue."""

    def __str__(self) -> str:  # KeyError would show the message's repr
        return str(self.args[0])


class MissingFactError(HardwareError):
    """The file is sound, but a fact that an estimate of time needs is not known for this device."""


def names() -> list[str]:
    """The ids of the catalogue, sorted; no file is opened."""
    return sorted(path.stem for path in CATALOG.glob("*.toml"))


def load(
    hardware: Source | _core.Hardware,
    *,
    threads: int | None = None,
    sustained: bool = False,
    calibration: Source | None = None,
) -> _core.Hardware:
    """Load a device.

    Args:
        hardware: An id of the catalogue (`names()` lists them), a path that ends in `.toml`, or a `Hardware`, which is
            returned as it is.
        threads: How many threads a CPU runs, one to a core. Its peaks, private caches and cache bandwidths shrink with
            the cores in use; a shared cache keeps its size; DRAM bandwidth is that of the sheet or the family's
            `dram_gb_per_s_per_core` times the cores in use, whichever is lower. Power figures stay those of the whole
            package. By default all cores.
        sustained: The device is at work all the time, as a server under load is: where kernels would draw more than the
            board's limit, they take as long as their energy at that limit (the family's `energy` constants). By default
            estimates are of a forward by itself, which is over before the clock falls.
        calibration: A folder of calibration files that stand in for the package's own.

    Returns:
        The device in base units, with its family's constants. Levels of cache whose bandwidth is unknown are left out.
        A device whose memory size is whatever its owner installed has infinite `memory_bytes`.

    Raises:
        UnknownHardwareError: No such id; the message names the nearest ones.
        HardwareFileError: The file breaks the schema.
        MissingFactError: A fact needed for estimates is not known; the message names it.
        ValueError: `threads` is out of range, or the device is not a CPU described by a file; `sustained` is asked of a
            device whose power or energy is not known.
    """
    from pyinfercost import _core

    if isinstance(hardware, _core.Hardware):
        if threads is not None:
            raise ValueError(
                f"threads is {threads}, but {hardware.id!r} is already loaded; expected the id or the path of a CPU"
            )
        if sustained:
            raise ValueError(f"sustained is set, but {hardware.id!r} is already loaded; expected an id or a path")
        return hardware
    device = _find(hardware)
    folder = CALIBRATIONS if calibration is None else Path(calibration)
    return _hardware(device, constants_of(device, folder), threads, sustained)


@lru_cache(maxsize=1024, typed=True)  # typed: True is no number of threads
def _hardware(device: DeviceFile, constants: Calibration, threads: int | None, sustained: bool) -> _core.Hardware:
    from pyinfercost import _core

    return _core.Hardware(**core_arguments(device, constants, threads=threads, sustained=sustained))


def describe(hardware: Source) -> dict[str, Any]:
    """Everything known about a device, in the units of its file, for people to read.

    Args:
        hardware: An id of the catalogue, or a path that ends in `.toml`.

    Returns:
        The file's content with `source` and `verified`, and three keys more: `path`; `missing`, the facts without which
        it cannot be loaded; and `calibration`, with `fitted`, the `values` by table and the `origin` of each key.
    """
    device = _find(hardware)
    constants = constants_of(device)
    described: dict[str, Any] = {key: _plain(value) for key, value in device.data.items() if key != "calibration"}
    described["path"] = str(device.path)
    described["missing"] = device.missing()
    described["calibration"] = {
        "fitted": constants.fitted,
        "values": _plain(constants.data),
        "origin": {key: {"file": path.name, "source": source} for key, (path, source) in constants.origin.items()},
    }
    return described


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, list) else value


def _find(hardware: object) -> DeviceFile:
    if isinstance(hardware, os.PathLike):
        return read_device(Path(hardware), catalogued=False)
    if not isinstance(hardware, str):
        raise TypeError(
            f"hardware is of type {type(hardware).__name__}; expected an id of the catalogue, a path that ends in "
            ".toml, or a Hardware"
        )
    if hardware.endswith(".toml"):
        return read_device(Path(hardware), catalogued=False)
    path = CATALOG / f"{hardware}.toml"
    if not is_id(hardware) or not path.is_file():
        known = names()
        wanted = hardware.lower().replace("_", "-").replace(" ", "-")
        near = [name for name in known if wanted and wanted in name]  # `h100` means its forms, not b100
        near = (near or difflib.get_close_matches(wanted, known, n=3, cutoff=0.4))[:5]
        raise UnknownHardwareError(
            f"unknown hardware {hardware!r}; "
            + (f"the nearest ids are {', '.join(near)}; " if near else "")
            + f"`pyinfercost hardware` lists all {len(known)}, and a path that ends in .toml names a file of your own"
        )
    return read_device(path, catalogued=True)


def core_arguments(
    device: DeviceFile, constants: Calibration, *, threads: int | None = None, sustained: bool = False
) -> dict[str, Any]:
    """The keyword arguments of the core's `Hardware`, in FLOP, byte, second, watt and hertz.

    Raises:
        MissingFactError: A fact needed for estimates is not known for this device.
        ValueError: `threads` is out of range, or the device is not a CPU.
    """
    gaps = device.missing()
    if gaps:
        raise MissingFactError(
            f"{device.id!r} cannot be used for estimates: {device.path} does not give {', nor '.join(gaps)}. "
            "Copy the file, add the figure with its source, and pass the path of the copy."
        )
    all_cores = int(device.get("compute.cores"))
    cores = _cores_in_use(device, all_cores, threads)
    share = cores / all_cores
    clock_hz = (device.get("compute.clock_ghz") or constants["assumed.clock_ghz"]) * _GIGA
    vector = _rates(device.get("compute.vector_tflop_per_s"), share)
    per_clock = constants.get("assumed.vector_flop_per_clock_per_core")
    if not vector and per_clock is not None:
        vector = {"float32": per_clock * cores * clock_hz}
    array = device.get("compute.array")
    power = power_shares(device, constants)
    values = constants.in_base_units(clock_hz)
    return {
        "id": device.id,
        "name": device.get("name")
        + ("" if threads is None else f", {cores} of {all_cores} cores")
        + (", sustained" if sustained else ""),
        "kind": device.kind,
        "family": device.family,
        "cores": float(cores),
        "clock_hz": clock_hz,
        "matrix_flop_per_s": _rates(device.get("compute.matrix_tflop_per_s"), share),
        "vector_flop_per_s": vector,
        "memory": _memory(device, values, cores=cores, clock_hz=clock_hz, limited=threads is not None),
        "array": None if array is None else (array["rows"], array["cols"], array["units"]),
        "sparsity_2_4": float(device.get("sparsity.factor_2_4") or 1.0),
        "overheads_s": {
            key: values[f"overheads.{key}_s"] + values.get(f"overheads.{key}_core_s", 0.0) for key in _OVERHEADS
        },
        "achieved": _achieved(constants, power),
        "constants": {
            **{name: value for name, value in values.items() if name in _HELD},
            **_link_facts(device),
            **{f"power.{key}": share for key, share in power.items()},
            **energy_joules(device, values),
            **(sustained_times(device, constants) if sustained else {}),
        },
        "spread": constants["band.spread"],
        "provenance": provenance(device, constants),
        "power_w": power_w(device, constants),
        "links_byte_per_s": {
            link: bandwidth * _GIGA
            for link in ("host", "device")
            if (bandwidth := device.get(f"link.{link}.bandwidth_gb_per_s")) is not None
        },
    }


def _achieved(constants: Calibration, power: Mapping[str, float]) -> dict[str, float]:
    """What is reached of each peak: no more than the power budget pays for."""
    achieved = dict(constants.data["achieved"])
    for key, share in power.items():
        achieved[key] = share * achieved.get(key, achieved[key.partition("_")[0]])
    return achieved


def _link_facts(device: DeviceFile) -> dict[str, float]:
    """How the links are wired; only a PCIe link leads to other devices by way of the host."""
    facts = {}
    kind = str(device.get("link.host.kind"))
    if kind.startswith("PCIe"):
        facts["link.host_shared"] = 1.0
    if device.kind == "cpu" or "memory" in kind:  # one memory for the host and the device: nothing has to move
        facts["link.host_unified"] = 1.0
    for key in ("peers", "reduces"):
        value = device.get(f"link.device.{key}")
        if value is not None:
            facts[f"link.device_{key}"] = float(value)
    return facts


def _cores_in_use(device: DeviceFile, cores: int, threads: int | None) -> int:
    if threads is None:
        return cores
    if device.kind != "cpu":
        raise ValueError(f"threads is {threads}, but {device.id!r} is of kind {device.kind!r}; expected a CPU")
    most = cores * int(device.get("compute.threads_per_core") or 1)
    if isinstance(threads, bool) or not 1 <= index(threads) <= most:
        raise ValueError(f"threads is {threads!r}; expected an integer from 1 to {most}, the threads of {device.id!r}")
    return min(threads, cores)  # a second thread on a core adds no unit to compute with


def _rates(tflop_per_s: Mapping[str, float] | None, share: float) -> dict[str, float]:
    rates = tflop_per_s or {}
    return {CORE_DTYPES[dtype]: rate * _TERA * share for dtype, rate in rates.items() if dtype in CORE_DTYPES}


def _memory(
    device: DeviceFile, constants: Mapping[str, float], *, cores: int, clock_hz: float, limited: bool
) -> list[tuple[str, float, float]]:
    dram_byte_per_s = _dram_bandwidth(device)
    share = cores / int(device.get("compute.cores"))
    levels = []
    for level in CACHE_LEVELS:
        cache = device.get(f"memory.{level}")
        if cache is None:
            continue
        private = cache.get("capacity_kib_per_core")
        capacity = cache["capacity_mib"] * _MEBI if private is None else private * _KIBI * cores
        per_clock = constants.get(f"cache.{level}_byte_per_clock_per_core")
        multiple = constants.get(f"cache.{level}_over_dram_bandwidth")
        if "bandwidth_gb_per_s" in cache:
            levels.append((level, capacity, cache["bandwidth_gb_per_s"] * _GIGA * share))
        elif per_clock is not None:
            levels.append((level, capacity, per_clock * cores * clock_hz))
        elif multiple is not None:
            levels.append((level, capacity, multiple * dram_byte_per_s))
    per_core = constants.get("limits.dram_byte_per_s_per_core")
    if limited and per_core is not None:
        dram_byte_per_s = min(dram_byte_per_s, per_core * cores)
    return [*levels, ("dram", _dram_capacity(device), dram_byte_per_s)]


def _dram_bandwidth(device: DeviceFile) -> float:
    bandwidth = device.get("memory.dram.bandwidth_gb_per_s")
    # A device without DRAM keeps what does not fit its scratchpad in the host's, behind the link.
    return float(bandwidth or device.get("link.host.bandwidth_gb_per_s")) * _GIGA


def _dram_capacity(device: DeviceFile) -> float:
    usable, capacity = device.get("memory.dram.usable_gib"), device.get("memory.dram.capacity_gb")
    if usable is not None:
        return float(usable) * _GIBI
    return math.inf if capacity is None else float(capacity) * _GIGA
