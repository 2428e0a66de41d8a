"""Machines of a folder of measurements: from the catalog, with the package's constants or those of another folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING

import pyinfercost as ic
from pyinfercost.hardware import MissingFactError, UnknownHardwareError

from .cases import SUSTAINED
from .measured import MeasuredError, Problems, Table

if TYPE_CHECKING:
    from pyinfercost import Hardware

Folder = Callable[[str], "Path | None"]
"""Folder of constants for a device; None for the package's own."""


def load_machines(tables: Iterable[Table], folder_of: Folder, problems: Problems) -> dict[str, Hardware]:
    """Load every device in the tables.

    Args:
        tables: The tables.
        folder_of: Returns the folder of constants of a device.
        problems: Receives devices with missing data; they have no machine, and their rows no prediction.

    Returns:
        The machines by device id.

    Raises:
        MeasuredError: A device is not in the catalog.
    """
    named: dict[str, list[Table]] = {}
    for table in tables:
        for (device,), _ in table.groups("device"):
            named.setdefault(device, []).append(table)
    unknown = [device for device in named if device not in ic.hardware.names()]
    if unknown:
        raise MeasuredError("\n".join(_unknown(device, named[device]) for device in unknown))
    machines = {}
    for device, places in named.items():
        try:
            machines[device] = load(device, folder_of(device))
            if any("power_w" in table.columns for table in places):
                machines[device + SUSTAINED] = _sustained(device, folder_of(device)) or machines[device]
        except MissingFactError as error:
            for table in places:
                problems.add(table.name, str(error), device, table.text("device").count(device))
    return machines


def load(device: str, folder: Path | None, *, sustained: bool = False) -> Hardware:
    """Load a device of the catalog with the constants of a folder.

    Raises:
        MeasuredError: This version of the package cannot load constants from a folder.
    """
    if folder is None:
        return ic.hardware.load(device, sustained=sustained)
    if "calibration" not in signature(ic.hardware.load).parameters:
        raise MeasuredError("this version of pyinfercost.hardware.load takes no folder of calibration files")
    return ic.hardware.load(device, calibration=folder, sustained=sustained)


def _sustained(device: str, folder: Path | None) -> Hardware | None:
    """Return the device under continuous load; None if its sustained performance is unknown."""
    try:
        return load(device, folder, sustained=True)
    except ValueError:
        return None


def _unknown(device: str, tables: list[Table]) -> str:
    try:
        ic.hardware.load(device)
    except UnknownHardwareError as error:
        return f"{', '.join(table.path.name for table in tables)}: {error}"
    return f"{', '.join(table.path.name for table in tables)}: unknown hardware {device!r}"


def without_missing(table: Table, machines: Mapping[str, Hardware]) -> Table:
    """Return the rows of devices that have a machine."""
    kept = [row for row, device in enumerate(table.text("device")) if device in machines]
    return table if len(kept) == len(table) else table.only(kept)
