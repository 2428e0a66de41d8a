"""`load`: a machine from an id of the catalog, a name that people type for it, or a file.

Machines of the catalog are kept in the cache as they were computed from their files, so that loading one again needs
neither a parser nor the schema.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import TypeAlias

from .. import _cache, _core
from .._checks import Range, flag, whole
from .catalog_names import CATALOG, device_id, names
from .errors import HardwareError, MissingFactError
from .hosts import HostLike, host_seconds

Source: TypeAlias = "str | os.PathLike[str]"

_ANY = Range(-(2**63), 2**63)


def load(
    hardware: Source | _core.Hardware,
    *,
    threads: int | None = None,
    instances: int = 1,
    sustained: bool = False,
    host: HostLike | None = None,
    calibration: Source | None = None,
) -> _core.Hardware:
    """Load a machine.

    Args:
        hardware: An id of the catalog (`names()` lists them), a path that ends in `.toml`, or a `Hardware`, which is
            returned unchanged.
        threads: Threads of a CPU, one per core; by default all cores. Peaks, private caches and cache bandwidths shrink
            with the cores in use. A shared cache keeps its size. DRAM bandwidth is the smaller of the data sheet's and
            the family's `dram_gb_per_s_per_core` times the cores in use. Power covers the whole package.
        instances: Copies of a model side by side on a CPU, each in a process of its own. The machine is then the share
            of one copy: `cores // instances` cores, and equal parts of shared caches, DRAM bandwidth, memory and power.
            `threads` are threads of one copy.
        sustained: Whether the device works without pause, as a server under load does. Kernels that would draw more
            than the power limit of the board then take as long as their energy does at that limit (`[sustained]` of
            the calibration files). By default estimates are of a single forward, which ends before the clock falls.
        host: Host of a GPU: microseconds to issue an operator of an eager forward, or a name of `hosts.HOSTS`. Kernels
            of compiled code take it in proportion. By default the time in `gpu.toml`, or the measured one.
        calibration: A folder of calibration files that replaces the package's own.

    Returns:
        The machine in base units, with the constants of its family. Cache levels of unknown bandwidth are left out.
        `memory_bytes` is infinite if the owner chooses the size of the memory.

    Raises:
        UnknownHardwareError: The id is unknown; the message names the nearest ones.
        HardwareFileError: The file does not follow the schema.
        MissingFactError: A fact that estimates need is unknown; the message names it.
        HardwareError: `threads` or `instances` is out of range, or given for a loaded machine or one that is no CPU; or
            `sustained` is set for a loaded machine, or one of unknown power or energy; or `host` is unknown, or given
            for a loaded machine or one that is no GPU.
        InputTypeError: `hardware` is none of these.
    """
    if threads is not None:
        threads = whole(threads, "threads", _ANY, HardwareError)
    instances = whole(instances, "instances", _ANY, HardwareError)
    sustained = flag(sustained, "sustained", HardwareError)
    host_s = None if host is None else host_seconds(host)
    if isinstance(hardware, _core.Hardware):
        if threads is not None:
            raise HardwareError(
                f"threads is {threads}, but {hardware.id!r} is already loaded; expected the id or the path of a CPU"
            )
        if instances != 1:
            raise HardwareError(
                f"instances is {instances}, but {hardware.id!r} is already loaded; expected the id or the path of a CPU"
            )
        if sustained:
            raise HardwareError(f"sustained is set, but {hardware.id!r} is already loaded; expected an id or a path")
        if host is not None:
            raise HardwareError(f"host is given, but {hardware.id!r} is already loaded; expected an id or a path")
        return hardware
    if isinstance(hardware, str) and not hardware.endswith(".toml") and calibration is None:
        return _cataloged(device_id(hardware), threads, instances, sustained, host_s)
    from .files import CALIBRATIONS
    from .files import calibration as constants_of
    from .loading import find, hardware_of

    folder = CALIBRATIONS if calibration is None else Path(calibration)
    device = find(hardware)
    return hardware_of(device, constants_of(device, folder), threads, instances, sustained, host_s)


@cache
def versions() -> tuple[object, ...]:
    """Return a key that changes with the files of the catalog, of the families and of this room.

    A process keeps the first key, as it keeps the modules that it imported: a search loads machines by the
    thousand, and 200 files are asked for their time each time.
    """
    return (
        _cache.of_files(str(CATALOG), ".toml"),
        _cache.of_files(str(CATALOG.parent / "calibration"), ".toml"),
        *_cache.of_package("hardware"),
    )


def load_catalog(sustained: bool = False) -> list[_core.Hardware]:
    """Load all machines of the catalog that can be estimated, sorted by their ids, in one pass.

    Args:
        sustained: As in `load`, for those whose power and energy are known.
    """
    current = versions()
    key = _cache.digest("catalog", sustained, current)
    if (stored := _cache.read("machines", key)) is not None:
        return [_core.Hardware.from_json(text) for text in stored.decode().splitlines()]
    found = []
    for device in names():
        with suppress(MissingFactError):
            try:
                found.append(_made(device, None, 1, sustained))
            except MissingFactError:
                raise
            except HardwareError:  # of unknown power
                found.append(_made(device, None, 1, False))
    _cache.write("machines", key, "\n".join(machine.to_json() for machine in found).encode())
    return found


@lru_cache(maxsize=1024)
def _cataloged(
    device: str, threads: int | None, instances: int, sustained: bool, host_s: float | None
) -> _core.Hardware:
    key = _cache.digest(device, threads, instances, sustained, host_s, versions())
    if (stored := _cache.read("machine", key)) is not None:
        return _core.Hardware.from_json(stored.decode())
    made = _made(device, threads, instances, sustained, host_s)
    _cache.write("machine", key, made.to_json().encode())
    return made


def _made(
    device: str, threads: int | None, instances: int, sustained: bool, host_s: float | None = None
) -> _core.Hardware:
    """Return a machine of the catalog, from its files."""
    from .files import calibration, read_device
    from .loading import make_hardware

    found = read_device(CATALOG / f"{device}.toml", cataloged=True)
    return make_hardware(
        found, calibration(found), threads=threads, instances=instances, sustained=sustained, host_s=host_s
    )
