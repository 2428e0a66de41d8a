"""Machines under other constants than their files have, without writing files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pyinfercost import _core
from pyinfercost.hardware.files import CALIBRATIONS, CATALOG, Calibration, DeviceFile, calibration, read_device
from pyinfercost.hardware.loading import core_arguments

from ..cases import SUSTAINED

if TYPE_CHECKING:
    from pyinfercost import Hardware


# Families whose boards are built alike (graphics cards: GDDR, clocks that rise above the sheet's): what one of them
# lacks rows for is taken from the others before it is taken from all machines of its kind.
GROUPS = {"nvidia-ampere-ga10x": "graphics", "nvidia-ada": "graphics", "nvidia-blackwell-sm120": "graphics"}


@dataclass(frozen=True)
class Machine:
    """A device of the catalogue, whose constants may be changed before it is made."""

    device: DeviceFile
    constants: Calibration
    sustained: bool = False

    @staticmethod
    def find(hardware: str, folder: Path = CALIBRATIONS) -> Machine:
        """The device that a case names, with the constants of a folder."""
        name = hardware.removesuffix(SUSTAINED)
        device = read_device(CATALOG / f"{name}.toml", catalogued=True)
        return Machine(device, calibration(device, folder), sustained=name != hardware)

    @property
    def family(self) -> str:
        """The family whose constants it takes."""
        return self.device.family

    @property
    def group(self) -> str | None:
        """The group of families that its family is of."""
        return GROUPS.get(self.family)

    @property
    def kind(self) -> str:
        """The kind of machine, whose constants it takes where its family has none."""
        return self.device.kind

    def make(self, changed: Mapping[str, float]) -> Hardware:
        """The machine with some constants set, by dotted key and in the units of the files."""
        data = {table: dict(values) for table, values in self.constants.data.items()}
        for dotted, value in changed.items():
            table, _, key = dotted.rpartition(".")
            data.setdefault(table, {})[key] = value
        constants = replace(self.constants, data=data)
        return _core.Hardware(**core_arguments(self.device, constants, sustained=self.sustained))
