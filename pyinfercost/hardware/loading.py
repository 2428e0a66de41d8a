"""Machines of device files: the core converts facts and constants (csrc/hardware/device_machine.cpp)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from .. import _core
from ..errors import InputError, InputTypeError
from .bands import Band, bands
from .catalog_names import CATALOG, device_id
from .errors import HardwareError, MissingFactError
from .evidence import OTHER
from .files import Calibration, DeviceFile, read_device
from .files import calibration as constants_of

Source: TypeAlias = "str | os.PathLike[str]"

_CALIBRATION = "calibration"
"""Entry of `source.unverified` of a file whose calibration was disturbed."""


@lru_cache(maxsize=1024)
def hardware_of(
    device: DeviceFile,
    constants: Calibration,
    threads: int | None,
    instances: int,
    sustained: bool,
    host_s: float | None,
) -> _core.Hardware:
    """Return the machine of a device, made once."""
    return make_hardware(device, constants, threads=threads, instances=instances, sustained=sustained, host_s=host_s)


def describe(hardware: Source) -> dict[str, Any]:
    """Return all that is known about a device, in the units of its file.

    Args:
        hardware: An id of the catalog, or a path that ends in `.toml`.

    Returns:
        The content of the file, with four more keys: `path`; `missing`, the facts that estimates need and the file
        lacks; `calibration`, with the `values` by table and the `origin` of each key; and `bands`, with the `spread`
        and the `evidence` of each class of kernels.
    """
    device = find(hardware)
    constants = constants_of(device)
    described: dict[str, Any] = {key: _plain(value) for key, value in device.data.items() if key != "calibration"}
    described["path"] = str(device.path)
    described["missing"] = device.missing()
    described["calibration"] = {
        "values": _plain(constants.data),
        "origin": {key: {"file": path.name, "source": source} for key, (path, source) in constants.origin.items()},
    }
    described["bands"] = {
        name: {"spread": band.spread, "evidence": band.evidence} for name, band in _bands(device, constants).items()
    }
    return described


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, list) else value


def find(hardware: object) -> DeviceFile:
    """Return the file of a device, given by an id or a name of the catalog, or by a path that ends in `.toml`.

    Raises:
        UnknownHardwareError: The catalog has no such device, or several.
        HardwareFileError: The file does not follow the schema.
        InputTypeError: The value is none of these.
    """
    if isinstance(hardware, os.PathLike):
        return read_device(Path(hardware), cataloged=False)
    if not isinstance(hardware, str):
        raise InputTypeError(
            f"hardware is of type {type(hardware).__name__}; expected an id of the catalog, a path that ends in .toml, "
            "or a Hardware"
        )
    if hardware.endswith(".toml"):
        return read_device(Path(hardware), cataloged=False)
    return read_device(CATALOG / f"{device_id(hardware)}.toml", cataloged=True)


def make_hardware(
    device: DeviceFile,
    constants: Calibration,
    *,
    threads: int | None = None,
    instances: int = 1,
    sustained: bool = False,
    host_s: float | None = None,
) -> _core.Hardware:
    """Return the machine of a device.

    Args:
        device: The device.
        constants: Its calibration constants.
        threads: As in `load`.
        instances: As in `load`.
        sustained: As in `load`.
        host_s: Seconds that the host of a GPU takes to issue an operator; None for the time in the constants.

    Raises:
        MissingFactError: A fact that estimates need is unknown.
        HardwareError: `threads` or `instances` is out of range, or the device is no CPU; or `sustained` is set, and its
            power or energy is unknown; or `host_s` is given, and it is no GPU.
    """
    kind = bands(constants.lineage[-1:], constants.folder, measured=False) if constants.measured else None
    try:
        return device.facts.machine(
            constants.values,
            lineage=constants.lineage,
            bands={name: (band.spread, band.evidence) for name, band in _bands(device, constants).items()},
            measured=constants.measured,
            library_int8=None if kind is None else (kind[OTHER].spread, kind[OTHER].evidence),
            threads=threads,
            instances=instances,
            sustained=sustained,
            host_s=host_s,
        )
    except InputError as error:
        raise (MissingFactError if device.missing() else HardwareError)(str(error)) from None


def _bands(device: DeviceFile, constants: Calibration) -> dict[str, Band]:
    # A disturbed calibration measures the other processes.
    quiet = constants.measured and _CALIBRATION not in (device.get("source.unverified") or ())
    return bands(constants.lineage, constants.folder, measured=quiet)
