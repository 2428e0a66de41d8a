"""Machines of a folder of measurements: from the catalog, with the package's constants or those of another folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pyinfercost as ic
from pyinfercost.hardware import MissingFactError, UnknownHardwareError
from pyinfercost.hardware.catalog_names import CATALOG
from pyinfercost.hardware.evidence import OTHER
from pyinfercost.hardware.files import read_device

from .cases import Group, machine_key
from .classes import classes_of
from .measured import Problems, Table

if TYPE_CHECKING:
    from pyinfercost import Hardware

ON_DESKTOPS = ("models_vision",)
"""Tables of graphics cards in desktop computers, whose hosts are faster than those of servers."""
UNDER_LOAD = ("serving", "open_loop_requests")
"""Tables of devices that work without pause."""
Folder = Callable[[str], "Path | None"]
"""Folder of constants for a device; None for the package's own."""


def load_machines(tables: Iterable[Table], folder_of: Folder, problems: Problems) -> dict[str, Hardware]:
    """Load every device in the tables, in each way that they use it.

    Args:
        tables: The tables.
        folder_of: Returns the folder of constants of a device.
        problems: Receives the rows of devices that the catalog lacks or describes incompletely; these have no machine,
            and their rows no prediction.

    Returns:
        The machines by `machine_key`. A number of threads or instances that a device does not have has none.
    """
    named: dict[str, list[Table]] = {}
    for table in tables:
        for (device,), _ in table.groups("device"):
            named.setdefault(device, []).append(table)
    machines = {}
    for device, places in named.items():
        try:
            folder = None if device not in ic.hardware.names() else folder_of(device)
            machines[device] = load(device, folder)
            if any("power_w" in table.columns or table.name in UNDER_LOAD for table in places):
                machines[machine_key(device, sustained=True)] = (
                    _special(device, folder, sustained=True) or machines[device]
                )
            if any(table.name in ON_DESKTOPS for table in places):
                for host in {desktop_of(device)} - {""}:
                    machines[machine_key(device, host=host)] = load(device, folder, host=host)
            for threads in _numbers("threads", device, places):
                if (machine := _special(device, folder, threads=threads)) is not None:
                    machines[machine_key(device, threads=threads)] = machine
            for instances in _numbers("instances", device, places):
                if (machine := _special(device, folder, instances=instances)) is not None:
                    machines[machine_key(device, instances=instances)] = machine
        except UnknownHardwareError:
            _omit(places, device, "the catalog has no such device", problems)
        except MissingFactError as error:
            _omit(places, device, str(error), problems)
    return machines


def kind_of(device: str) -> str:
    """Return the vendor and the kind of a device of the catalog, such as `NVIDIA gpu`."""
    data = read_device(CATALOG / f"{device}.toml", cataloged=True)
    return f"{data.get('vendor')} {data.kind}"


def desktop_of(device: str) -> str:
    """Return the name of the host of a device in a desktop computer; empty for one that is no graphics card."""
    return "desktop" if device.startswith("rtx-") else ""


def evidence_of(machine: Hardware, group: Group) -> str:
    """Return what the band of a group's kernels rests on, in the words of `hardware.evidence.EVIDENCE`."""
    known = [name for name in classes_of(group) if name in machine.evidence]
    return machine.evidence[known[-1] if known else OTHER]


def _numbers(column: str, device: str, tables: Iterable[Table]) -> list[int]:
    found = {key for table in tables if column in table.columns for key, _ in table.groups("device", column)}
    return sorted(int(number) for name, number in found if name == device and number)


def _omit(tables: Iterable[Table], device: str, reason: str, problems: Problems) -> None:
    for table in tables:
        problems.add(table.name, reason, device, table.text("device").count(device))


def load(
    device: str,
    folder: Path | None,
    *,
    sustained: bool = False,
    threads: int | None = None,
    instances: int = 1,
    host: str = "",
) -> Hardware:
    """Load a device of the catalog with the constants of a folder; None for the package's own."""
    return ic.hardware.load(
        device, calibration=folder, sustained=sustained, threads=threads, instances=instances, host=host or None
    )


def _special(
    device: str, folder: Path | None, *, sustained: bool = False, threads: int | None = None, instances: int = 1
) -> Hardware | None:
    """Return the device in a special use; None if the catalog does not describe it in that use."""
    try:
        return load(device, folder, sustained=sustained, threads=threads, instances=instances)
    except ValueError:
        return None


def without_missing(table: Table, machines: Mapping[str, Hardware]) -> Table:
    """Return the rows of devices that have a machine."""
    kept = [row for row, device in enumerate(table.text("device")) if device in machines]
    return table if len(kept) == len(table) else table.only(kept)
