"""Machines with other constants than in their files, without writing files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pyinfercost.hardware.catalog_names import CATALOG
from pyinfercost.hardware.files import CALIBRATIONS, Calibration, DeviceFile, calibration, read_device
from pyinfercost.hardware.hosts import host_seconds
from pyinfercost.hardware.loading import make_hardware

from ..cases import HOST, SUSTAINED

if TYPE_CHECKING:
    from pyinfercost import Hardware


# Families of similar boards (graphics cards: GDDR, clocks above the data sheet's): a family without rows takes values
# from the others in its group before those of all machines of its kind.
GROUPS = {"nvidia-ampere-ga10x": "graphics", "nvidia-ada": "graphics", "nvidia-blackwell-sm120": "graphics"}


@dataclass(frozen=True)
class Machine:
    """A device of the catalog whose constants may be changed before it is created."""

    device: DeviceFile
    constants: Calibration
    sustained: bool = False
    host: str = ""

    @staticmethod
    def find(hardware: str, folder: Path = CALIBRATIONS) -> Machine:
        """Return the device of a case, with the constants of a folder."""
        name, _, host = hardware.removesuffix(SUSTAINED).partition(HOST)
        device = read_device(CATALOG / f"{name}.toml", cataloged=True)
        return Machine(device, calibration(device, folder), sustained=hardware.endswith(SUSTAINED), host=host)

    @property
    def family(self) -> str:
        """Family of its constants."""
        return self.device.family

    @property
    def group(self) -> str | None:
        """Group of its family."""
        return GROUPS.get(self.family)

    @property
    def kind(self) -> str:
        """Kind of machine, whose constants apply if its family has none."""
        return self.device.kind

    def make(self, changed: Mapping[str, float]) -> Hardware:
        """Return the machine with some constants set, by dotted key and in the units of the files."""
        data = {table: dict(values) for table, values in self.constants.data.items()}
        for dotted, value in changed.items():
            table, _, key = dotted.rpartition(".")
            data.setdefault(table, {})[key] = value
        constants = replace(self.constants, data=data)
        host_s = host_seconds(self.host) if self.host else None
        return make_hardware(self.device, constants, sustained=self.sustained, host_s=host_s)
