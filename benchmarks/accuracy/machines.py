"""The machines of a folder of measurements: from the catalogue, with the package's constants or another folder's."""

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
"""The folder of constants to predict a device with; None for the package's own."""


def load_machines(tables: Iterable[Table], folder_of: Folder, problems: Problems) -> dict[str, Hardware]:
    """Every device that the tables name.

    Args:
        tables: the tables.
        folder_of: where the constants of a device come from.
        problems: told of devices that lack a fact; they have no machine, and their rows no prediction.

    Raises:
        MeasuredError: a device is not in the catalogue.
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
    """A device of the catalogue with the constants of a folder.

    Raises:
        MeasuredError: this version of the package takes its constants from nowhere else.
    """
    if folder is None:
        return ic.hardware.load(device, sustained=sustained)
    if "calibration" not in signature(ic.hardware.load).parameters:
        raise MeasuredError("this version of pyinfercost.hardware.load takes no folder of calibration files")
    return ic.hardware.load(device, calibration=folder, sustained=sustained)


def _sustained(device: str, folder: Path | None) -> Hardware | None:
    """The device at work all the time; None where what it sustains is not known."""
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
    """The rows of devices that have a machine."""
    kept = [row for row, device in enumerate(table.text("device")) if device in machines]
    return table if len(kept) == len(table) else table.only(kept)
